"""The ring: the daemon's own entries, which rotation passes over.

Rotation removes the oldest entries. What the daemon says of itself (`source = collector`, never by
action) explains the holes that this leaves, so it stays: in a ring of one in `RING_SHARE` entries.
Strangers can make the daemon speak, so past that the oldest goes of the kind that is there most often.

Nothing is noted when an entry is recorded. Rotation meets the daemon's own in passing, notes them in the
table `ring`, and goes on behind its floor, at or before which nothing but the ring's entries is stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from collector.journal.connection import translated
from collector.journal.ledger import REMOVED
from collector.journal.planning import Fetch
from collector.journal.writer import Journal

RING_SHARE: Final = 20
"""One in so many entries may be the ring's: 5 %."""
ROTATED: Final = "rotated"
"""The fact that holds the floor."""
OWN: Final = "source = 'collector'"

_LAST: Final = "SELECT max(seq) FROM (SELECT seq FROM log WHERE seq > ? ORDER BY seq LIMIT ?)"
_OWN_AMONG: Final = (
    "SELECT EXISTS (SELECT 1 FROM log CROSS JOIN kinds USING (kind)"
    f" WHERE seq > ? AND seq <= ? AND {OWN})"
)
_ROWS: Final = (
    f"SELECT seq, CASE WHEN {OWN} THEN kind END FROM log LEFT JOIN kinds USING (kind)"
    " WHERE seq > ? AND seq <= ? ORDER BY seq"
)
_COUNTS: Final = "SELECT kind, count(*) FROM ring GROUP BY kind"
_FLOOR: Final = f"SELECT value FROM facts WHERE name = '{ROTATED}'"
_KIND: Final = 4
"""The column of the log that holds the kind."""

Passed = tuple[int, int | None]
"""A seq and, where the entry is the daemon's own, its kind."""


class Ring(ABC):
    """What is kept, and what goes in its place. `counts` are the kept ones of each kind."""

    def __init__(self, floor: int, counts: Iterable[tuple[int, int]]) -> None:
        self.floor = floor
        self.counts = Counter(dict(counts))
        self.size = self.counts.total()

    def sort(self, rows: Iterable[Passed], most: int, capacity: int) -> list[int]:
        """Pass over the oldest rows behind the floor; returns the seqs that go, at most so many."""
        gone: list[int] = []
        for seq, kind in rows:
            gone += self.shrink(most - len(gone), capacity)
            if len(gone) == most:
                break
            if kind is None:
                gone.append(seq)
            else:
                self.keep(kind, seq)
            self.floor = seq
        return gone

    def shrink(self, most: int, capacity: int) -> list[int]:
        """Let go of what is too many; returns the seqs, at most so many."""
        return [self._pop() for _ in range(min(most, self.size - capacity))]

    def keep(self, kind: int, seq: int) -> None:
        """Take one of the daemon's own entries in."""
        self.counts[kind] += 1
        self.size += 1
        self.put(kind, seq)

    def _pop(self) -> int:
        """The oldest entry of the kind that is there most often; among such kinds, of the oldest."""
        most = max(self.counts.values())
        kinds = [kind for kind, count in self.counts.items() if count == most]
        kind = kinds[0] if len(kinds) == 1 else min(kinds, key=self.oldest)
        seq = self.oldest(kind)
        self.drop(kind, seq)
        self._uncount(kind)
        return seq

    def _uncount(self, kind: int) -> None:
        self.size -= 1
        self.counts[kind] -= 1
        if not self.counts[kind]:
            del self.counts[kind]

    @abstractmethod
    def oldest(self, kind: int) -> int:
        """The oldest seq of a kind of which there is one."""

    @abstractmethod
    def put(self, kind: int, seq: int) -> None:
        """Note an entry, the newest of its kind."""

    @abstractmethod
    def drop(self, kind: int, seq: int) -> None:
        """Note that the oldest of a kind is gone."""


class StoredRing(Ring):
    """The ring of an open journal. What changes it stands within a transaction."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        with translated(journal.path):
            counts = journal.connection.execute(_COUNTS).fetchall()
        super().__init__(journal.fact(ROTATED, 0), counts)

    def ahead(self, count: int) -> tuple[int, bool]:
        """The last of the next `count` entries (0: none is left); whether one is the daemon's own."""
        with translated(self._journal.path):
            run = self._journal.connection.execute
            last = run(_LAST, (self.floor, count)).fetchone()[0] or 0
            return last, bool(run(_OWN_AMONG, (self.floor, last)).fetchone()[0])

    def rows(self, last: int) -> list[Passed]:
        """The entries that rotation comes to up to seq `last`."""
        with translated(self._journal.path):
            return self._journal.connection.execute(_ROWS, (self.floor, last)).fetchall()

    def save(self) -> None:
        """Store the floor."""
        self._journal.set_fact(ROTATED, self.floor)

    def on_removed(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows of the log were removed, for their age or all of them: those of the ring leave it."""
        kept = [(row[_KIND], row[0]) for row in rows if row[0] <= self.floor]
        for kind, seq in kept:
            self.drop(kind, seq)
            self._uncount(kind)

    def state(self) -> tuple[int, Counter[int], int]:
        """What `reset` takes."""
        return self.floor, self.counts.copy(), self.size

    def reset(self, state: tuple[int, Counter[int], int]) -> None:
        """Go back to an earlier state: the transaction was rolled back."""
        self.floor, self.counts, self.size = state

    def oldest(self, kind: int) -> int:
        seq: int = self._journal.connection.execute(
            "SELECT min(seq) FROM ring WHERE kind = ?", (kind,)
        ).fetchone()[0]
        return seq

    def put(self, kind: int, seq: int) -> None:
        self._journal.connection.execute("INSERT INTO ring VALUES (?, ?)", (kind, seq))

    def drop(self, kind: int, seq: int) -> None:
        self._journal.connection.execute("DELETE FROM ring WHERE kind = ? AND seq = ?", (kind, seq))


class ImaginedRing(Ring):
    """The ring of a snapshot, for working out what rotation would do; nothing is written."""

    def __init__(self, fetch: Fetch) -> None:
        floor = fetch(_FLOOR, ())
        super().__init__(floor[0][0] if floor else 0, fetch(_COUNTS, ()))
        self.seqs: dict[int, deque[int]] = {kind: deque() for kind in self.counts}
        for kind, seq in fetch("SELECT kind, seq FROM ring ORDER BY kind, seq", ()):
            self.seqs[kind].append(seq)

    def oldest(self, kind: int) -> int:
        return self.seqs[kind][0]

    def put(self, kind: int, seq: int) -> None:
        self.seqs.setdefault(kind, deque()).append(seq)

    def drop(self, kind: int, seq: int) -> None:
        self.seqs[kind].popleft()


class Extent(NamedTuple):
    """Where the log is without a ring: its first seq, and how many from there on are gone."""

    first: int
    gaps: int


def extent(journal: Journal) -> Extent:
    """What lies behind the ring, for what need not look at the daemon's own entries."""
    with translated(journal.path):
        removed, kept = journal.connection.execute(
            f"SELECT {REMOVED}, (SELECT count(*) FROM ring)"
        ).fetchone()
    first = max(journal.first_seq(), journal.fact(ROTATED, 0) + 1)
    return Extent(first, removed - (first - 1 - kept))
