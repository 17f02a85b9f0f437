"""Words of the full text, and a checksum of every row, which needs the whole row as well."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final
from zlib import crc32

import msgspec

from collector.core.words import unescaped, words_of
from collector.journal.followers.base import STALE, Segmented, Step, derived
from collector.journal.postings import CHUNK_BITS, SEGMENT, SEGMENT_BITS, encode

SEARCH_ROWS: Final = 128
"""Rows whose words are taken in one step."""
SEARCH_TEXTS: Final = (
    "kinds.action, kinds.object_type, actor.type, actor.id, actor.name,"
    " log.object_id, log.object_name, log.message, log.metadata"
)
"""The columns that the full text covers, for a query that joins `kinds` and the actor."""


class Search(Segmented):
    """Words of the full text, and a checksum of every row."""

    name = "words"

    def due(self, idle: bool) -> bool:
        return super().due(idle) and (idle or self.lag >= 4 * SEGMENT)

    def steps(self) -> Step:
        words: dict[str, int | list[int]] = {}  # most occur once, and a list is large for that
        sums: dict[int, int] = defaultdict(int)
        start, removals = self.segment << SEGMENT_BITS, self._removals()
        for rows in self.read(_SEARCHED):
            for at in range(0, len(rows), SEARCH_ROWS):
                for texts, row in map(_split, rows[at : at + SEARCH_ROWS]):
                    seq = row[0]
                    offset = seq - start
                    for word in words_of(texts):
                        known = words.get(word)
                        if known is None:
                            words[word] = offset
                        elif isinstance(known, int):
                            words[word] = [known, offset]
                        else:
                            known.append(offset)
                    sums[seq >> CHUNK_BITS] += checksum(row)
                yield
        if self._removals() != removals:
            return  # what was summed up is not what is stored now: begin anew
        with derived(self.journal):
            self.journal.connection.executemany(
                "INSERT OR REPLACE INTO checksums VALUES (?, ?)", sums.items()
            )
        yield
        keys = sorted(words)
        yield
        segment = self.segment
        rows_ = ((segment, word, _encoded(words[word])) for word in keys)
        yield from self.write("INSERT OR REPLACE INTO words VALUES (?, ?, ?)", rows_)

    def _removals(self) -> tuple[int, int]:
        """What changes with every removal from the segment."""
        count: int = self.journal.fact(f"{STALE}{self.segment}", 0)
        return count, self.journal.first_seq()


_SEARCHED: Final = (
    f"SELECT {SEARCH_TEXTS}, log.* FROM log JOIN kinds USING (kind)"
    " LEFT JOIN principals AS actor ON actor.principal = log.actor"
    " WHERE log.seq BETWEEN ? AND ?"
)
_TEXTS: Final = SEARCH_TEXTS.count(",") + 1
_packed: Final = msgspec.msgpack.Encoder().encode


def _encoded(offsets: int | list[int]) -> bytes:
    return encode([offsets] if isinstance(offsets, int) else offsets)


def _split(row: tuple[Any, ...]) -> tuple[list[str], tuple[Any, ...]]:
    return searchable(row[:_TEXTS]), row[_TEXTS:]


def searchable(texts: tuple[str | None, ...]) -> list[str]:
    """The values of `SEARCH_TEXTS` as text to take words from; the last is metadata in JSON."""
    *plain, metadata = texts
    return [*filter(None, plain), unescaped(metadata or "")]


def checksum(row: tuple[Any, ...]) -> int:
    """The CRC-32 of a row of the log, every column in order."""
    return crc32(_packed(row))
