"""The ids that producers chose: which of them are stored, and where.

The newest are kept in memory, the tail; a follower indexes them from time to time, and takes them out
of it. Ids that the journal assigned need neither: each names its own row.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from collector.core.ids import ASSIGNED_VERSION, assigned_id, assigned_seq
from collector.journal.id_index import stored_seq
from collector.journal.sieve import Sieve


class KnownIds:
    """The ids of one journal, as its writer knows them."""

    def __init__(self, connection: sqlite3.Connection, path: Path, cursor: int, tag: int) -> None:
        self.cursor = cursor
        """The last seq whose id is in the index, if it has one."""
        self.tail: dict[bytes, int] = dict(
            connection.execute("SELECT id, seq FROM log WHERE seq > ? AND id <> x''", (cursor,))
        )
        """The ids behind it and their seqs, oldest first."""
        indexed = connection.execute("SELECT 1 FROM ids LIMIT 1").fetchone()
        self.sieve = Sieve(complete=indexed is None)
        self.unfolded = True
        """Whether there may be runs to fold, or to clear."""
        self._connection, self._path, self._tag = connection, path, tag

    def stored(self, ids: Collection[bytes]) -> dict[bytes, int]:
        """The seqs of those ids whose entries are stored."""
        tail = self.tail
        known = {raw: tail[raw] for raw in ids if raw in tail}
        rest = [raw for raw in ids if raw not in known] if known else list(ids)
        if self.cursor:
            for raw in self.sieve.possible(rest):
                seq = stored_seq(self._fetch, raw)
                if seq is not None:
                    known[raw] = seq
        for raw in rest:
            if raw[6] >> 4 == ASSIGNED_VERSION and raw not in known:
                seq = assigned_seq(raw, self._tag)
                if seq is not None and self._assigned(seq) == raw:
                    known[raw] = seq
        return known

    def forget(self, ids: Collection[bytes]) -> None:
        """Entries with these ids are gone."""
        for raw in ids:
            self.tail.pop(raw, None)

    def indexed(self, ids: Sequence[tuple[bytes, int]]) -> None:
        """These need not be kept in memory any more."""
        tail = self.tail
        for raw, seq in ids:
            if tail.get(raw) == seq:  # else pruned, and perhaps recorded anew
                del tail[raw]

    def fill_sieve(self) -> Iterator[None]:
        """See `Sieve.fill`; each step raises `JournalError` where the index cannot be read."""
        return self.sieve.fill(self._connection, self._path)

    def _assigned(self, seq: int) -> bytes | None:
        row = self._connection.execute(
            "SELECT occurred_at + delay FROM log WHERE seq = ? AND id = x''", (seq,)
        ).fetchone()
        return None if row is None else uuid.UUID(assigned_id(row[0], self._tag, seq)).bytes

    def _fetch(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()
