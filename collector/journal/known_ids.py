"""The ids that producers chose: which of them are stored, and where.

The newest are kept in memory, the tail; a follower indexes them from time to time, and takes them out
of it. A sieve tells of nearly all others at once that they are new. Ids that the journal assigned need
none of this: each names its own row.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from collector.core.ids import ASSIGNED_VERSION, assigned_id, assigned_seq
from collector.journal.connection import translated
from collector.journal.id_index import Hash, records, stored_seqs
from collector.journal.sieve import Sieve

FILL_ROWS: Final = 24
"""Buckets of ids read in one step."""
FILL_IDS: Final = 1_024
"""Ids of the tail added in one step."""


class KnownIds:
    """The ids of one journal, as its writer knows them."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, *, cursor: int, tag: int, secret: bytes
    ) -> None:
        self.cursor = cursor
        """The last seq whose id is in the index, if it has one."""
        self.tail: dict[bytes, int] = dict(
            connection.execute("SELECT id, seq FROM log WHERE seq > ? AND id <> x''", (cursor,))
        )
        """The ids behind it and their seqs, oldest first."""
        self.hash = Hash(secret)
        self.unfolded = True
        """Whether there may be runs to fold, or to clear."""
        self._connection, self._path, self._tag = connection, path, tag
        empty = connection.execute("SELECT 1 FROM ids LIMIT 1").fetchone() is None
        self._sieve = Sieve() if empty else None
        """All ids of the index and of the tail, once it is filled."""
        self._next_sieve: Sieve | None = None
        self._sift(self.tail)

    def stored(self, ids: Collection[bytes]) -> dict[bytes, int]:
        """The seqs of those ids whose entries are stored."""
        possible = ids if self._sieve is None else self._sieve.possible(ids)
        known = {raw: self.tail[raw] for raw in possible if raw in self.tail}
        rest = [raw for raw in possible if raw not in known]
        if rest and self.cursor:
            known |= stored_seqs(self.fetch, self.hash, rest)
        for raw in ids:
            if raw[6] >> 4 == ASSIGNED_VERSION and raw not in known:
                seq = assigned_seq(raw, self._tag)
                if seq is not None and self._assigned(seq) == raw:
                    known[raw] = seq
        return known

    def forget(self, ids: Collection[bytes]) -> None:
        """Entries with these ids are gone."""
        for raw in ids:
            self.tail.pop(raw, None)

    def committed(self, ids: dict[bytes, int]) -> None:
        """Entries with these ids, at these seqs, are stored."""
        self.tail.update(ids)
        self._sift(ids)

    def indexing(self, ids: Sequence[tuple[bytes, int]]) -> None:
        """These are about to be indexed, and may never have been in the tail."""
        self._sift([raw for raw, _ in ids])

    def _sift(self, ids: Collection[bytes]) -> None:
        for sieve in (self._sieve, self._next_sieve):
            if sieve is not None:
                sieve.add(ids)

    def indexed(self, ids: Sequence[tuple[bytes, int]]) -> None:
        """These need not be kept in memory any more."""
        tail = self.tail
        for raw, seq in ids:
            if tail.get(raw) == seq:  # else pruned, and perhaps recorded anew
                del tail[raw]

    @property
    def sifted(self) -> bool:
        """Whether the sieve is there, and of use."""
        return self._sieve is not None and not self._sieve.worn

    def fill_sieve(self) -> Iterator[None]:
        """Make a sieve of the tail and all that is in the index, in small steps. Raises `JournalError`.

        What is committed meanwhile is added to it, too, and ids move to greater keys only.
        """
        with translated(self._path):
            total = self.fetch("SELECT coalesce(sum(size), 0) FROM id_runs", ())[0][0]
        made = self._next_sieve = Sieve(total)
        tail = list(self.tail)
        for start in range(0, len(tail), FILL_IDS):
            made.add(tail[start : start + FILL_IDS])
            yield
        after = -1
        while True:
            with translated(self._path):
                rows = self.fetch(
                    f"SELECT key, entries FROM ids WHERE key > ? ORDER BY key LIMIT {FILL_ROWS}",
                    (after,),
                )
            if not rows:
                break
            after = rows[-1][0]
            made.add([one[:16] for _, entries in rows for one in records(entries)])
            yield
        self._sieve, self._next_sieve = made, None

    def _assigned(self, seq: int) -> bytes | None:
        row = self._connection.execute(
            "SELECT occurred_at + delay FROM log WHERE seq = ? AND id = x''", (seq,)
        ).fetchone()
        return None if row is None else uuid.UUID(assigned_id(row[0], self._tag, seq)).bytes

    def fetch(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one SELECT, as the writer sees them."""
        return self._connection.execute(sql, values).fetchall()
