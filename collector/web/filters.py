"""Query parameters: the filters of `GET /events` and of all that share them, typed and bounded."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Final, TypeAlias

from litestar import Request
from litestar.params import QueryParameter
from msgspec import Meta

from collector.core import moments
from collector.core.query import (
    ACTION_ASKED,
    ACTION_ASKED_MAX,
    CATEGORY_ASKED,
    Filter,
    action_asked,
    category_asked,
)
from collector.core.words import parse_words
from collector.errors import QueryError
from collector.event import CATEGORY_MAX, OUTCOMES, SEVERITIES, SOURCES
from collector.web.services import Given, Who

VALUES_MAX: Final = 50
"""Values that one parameter may be given at once."""
MOMENT: Final = (
    r"^(now|today|yesterday|-\d{1,4}(s|min|h|d|w)"
    r"|20\d\d-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])"
    r"(T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-](0\d|1[0-4]):[0-5]\d))?)$"
)
"""The forms of a time that the OpenAPI document promises; `core.moments` understands more."""
WORDS: Final = r"[\p{L}\p{N}]"
"""A search holds a letter or digit of any script, as ECMAScript writes it: there `\\w` is ASCII only."""
_PLUS_LOST: Final = re.compile(r"([Tt]\d\d:\d\d(?::\d\d(?:\.\d+)?)?) (\d\d:\d\d)$")
"""`+` in an address that was not escaped arrives as a space; no time has one there."""

Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=420)]
Texts: TypeAlias = Annotated[list[Text] | None, QueryParameter(max_items=VALUES_MAX)]

_TEXT: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 420}
_ACTION: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": ACTION_ASKED,
    "maxLength": ACTION_ASKED_MAX,
    "examples": ["settings.updated", "device.*"],
}
_CATEGORY: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": CATEGORY_ASKED,
    "maxLength": CATEGORY_MAX,
}


def _many(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "maxItems": VALUES_MAX}


FILTERS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "category": (_many(_CATEGORY), "One of the categories; given twice: either."),
    "action": (_many(_ACTION), "An action, or a prefix such as `device.*`."),
    "outcome": (_many({"type": "string", "enum": [*OUTCOMES]}), "What became of it."),
    "severity": (_many({"type": "string", "enum": [*SEVERITIES]}), "How serious it is."),
    "actor": (_many(_TEXT), "Who did it: `type:id`, an id, or a name."),
    "object_type": (_many(_TEXT), "What kind of thing it was done to."),
    "object_id": (_many(_TEXT), "The id of what it was done to."),
    "target": (_many(_TEXT), "The second party: `type:id`, an id, or a name."),
    "channel": (_many(_TEXT), "Module or feed."),
    "mode": (_many(_TEXT), "How it was triggered."),
    "tenant_id": (_many(_TEXT), "Scope."),
    "org_id": (_many(_TEXT), "Scope."),
    "source": (_many({"type": "string", "enum": [*SOURCES]}), "The way in that it took."),
    "correlation_id": (_many(_TEXT), "The transaction it belongs to."),
    "causation_id": (_many(_TEXT), "The id of the event that caused it."),
    "since": (
        {"type": "string", "pattern": MOMENT},
        (
            "From this time on, by `occurred_at`: RFC 3339, `2026-11-20`, `today`, `-2h`,"
            " `10 min ago`; UTC where no offset is given."
        ),
    ),
    "until": ({"type": "string", "pattern": MOMENT}, "Before this time; forms as `since`."),
    "q": (
        {"type": "string", "pattern": WORDS, "maxLength": 500},
        (
            "Words that must all occur in action, object, actor, message or metadata; `word*` is a"
            " prefix."
        ),
    ),
}
"""The JSON schema and meaning of each filter, for the OpenAPI document."""


async def provide_filter(
    request: Request[Any, Any, Any],
    services: Given,
    who: Who,
    category: Texts = None,
    action: Texts = None,
    outcome: Texts = None,
    severity: Texts = None,
    actor: Texts = None,
    object_type: Texts = None,
    object_id: Texts = None,
    target: Texts = None,
    channel: Texts = None,
    mode: Texts = None,
    tenant_id: Texts = None,
    org_id: Texts = None,
    source: Texts = None,
    correlation_id: Texts = None,
    causation_id: Texts = None,
    since: Annotated[str | None, QueryParameter(max_length=60)] = None,
    until: Annotated[str | None, QueryParameter(max_length=60)] = None,
    q: Annotated[str | None, QueryParameter(max_length=500)] = None,
) -> Filter:
    """The dependency `wanted`. A key of one tenant filters by that tenant whatever it asks."""
    now = int(services.wall() * 1e6)
    if q is not None:
        parse_words(q)
    return Filter(
        category=tuple(category_asked(each, "category") for each in category or ()),
        action=tuple(action_asked(each, "action") for each in action or ()),
        outcome=_members(outcome, OUTCOMES, "outcome"),
        severity=_members(severity, SEVERITIES, "severity"),
        actor=tuple(actor or ()),
        object_type=tuple(object_type or ()),
        object_id=tuple(object_id or ()),
        target=tuple(target or ()),
        channel=tuple(channel or ()),
        mode=tuple(mode or ()),
        tenant_id=_tenants(tenant_id, who.tenant_id),
        org_id=tuple(org_id or ()),
        source=_members(source, SOURCES, "source"),
        correlation_id=tuple(correlation_id or ()),
        causation_id=tuple(causation_id or ()),
        since=_moment(since, now, "since"),
        until=_moment(until, now, "until"),
        q=q,
    )


def _members(values: list[str] | None, known: tuple[str, ...], field: str) -> tuple[str, ...]:
    for value in values or ():
        if value not in known:
            raise QueryError(f"{value[:50]!r} is not one of {', '.join(known)}", field)
    return tuple(values or ())


def _tenants(asked: list[str] | None, own: str | None) -> tuple[str, ...]:
    if own is None:
        return tuple(asked or ())
    if asked and own not in asked:
        raise QueryError(f"this key is bound to the tenant {own!r}", "tenant_id")
    return (own,)


def _moment(text: str | None, now: int, field: str) -> int | None:
    if text is None:
        return None
    return moments.parse(_PLUS_LOST.sub(r"\1+\2", text), now=now, zone=dt.UTC, field=field)
