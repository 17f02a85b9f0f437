"""A full disk: give up the reserve, make room or wait for it, and say so as soon as that is possible.

SQLite needs room to remove, so a reserve file is held for this moment. With `rotate` the oldest
entries go until the reserve is held again; with `suspend` recording waits until somebody made room.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

from collector.errors import JournalError, JournalFull
from collector.event import Draft
from collector.intake import Intake
from collector.journal import sweeping
from collector.journal.pruning import Pruner
from collector.journal.space import Reserve
from collector.journal.writer import PAGE, Journal

ROTATE_SHARE: Final = 20
"""On a full disk one entry in so many is removed at once, the oldest first."""
ROTATE_LEAST: Final = 1_000
ROTATE_ROUNDS: Final = 10
"""Such removals in a row at most, for as long as the reserve cannot be made again."""
READER_TRIES, READER_PAUSE = 100, 0.01
"""How often, and how many seconds apart, a checkpoint is tried until readers have left."""
ROTATE_ROOM: Final = 1.25
"""Room, in sizes of the reserve, at which it is made again: the rest is for going on."""

_log = logging.getLogger(__name__)


class FullDisk:
    """Keeps the reserve, and knows whether the disk is full."""

    def __init__(
        self,
        journal: Journal,
        intake: Intake,
        pruner: Pruner,
        *,
        on_full: Literal["rotate", "suspend"],
        wall: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.on_full = on_full
        self.reserve = Reserve(journal.path)
        self.full = False
        """Whether the disk is full and not known to have room again."""
        self._journal, self._intake, self._pruner = journal, intake, pruner
        self._wall, self._sleep = wall, sleep
        self._unsaid: deque[Draft] = deque()
        """Entries about the disk that it has not taken yet; two for each time that it fills up."""

    def concerns(self, error: JournalError) -> bool:
        """Whether an error means a full disk. A quota shows as an I/O error: a trial write decides."""
        return isinstance(error, JournalFull) or self.reserve.disk_is_full()

    def make_room(self) -> bool:
        """Give up the reserve and, where `rotate` says so, remove the oldest; whether room was made.

        Synchronous, since nothing can be recorded before it has happened.
        """
        if not self.full:
            self.full = True
            self._announce("storage.full", {"on_full": self.on_full})
        self._intake.suspended = self.on_full == "suspend"
        self.reserve.give_up()
        try:
            self._journal.checkpoint()
            if self.on_full == "rotate":
                self._rotate()
        except JournalError as failure:
            _log.error("no room could be made: %s", failure)
            return False
        return self.on_full == "rotate"

    def _rotate(self) -> None:
        """Remove the oldest until the reserve is held again: the next time, it is the only way out."""
        for _ in range(ROTATE_ROUNDS):
            count = max(ROTATE_LEAST, self._pruner.entries // ROTATE_SHARE)
            self._checkpointed(self._pruner.oldest(count, "full"))
            self._checkpointed(sweeping.stale_segments(self._journal))
            self._checkpointed(sweeping.give_back(self._journal))
            if not self._emptied():
                return  # to remove more would give no room before that reader leaves
            if self.reserve.take(ROTATE_ROOM) or not self._pruner.entries:
                return

    def _emptied(self) -> bool:
        """Checkpoint until nothing is left behind, for as long as readers usually take.

        The file is cut only then: what was removed is no room while a reader may still look at it.
        """
        for _ in range(READER_TRIES):
            if self._journal.checkpoint():
                return True
            self._sleep(READER_PAUSE)
        return False

    def _checkpointed(self, steps: Iterator[Any]) -> None:
        """Take all steps, with the write-ahead log kept short: it must fit into the reserve."""
        most = self.reserve.size() / PAGE / 8
        for _ in steps:
            if self._journal.frames >= most:
                self._journal.checkpoint()
        self._journal.checkpoint()

    def try_to_recover(self) -> None:
        """Room again for the reserve and as much beside it: then, and only then, the trouble is over.

        Raises `JournalError` where free pages cannot be given back.
        """
        self._checkpointed(sweeping.give_back(self._journal))
        if self.reserve.take() and self.reserve.roomy():
            self.full = False
            self._intake.suspended = False
            self._announce("storage.recovered", {})
            self._intake.probe()
            self.say()

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

    def say(self) -> None:
        """Record what could not be recorded when it happened, if it can be by now."""
        while self._unsaid:
            receipt = self._intake.record(self._unsaid[0], source="collector", internal=True)
            if not receipt.ok:
                return
            self._unsaid.popleft()
