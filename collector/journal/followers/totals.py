"""Totals: how many entries of each kind every hour and day had, and the times of each chunk."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from collector.journal.connection import translated
from collector.journal.followers.base import Follower, Step, derived
from collector.journal.postings import CHUNK_BITS

CHUNKS: Final = 16
"""Chunks counted together: a kind's two rows are then touched once, not once a chunk."""
CELLS: Final = 1024
"""Hours and kinds from which on no further chunk is added: all are written in one transaction."""

Hours = Counter[tuple[int, int]]


class Totals(Follower):
    """Counts by hour and day, and the range of time of each chunk. Its cursor may stand anywhere."""

    name = "totals"

    def due(self, idle: bool) -> bool:
        return self.lag >= (1 if idle else CHUNKS << CHUNK_BITS)

    def steps(self) -> Step:
        begin = self.cursor
        hours: Hours = Counter()
        ranges: list[tuple[int, int, int]] = []
        at = begin
        for _ in range(CHUNKS):
            end = self._end_of_chunk(at, self.journal.last_seq)
            if end == at or len(hours) >= CELLS:
                break
            self._count(at + 1, end, hours, ranges)
            at = end
            yield
        if self.cursor == begin:  # else pruning could not wait, and has counted them itself
            self._write(at, hours, ranges)
        yield

    def derive(self, up_to: int) -> None:
        """Count the entries up to the end of the cursor's chunk, none beyond `up_to`, at once."""
        hours: Hours = Counter()
        ranges: list[tuple[int, int, int]] = []
        end = self._end_of_chunk(self.cursor, up_to)
        if end > self.cursor:
            self._count(self.cursor + 1, end, hours, ranges)
            self._write(end, hours, ranges)

    @staticmethod
    def _end_of_chunk(after: int, up_to: int) -> int:
        chunk = (after + 1) >> CHUNK_BITS
        return max(after, min(((chunk + 1) << CHUNK_BITS) - 1, up_to))

    def _count(
        self, first: int, last: int, hours: Hours, ranges: list[tuple[int, int, int]]
    ) -> None:
        """Add the entries from `first` to `last`, both of one chunk."""
        with translated(self.journal.path):
            run = self.journal.connection.execute
            hours.update(run(_HOURS, (first, last)).fetchall())
            least, greatest = run(_RANGE, (first, last)).fetchone()
        if least is not None:
            ranges.append((first >> CHUNK_BITS, least, greatest))

    def _write(self, cursor: int, hours: Hours, ranges: list[tuple[int, int, int]]) -> None:
        days: Hours = Counter()
        for (hour, kind), count in hours.items():
            days[hour // 24, kind] += count
        spans = ((3600, hours), (86400, days))
        rows: list[tuple[Any, ...]] = [
            (span, *key, count) for span, counts in spans for key, count in sorted(counts.items())
        ]
        with derived(self.journal):
            self.journal.connection.executemany(_ADD_TOTAL, rows)
            self.journal.connection.executemany(_ADD_RANGE, ranges)
            self.advance(cursor)
        self.cursor = cursor


def floor(span: int) -> str:
    """SQL for the number of whole spans (in seconds) from the epoch to `occurred_at`."""
    return f"(occurred_at - (occurred_at < 0) * ({span}000000 - 1)) / {span}000000"


_HOURS: Final = f"SELECT {floor(3600)}, kind FROM log WHERE seq BETWEEN ? AND ?"
_RANGE: Final = "SELECT min(occurred_at), max(occurred_at) FROM log WHERE seq BETWEEN ? AND ?"
_ADD_TOTAL: Final = (
    "INSERT INTO totals VALUES (?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET count = count + excluded.count"
)
_ADD_RANGE: Final = (
    "INSERT INTO chunks VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET"
    " least = min(least, excluded.least), greatest = max(greatest, excluded.greatest)"
)
