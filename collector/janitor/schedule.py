"""What is to do, when, and in slices."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

from collector.clock import ClockWatch
from collector.core.losses import Losses
from collector.core.retention import Limits
from collector.errors import JournalError, JournalHeld
from collector.intake import RETRY_MOST, Intake
from collector.janitor.alarm import Alarm
from collector.janitor.announcements import Announcements
from collector.janitor.full_disk import FullDisk
from collector.janitor.pace import BUSY_FOR, OVER, SLICE, Pace, need_of, share
from collector.janitor.readers import Readers
from collector.janitor.removal import PRUNE, Job, Removal
from collector.janitor.reports import Reports
from collector.journal.followers import Follower, Postings, Totals, all_followers
from collector.journal.postings import SEGMENT_BITS
from collector.journal.pruning import Pruner
from collector.journal.writer import PAGE, Journal

IDLE_AFTER: Final = 1.0
"""Seconds without a commit after which small backlogs are worth working off."""
CHECKPOINT_FRAMES: Final = 1024
"""Pages in the write-ahead log (4 MiB) at which it is checkpointed."""
LOOK_EVERY: Final = 5.0
"""Seconds between looks at the clock, the losses and the disk."""
LOOK_AFTER: Final = 256
"""Entries recorded since the last look for work after which producers' commits are worth another."""
TRY_EVERY: Final = 0.25
"""Seconds between looks whether a reader has gone who holds a snapshot."""
TRY_SOON: Final = 0.05
"""The same while nothing is recorded for its sake."""
PATIENT: Final = frozenset({"words"})
"""Followers that cost more than recording does: while producers send, they get what is left over."""
PATIENT_SHARE: Final = 0.02
"""The share of recording's time that they get all the same."""

