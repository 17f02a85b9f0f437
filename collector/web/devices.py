"""Devices: what is known of each, how long it was up, and what people may set on it."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from litestar import Request, get, patch
from litestar.params import PathParameter
from msgspec import UNSET, Meta, Struct, UnsetType

from collector.core.control import DevicePatch
from collector.core.query import Filter
from collector.core.rfc3339 import from_rfc3339
from collector.core.uptime import WINDOWS, Transition, uptime
from collector.errors import InvalidEvent
from collector.event import Entry, Moment
from collector.web.access import may_administer, may_read_all
from collector.web.bodies import read
from collector.web.problems import Refused
from collector.web.services import Given, Services, Who

ACTIVITY: Final = 20
"""Entries of a device that its detail shows; the rest is a page of `/events?object_id=`."""

DeviceId: TypeAlias = Annotated[str, PathParameter(min_length=1, max_length=200)]


class DeviceChange(Struct, forbid_unknown_fields=True):
    """What is left out stays; null takes the given name away, or ends the maintenance."""

    name: Annotated[str, Meta(max_length=200)] | UnsetType | None = UNSET
    ignored: bool | UnsetType = UNSET
    maintenance_until: Moment | UnsetType | None = UNSET


class DeviceList(Struct):
    """Every known device, sorted by name."""

    devices: list[dict[str, Any]]


class DeviceDetail(Struct):
    """A device, its uptime (share of known time, null where nothing is known), its last entries."""

    device: dict[str, Any]
    uptime: dict[str, float | None]
    activity: list[Entry]


@get("/devices", guards=[may_read_all], tags=["devices"], operation_id="listDevices")
async def list_devices(services: Given) -> DeviceList:
    """Every known device and its state."""
    rows = services.control.devices()
    return DeviceList(sorted(rows, key=lambda row: (_name(row).casefold(), row["id"])))


@get("/devices/{device_id:str}", guards=[may_read_all], tags=["devices"], operation_id="getDevice")
async def get_device(services: Given, device_id: DeviceId) -> DeviceDetail:
    """One device with its uptime over 24 hours, 7 days and 30 days, and its last entries."""
    row = _row(services, device_id)
    own = Filter(object_type=("device",), object_id=(device_id,))
    page = await services.reader.page(own, limit=ACTIVITY)
    return DeviceDetail(row, await _uptime(services, row), page.entries)


@patch(
    "/devices/{device_id:str}",
    guards=[may_administer],
    tags=["devices"],
    operation_id="patchDevice",
)
async def patch_device(
    request: Request[Any, Any, Any], services: Given, who: Who, device_id: DeviceId
) -> dict[str, Any]:
    """Rename a device, leave it alone, or put it in maintenance until a time."""
    data = await read(request, DeviceChange)
    _row(services, device_id)
    until = data.maintenance_until
    wanted = DevicePatch(
        data.name, data.ignored, until if until is UNSET or until is None else until.timestamp()
    )
    try:
        return services.control.patch_device(device_id, wanted, who.caller)
    except InvalidEvent as error:
        raise Refused("invalid_request", str(error)) from None
    except LookupError:
        raise _unknown(device_id) from None


async def _uptime(services: Services, row: dict[str, Any]) -> dict[str, float | None]:
    now = int(services.wall() * 1e6)
    changed = Filter(
        action=("device.health_changed",),
        object_type=("device",),
        object_id=(row["id"],),
        since=now - max(WINDOWS.values()),
    )
    transitions = [
        Transition(
            from_rfc3339(entry.occurred_at),
            str(entry.metadata.get("from")),
            str(entry.metadata.get("to")),
        )
        async for entries in services.reader.export(changed)
        for entry in entries
    ]
    first_seen = row.get("first_seen")
    since = from_rfc3339(first_seen) if isinstance(first_seen, str) else now
    state = str(row.get("reported") or row.get("state"))
    return uptime(sorted(transitions, key=lambda change: change.at), state, since, now)


def _row(services: Services, device_id: str) -> dict[str, Any]:
    for row in services.control.devices():
        if row["id"] == device_id:
            return row
    raise _unknown(device_id)


def _unknown(device_id: str) -> Refused:
    return Refused("not_found", f"there is no device {device_id[:100]!r}")


def _name(row: dict[str, Any]) -> str:
    return str(row.get("display_name") or row.get("name") or "")


HANDLERS: Final[list[Any]] = [list_devices, get_device, patch_device]
