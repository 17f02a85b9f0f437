"""The health of all devices: what each observation does to a device, and whether it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from collector.core.device import Device, Instant
from collector.core.health import Observation, Policy, Vital, settle, step, worth_telling
from collector.core.hostile import clean

REASON_MAX = 120
"""Characters of the reason for a state, which may hold text of a device."""


class Telling(Struct, frozen=True):
    """An event that is due: `device.health_changed` or `device.flapping`, with its metadata."""

    kind: Literal["health_changed", "flapping"]
    device: Device
    metadata: dict[str, Any]


class Vitals:
    """What health remembers of each device; one entry a device, dropped by `forget`.

    `is_untold` says of a device that its discovery is still to be told: that comes first.
    """

    def __init__(
        self, policy: Policy, is_untold: Callable[[Device], bool] = lambda device: False
    ) -> None:
        self.policy = policy
        self.is_untold = is_untold
        self._vitals: dict[str, Vital] = {}

    def of(self, device: Device) -> Vital:
        """The memory of one device; after a restart all begin as unknown."""
        return self._vitals.get(device.id, Vital())

    def observe(
        self, device: Device, observation: Observation, reason: str | None, now: Instant
    ) -> list[Telling]:
        """Take an observation into the device's row; returns what is to be told.

        Between a goodbye and the end of its grace (`present` is false) the row changes and nothing
        is told: the device is either back or lost, and that is told instead.
        """
        result = step(self.of(device), observation, now.mono, self.policy)
        self._vitals[device.id] = result.vital
        device.attempts = result.attempts
        device.flapping = result.vital.flapping
        if result.before is not None:
            device.state = result.vital.state
            device.state_since = now.wall
            device.reason = clean(reason, REASON_MAX) if reason else None
        if observation == "lost":
            device.reported = device.state
            return []
        told = self.due(device, now)
        if result.began_flapping and device.present:
            changes = len(result.vital.changes)
            told.append(Telling("flapping", device, {"changes": changes, "state": device.state}))
        return told

    def due(self, device: Device, now: Instant) -> list[Telling]:
        """The change of health that is still to be told, if any; asked again after a discovery."""
        if not device.present or not worth_telling(device.reported, device.state):
            return []
        if self.is_untold(device):
            return []
        telling = Telling("health_changed", device, _transition(device))
        device.reported = device.state
        device.last_change = now.wall
        return [telling]

    def quiet(self, device: Device, now: Instant) -> bool:
        """End the overlay flapping where its time is over; True where the row changed."""
        vital = settle(self.of(device), now.mono)
        if vital.flapping == device.flapping:
            return False
        self._vitals[device.id] = vital
        device.flapping = vital.flapping
        return True

    def suspend(self, device: Device, now: Instant) -> bool:
        """Know nothing of a device that is left alone; True where the row changed."""
        self._vitals.pop(device.id, None)
        if device.state == "unknown" and not device.flapping:
            return False
        device.state, device.state_since = "unknown", now.wall
        device.reason, device.attempts, device.flapping = None, 0, False
        return True

    def forget(self, name: str) -> None:
        """Drop the memory of the device with this id."""
        self._vitals.pop(name, None)


def _transition(device: Device) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "from": device.reported,
        "to": device.state,
        "reason": device.reason,
        "attempts": device.attempts,
    }
    if device.flapping:
        metadata["flapping"] = True
    return metadata
