"""What a draft's fields may hold, and how the log spells them: pure checks, each with its reason."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Collection
from typing import Any, Final

import msgspec

from collector.errors import InvalidEvent
from collector.event import (
    ACTION_MAX,
    ACTION_PATTERN,
    CHANNEL_MAX,
    MODE_MAX,
    OBJECT_TYPE_MAX,
    OUTCOMES,
    RECORD_MAX,
    SEVERITIES,
    Draft,
    Principal,
)

EARLIEST: Final = -62_135_596_800_000_000
LATEST: Final = 253_402_300_799_999_999
"""The first and last microsecond of the years 1 to 9999 in UTC."""

Kind = tuple[str, str, str, str, str, str, str, str]
"""action, category, outcome, severity, source, channel, mode, object_type; '' where absent."""

_encode: Final = msgspec.json.Encoder(order=None).encode
_action: Final = re.compile(ACTION_PATTERN)


def kind_of(draft: Draft, source: str, categories: Collection[str]) -> Kind:
    """The texts of a draft that take part in totals, complete. Raises `InvalidEvent`."""
    outcome = draft.outcome or "success"
    failed = outcome in ("failure", "denied")
    return (
        _word(draft.action, "action", ACTION_MAX, _action),
        _member(draft.category or "system", "category", categories),
        _member(outcome, "outcome", OUTCOMES),
        _member(draft.severity or ("warning" if failed else "info"), "severity", SEVERITIES),
        source,
        _lower(draft.channel or "", "channel", CHANNEL_MAX),
        _short(draft.mode or "", "mode", MODE_MAX),
        _short(draft.object_type or "", "object_type", OBJECT_TYPE_MAX),
    )


def microseconds(when: dt.datetime) -> int:
    """A time in µs since the epoch. Raises `InvalidEvent` where no reader could show it in UTC."""
    value = round(when.timestamp() * 1e6)
    if not EARLIEST <= value <= LATEST:
        raise InvalidEvent("Expected a time from the years 1 to 9999 in UTC - at `$.occurred_at`")
    return value


def principal(who: str | Principal, field: str) -> Principal:
    """A principal from its object or its short form `type:id`. Raises `InvalidEvent`."""
    if isinstance(who, str):
        kind, colon, name = who.partition(":")
        if not colon or not kind or not name:
            raise InvalidEvent(
                f"Expected an object or `type:id`, got {who[:50]!r} - at `$.{field}`"
            )
        if len(kind) > 200 or len(name) > 200:
            raise InvalidEvent(f"Expected at most 200 characters a part - at `$.{field}`")
        return Principal(type=kind, id=name)
    if not (who.type or who.id or who.name or who.role or who.email):
        raise InvalidEvent(f"Expected one of type, id, name, role, email - at `$.{field}`")
    return who


def address(text: str) -> str:
    """An IP address in its canonical spelling; '' for ''. Raises `InvalidEvent`."""
    if not text:
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise InvalidEvent("Expected an IPv4 or IPv6 address - at `$.ip`") from None


def record_size(record: dict[str, Any]) -> int:
    """Bytes of a record in compact JSON. Raises `InvalidEvent` over the bound."""
    size = len(_encode(record))
    fits(size, "record", RECORD_MAX)
    return size


def check_texts(draft: Draft) -> None:
    """Refuse NUL and lone surrogates, which neither SQLite's nor any reader's text can hold."""
    for name in draft.__struct_fields__:
        _check_text(getattr(draft, name), name)


def _check_text(value: object, name: str) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidEvent(f"Expected text without NUL - at `$.{name}`")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidEvent(f"Expected valid UTF-8 - at `$.{name}`") from None
    elif isinstance(value, Principal):
        for part in value.__struct_fields__:
            _check_text(getattr(value, part), f"{name}.{part}")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, f"{name}[...]")
            _check_text(item, f"{name}[...]")
    elif isinstance(value, list):
        for item in value:
            _check_text(item, f"{name}[...]")


def fits(size: int, field: str, limit: int) -> None:
    """Refuse more than `limit` bytes of JSON. Raises `InvalidEvent`."""
    if size > limit:
        raise InvalidEvent(
            f"Expected at most {limit} bytes of compact JSON, got {size} - at `$.{field}`"
        )


def _word(text: str, field: str, limit: int, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(text):
        raise InvalidEvent(
            f"Expected lower-case words joined by dots, such as `settings.updated` - at `$.{field}`"
        )
    return _short(text, field, limit)


def _short(text: str, field: str, limit: int) -> str:
    if len(text) > limit:
        raise InvalidEvent(f"Expected `str` of length <= {limit} - at `$.{field}`")
    return text


def _lower(text: str, field: str, limit: int) -> str:
    if text != text.lower():
        raise InvalidEvent(f"Expected lower case, such as `{text.lower()[:50]}` - at `$.{field}`")
    return _short(text, field, limit)


def _member(text: str, field: str, allowed: Collection[str]) -> str:
    if text not in allowed:
        known = ", ".join(sorted(allowed))
        raise InvalidEvent(f"Expected one of {known} - at `$.{field}`, got {text[:50]!r}")
    return text
