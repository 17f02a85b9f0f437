"""What a web request says about its events: the transaction, the address, the user."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from collector.client.fields import Who
from collector.client.ids import new_id
from collector.client.values import as_text

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


def trace_id(traceparent: str | None) -> str | None:
    """The trace id of a W3C `traceparent` header; None where there is none or it is invalid."""
    match = _TRACEPARENT.fullmatch((traceparent or "").strip())
    if match is None or match[1] == "ff" or (match[1] == "00" and match[4]):
        return None
    return match[2] if int(match[2], 16) and int(match[3], 16) else None


def correlation(traceparent: str | None) -> str:
    """What the events of one request share: the caller's trace, or an id of its own."""
    return trace_id(traceparent) or new_id()


def person(user: Any) -> Who:
    """The actor that an application's user object describes; None for an anonymous one.

    Understands Django's users, Starlette's `BaseUser`, and anything with the usual attributes; a
    string is a user's name, a mapping has the attributes as keys.
    """
    if user is None or _ask(user, "is_authenticated") is False or _ask(user, "is_anonymous"):
        return None
    if isinstance(user, str):
        return {"type": "user", "id": user, "name": user}
    name = _first(user, "display_name", "full_name", "username", "get_username", "name")
    return {
        "type": "user",
        "id": _first(user, "pk", "id", "user_id", "identity", "sub", "username") or name,
        "name": name,
        "role": _first(user, "role"),
        "email": _first(user, "email"),
    }


def asker(find: Callable[[], Any]) -> Callable[[], Who]:
    """An actor to be asked for when something is recorded, since authentication may come later."""

    def ask() -> Who:
        try:
            found = find()
            if found is None or isinstance(found, tuple):
                return found
            described = person(found)
        except Exception:  # a lazy user object whose database is away
            return None
        if isinstance(described, dict) and not described["id"] and not described["name"]:
            return None
        return described

    return ask


def _first(user: Any, *names: str) -> str | None:
    for name in names:
        value = _ask(user, name)
        if value is None or isinstance(value, dict | list | tuple | bool):
            continue
        text = as_text(value)
        if text and not text.startswith("<"):
            return text
    return None


def _ask(user: Any, name: str) -> Any:
    """An attribute or key; a method without arguments is called. None where it fails."""
    try:
        value = user.get(name) if isinstance(user, dict) else getattr(user, name, None)
        return value() if callable(value) else value
    except Exception:  # Starlette's `identity` raises NotImplementedError
        return None
