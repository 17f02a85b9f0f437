"""Commands over the socket: `{"op": …}` to a call of `Control`, and its result to a reply's fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from collector.core.control import Caller, Control, PruneRequest
from collector.errors import MISTAKES_SHOWN, ConfigError, InvalidEvent, Rejected
from collector.sources import key_commands

Handler = Callable[[Control, dict[str, Any], Caller], Awaitable[dict[str, Any]]]


async def carry_out(control: Control, command: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """The reply's fields. Raises `Rejected` for an unknown or refused command, `CollectorError`."""
    handler = OPERATIONS.get(command["op"]) if isinstance(command["op"], str) else None
    if handler is None:
        known = ", ".join(sorted(OPERATIONS))
        raise Rejected("unknown_op", f"unknown op {command['op']!r:.60}; known are {known}")
    return await handler(control, {k: v for k, v in command.items() if k != "op"}, caller)


async def _ping(control: Control, arguments: dict[str, Any], caller: Caller) -> dict[str, Any]:
    return {"pong": True}


async def _status(control: Control, arguments: dict[str, Any], caller: Caller) -> dict[str, Any]:
    return {"status": control.status()}


async def _devices(control: Control, arguments: dict[str, Any], caller: Caller) -> dict[str, Any]:
    return {"devices": control.devices()}


async def _prune(control: Control, arguments: dict[str, Any], caller: Caller) -> dict[str, Any]:
    try:
        request = msgspec.convert(arguments, PruneRequest)
    except msgspec.ValidationError as error:
        raise InvalidEvent(str(error)) from None
    fields: dict[str, Any] = msgspec.to_builtins(await control.prune(request, caller))
    return fields


async def _reload(control: Control, arguments: dict[str, Any], caller: Caller) -> dict[str, Any]:
    try:
        control.reload(caller)
    except ConfigError as error:
        mistakes = [
            {"source": each.source, "path": each.path, "error": each.message}
            for each in error.mistakes[:MISTAKES_SHOWN]
        ]
        raise Rejected("failed", str(error), {"mistakes": mistakes}) from None
    return {}


async def _reindex(control: Control, arguments: dict[str, Any], caller: Caller) -> dict[str, Any]:
    return {"entries": await control.reindex(caller)}


OPERATIONS: Final[dict[str, Handler]] = {
    "devices": _devices,
    "ping": _ping,
    "prune": _prune,
    "reindex": _reindex,
    "reload": _reload,
    "status": _status,
    **key_commands.OPERATIONS,
}
