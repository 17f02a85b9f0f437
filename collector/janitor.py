"""The janitor: derives, prunes, sweeps, checkpoints and makes room, a slice at a time.

All of it happens on the event loop and on the writer's connection, because there is only one. So
every job is a generator of small steps, no step leaves a transaction open, and a slice ends after
20 ms, or after 5 ms while producers are sending. A checkpoint cannot be cut up; it is kept short by
being done whenever 4 MiB have been written.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

import msgspec

from collector.clock import ClockWatch
from collector.core.losses import Losses
from collector.core.retention import (
    DAY,
    Limits,
    age_groups,
    cutoff,
    entries_for_bytes,
    surplus,
)
from collector.errors import JournalError, JournalFull
from collector.event import Draft
from collector.intake import RETRY_MOST, Intake
from collector.journal import sweeping
from collector.journal.followers import Follower, Postings, Totals, all_followers
from collector.journal.postings import SEGMENT_BITS
from collector.journal.pruning import Pruner
from collector.journal.space import Reserve
from collector.journal.writer import Journal

SLICE: Final = 0.020
BUSY_SLICE: Final = 0.005
"""Seconds of one slice, in quiet and while producers send."""
BEHIND: Final = 4 << SEGMENT_BITS
"""Entries by which postings may lag before a busy slice grows: a flood must not outrun them for good."""
BUSY_FOR: Final = 0.05
"""Seconds after a commit in which producers count as sending."""
IDLE_AFTER: Final = 1.0
"""Seconds without a commit after which small backlogs are worth working off."""
CHECKPOINT_FRAMES: Final = 1024
"""Pages in the write-ahead log (4 MiB) at which it is checkpointed."""
PAGE: Final = 4096
REPORT_EVERY: Final = 60.0
"""Seconds between `events.pruned` entries while pruning goes on and on."""
LOOK_EVERY: Final = 5.0
"""Seconds between looks at the clock, the losses and the disk."""
ROTATE_SHARE: Final = 20
"""On a full disk one entry in so many is removed at once, the oldest first."""
ROTATE_LEAST: Final = 1_000
ROTATE_ROUNDS: Final = 10
"""Such removals in a row at most, for as long as the reserve cannot be made again."""
ROTATE_ROOM: Final = 1.25
"""Room, in sizes of the reserve, at which it is made again: the rest is for going on."""
LOOK_AFTER: Final = 256
"""Entries recorded since the last look for work after which producers' commits are worth another."""
PATIENT: Final = frozenset({"words"})
"""Followers that cost more than recording does: while producers send, they get a share of the time."""
PATIENT_SHARE: Final = 0.05
"""The share: one part in twenty, so that a flood is recorded first and searched a little later."""
SWEEP_EVERY: Final = 3600.0
"""Seconds between walks through the dictionaries, where anything was pruned since."""

_log = logging.getLogger(__name__)

Job = Iterator[Any]


