"""What a caller says, made into a draft: trimmed, copied, and cut where it is too long.

An event is refused here only for what cannot be mended: an action that is none, a word outside a
closed set. What was mended is said in the receipt's `warnings`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from collector.client.plain import fields_of, plain
from collector.client.principals import principal
from collector.client.values import CACHE_MAX, address, as_text, identifying, moment, shortened
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
)

OBJECT_ID_MAX: Final = 200
_action: Final = re.compile(ACTION_PATTERN)
_actions: Final[set[str]] = set()


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


def _channel(draft: Draft, name: str, value: Any, warnings: list[str]) -> None:
    text = value.strip() if type(value) is str else as_text(value)
    if text:
        draft.channel = shortened(text.lower(), CHANNEL_MAX, name, warnings)


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
    if type(value) is tuple and len(value) == 2 and type(value[0]) is type(value[1]) is str:
        kind, key = value[0].strip(), value[1].strip()
        if 0 < len(kind) <= OBJECT_TYPE_MAX and 0 < len(key) <= OBJECT_ID_MAX:
            draft.object_type, draft.object_id = kind, key
            return
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
    fields = value if type(value) is dict else fields_of(value)
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
    "object_id": _text(OBJECT_ID_MAX, identifying),
    "object_name": _text(200),
    "target": _who,
    "channel": _channel,
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
