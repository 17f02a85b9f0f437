"""The loss ledger: how many entries are gone, by cause, outside retention.

A row of `removed` is changed in the very transaction that removes. In every committed state the last
seq is the number of rows in the log and the sum of the ledger's counts, and that is how the number of
entries is known.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from msgspec import Struct

from collector.core.rfc3339 import to_rfc3339
from collector.journal.planning import Fetch

CAUSES: Final = (
    "age",
    "entries",
    "bytes",
    "full",
    "cleared",
    "request",
    "category",
    "share",
    "before_ledger",
)
"""Why entries go; `before_ledger` are those that an older schema did not count."""

LAST_SEQ: Final = (
    "max(coalesce((SELECT max(seq) FROM log), 0),"
    " coalesce((SELECT value FROM facts WHERE name = 'last_seq'), 0))"
)
"""SQL for the highest seq that was ever handed out."""
REMOVED: Final = "coalesce((SELECT sum(count) FROM removed), 0)"
"""SQL for the number of entries that are gone."""

_READ: Final = "SELECT cause, count, first_seq, last_seq, first_at, last_at FROM removed"
_ADD: Final = (
    "INSERT INTO removed VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT DO UPDATE SET"
    " count = count + excluded.count, first_seq = min(first_seq, excluded.first_seq),"
    " last_seq = max(last_seq, excluded.last_seq), last_at = excluded.last_at"
    " RETURNING count, first_seq, last_seq, first_at, last_at"
)


class Loss(Struct, frozen=True):
    """What went for one cause: number, first and last seq, and when the first and the last went (µs)."""

    count: int
    first_seq: int
    last_seq: int
    first_at: int
    last_at: int


def read_losses(fetch: Fetch) -> dict[str, Loss]:
    """The ledger as it stands in the current snapshot, by cause."""
    return {cause: Loss(*row) for cause, *row in fetch(_READ, ())}


class Ledger:
    """The ledger of an open journal, kept in memory too; `add` within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.rows = read_losses(lambda sql, values: connection.execute(sql, values).fetchall())

    @property
    def total(self) -> int:
        """How many entries are gone."""
        return sum(row.count for row in self.rows.values())

    def add(self, cause: str, count: int, first: int, last: int, now: int) -> None:
        """Account for `count` entries between two seqs that are removed at `now` (µs)."""
        row = self._connection.execute(_ADD, (cause, count, first, last, now)).fetchone()
        self.rows = {**self.rows, cause: Loss(*row)}

    def counts(self) -> dict[str, int]:
        """How many entries went for each cause."""
        return {cause: row.count for cause, row in sorted(self.rows.items())}

    def status(self) -> dict[str, dict[str, Any]]:
        """The rows as plain values, times as readers get them."""
        return {
            cause: {
                "count": row.count,
                "first_seq": row.first_seq,
                "last_seq": row.last_seq,
                "first_at": to_rfc3339(row.first_at),
                "last_at": to_rfc3339(row.last_at),
            }
            for cause, row in sorted(self.rows.items())
        }
