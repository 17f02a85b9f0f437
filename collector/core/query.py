"""What a reader may ask for: filters, pages and counts, the same for every way in."""

from __future__ import annotations

import re
from typing import Final, Literal

from msgspec import Struct

from collector.errors import QueryError
from collector.event import ACTION_MAX, ACTION_PATTERN, CATEGORY_MAX, Entry

KIND_FIELDS: Final = (
    "action",
    "category",
    "outcome",
    "severity",
    "source",
    "channel",
    "mode",
    "object_type",
)
"""The dimensions that the hourly totals keep for good."""

CountBy = Literal[
    "action", "category", "outcome", "severity", "source", "channel", "mode", "object_type", "actor"
]
Bucket = Literal["hour", "day"]

ACTION_ASKED: Final = rf"{ACTION_PATTERN.removesuffix('$')}(\.\*)?$"
"""What a filter by action may be: an action, or all below a prefix."""
ACTION_ASKED_MAX: Final = ACTION_MAX + len(".*")
CATEGORY_ASKED: Final = r"^[a-z0-9][a-z0-9_-]*$"


class Filter(Struct, kw_only=True, frozen=True):
    """Which entries: values of one field mean either, different fields mean all.

    `action` may end in `.*` (every action below that prefix). `actor` and `target` match a
    principal's `type:id`, id or name. `object` holds `(type, id)` pairs, id None for all of a type.
    `since` (inclusive) and `until` (exclusive) are microseconds since the epoch, on `occurred_at`.
    `q` holds words that must all occur as whole tokens; a trailing `*` makes a prefix.
    """

    action: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    outcome: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    channel: tuple[str, ...] = ()
    mode: tuple[str, ...] = ()
    object_type: tuple[str, ...] = ()
    object_id: tuple[str, ...] = ()
    object: tuple[tuple[str, str | None], ...] = ()
    actor: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    tenant_id: tuple[str, ...] = ()
    org_id: tuple[str, ...] = ()
    correlation_id: tuple[str, ...] = ()
    causation_id: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    q: str | None = None


class Page(Struct, kw_only=True):
    """A slice of the log. `next_before` (or `next_after`, ascending) is the cursor that goes on."""

    entries: list[Entry]
    has_more: bool
    next_before: int | None = None
    next_after: int | None = None


class Count(Struct, frozen=True):
    """One cell of a statistic. `bucket` is RFC 3339 (UTC) or None; `value` None where empty."""

    bucket: str | None
    value: str | None
    count: int


def action_asked(text: str, field: str) -> str:
    """A filter's action as it is. Raises QueryError, naming `field`, for what no action can match:
    finding nothing in silence would be taken for an answer."""
    if len(text) <= ACTION_ASKED_MAX and re.fullmatch(ACTION_ASKED, text):
        return text
    raise QueryError(
        f"{text[:50]!r} is not an action, such as backup.completed or device.*"
        + ("; leave it out for all of them" if text == "*" else ""),
        field,
    )


def category_asked(text: str, field: str) -> str:
    """A filter's category as it is. Raises QueryError, naming `field`, for what none can be called."""
    if len(text) <= CATEGORY_MAX and re.fullmatch(CATEGORY_ASKED, text):
        return text
    raise QueryError(f"{text[:50]!r} is not a category, such as auth or device", field)
