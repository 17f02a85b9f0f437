"""What followers share: a cursor, batches in small steps, and commits that need no sync."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from collector.journal.connection import translated
from collector.journal.cursors import cursor_fact
from collector.journal.postings import SEGMENT_BITS
from collector.journal.writer import Journal

READ_ROWS: Final = 512
"""Log rows read in one step."""
WRITE_ROWS: Final = 256
"""Derived rows written in one step and transaction."""
STALE: Final = "stale."
"""Facts named so, with the number of a segment behind, tell that entries were removed from it while
others stayed, so its postings and words speak of some that are gone. The value counts removals."""
DERIVED_FRAMES: Final = 8
"""Pages that a derived transaction writes, about; see `Journal.frames`."""

Step = Iterator[None]


class Follower(ABC):
    """One derived structure. `lag` tells how much there is to do, `steps` does one batch of it."""

    name: str

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.cursor = journal.cursor(self.name)

    @property
    def lag(self) -> int:
        """Entries of the log that are not derived from yet."""
        return self.journal.last_seq - self.cursor

    @abstractmethod
    def due(self, idle: bool) -> bool:
        """Whether a batch is worth doing; more is while the daemon is idle."""

    @abstractmethod
    def steps(self) -> Step:
        """Do one batch in small steps."""

    def advance(self, cursor: int) -> None:
        """Store the cursor within the current transaction."""
        self.journal.set_fact(cursor_fact(self.name), cursor)


@contextmanager
def derived(journal: Journal) -> Iterator[None]:
    """A transaction whose loss would cost time and nothing else.

    Derived rows are committed with `synchronous=NORMAL`: they need no sync of their own, since the next
    acknowledged commit syncs the write-ahead log up to and including them, and if none follows, losing
    them costs the work of deriving them again.
    """
    with journal.unsynced():
        yield
    journal.frames += DERIVED_FRAMES


class Segmented(Follower):
    """A follower that works on one complete segment at a time; its cursor is a segment's end."""

    def due(self, idle: bool) -> bool:
        return self.journal.last_seq >= self.end

    @property
    def segment(self) -> int:
        """The segment that comes next."""
        return (self.cursor + 1) >> SEGMENT_BITS

    @property
    def end(self) -> int:
        """The last seq of the segment that comes next."""
        return ((self.segment + 1) << SEGMENT_BITS) - 1

    def read(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of the segment, `READ_ROWS` seqs at a time."""
        start, end = self.segment << SEGMENT_BITS, self.end
        for first in range(start, end + 1, READ_ROWS):
            with translated(self.journal.path):
                yield self.journal.connection.execute(
                    sql, (first, min(first + READ_ROWS - 1, end))
                ).fetchall()

    def stage(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> Step:
        """Write rows that count for nothing until the cursor says so."""
        pending = iter(rows)
        while batch := list(islice(pending, WRITE_ROWS)):
            with derived(self.journal):
                self.journal.connection.executemany(sql, batch)
            yield

    def write(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> Step:
        """Stage rows, then store the cursor."""
        yield from self.stage(sql, rows)
        end = self.end
        with derived(self.journal):
            self.advance(end)
        self.cursor = end
        yield
