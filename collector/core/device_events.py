"""Drafts of what happens to devices and to our sight of them: `device.*` and `network.*`."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from collector.core.device import Device, record_of
from collector.core.device_changes import Change
from collector.core.hostile import NAME_MAX, clean
from collector.core.observability import Sweep
from collector.core.rfc3339 import rfc3339
from collector.core.vitals import Telling
from collector.event import Draft

SHOWN_MAX: Final = 16
"""Addresses and types listed in an event's metadata."""

_WARNINGS: Final = frozenset({"lost", "flapping"})


def of_change(change: Change, wall: float) -> Draft | None:
    """The draft of a change in presence; None for the signals that are no events."""
    if change.kind in ("arrived", "left", "forgotten"):
        return None
    device, metadata = change.device, dict(change.metadata)
    if change.kind == "discovered":
        metadata |= {"types": device.types[:SHOWN_MAX], "addresses": device.addresses[:SHOWN_MAX]}
    if change.kind == "lost":
        metadata |= {"from": device.reported, "to": "offline"}
        metadata["last_seen"] = rfc3339(device.last_seen)
    tracked = change.kind in ("discovered", "updated")
    return _draft(change.kind, device, metadata, wall, record_of(device) if tracked else None)


def of_telling(telling: Telling, wall: float) -> Draft:
    """The draft of a change in health."""
    return _draft(telling.kind, telling.device, telling.metadata, wall)


def of_patch(device: Device, changed: dict[str, list[Any]], wall: float) -> Draft:
    """The draft of what a user set: `device.updated`, with each old and new value."""
    shown = dict(changed)
    if "maintenance_until" in shown:
        shown["maintenance_until"] = [_moment(wall) for wall in shown["maintenance_until"]]
    metadata = {"changed": sorted(changed), "set": shown}
    return _draft("updated", device, metadata, wall, record_of(device))


def of_network(turn: str, sweep: Sweep, wall: float, seconds: float = 0.0) -> Draft:
    """`network.unobservable`, or `network.restored` after `seconds`."""
    metadata: dict[str, Any] = {"online": sweep.online, "failing": sweep.failing}
    if turn == "restored":
        metadata["seconds"] = round(seconds, 3)
    else:
        metadata["reason"] = "stalled" if sweep.stalled else "failures"
    return Draft(
        action=f"network.{turn}",
        occurred_at=_utc(wall),
        category="device",
        severity="warning" if turn == "unobservable" else "info",
        object_type="network",
        metadata=metadata,
    )


def _draft(
    verb: str,
    device: Device,
    metadata: dict[str, Any],
    wall: float,
    record: dict[str, Any] | None = None,
) -> Draft:
    serious = verb in _WARNINGS or metadata.get("to") == "offline"
    return Draft(
        action=f"device.{verb}",
        occurred_at=_utc(wall),
        category="device",
        severity="warning" if serious else "info",
        object_type="device",
        object_id=device.id,
        object_name=clean(device.shown_name, NAME_MAX),
        metadata=metadata,
        record=record,
    )


def _utc(wall: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(wall, dt.UTC)


def _moment(wall: float | None) -> str | None:
    return None if wall is None else rfc3339(wall)
