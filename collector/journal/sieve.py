"""The sieve: tells of most new ids, without a look at the index, that they are not in it.

A producer's id is new nearly always, and random: looking each up in the index costs a page. So a bit
says for every value of 26 bits of a checksum whether an id of that kind was ever indexed. With a
million ids in the index one of seventy needs a look; with ten million one of seven. What the
sieve lets through is looked up as ever, and until it has been filled it lets everything through.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from mmap import mmap
from pathlib import Path
from typing import Final
from zlib import crc32

from collector.journal.connection import translated

SIEVE_BITS: Final = 26
"""8 MiB in memory where producers choose ids by the hundred thousand; nothing where none does."""
ID_BLOCK_BITS: Final = 19
"""An id is indexed in the block of its entry: the seq without so many bits."""
ID_BLOCKS_SINCE: Final = 2
"""The first schema whose index of ids has blocks."""
ID_BLOCKS: Final = (
    "WITH RECURSIVE blocks (n) AS (SELECT min(block) FROM ids UNION ALL"
    " SELECT (SELECT min(block) FROM ids WHERE block > n) FROM blocks WHERE n IS NOT NULL)"
)
"""SQL for the blocks that there are, a seek for each."""
FILL_ROWS: Final = 1_024
"""Ids read in one step."""
_SHIFT: Final = 32 - SIEVE_BITS


class Sieve:
    """Which ids may be in the index; `complete` once all that are in it have been added."""

    def __init__(self, *, complete: bool) -> None:
        self.complete = complete
        self._bits = mmap(-1, 1 << SIEVE_BITS - 3)  # no page is there before it is written to

    def add(self, ids: Iterable[bytes]) -> None:
        """Ids that are about to be indexed: before they are, or one of them might be stored twice."""
        bits = self._bits
        for raw in ids:
            number = crc32(raw) >> _SHIFT
            bits[number >> 3] |= 1 << (number & 7)

    def possible(self, ids: list[bytes]) -> list[bytes]:
        """Those ids that may be in the index; the others are not."""
        if not self.complete:
            return ids
        bits = self._bits
        return [raw for raw in ids if bits[(n := crc32(raw) >> _SHIFT) >> 3] >> (n & 7) & 1]

    def fill(self, connection: sqlite3.Connection, path: Path) -> Iterator[None]:
        """Add all that is in the index of the journal at `path`, in small steps; the follower adds what
        it indexes meanwhile. Raises `JournalError`."""
        self.complete = False
        after = (-1, b"")
        while True:
            with translated(path):
                rows = connection.execute(
                    "SELECT block, id FROM ids WHERE (block, id) > (?, ?)"
                    f" ORDER BY block, id LIMIT {FILL_ROWS}",
                    after,
                ).fetchall()
            if not rows:
                break
            after = rows[-1]
            self.add(raw for _, raw in rows)
            yield
        self.complete = True
