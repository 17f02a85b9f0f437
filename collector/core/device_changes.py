"""What happens to a device, as discovery hands it on: signals for health, and events to record."""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

from collector.core.device import Device

Reason = Literal["goodbye", "expired", "silent", "replaced"]
Kind = Literal["arrived", "left", "discovered", "restarted", "updated", "lost", "forgotten"]
News = Literal["new", "returned", "changed"]
"""What there is to tell of a device once it has settled."""

CHANGED_MAX: Final = 20
"""Names of changed fields in an event's metadata."""


class Change(Struct, frozen=True):
    """Something to act on. `arrived` and `left` are signals for health, the others are events."""

    kind: Kind
    device: Device
    metadata: dict[str, Any] = {}


def told_as(kind: News, device: Device, changed: list[str]) -> list[Change]:
    """The events that news of a device becomes; `changed` names the fields that differ."""
    updated = [Change("updated", device, {"changed": changed[:CHANGED_MAX]})] if changed else []
    if kind == "changed":
        return updated
    if kind == "returned":
        return [Change("discovered", device, {"returned": True}), *updated]
    return [Change("discovered", device, {"initial": True} if device.initial else {})]


def differing(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """The names of the fields that differ, dotted where they are nested, sorted."""
    names: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            names += differing(before, after, f"{prefix}{key}.")
        else:
            names.append(f"{prefix}{key}")
    return names
