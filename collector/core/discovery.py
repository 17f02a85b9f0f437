"""Devices as the network tells of them: announced, changed, gone, back. A pure model.

What is heard arrives as `hear` (a service as advertised now) and `part` (its goodbye or expiry).
The shared `devices` are true at once; what is worth an event waits in `tick`:

- A new device is told after `SETTLE` seconds, when its services, TXT and addresses are together.
- Changes are differences against the record that was told last, gathered over `SETTLE` as well.
- The last service's goodbye starts the grace: back within it is one *restarted*, otherwise *lost*.
- A known device that comes back later is *discovered* (`returned`), then *updated* if it changed.
- After a restart of ours nothing is told of devices that are as they were; those silent for
  `AWAIT` seconds are lost, unless health proves them alive.
- While we cannot see (`blind`), expiry proves nothing and only starts that wait.

What a stranger can make grow is bounded: devices, services, and events (a budget for each device
and one for all; beyond it news is gathered into the next event, never dropped).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from collector.core.budget import Allowance
from collector.core.device import Device, Instant, record_of
from collector.core.device_changes import Change, News, Reason, differing, told_as
from collector.core.grouping import DEVICES_MAX, Grouping
from collector.core.sighting import Sighting

SETTLE: Final = 2.0
"""Seconds from the first news of a device to its event; announcements come in pairs, 1 s apart."""
PATIENCE: Final = 4.0
"""The same where host, TXT or addresses are still missing: three questions take that long."""
AWAIT: Final = 600.0
INITIAL: Final = 60.0
"""What is found so early in a new journal was there before us."""


class _News(Struct):
    kind: News
    since: float
    due: float


class _Leave(Struct, frozen=True):
    since: float
    due: float
    reason: Reason


class Discovery:
    """`devices` is shared with whoever shows them; every moment comes in as an `Instant`."""

    def __init__(
        self,
        devices: dict[str, Device],
        now: Instant,
        *,
        grace: float = 15.0,
        new_journal: bool = False,
        devices_max: int = DEVICES_MAX,
    ) -> None:
        self.devices = devices
        self.grace = grace
        self.dropped = 0
        self.suppressed = 0
        self.blind = False
        self._groups = Grouping(devices, devices_max)
        self._initial_until = now.mono + INITIAL if new_journal else now.mono
        self._told = {name: record_of(device) for name, device in devices.items()}
        self._news: dict[str, _News] = {}
        self._leaving: dict[str, _Leave] = {}
        self._gone: dict[tuple[str, str], float] = {}
        self._allowance = Allowance(now.mono)
        self._awaited = {d.id for d in devices.values() if d.origin == "mdns" and d.present}
        self._await_until: float | None = None

    # What is heard

    def hear(self, seen: Sighting, now: Instant) -> list[Change]:
        """Take a service as it is advertised now; returns the signal `arrived` where it is one.

        With `forgotten` before it where an old device had to make room.
        """
        self.dropped += seen.dropped
        before = self._groups.of_service(seen.key)
        device = self._groups.find(seen)
        if device is None:
            changes = self._meet(seen, now)
        elif self._groups.attach(device, seen):
            changes = self._hear_known(device, seen, now)
        else:
            self.dropped += 1
            changes = []
        if before and before[0] is not device:
            changes = [*self._bereave(before[0], now), *changes]
        return changes

    def _hear_known(self, device: Device, seen: Sighting, now: Instant) -> list[Change]:
        self._gone.pop(seen.key, None)
        self._awaited.discard(device.id)
        device.last_seen = now.wall
        if not device.present:
            return self._welcome(device, seen, now)
        self._note(device, "changed", now, seen)
        return []

    def _bereave(self, device: Device, now: Instant) -> list[Change]:
        """A device that lost a service to another one changed; if it was the last, it is gone."""
        if not device.present or device.id not in self.devices:
            return []
        if any(service.present for service in device.services):
            self._note(device, "changed", now)
            return []
        return self._leave(device, "replaced", now)

    def _meet(self, seen: Sighting, now: Instant) -> list[Change]:
        changes: list[Change] = []
        device = self._groups.create(seen, now.wall)
        if device is None and (victim := self._groups.evictable()) is not None:
            self.forget(victim)
            changes.append(Change("forgotten", victim))
            device = self._groups.create(seen, now.wall)
        if device is None or not self._groups.attach(device, seen):
            self.dropped += 1
            return changes
        device.last_seen = now.wall
        device.initial = now.mono < self._initial_until
        self._note(device, "new", now, seen)
        return [*changes, Change("arrived", device)]

    def _welcome(self, device: Device, seen: Sighting, now: Instant) -> list[Change]:
        device.present = True
        leave = self._leaving.pop(device.id, None)
        arrived = Change("arrived", device)
        if leave is None:
            self._note(device, "returned", now, seen)
            return [arrived]
        self._note(device, "changed", now, seen)
        if leave.reason != "goodbye" or self.is_untold(device):
            return [arrived]
        if not self._allowance.take(device.id, now.mono):
            self.suppressed += 1
            return [arrived]
        device.last_change = now.wall
        away = round(now.mono - leave.since, 3)
        return [arrived, Change("restarted", device, {"away_seconds": away})]

    def part(self, key: tuple[str, str], reason: Reason, now: Instant) -> list[Change]:
        """Take a service's end; returns the signal `left` where it was the device's last one."""
        found = self._groups.of_service(key)
        if found is None or not found[1].present:
            return []
        device, service = found
        if reason == "expired" and self.blind:
            self._awaited.add(device.id)
            return []
        service.present = False
        self._gone[key] = now.mono + self.grace
        if any(one.present for one in device.services):
            return []
        return self._leave(device, reason, now)

    def _leave(self, device: Device, reason: Reason, now: Instant) -> list[Change]:
        device.present = False
        grace = 0.0 if reason == "silent" else self.grace
        self._leaving[device.id] = _Leave(now.mono, now.mono + grace, reason)
        return [Change("left", device, {"reason": reason})]

    def of_service(self, key: tuple[str, str]) -> Device | None:
        """The device that has the service with this key."""
        found = self._groups.of_service(key)
        return found[0] if found else None

    def expect(self, now: Instant) -> None:
        """Listening (again) from now on: what stays silent for `AWAIT` seconds is gone."""
        self._await_until = now.mono + AWAIT

    # What becomes an event

    def next_due(self) -> float | None:
        """The monotonic moment when `tick` has something to do, None for never."""
        dues = [news.due for news in self._news.values()]
        dues += [leave.due for leave in self._leaving.values()]
        dues += self._gone.values()
        if self._awaited and self._await_until is not None:
            dues.append(self._await_until)
        return min(dues, default=None)

    def tick(self, now: Instant) -> list[Change]:
        """Everything that is due at `now`, in the order in which it should be told."""
        changes = self._silent(now)
        for key in [key for key, due in self._gone.items() if due <= now.mono]:
            del self._gone[key]
            self._drop_service(key, now)
        for name in [name for name, leave in self._leaving.items() if leave.due <= now.mono]:
            changes += self._lose(self.devices[name], now)
        for name in [name for name, news in self._news.items() if news.due <= now.mono]:
            changes += self._tell(self.devices[name], now)
        return changes

    def _silent(self, now: Instant) -> list[Change]:
        if self._await_until is None or self.blind or now.mono < self._await_until:
            return []
        silent = [self.devices[name] for name in self._awaited if name in self.devices]
        self._awaited.clear()
        changes: list[Change] = []
        for device in silent:
            if device.present and device.state != "online":
                for service in device.services:
                    service.present = False
                changes += self._leave(device, "silent", now)
        return changes

    def _drop_service(self, key: tuple[str, str], now: Instant) -> None:
        found = self._groups.of_service(key)
        if found is None or not found[0].present:
            return
        self._groups.detach(*found)
        self._note(found[0], "changed", now)

    def _lose(self, device: Device, now: Instant) -> list[Change]:
        leave = self._leaving[device.id]
        if self.is_untold(device):
            return self._drop_untold(device)
        if not self._allowance.take(device.id, now.mono):
            wait = self._allowance.wait(device.id, now.mono)
            self._leaving[device.id] = _Leave(leave.since, now.mono + wait, leave.reason)
            return []
        del self._leaving[device.id]
        self._news.pop(device.id, None)
        device.last_change = now.wall
        return [Change("lost", device, {"reason": leave.reason})]

    def _tell(self, device: Device, now: Instant) -> list[Change]:
        news = self._news[device.id]
        record = record_of(device)
        changed = differing(self._told.get(device.id, {}), record)
        if device.id in self._leaving or (news.kind == "changed" and not changed):
            self._hold(device, now)
            return []
        if not self._allowance.take(device.id, now.mono):
            news.due = now.mono + self._allowance.wait(device.id, now.mono)
            return []
        del self._news[device.id]
        self._told[device.id] = record
        device.last_change = now.wall
        return told_as(news.kind, device, changed)

    def _hold(self, device: Device, now: Instant) -> None:
        news = self._news[device.id]
        if news.kind == "changed":
            del self._news[device.id]
        else:
            news.due = max(now.mono + SETTLE, self._leaving[device.id].due)

    def _note(
        self,
        device: Device,
        kind: News,
        now: Instant,
        seen: Sighting | None = None,
    ) -> None:
        """Have the device told of; a wait that has begun goes on, so that news cannot starve it."""
        news = self._news.get(device.id)
        if news is None:
            wait = PATIENCE if seen is not None and not seen.complete else SETTLE
            self._news[device.id] = _News(kind, now.mono, now.mono + wait)
        elif news.kind != "new" and kind == "returned":
            news.kind = kind
        elif seen is not None and seen.complete and self._allowance.wait(device.id, now.mono) <= 0:
            news.due = min(news.due, news.since + SETTLE)

    def is_untold(self, device: Device) -> bool:
        """Whether it is new or back, and that has not been told yet."""
        news = self._news.get(device.id)
        return news is not None and news.kind != "changed"

    def _drop_untold(self, device: Device) -> list[Change]:
        """It left before it was told of: nothing has happened, and a new one was never there."""
        del self._leaving[device.id]
        if self._news.pop(device.id).kind == "returned":
            return []
        self.forget(device)
        return [Change("forgotten", device)]

    def forget(self, device: Device) -> None:
        """Drop a device with all that is remembered of it; its row is to be deleted."""
        device.forgotten = True
        self._groups.forget(device)
        self._told.pop(device.id, None)
        self._news.pop(device.id, None)
        self._leaving.pop(device.id, None)
        self._allowance.forget(device.id)
        self._awaited.discard(device.id)

    def retell(self, device: Device) -> None:
        """Its record was just told by somebody else (a user's change)."""
        self._told[device.id] = record_of(device)
