"""A full disk: give up the reserve, make room or wait for it, and say so as soon as that is possible.

SQLite needs room to remove, so a reserve file is held for this moment. With `rotate` the oldest
entries go until the reserve is held again; with `suspend` recording waits until somebody made room.

While a reader holds a snapshot, removing gives no room: the log only grows, and what it grows to has
to fit into the database when the reader has gone. So recording is refused before that no longer fits,
nothing is removed meanwhile, and a checkpoint is tried until it is complete. Nothing here waits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final, Literal

from collector.errors import JournalError, JournalFull, JournalHeld
from collector.intake import Intake
from collector.janitor.announcements import Announcements
from collector.journal import sweeping
from collector.journal.connection import CACHE_BYTES
from collector.journal.pruning import Pruner
from collector.journal.space import Reserve
from collector.journal.writer import PAGE, Journal

ROTATE_SHARE: Final = 20
"""On a full disk one entry in so many is removed at once, the oldest first."""
ROTATE_LEAST: Final = 1_000
ROTATE_ROUNDS: Final = 10
"""Such removals in a row at most, for as long as the reserve cannot be made again."""
ROTATE_ROOM: Final = 1.25
"""Room, in sizes of the reserve, at which it is made again: the rest is for going on."""
MARGIN: Final = 8 * 1024 * 1024
"""Bytes to be left beside what a checkpoint would add to the database: a commit of 4 MiB is needed
twice, in the log and then in the database."""
AGAIN: Final = 3
"""Room, in margins, at which recording goes on though the reader is still there."""

HELD: Final = "a reader holds an old snapshot of the journal, and its log has no more room"

_log = logging.getLogger(__name__)


class FullDisk:
    """Keeps the reserve, and knows whether the disk is full or has no room for a log that is held.

    `wal_max` bounds that log in bytes, 0: only the room there is does.
    """

    def __init__(
        self,
        journal: Journal,
        intake: Intake,
        pruner: Pruner,
        announcements: Announcements,
        *,
        on_full: Literal["rotate", "suspend"],
        wal_max: int = 0,
    ) -> None:
        self.on_full, self.wal_max = on_full, wal_max
        self.reserve = Reserve(journal.path)
        self.full = False
        """Whether the disk is full and not known to have room again."""
        self.waiting = False
        """Whether nothing is written until a reader has gone, or there is more room."""
        self._journal, self._intake, self._pruner = journal, intake, pruner
        self._announcements = announcements

    def concerns(self, error: JournalError) -> bool:
        """Whether an error means a full disk. A quota shows as an I/O error: a trial write decides."""
        return isinstance(error, JournalFull) or self.reserve.disk_is_full()

    def make_room(self) -> bool:
        """Give up the reserve and, where `rotate` says so, remove the oldest; whether room was made.

        Synchronous, since nothing can be recorded before it has happened.
        """
        self._begin(full=True)
        self.reserve.give_up()
        try:
            if self._caught_up():
                self._rotate()
        except JournalError as failure:
            _log.error("no room could be made: %s", failure)
            return False
        return self.on_full == "rotate" and not self.waiting

    def short_of_room(self) -> bool:
        """Whether the log may not grow any more before it is checkpointed."""
        if self.wal_max and self._journal.wal_bytes() >= self.wal_max:
            return True
        return not self._fits(MARGIN)

    def _fits(self, more: int) -> bool:
        return self._journal.growth() + more <= self.reserve.room()

    def check_commit(self) -> None:
        """Within a transaction that may be larger than any margin: raises `JournalHeld` where the log,
        with it, would not fit into the database any more. What fits into the reserve does. What SQLite's
        cache does not hold of the transaction is in the log already.
        """
        if self._journal.growth() > self.reserve.held_bytes() and not self._fits(CACHE_BYTES):
            raise JournalHeld(f"{self._journal.path}: {HELD}")

    def hold(self) -> None:
        """A transaction was not committed for that: wait, and give back what it left in the log."""
        self._begin(waiting=True)
        try:
            self._caught_up()
        except JournalError as failure:
            _log.error("the log could not be checkpointed: %s", failure)

    def watch(self) -> None:
        """Refuse to record while the log, which a reader holds, may not grow any more."""
        if not self.waiting and self.short_of_room():
            self._begin(waiting=True)

    def try_again(self) -> None:
        """While waiting: go on if the reader has gone or there is room. Raises `JournalError`."""
        complete = self._caught_up()
        if not complete and not self._may_go_on():
            return
        self.waiting = False
        if complete and self.full:
            self._rotate()
            self._leave_full()
        elif not complete:
            self.full = False
        self._settle()

    def try_to_recover(self) -> None:
        """Room again for the reserve and as much beside it: then, and only then, the trouble is over.

        Raises `JournalError` where free pages cannot be given back.
        """
        if self._journal.held.since is None:
            self._checkpointed(sweeping.give_back(self._journal))
        self._leave_full()
        self._settle()

    # ── steps ───────────────────────────────────────────────────────────────────────────────────

    def _begin(self, *, full: bool = False, waiting: bool = False) -> None:
        """Take note that the disk is full, or that a reader is in the way, and say so once."""
        if not (self.full or self.waiting):
            cause = {} if full else {"cause": "held"}
            self._announcements.add("storage.full", {"on_full": self.on_full, **cause})
        self.full, self.waiting = self.full or full, self.waiting or waiting
        self._suspend()

    def _suspend(self) -> None:
        """Let the intake refuse for as long as the trouble asks for it."""
        if self.waiting:
            self._intake.suspended = JournalHeld(HELD)
        elif self.full and self.on_full == "suspend":
            self._intake.suspended = JournalFull("the disk is full")
        else:
            self._intake.suspended = None

    def _settle(self) -> None:
        """Go on as far as the trouble is over, and say so where all of it is."""
        self._suspend()
        if not (self.full or self.waiting):
            self._announcements.add("storage.recovered", {})
        if not self.waiting:
            self._intake.probe()
        self._announcements.say()

    def _caught_up(self) -> bool:
        """Whether the log could be checkpointed, by giving up the reserve if need be; else wait.

        It is cut, too: a long log that is no longer needed is room. Raises `JournalError`.
        """
        try:
            complete = self._journal.checkpoint()
        except JournalError as error:
            if not self.concerns(error) or not self.reserve.give_up():
                raise
            self.full = True
            complete = self._journal.checkpoint()
        if complete:
            self._journal.wipe()
        else:
            self._begin(waiting=True)
            self._journal.cut_log()
        return complete

    def _rotate(self) -> None:
        """Remove the oldest until the reserve is held again: the next time, it is the only way out."""
        if self.on_full != "rotate" or self.reserve.take():
            return
        for _ in range(ROTATE_ROUNDS):
            count = max(ROTATE_LEAST, self._pruner.entries // ROTATE_SHARE)
            self._checkpointed(self._pruner.oldest(count, "full"))
            self._checkpointed(sweeping.stale_segments(self._journal))
            self._checkpointed(sweeping.give_back(self._journal))
            if not self._caught_up():
                return  # to remove more would give no room before that reader leaves
            if self.reserve.take(ROTATE_ROOM) or not self._pruner.entries:
                return

    def _checkpointed(self, steps: Iterator[Any]) -> None:
        """Take steps with the write-ahead log kept short: it must fit into the reserve.

        They end where a reader keeps it from that.
        """
        most = self.reserve.size() / PAGE / 8
        for _ in steps:
            if self._journal.frames >= most and not self._journal.checkpoint():
                return
        self._journal.checkpoint()

    def _may_go_on(self) -> bool:
        """Whether there is room for much more, though a reader is still there."""
        if self.short_of_room() or not self._fits(AGAIN * MARGIN):
            return False
        return not self.full or self._roomy_again()

    def _roomy_again(self) -> bool:
        return self.reserve.take() and self.reserve.roomy()

    def _leave_full(self) -> None:
        self.full = self.full and not self._roomy_again()
