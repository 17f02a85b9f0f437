"""Commands over the socket that concern API keys: `collector keys` asks them of a running daemon."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from collector.core.control import Caller, Control
from collector.errors import InvalidEvent, Rejected

T = TypeVar("T")


class _Add(Struct, forbid_unknown_fields=True):
    label: str
    role: Literal["admin", "viewer", "producer"]
    tenant_id: str | None = None


class _Revoke(Struct, forbid_unknown_fields=True):
    label: str


async def list_keys(control: Control, arguments: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """Every key without its secret; for administrators, as over HTTP."""
    if not caller.admin:
        raise Rejected("denied", "only an administrator may list keys")
    return {"keys": msgspec.to_builtins(control.keys())}


async def add_key(control: Control, arguments: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """Make a key; the reply is the only place where its secret ever stands."""
    asked = _converted(arguments, _Add)
    return {"secret": control.add_key(asked.label, asked.role, asked.tenant_id, caller)}


async def revoke_key(control: Control, arguments: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """Remove a key, which is refused from then on."""
    label = _converted(arguments, _Revoke).label
    try:
        control.revoke_key(label, caller)
    except LookupError:
        raise Rejected("failed", f"there is no key {label!r}") from None
    return {}


def _converted(arguments: dict[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(arguments, kind)
    except msgspec.ValidationError as error:
        raise InvalidEvent(str(error)) from None


OPERATIONS = {"add_key": add_key, "keys": list_keys, "revoke_key": revoke_key}
