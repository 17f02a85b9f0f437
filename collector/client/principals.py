"""Who somebody is, in any of the forms that callers have at hand, made into a `Principal`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from collector.client.values import CACHE_MAX, as_text, identifying, shortened
from collector.errors import InvalidEvent
from collector.event import Principal

_KEYS: Final = ("type", "id", "name", "role", "email")
_known: Final[dict[object, Principal]] = {}


def principal(who: Any, field: str, warnings: list[str]) -> Principal | None:
    """A principal of any of its forms; None where nothing in it says anything."""
    if type(who) is tuple or type(who) is str:
        try:
            return _known[who]
        except (KeyError, TypeError):  # not seen yet, or not hashable
            pass
    if isinstance(who, Principal):
        parts = tuple(getattr(who, key) for key in _KEYS)
    elif isinstance(who, str):
        kind, colon, name = who.strip().partition(":")
        parts = (kind, name) if colon and kind and name else (None, None, who)
    elif isinstance(who, Mapping):
        unknown = [key for key in who if key not in _KEYS]
        if unknown:
            warnings.append(f"{field}: only type, id, name, role and email are kept")
        parts = tuple(who.get(key) for key in _KEYS)
    elif isinstance(who, tuple | list) and len(who) <= len(_KEYS):
        parts = tuple(who)
    else:
        raise InvalidEvent(f"Expected `type:id`, (type, id) or (type, id, name) - at `$.{field}`")
    made = _principal(parts, field, warnings)
    if made is not None and _all_text(who) and not warnings:
        if len(_known) >= CACHE_MAX:
            _known.clear()
        _known[who] = made
    return made


def _principal(parts: tuple[Any, ...], field: str, warnings: list[str]) -> Principal | None:
    kept = {}
    for key, part in zip(_KEYS, parts, strict=False):
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
