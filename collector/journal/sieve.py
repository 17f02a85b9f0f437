"""The sieve: tells of most new ids, without a look at the index, that they are not in it.

A producer's id is new nearly always, and random: looking each up in the index costs a page. So three
bits of a word of 64, chosen by the id's checksum, say whether an id of that kind was ever indexed
(a blocked Bloom filter). With a million ids in the index one of a thousand needs a look, with ten
million one of seventeen. What the sieve lets through is looked up as ever, and until it has been filled
it lets everything through.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from mmap import mmap
from pathlib import Path
from typing import Final
from zlib import crc32

from collector.journal.connection import translated
from collector.journal.id_index import checksum, records

WORD_BITS: Final = 20
"""The upper bits of a checksum choose one of so many words: 8 MiB in memory where producers choose ids
by the hundred thousand; nothing where none does."""
FILL_ROWS: Final = 24
"""Buckets of ids read in one step."""
_SHIFT: Final = 32 - WORD_BITS
_REST: Final = (1 << _SHIFT) - 1
_MASKS: Final = tuple(
    1 << (n & 63) | 1 << (n >> 6 & 63) | 1 << ((n * 0x9E37 >> 4) % 61) for n in range(1 << _SHIFT)
)
"""By the lower bits of a checksum, the bits within its word."""


class Sieve:
    """Which ids may be in the index; `complete` once all that are in it have been added."""

    def __init__(self, *, complete: bool) -> None:
        self.complete = complete
        # No page is there before it is written to.
        self._words = memoryview(mmap(-1, 8 << WORD_BITS)).cast("Q")

    def add(self, ids: Iterable[bytes]) -> None:
        """Ids that are about to be indexed: before they are, or one of them might be stored twice."""
        self._add(map(crc32, ids))

    def _add(self, numbers: Iterable[int]) -> None:
        words, masks = self._words, _MASKS
        for number in numbers:
            words[number >> _SHIFT] |= masks[number & _REST]

    def possible(self, ids: list[bytes]) -> list[bytes]:
        """Those ids that may be in the index; the others are not."""
        if not self.complete:
            return ids
        words, masks = self._words, _MASKS
        return [
            raw
            for raw, number in zip(ids, map(crc32, ids), strict=True)
            if not masks[number & _REST] & ~words[number >> _SHIFT]
        ]

    def fill(self, connection: sqlite3.Connection, path: Path) -> Iterator[None]:
        """Add all that is in the index of the journal at `path`, in small steps; the follower adds what
        it indexes meanwhile, and moves ids to greater keys only. Raises `JournalError`."""
        self.complete = False
        after = -1
        while True:
            with translated(path):
                rows = connection.execute(
                    f"SELECT key, entries FROM ids WHERE key > ? ORDER BY key LIMIT {FILL_ROWS}",
                    (after,),
                ).fetchall()
            if not rows:
                break
            after = rows[-1][0]
            for _, entries in rows:
                self._add(map(checksum, records(entries)))
            yield
        self.complete = True