_log = logging.getLogger(__name__)


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
        wal_max: int = 0,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        clock: ClockWatch,
        losses: Losses,
        processor: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.journal, self.intake, self.limits = journal, intake, limits
        self.interval = interval
        self.followers: list[Follower] = all_followers(journal)
        self.totals = next(f for f in self.followers if isinstance(f, Totals))
        self._postings = next(f for f in self.followers if isinstance(f, Postings))
        self.pruner = Pruner(journal, self.totals, wall)
        self.announcements = Announcements(intake, wall)
        self.disk = FullDisk(
            journal, intake, self.pruner, self.announcements, on_full=on_full, wal_max=wal_max
        )
        self.readers = Readers(journal, self.announcements, monotonic)
        self.reports = Reports(intake, self.pruner, losses)
        self._long_wal = min(CHECKPOINT_FRAMES, self.disk.reserve.size() / PAGE / 2)
        """What is in the log but not in the database must fit into the reserve, or it cannot help."""
        self.seconds: dict[str, float] = defaultdict(float)
        """Time spent, by kind of job."""
        self._wall, self._monotonic, self._clock = wall, monotonic, clock
        self._processor = processor
        self._removal = Removal(
            journal,
            self.pruner,
            lambda: self.limits,
            wall=wall,
            clock=clock,
            forget=intake.forget,
            wipe=self._wipe,
        )
        self._jobs: deque[Job] = deque()
        self._patient: deque[Job] = deque()
        """Batches of `PATIENT` followers: after everything else. Dropped, to begin anew, before
        anything is removed: a batch must not outlive what it read."""
        self._pace, self._patient_pace = Pace(), Pace()
        self._alarm = Alarm(journal, self._long_wal)
        self._looked_at = -1e9
        intake.on_commit = self._committed
        intake.before_commit = self.disk.check_commit

    # ── the loop ────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Work for as long as there is work, then wait for some."""
        while True:
            if self.intake.failing.suspected:  # nothing is written to a journal that may be damaged
                await self._rest()
                continue
            if self.disk.waiting:
                self._wait_for_readers()
            if self.disk.waiting:
                await self._alarm.wait(TRY_SOON, LOOK_AFTER)
                continue
            self._keep_log_short()
            if self._jobs or self._find_work():
                await self._turn(self._jobs, self._pace, share(self._need()))
            elif self._patient:
                await self._turn(self._patient, self._patient_pace, PATIENT_SHARE)
            else:
                await self._rest()

    async def _turn(self, jobs: deque[Job], pace: Pace, of_work: float) -> None:
        """One slice, if its time is earned or nobody sends; else wait until it may be."""
        now, seconds = self._monotonic(), SLICE
        pace.earn(now, self.intake.seconds, self._processor(), of_work)
        if self._busy(now):
            seconds = pace.slice(self.intake.last_took)
        if seconds:
            self._slice(jobs, seconds)
            end = self._monotonic()
            pace.spent(end, self._processor(), end - now)
            await asyncio.sleep(0)
        else:
            await self._alarm.wait(pace.patience(), self._look_after())

    async def _rest(self) -> None:
        """Wait for time to pass or for enough to be recorded, whichever comes first."""
        patience = self._patience()
        self._alarm.resting = patience == LOOK_EVERY
        await self._alarm.wait(patience, self._look_after())

    def _look_after(self) -> int:
        """Entries that may come before limits have to be looked at; they hold within 5 %."""
        limit = self.limits.max_entries if self.limits.enabled else 0
        return min(LOOK_AFTER, limit // 100 + 1) if limit else LOOK_AFTER

    def _busy(self, now: float) -> bool:
        return now - self.intake.last_commit < BUSY_FOR

    def _need(self) -> float:
        """See `need_of`; what is pruned counts while it is the job under way."""
        over = None
        if self._jobs and self._jobs[0][0].startswith(PRUNE):
            limit = self.limits.max_entries
            over = self.pruner.entries / limit - 1 if limit else OVER
        ids = self.journal.ids
        return need_of(self._postings.lag, len(ids.tail), over, sifted=ids.sifted)

    def _patience(self) -> float:
        if self.intake.failing.since is not None:
            return RETRY_MOST
        if self.journal.held.since is not None:
            return TRY_EVERY
        backlog = self.totals.lag or self.journal.frames >= 1
        return IDLE_AFTER if backlog else LOOK_EVERY

    def _slice(self, jobs: deque[Job], seconds: float = SLICE) -> None:
        start = now = self._monotonic()
        end = start + seconds
        name = ""
        try:
            while jobs and now < end:
                name, job = jobs[0]
                if next(job, self) is self:
                    jobs.popleft()
                later = self._monotonic()
                self.seconds[name] += later - now
                now = later
        except JournalError as error:
            jobs.clear()
            self._trouble(name, error)
        self._keep_log_short()

    def _keep_log_short(self) -> None:
        if self.journal.wal_is_long(self._long_wal) and self.readers.worth_trying():
            self._checkpoint()
        self._watch_room()

    def _checkpoint(self) -> None:
        start = self._monotonic()
        try:
            self.journal.checkpoint()
        except JournalError as error:
            self._trouble("checkpoint", error)
        self._tried(start)

    def _tried(self, start: float) -> None:
        took = self._monotonic() - start
        self.seconds["checkpoint"] += took
        self.readers.tried(took)

    def _wipe(self) -> bool:
        """See `Journal.wipe`; not tried where a reader is known to be in the way."""
        if not self.readers.worth_trying():
            return False
        start = self._monotonic()
        try:
            return self.journal.wipe()
        finally:
            self._tried(start)

    # ── readers that hold a snapshot ────────────────────────────────────────────────────────────

    def _committed(self) -> None:
        """Called by the intake after each commit."""
        self._alarm.committed()
        self._watch_room()

    def _watch_room(self) -> None:
        """See that a log that is held does not outgrow the disk; one that is not due is no matter."""
        if self.journal.held.since is not None and self.journal.frames >= self._long_wal:
            self.disk.watch()

    def _wait_for_readers(self) -> None:
        """All that is done while nothing may be written for a reader's sake."""
        if self.readers.worth_trying():
            if self.disk.full:
                self._drop_work()
            start = self._monotonic()
            try:
                self.disk.try_again()
            except JournalError as error:
                self.intake.trouble(error)
            self._tried(start)
        self._tell_of_readers()

    def _tell_of_readers(self) -> None:
        self.readers.watch()
        if self.announcements:
            self.announcements.say()

    def _trouble(self, name: str, error: JournalError) -> None:
        if self.make_room(error):
            return
        _log.error("%s failed: %s", name or "housekeeping", error)
        self.intake.trouble(error)

    def make_room(self, error: JournalError) -> bool:
        """If the disk is full, see that room is made; whether what failed is worth trying again."""
        if isinstance(error, JournalHeld):
            self.disk.hold()
            return False
        if not self.disk.concerns(error):
            return False
        if not self.disk.full:
            self._look_soon()
        self._drop_work()
        return self.disk.make_room()

    def _drop_work(self) -> None:
        """Entries may be about to go: no job that has read them may go on."""
        if self.disk.on_full == "rotate":
            self._jobs.clear()
            self._patient.clear()
            self._removal.unswept = True

    # ── what is to do ───────────────────────────────────────────────────────────────────────────

    def _find_work(self) -> bool:
        now = self._monotonic()
        idle = now - self.intake.last_commit >= IDLE_AFTER
        if self.intake.failing.since is not None:
            self.intake.probe()
            if self.intake.failing.since is not None:
                self._look_for_room(now)
                return False
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._look_around()
        self._tell_of_readers()
        self._find_pruning(now)
        if not self._jobs and not self.journal.ids.sifted:
            self._jobs.append(("ids", self.journal.ids.fill_sieve()))
        if not self._jobs:
            self._find_following(idle)
        if not self._jobs and not self._patient and idle and self._removal.sweep_is_due(now):
            self.sweep()
        quiet = idle and not self._jobs and not self._patient
        soon = quiet or self.journal.held.since is not None
        if self.journal.frames >= (1 if soon else self._long_wal) and self.readers.worth_trying():
            self._checkpoint()
        return bool(self._jobs)

    def _look_for_room(self, now: float) -> None:
        """All that is done while nothing can be written: no work is begun that would fail as well."""
        if self.disk.full and now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._try_to_recover()

    def _look_around(self) -> None:
        step = self._clock.stepped()
        if step:
            self.reports.clock(step)
        self.report_losses(all_of_them=False)
        if self.disk.full:
            self._try_to_recover()
        elif not self.disk.reserve.held:
            self.disk.reserve.take()
        if self.journal.frames >= 1 and self.readers.suspected():
            self._checkpoint()  # which shows whether they hold it

    def _try_to_recover(self) -> None:
        try:
            self.disk.try_to_recover()
        except JournalError as error:
            self._trouble("giving back", error)

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
            jobs = self._removal.over(now, self.interval)
            if any(name.startswith(PRUNE) for name, _ in jobs):
                self._patient.clear()
            self._jobs += jobs
        if self.pruner.take_account() and not self._jobs:
            busy = now - self.intake.last_commit < IDLE_AFTER
            self.reports.pruned_soon(now, busy=busy)

    # ── for others ──────────────────────────────────────────────────────────────────────────────

    def sweep(self) -> None:
        """Clear away everything that the log no longer refers to, as soon as there is time."""
        self._patient.clear()
        self._jobs += self._removal.sweep()
        self._alarm.ring()

    def enqueue(self, name: str, job: Iterator[Any]) -> None:
        """Do a job of somebody else's in slices, after what is under way."""
        self._patient.clear()
        self._jobs.append((name, job))
        self._alarm.ring()

    def look_soon(self) -> None:
        """The limits have changed: look at them at once."""
        self._removal.look_soon()
        self._alarm.ring()

    def _look_soon(self) -> None:
        self._looked_at = -1e9
        self._alarm.ring()

    def report_pruned(self) -> None:
        """Record what was pruned since the last report."""
        self.reports.pruned()

    def report_losses(self, *, all_of_them: bool) -> None:
        """Record `events.lost` for losses that are old enough, or for all."""
        if all_of_them:
            self.announcements.say()
        self.reports.lost(self._wall(), all_of_them=all_of_them)

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
            "full": self.disk.full or self.disk.waiting,
            "held": self.journal.held.status(),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }
