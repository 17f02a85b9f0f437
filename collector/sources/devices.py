"""The registry: every known device in memory, its rows in the journal, its events recorded.

Discovery and health are pure; this is where their outcome meets the recorder. An event about a
device and its row become true in one transaction. Rows that change without an event (a last sight,
the end of flapping) are saved in batches, rarely, to spare an SD card. What the recorder cannot
take now is kept as `core.untold` has it, and handed in again; what is dropped is counted and told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import UNSET, UnsetType

from collector.core import checks
from collector.core.checks import Net
from collector.core.configured import Configured, reconcile
from collector.core.control import Recorder
from collector.core.device import Device, Instant, from_row, patch, to_row
from collector.core.device_changes import Change, Reason
from collector.core.device_events import of_change, of_network, of_patch, of_telling
from collector.core.discovery import INITIAL, Discovery
from collector.core.health import Observation, Policy
from collector.core.observability import Sweep
from collector.core.sighting import Sighting
from collector.core.untold import Notice, Untold
from collector.core.vitals import Telling, Vitals
from collector.errors import InvalidEvent
from collector.event import Draft, Principal, Producer, Receipt

SAVE_SEEN: Final = 600.0
"""Seconds between two saves of rows in which only the last sight changed."""
REPORT_EVERY: Final = 600.0
"""Seconds between two `events.lost` about what the network sent beyond the bounds."""

Arrival = Callable[[Device, bool], None]
"""Told of a device that came (True) or said goodbye (False)."""


class Registry:
    """`wall` gives seconds since the epoch, `mono` monotonic ones. Used on the event loop only."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        wall: Callable[[], float],
        mono: Callable[[], float],
        grace: float = 15.0,
        policy: Policy | None = None,
        new_journal: bool = False,
    ) -> None:
        self.devices: dict[str, Device] = {}
        self.networks: Callable[[], list[Net]] = list
        self.vitals = Vitals(policy or Policy(), lambda device: self.discovery.is_untold(device))
        self.lost = 0
        self._recorder = recorder
        self._wall, self._mono = wall, mono
        self._grace, self._new_journal = grace, new_journal
        self._started = mono()
        self._dirty: dict[str, Device] = {}
        self._blinds: set[str] = set()
        self._urgent = False
        self._saved_at = self._reported_at = self._started
        self._untold = Untold()
        self._counted = 0
        self._arrivals: list[Arrival] = []
        self.discovery = self._model()

    def now(self) -> Instant:
        """Both clocks at once."""
        return Instant(wall=self._wall(), mono=self._mono())

    def load(self, rows: Iterable[dict[str, Any]]) -> int:
        """Take the stored rows at start, before anything is heard; the number that were no rows."""
        refused = 0
        for row in rows:
            try:
                device = from_row(row)
            except InvalidEvent:
                refused += 1
                continue
            if not device.forgotten:
                self.devices[device.id] = device
        self.discovery = self._model()
        return refused

    def _model(self) -> Discovery:
        return Discovery(self.devices, self.now(), grace=self._grace, new_journal=self._new_journal)

    def on_arrival(self, listener: Arrival) -> Callable[[], None]:
        """Call `listener` for each device that comes or goes; the result ends that."""
        self._arrivals.append(listener)
        return lambda: self._arrivals.remove(listener)

    def rows(self) -> list[dict[str, Any]]:
        """Every known device as plain JSON values, by name."""
        ordered = sorted(self.devices.values(), key=lambda d: (d.shown_name.lower(), d.id))
        return [to_row(device) for device in ordered]

    # Discovery

    def configure(self, tables: Iterable[Configured]) -> None:
        """Make `[[devices]]` of the configuration true: at start and after a reload."""
        initial = self._new_journal and self._mono() - self._started < INITIAL
        self._act(reconcile(self.devices, tables, self.now(), initial=initial), "health")

    def hear(self, seen: Sighting) -> None:
        """A service as it is advertised now."""
        now = self.now()
        self._act(self.discovery.hear(seen, now), "mdns")
        found = self.discovery.of_service(seen.key)
        if found is not None:
            found.check = checks.shown(found, self.networks())
            self._dirty[found.id] = found

    def part(self, key: tuple[str, str], reason: Reason) -> None:
        """A service's goodbye or expiry."""
        self._act(self.discovery.part(key, reason, self.now()), "mdns")

    def blind(self, cause: str, blind: bool) -> None:
        """Say that `cause` keeps us from seeing the network, or no longer does.

        When nothing does any more, a new wait for the silent ones starts.
        """
        (self._blinds.add if blind else self._blinds.discard)(cause)
        if self.discovery.blind and not self._blinds:
            self.discovery.expect(self.now())
        self.discovery.blind = bool(self._blinds)

    def _act(self, changes: list[Change], source: str) -> None:
        now = self.now()
        for change in changes:
            device = change.device
            draft = of_change(change, now.wall)
            if change.kind == "forgotten":
                self.vitals.forget(device.id)
            elif change.kind == "arrived":
                self.vitals.observe(device, "returned", None, now)
            elif change.kind == "left":
                self.vitals.observe(device, "goodbye", change.metadata.get("reason"), now)
            elif change.kind == "lost":
                self.vitals.observe(device, "lost", change.metadata.get("reason"), now)
            self._mark(device)
            if change.kind in ("arrived", "left"):
                for listener in self._arrivals:
                    listener(device, change.kind == "arrived")
            if draft is not None:
                self._tell(draft, source, device)
            self._tell_health(self.vitals.due(device, now), now)

    # Health

    def observe(self, device: Device, observation: Observation, reason: str | None) -> None:
        """Take the outcome of a probe."""
        now = self.now()
        before = device.state, device.flapping
        told = self.vitals.observe(device, observation, reason, now)
        if observation == "success":
            device.last_seen = now.wall
            self._dirty[device.id] = device
        if (device.state, device.flapping) != before:
            self._mark(device)
        self._tell_health(told, now)

    def _tell_health(self, told: list[Telling], now: Instant) -> None:
        for telling in told:
            self._tell(of_telling(telling, now.wall), "health", telling.device)

    def suspend(self, device: Device) -> None:
        """Know nothing of a device that is ignored or in maintenance."""
        if self.vitals.suspend(device, self.now()):
            self._mark(device)

    def network(self, turn: str, sweep: Sweep, seconds: float = 0.0) -> None:
        """Tell that the network can no longer, or can again, be observed."""
        self._tell(of_network(turn, sweep, self._wall(), seconds), "health", None)

    def overlay(self, devices: Iterable[Device], unobservable: bool) -> None:
        """Set or clear the overlay `unobservable` on devices."""
        for device in devices:
            if device.unobservable != unobservable:
                device.unobservable = unobservable
                self._mark(device)

    # A user's changes

    def patch(
        self,
        device_id: str,
        *,
        name: str | UnsetType | None = UNSET,
        ignored: bool | UnsetType = UNSET,
        maintenance_until: float | UnsetType | None = UNSET,
        actor: Principal | None = None,
        producer: Producer | None = None,
        source: str = "http",
    ) -> tuple[dict[str, Any], Receipt | None] | None:
        """Rename, ignore or maintain a device; recorded as `device.updated` by `actor`.

        Returns the new row and the receipt (None where nothing changed), None for an unknown id.
        Nothing changes where the receipt is not ok. Raises `InvalidEvent` for a bad value.
        """
        device = self.devices.get(device_id)
        if device is None:
            return None
        now = self.now()
        after, changed = patch(
            device, now=now.wall, name=name, ignored=ignored, maintenance_until=maintenance_until
        )
        if not changed:
            return to_row(device), None
        after.last_change = now.wall
        draft = of_patch(after, changed, now.wall)
        draft.actor = actor
        row = to_row(after)
        receipt = self._recorder.record(draft, source=source, producer=producer, devices=(row,))
        if receipt.ok:
            for field in ("custom_name", "ignored", "maintenance_until", "last_change"):
                setattr(device, field, getattr(after, field))
            self.discovery.retell(device)
        return to_row(device), receipt

    # Recording

    def _tell(self, draft: Draft, source: str, device: Device | None) -> None:
        if device is not None and device.ignored:
            return
        notice = Notice(draft, source, device)
        if self._untold or not self._hand_in(notice):
            self._untold.add(notice, self.devices)

    def _hand_in(self, notice: Notice) -> bool:
        """Record one draft; False where the same draft should be handed in again later."""
        draft, source, device = notice.draft, notice.source, notice.device
        rows = () if device is None else (to_row(device),)
        receipt = self._recorder.record(draft, source=source, devices=rows)
        if receipt.ok:
            if device is not None:
                self._dirty.pop(device.id, None)
            return True
        draft.id = receipt.id or draft.id
        if not receipt.retry:
            self.lost += 1
        return not receipt.retry

    def _mark(self, device: Device) -> None:
        self._dirty[device.id] = device
        self._urgent = True

    def tick(self) -> None:
        """Do what is due: events of discovery, the end of flapping, rows and events left over."""
        now = self.now()
        self._act(self.discovery.tick(now), "mdns")
        for device in self.devices.values():
            if device.flapping and self.vitals.quiet(device, now):
                self._mark(device)
        while self._untold and self._hand_in(self._untold.first()):
            self._untold.told()
        if self._urgent or now.mono - self._saved_at >= SAVE_SEEN:
            self.flush()
        if now.mono - self._reported_at >= REPORT_EVERY:
            self._report(now)

    def flush(self) -> None:
        """Save every row that changed."""
        self._urgent = False
        self._saved_at = self._mono()
        if self._dirty:
            rows = tuple(to_row(device) for device in self._dirty.values())
            if self._recorder.save_devices(rows):
                self._dirty.clear()

    def _report(self, now: Instant) -> None:
        """Tell once in a while what was dropped because it was beyond a bound."""
        self._reported_at = now.mono
        count = self.discovery.dropped + self.discovery.suppressed + self._lost() - self._counted
        if count:
            self._counted += count
            metadata = {"count": count, "cause": "device_limits", "window_seconds": REPORT_EVERY}
            draft = Draft(action="events.lost", severity="warning", metadata=metadata)
            self._tell(draft, "mdns", None)

    def _lost(self) -> int:
        """Events that were refused for good, or had to go while none could be recorded."""
        return self.lost + self._untold.dropped

    def status(self) -> dict[str, Any]:
        """Counts for `collector status`."""
        states = [device.state for device in self.devices.values()]
        return {
            "known": len(self.devices),
            "present": sum(device.present for device in self.devices.values()),
            "states": {state: states.count(state) for state in sorted(set(states))},
            "dropped": self.discovery.dropped,
            "suppressed": self.discovery.suppressed,
            "lost": self._lost(),
            "waiting": len(self._untold),
        }