class Janitor:
    """Keeps one journal in order. `run` goes on until it is cancelled."""

    def __init__(
        self,
        journal: Journal,
        intake: Intake,
        limits: Limits,
        *,
        interval: float,
        on_full: Literal["rotate", "suspend"],
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        clock: ClockWatch,
        losses: Losses,
    ) -> None:
        self.journal, self.intake, self.limits = journal, intake, limits
        self.interval, self.on_full = interval, on_full
        self.followers: list[Follower] = all_followers(journal)
        self.totals = next(f for f in self.followers if isinstance(f, Totals))
        self._postings = next(f for f in self.followers if isinstance(f, Postings))
        self.pruner = Pruner(journal, self.totals)
        self.reserve = Reserve(journal.path)
        self.losses = losses
        self._long_wal = min(CHECKPOINT_FRAMES, self.reserve.size() / PAGE / 2)
        """What is in the log but not in the database must fit into the reserve, or it cannot help."""
        self.full = False
        """Whether the disk is full and recording suspended."""
        self.seconds: dict[str, float] = defaultdict(float)
        """Time spent, by kind of job."""
        self.longest_step = 0.0
        self._wall, self._monotonic, self._clock = wall, monotonic, clock
        self._jobs: deque[tuple[str, Job]] = deque()
        self._patient: deque[tuple[str, Job]] = deque()
        """Batches of `PATIENT` followers: after everything else, and seldom while producers send.
        Dropped, to begin anew, before anything is removed: a batch must not outlive what it read."""
        self._patient_at = -1e9
        self._unsaid: deque[Draft] = deque()
        """Entries about the disk that it has not taken yet; two for each time that it fills up."""
        self._wake = asyncio.Event()
        self._resting = False
        """Whether nothing was left to do at the last look, so that the next commit is news."""
        self._look_at_seq = 0
        self._looked_at = self._aged_at = self._swept_at = self._reported_at = -1e9
        self._pruned_since_sweep = bool(self.pruner.take_account())
        intake.on_commit = self._committed

    # ── the loop ────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Work for as long as there is work, then wait for some."""
        while True:
            if self._jobs or self._find_work():
                self._slice(self._jobs)
                await asyncio.sleep(0)
            elif self._patient and self._patient_turn():
                start = self._monotonic()
                self._slice(self._patient)
                end = self._monotonic()
                self._patient_at = end + (end - start) * (1 / PATIENT_SHARE - 1)
                await asyncio.sleep(0)
            else:
                await self._rest()

    async def _rest(self) -> None:
        """Wait for time to pass or for enough to be recorded, whichever comes first."""
        patience = self._patience()
        self._resting = patience == LOOK_EVERY
        self._look_at_seq = self.journal.last_seq + self._look_after()
        self._wake.clear()
        try:
            async with asyncio.timeout(patience):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _committed(self) -> None:
        """Called by the intake after each commit: one event at a time, a look each would cost more."""
        journal = self.journal
        if (
            self._resting
            or journal.last_seq >= self._look_at_seq
            or journal.frames >= self._long_wal
        ):
            self._wake.set()

    def _look_after(self) -> int:
        """Entries that may come before limits have to be looked at; they hold within 5 %."""
        limit = self.limits.max_entries if self.limits.enabled else 0
        return min(LOOK_AFTER, limit // 100 + 1) if limit else LOOK_AFTER

    def _busy(self, now: float) -> bool:
        return now - self.intake.last_commit < BUSY_FOR

    def _patient_turn(self) -> bool:
        now = self._monotonic()
        return now >= self._patient_at or not self._busy(now)

    def _patience(self) -> float:
        if self.intake.failing_since is not None:
            return RETRY_MOST
        if self._patient:
            return BUSY_FOR
        backlog = any(f.lag for f in self.followers[:1]) or self.journal.frames >= 1
        return IDLE_AFTER if backlog else LOOK_EVERY

    def _slice_seconds(self, now: float) -> float:
        if not self._busy(now):
            return SLICE
        return min(SLICE, BUSY_SLICE * (1 + self._postings.lag // BEHIND))

    def _slice(self, jobs: deque[tuple[str, Job]]) -> None:
        start = now = self._monotonic()
        end = start + self._slice_seconds(start)
        name = ""
        try:
            while jobs and now < end:
                name, job = jobs[0]
                if next(job, self) is self:
                    jobs.popleft()
                later = self._monotonic()
                self.seconds[name] += later - now
                self.longest_step = max(self.longest_step, later - now)
                now = later
        except JournalError as error:
            jobs.clear()
            self._trouble(name, error)
        if self.journal.wal_is_long(CHECKPOINT_FRAMES):
            self._checkpoint()

    def _trouble(self, name: str, error: JournalError) -> None:
        if self.make_room(error):
            return
        _log.error("%s failed: %s", name or "housekeeping", error)
        self.intake.trouble(error)

    # ── what is to do ───────────────────────────────────────────────────────────────────────────

    def _find_work(self) -> bool:
        now = self._monotonic()
        idle = now - self.intake.last_commit >= IDLE_AFTER
        if self.intake.failing_since is not None:
            self.intake.probe()
            if self.intake.failing_since is not None:
                self._look_for_room(now)
                return False
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._look_around()
        self._find_pruning(now)
        if not self._jobs:
            self._find_following(idle)
        if not self._jobs and not self._patient and idle:
            self._find_sweeping(now)
        quiet = idle and not self._jobs and not self._patient
        if self.journal.frames >= (1 if quiet else self._long_wal):
            self._checkpoint()
        return bool(self._jobs)

    def _look_for_room(self, now: float) -> None:
        """All that is done while nothing can be written: no work is begun that would fail as well."""
        if self.full and now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._try_to_recover()

    def _find_following(self, idle: bool) -> None:
        for follower in self.followers:
            if follower.name in PATIENT:
                if not self._patient and follower.due(idle):
                    self._patient.append((follower.name, follower.steps()))
            elif follower.due(idle):
                self._jobs.append((follower.name, follower.steps()))
                return

    def _find_pruning(self, now: float) -> None:
        if self.limits.enabled:
            entries = self.pruner.entries
            excess = surplus(entries, self.limits.max_entries)
            if excess:
                self._prune("entries", self.pruner.oldest(excess, "entries"))
            elif excess := self._used_excess(entries):
                self._prune("bytes", self.pruner.oldest(excess, "bytes"))
            elif now - self._aged_at >= self.interval and self._clock.trusted():
                self._aged_at = now
                for group in age_groups(self.limits):
                    before = cutoff(int(self._wall() * 1e6), group.max_days)
                    self._prune("age", self.pruner.aged(group, before))
                self._jobs.append(("totals", self._old_totals()))
        if self.pruner.take_account() and not self._jobs:
            self._report_pruned(now)

    def _used_excess(self, entries: int) -> int:
        if not self.limits.max_bytes:
            return 0
        used, _free = self.journal.page_bytes()
        limit, log = self.limits.max_bytes, self.journal.wal_bytes()
        excess = entries_for_bytes(used + log, limit, entries)
        if excess and log and self.journal.wipe():
            return entries_for_bytes(used, limit, entries)
        return excess

    def _prune(self, name: str, job: Iterator[int]) -> None:
        self._patient.clear()
        self._jobs.append((f"prune.{name}", job))
        self._jobs.append(("sweep", sweeping.stale_segments(self.journal)))
        self._jobs.append(("sweep", sweeping.give_back(self.journal)))
        self._pruned_since_sweep = True

    def _old_totals(self) -> Iterator[None]:
        if self.limits.totals_days:
            oldest = cutoff(int(self._wall() * 1e6), self.limits.totals_days)
            yield from self.pruner.forget_totals(oldest // DAY)

    def _find_sweeping(self, now: float) -> None:
        if now - self._swept_at < SWEEP_EVERY:
            return
        if self._pruned_since_sweep or sweeping.is_due(self.journal):
            self._swept_at = now
            self._pruned_since_sweep = False
            self.sweep()

    def sweep(self) -> None:
        """Clear away everything that the log no longer refers to, as soon as there is time."""
        self._patient.clear()
        self._jobs.append(("sweep", sweeping.stale_segments(self.journal)))
        self._jobs.append(("sweep", sweeping.stale_postings(self.journal)))
        self._jobs.append(("sweep", sweeping.stale_ids(self.journal)))
        self._jobs.append(("sweep", sweeping.stale_texts(self.journal, self.intake.forget)))
        self._jobs.append(("sweep", sweeping.give_back(self.journal)))
        self._jobs.append(("sweep", sweeping.wipe(self.journal)))
        self._wake.set()

    def enqueue(self, name: str, job: Job) -> None:
        """Do a job of somebody else's in slices, after what is under way."""
        self._patient.clear()
        self._jobs.append((name, job))
        self._wake.set()

    def look_soon(self) -> None:
        """The limits have changed: look at them at once."""
        self._aged_at = -1e9
        self._wake.set()

    # ── reports ─────────────────────────────────────────────────────────────────────────────────

    def _report_pruned(self, now: float) -> None:
        busy = now - self.intake.last_commit < IDLE_AFTER
        if busy and now - self._reported_at < REPORT_EVERY:
            return
        self._reported_at = now
        self.report_pruned()

    def report_pruned(self) -> None:
        """Record what was pruned since the last report."""
        account = self.pruner.take_account()
        if account is None:
            return
        removed = msgspec.structs.replace(account, causes=dict(account.causes))
        receipt = self.intake.record(
            Draft(
                action="events.pruned",
                object_type="journal",
                metadata={
                    "count": removed.count,
                    "from_seq": removed.from_seq,
                    "to_seq": removed.to_seq,
                    **{f"by_{cause}": count for cause, count in removed.causes.items()},
                },
            ),
            source="collector",
            settles=lambda: self.pruner.settle(removed),
        )
        if receipt.ok:
            self.pruner.settled(removed)

    def _look_around(self) -> None:
        step = self._clock.stepped()
        if step:
            self.intake.record(
                Draft(
                    action="clock.stepped", severity="warning", metadata={"seconds": round(step, 3)}
                ),
                source="collector",
            )
        self.report_losses(all_of_them=False)
        if self.full:
            self._try_to_recover()
        elif not self.reserve.held:
            self.reserve.take()
        self._say()

    def report_losses(self, *, all_of_them: bool) -> None:
        """Record `events.lost` for losses that are old enough, or for all."""
        if all_of_them:
            self._say()
        now = self._wall()
        for loss in self.losses.rest() if all_of_them else self.losses.due(now):
            receipt = self.intake.record(
                Draft(
                    action="events.lost",
                    outcome="failure",
                    metadata={
                        "count": loss.count,
                        "cause": loss.cause,
                        "from": _rfc3339(loss.first),
                        "to": _rfc3339(loss.last),
                    },
                ),
                source="collector",
            )
            if not receipt.ok:
                self.losses.put_back(loss)

    # ── space ───────────────────────────────────────────────────────────────────────────────────

    def _checkpoint(self) -> None:
        start = self._monotonic()
        try:
            self.journal.checkpoint()
        except JournalError as error:
            self._trouble("checkpoint", error)
        self.seconds["checkpoint"] += self._monotonic() - start

    def make_room(self, error: JournalError) -> bool:
        """If the disk is full: give up the reserve, and where `rotate` says so remove the oldest.

        True where the commit that failed is worth trying again. Synchronous, since nothing can be
        recorded before it has happened. A quota shows as an I/O error, so a trial write decides.
        """
        if not isinstance(error, JournalFull) and not self.reserve.disk_is_full():
            return False
        self._filled_up()
        self.reserve.give_up()
        try:
            self.journal.checkpoint()
            if self.on_full == "rotate":
                self._rotate()
        except JournalError as failure:
            _log.error("no room could be made: %s", failure)
            return False
        return self.on_full == "rotate"

    def _filled_up(self) -> None:
        if not self.full:
            self.full = True
            self._announce("storage.full", {"on_full": self.on_full})
        self.intake.suspended = self.on_full == "suspend"

    def _rotate(self) -> None:
        """Remove the oldest until the reserve is held again: the next time, it is the only way out."""
        self._jobs.clear()
        self._patient.clear()
        self._pruned_since_sweep = True
        for _ in range(ROTATE_ROUNDS):
            count = max(ROTATE_LEAST, self.pruner.entries // ROTATE_SHARE)
            self._checkpointed(self.pruner.oldest(count, "full"))
            self._checkpointed(sweeping.stale_segments(self.journal))
            self._checkpointed(sweeping.give_back(self.journal))
            if self.reserve.take(ROTATE_ROOM) or not self.pruner.entries:
                return

    def _checkpointed(self, steps: Iterator[Any]) -> None:
        """Take all steps, with the write-ahead log kept short."""
        for _ in steps:
            if self.journal.frames >= self._long_wal / 4:
                self.journal.checkpoint()
        self.journal.checkpoint()

    def _announce(self, action: str, metadata: dict[str, Any]) -> None:
        """Have something recorded as soon as that is possible, under the time at which it happened."""
        self._unsaid.append(
            Draft(
                action=action,
                occurred_at=dt.datetime.fromtimestamp(self._wall(), dt.UTC),
                object_type="journal",
                metadata=metadata,
                severity="error" if action == "storage.full" else None,
            )
        )
        self._looked_at = -1e9
        self._wake.set()

    def _say(self) -> None:
        while self._unsaid:
            receipt = self.intake.record(self._unsaid[0], source="collector", internal=True)
            if not receipt.ok:
                return
            self._unsaid.popleft()

    def _try_to_recover(self) -> None:
        """Room again for the reserve and as much beside it: then, and only then, the trouble is over."""
        try:
            self._checkpointed(sweeping.give_back(self.journal))
        except JournalError as error:
            self._trouble("giving back", error)
        if self.reserve.take() and self.reserve.roomy():
            self.full = False
            self.intake.suspended = False
            self._announce("storage.recovered", {})
            self.intake.probe()
            self._say()

    # ── for `status` ────────────────────────────────────────────────────────────────────────────

    def status(self) -> dict[str, Any]:
        """Lags, sizes and time spent."""
        used, free = self.journal.page_bytes()
        return {
            "entries": self.pruner.entries,
            "bytes": used,
            "free_bytes": free,
            "wal_bytes": self.journal.wal_bytes(),
            "lag": {f.name: f.lag for f in self.followers},
            "first_segment": self.journal.first_seq() >> SEGMENT_BITS,
            "full": self.full,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }


def _rfc3339(seconds: float) -> str:
    return (
        dt.datetime.fromtimestamp(seconds, dt.UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
