"""What a caller says, made into a draft: trimmed, copied, and cut where it is too long.

An event is refused here only for what cannot be mended: an action that is none, a word outside a
closed set. Text that is too long or cannot be encoded loses what does not fit, and the receipt's
`warnings` say so; a lost event would be worse than a shortened name.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypedDict

from collector.client.plain import fields_of, plain
from collector.errors import InvalidEvent
from collector.event import (
    ACTION_MAX,
    ACTION_PATTERN,
    CATEGORY_MAX,
    CHANNEL_MAX,
    MODE_MAX,
    OBJECT_TYPE_MAX,
    OUTCOMES,
    SEVERITIES,
    Draft,
    Principal,
)

Who: TypeAlias = str | tuple[Any, ...] | Mapping[str, Any] | Principal | None
"""`"type:id"`, `(type, id)`, `(type, id, name)`, a Principal, or a mapping of its keys."""


class Circumstances(TypedDict, total=False):
    """Every field but actor and outcome; meanings and bounds are those of `docs/event.md`."""

    id: str | None
    occurred_at: dt.datetime | float | str | None
    category: str | None
    severity: str | None
    on_behalf_of: Who
    object: tuple[Any, ...] | str | None
    object_type: str | None
    object_id: Any
    object_name: str | None
    target: Who
    channel: str | None
    mode: str | None
    tenant_id: Any
    org_id: Any
    ip: str | None
    correlation_id: str | None
    causation_id: str | None
    message: str | None
    metadata: Mapping[str, Any] | None
    record: Any


class Deed(Circumstances, total=False):
    """With the actor; one that is a function is asked when the event is recorded."""

    actor: Who | Callable[[], Who]


class Fields(Deed, total=False):
    """The keyword arguments of `record`."""

    outcome: str | None


CACHE_MAX: Final = 1024
_action: Final = re.compile(ACTION_PATTERN)
_actions: Final[set[str]] = set()
_principals: Final[dict[object, Principal]] = {}
_addresses: Final[dict[str, str | None]] = {}
_PRINCIPAL_KEYS: Final = ("type", "id", "name", "role", "email")


def compose(action: Any, fields: Mapping[str, Any], warnings: list[str]) -> Draft:
    """The draft of one event; what was mended is added to `warnings`. Raises `InvalidEvent`."""
    if type(action) is not str or action not in _actions:
        action = _checked_action(action)
    draft = Draft(action=action)
    for name, value in fields.items():
        if value is None:
            continue
        setter = SETTERS.get(name)
        if setter is None:
            warnings.append(f"{name}: no such field, left out{_nearest(name)}")
            continue
        setter(draft, name, value, warnings)
    return draft


def as_text(value: Any) -> str | None:
    """Any value as text without white space at its ends; None where nothing is left."""
    if type(value) is not str:
        scalar = plain({"value": value})["value"]
        value = scalar if isinstance(scalar, str) else str(scalar)
    return value.strip() or None


def shortened(text: str, limit: int, field: str, warnings: list[str]) -> str:
    """Descriptive text within its bound."""
    if len(text) <= limit:
        return text
    warnings.append(f"{field}: cut to {limit} characters")
    return text[: limit - 1] + "…"


def identifying(text: str, limit: int, field: str, warnings: list[str]) -> str:
    """An id within its bound: cut ids stay distinct and stable by a digest of the whole."""
    if len(text) <= limit:
        return text
    import hashlib

    warnings.append(f"{field}: cut to {limit} characters, the last 16 a digest of the whole")
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return f"{text[: limit - 17]}~{digest}"


def principal(who: Any, field: str, warnings: list[str]) -> Principal | None:
    """A principal of any of its forms; None where nothing in it says anything."""
    if type(who) is tuple or type(who) is str:
        known = _principals.get(who) if _hashable(who) else None
        if known is not None:
            return known
    if isinstance(who, Principal):
        parts = tuple(getattr(who, key) for key in _PRINCIPAL_KEYS)
    elif isinstance(who, str):
        kind, colon, name = who.strip().partition(":")
        parts = (kind, name) if colon and kind and name else (None, None, who)
    elif isinstance(who, Mapping):
        unknown = [key for key in who if key not in _PRINCIPAL_KEYS]
        if unknown:
            warnings.append(f"{field}: only type, id, name, role and email are kept")
        parts = tuple(who.get(key) for key in _PRINCIPAL_KEYS)
    elif isinstance(who, tuple | list) and len(who) <= len(_PRINCIPAL_KEYS):
        parts = tuple(who)
    else:
        raise InvalidEvent(f"Expected `type:id`, (type, id) or (type, id, name) - at `$.{field}`")
    made = _principal(parts, field, warnings)
    if made is not None and _all_text(who) and not warnings:
        if len(_principals) >= CACHE_MAX:
            _principals.clear()
        _principals[who] = made
    return made


def _principal(parts: tuple[Any, ...], field: str, warnings: list[str]) -> Principal | None:
    kept = {}
    for key, part in zip(_PRINCIPAL_KEYS, parts, strict=False):
        text = as_text(part) if part is not None else None
        if text:
            fit = identifying if key == "id" else shortened
            kept[key] = fit(text, 200, f"{field}.{key}", warnings)
    return Principal(**kept) if kept else None


def _all_text(who: Any) -> bool:
    """What may be remembered: text only, since `("user", 1)` equals `("user", True)`."""
    if type(who) is str:
        return len(who) <= 512
    return type(who) is tuple and all(type(part) is str and len(part) <= 200 for part in who)


def _hashable(who: Any) -> bool:
    try:
        hash(who)
    except TypeError:
        return False
    return True


def address(text: Any) -> str | None:
    """An IP address in its canonical spelling, without zone or brackets; None if it is none."""
    text = as_text(text) or ""
    if text not in _addresses:
        import ipaddress

        if len(_addresses) >= CACHE_MAX or len(text) > 64:
            _addresses.clear()
        try:
            parsed = ipaddress.ip_address(text.strip("[]").partition("%")[0])
            _addresses[text] = str(getattr(parsed, "ipv4_mapped", None) or parsed)
        except ValueError:
            _addresses[text] = None
    return _addresses[text]


def moment(value: Any) -> dt.datetime:
    """A time with its offset: from a datetime (a naive one is local), seconds, or RFC 3339 text."""
    try:
        if isinstance(value, str):
            value = dt.datetime.fromisoformat(value)
        if isinstance(value, dt.datetime):
            return value if value.utcoffset() is not None else value.astimezone()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise InvalidEvent("Expected a datetime, seconds or RFC 3339 text - at `$.occurred_at`")


def _checked_action(action: Any) -> str:
    text = action.strip() if isinstance(action, str) else ""
    if not _action.fullmatch(text) or len(text) > ACTION_MAX:
        raise InvalidEvent(
            "Expected lower-case words joined by dots, such as `settings.updated` - at `$.action`"
        )
    if len(_actions) >= CACHE_MAX:
        _actions.clear()
    _actions.add(text)
    return text


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(str(name), SETTERS, 1, 0.6)
    return f"; did you mean `{near[0]}`?" if near else ""


# ── one setter a field: (draft, name, value, warnings) ──────────────────────────────────────────

_Setter: TypeAlias = Callable[[Draft, str, Any, list[str]], None]


def _text(limit: int, fit: Callable[[str, int, str, list[str]], str] = shortened) -> _Setter:
    def setter(draft: Draft, name: str, value: Any, warnings: list[str]) -> None:
        text = value.strip() if type(value) is str else as_text(value)
        if text:
            setattr(draft, name, text if len(text) <= limit else fit(text, limit, name, warnings))

    return setter


def _lower(limit: int) -> _Setter:
    def setter(draft: Draft, name: str, value: Any, warnings: list[str]) -> None:
        text = as_text(value)
        if text:
            setattr(draft, name, shortened(text.lower(), limit, name, warnings))

    return setter


def _member(allowed: tuple[str, ...]) -> _Setter:
    def setter(draft: Draft, name: str, value: Any, warnings: list[str]) -> None:
        text = value if type(value) is str and value in allowed else as_text(value)
        if text not in allowed:
            raise InvalidEvent(f"Expected one of {', '.join(allowed)} - at `$.{name}`")
        setattr(draft, name, text)

    return setter


def _who(draft: Draft, name: str, value: Any, warnings: list[str]) -> None:
    if callable(value):
        try:
            value = value()
        except Exception as error:  # what the application says of its users is its own
            warnings.append(f"{name}: could not be asked ({type(error).__name__})")
            return
    if value is not None:
        setattr(draft, name, principal(value, name, warnings))


def _object(draft: Draft, name: str, value: Any, warnings: list[str]) -> None:
    if isinstance(value, str):
        value = value.split(":", 1)
    if not isinstance(value, tuple | list) or not 1 <= len(value) <= 3:
        raise InvalidEvent("Expected (type, id) or (type, id, name) - at `$.object`")
    for part, field in zip(value, ("object_type", "object_id", "object_name"), strict=False):
        if part is not None:
            SETTERS[field](draft, field, part, warnings)


def _ip(draft: Draft, name: str, value: Any, warnings: list[str]) -> None:
    draft.ip = address(value)
    if draft.ip is None:
        warnings.append("ip: not an address, left out")


def _occurred_at(draft: Draft, name: str, value: Any, warnings: list[str]) -> None:
    draft.occurred_at = moment(value)


def _metadata(draft: Draft, name: str, value: Any, warnings: list[str]) -> None:
    fields = value if isinstance(value, Mapping) else fields_of(value)
    if fields is None:
        warnings.append("metadata: not a mapping, kept under `value`")
        fields = {"value": value}
    draft.metadata = plain(fields)


def _record(draft: Draft, name: str, value: Any, warnings: list[str]) -> None:
    fields = fields_of(value)
    if fields is None:
        raise InvalidEvent("Expected a mapping or an object with named fields - at `$.record`")
    draft.record = plain(fields)


SETTERS: Final[dict[str, _Setter]] = {
    "id": _text(64),
    "occurred_at": _occurred_at,
    "category": _text(CATEGORY_MAX),
    "outcome": _member(OUTCOMES),
    "severity": _member(SEVERITIES),
    "actor": _who,
    "on_behalf_of": _who,
    "object": _object,
    "object_type": _text(OBJECT_TYPE_MAX),
    "object_id": _text(200, identifying),
    "object_name": _text(200),
    "target": _who,
    "channel": _lower(CHANNEL_MAX),
    "mode": _text(MODE_MAX),
    "tenant_id": _text(64, identifying),
    "org_id": _text(64, identifying),
    "ip": _ip,
    "correlation_id": _text(100, identifying),
    "causation_id": _text(100, identifying),
    "message": _text(1000),
    "metadata": _metadata,
    "record": _record,
}
