"""Devices that the configuration names because mDNS cannot see them: `[[devices]]`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from collector.core.device import Device, Instant, record_of
from collector.core.device_changes import Change, differing
from collector.core.hostile import clean
from collector.core.identity import slug


class Configured(Protocol):
    """One `[[devices]]` table."""

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str | None: ...
    @property
    def check(self) -> str | None: ...


def reconcile(
    devices: dict[str, Device], tables: Iterable[Configured], now: Instant, *, initial: bool
) -> list[Change]:
    """Make the registry hold what the configuration says; returns what changed by that.

    A table is known by its name. One that is new is discovered, a changed one updated; one that is
    no longer there is lost, with the reason `removed`, and discovered again if it returns.
    """
    changes: list[Change] = []
    wanted: set[str] = set()
    for table in tables:
        name = f"config-{slug(table.name)}"
        wanted.add(name)
        changes += _enter(devices, name, table, now, initial)
    for device in devices.values():
        if device.origin == "config" and device.present and device.id not in wanted:
            device.present, device.check, device.last_change = False, None, now.wall
            changes.append(Change("lost", device, {"reason": "removed"}))
    return changes


def _enter(
    devices: dict[str, Device], name: str, table: Configured, now: Instant, initial: bool
) -> list[Change]:
    device = devices.get(name)
    if device is None:
        device = Device(
            id=name, name=clean(table.name), origin="config", initial=initial,
            first_seen=now.wall, last_seen=now.wall, last_change=now.wall, state_since=now.wall,
        )  # fmt: skip
        devices[name] = device
        _write(device, table)
        first = {"configured": True, **({"initial": True} if initial else {})}
        return [Change("arrived", device), Change("discovered", device, first)]
    before, was_there = record_of(device), device.present
    _write(device, table)
    changed = differing(before, record_of(device))
    device.present = True
    updated = [Change("updated", device, {"changed": changed})] if changed else []
    if updated or not was_there:
        device.last_change = now.wall
    if was_there:
        return updated
    back = Change("discovered", device, {"configured": True, "returned": True})
    return [Change("arrived", device), back]


def _write(device: Device, table: Configured) -> None:
    device.check = table.check or None
    device.addresses = [table.address] if table.address else []
    device.name = clean(table.name)
