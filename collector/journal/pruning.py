"""Pruning: removes entries from the log in small steps, and keeps account of what it removed.

A step is one transaction of at most `STEP_ROWS` rows. It never passes the totals' cursor (the rest
of what is derived needs no waiting for: a reader joins the log, so an index of a removed row is only
waste, cleared away later by `sweeping`). What was removed is added to the ledger, and up under the
fact `pruned.pending`, in the very transaction that removes it; the latter becomes an `events.pruned`
entry when the janitor asks for it. A crash in between loses neither.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from collector.core.retention import AgeGroup
from collector.journal.connection import translated
from collector.journal.followers.base import STALE, derived
from collector.journal.followers.totals import Totals
from collector.journal.followers.words import checksum
from collector.journal.foresight import condition_of, first_recorded_since
from collector.journal.ledger import Ledger
from collector.journal.postings import CHUNK_BITS, SEGMENT_BITS
from collector.journal.ring import RING_SHARE, Passed, StoredRing
from collector.journal.writer import Journal

STEP_ROWS: Final = 128
"""A millisecond's work: whoever waits for an acknowledgement meanwhile waits for a step to end."""
FORGOTTEN: Final = "totals.forgotten"
"""The fact that holds the first day, counted from the epoch, whose totals were not forgotten."""


class Removed(Struct):
    """What was pruned since the last `events.pruned` entry."""

    count: int = 0
    from_seq: int = 0
    to_seq: int = 0
    causes: dict[str, int] = {}

    def add(self, cause: str, count: int, first: int, last: int) -> None:
        """Account for `count` entries between two seqs."""
        self.from_seq = min(self.from_seq, first) if self.count else first
        self.to_seq = max(self.to_seq, last)
        self.count += count
        self.causes[cause] = self.causes.get(cause, 0) + count


class Pruner:
    """Removes entries of one journal. `wall` is in seconds; the ledger has the times of removals."""

    def __init__(
        self, journal: Journal, totals: Totals, wall: Callable[[], float] = time.time
    ) -> None:
        self.journal = journal
        self.totals = totals
        self._wall = wall
        stored = journal.fact("pruned.pending")
        self.removed = msgspec.json.decode(stored, type=Removed) if stored else Removed()
        self.total = 0
        """Entries removed since the start."""
        self.ledger = Ledger(journal.connection)
        self.ring = StoredRing(journal)

    @property
    def entries(self) -> int:
        """How many entries are stored."""
        return self.journal.last_seq - self.ledger.total

    def oldest(self, count: int, cause: str) -> Iterator[int]:
        """Remove the oldest `count` entries, the daemon's own in the ring last.

        Yields each step's count, which is 0 where all of its entries were the daemon's own.
        """
        left = min(count, self.entries)
        capacity = (self.entries - left) // RING_SHARE
        while left > 0:
            most = min(left, STEP_ROWS)
            last, own = self.ring.ahead(most)
            if own or not last or self.ring.size > capacity:
                gone = self._rotate(self.ring.rows(last), most, capacity, cause)
            else:
                gone = self._rotate_past(last, cause)
            if not last and not gone:
                return
            left -= gone
            yield gone

    def everything(self, cause: str, *, before: int) -> Iterator[int]:
        """Remove all entries before a seq, the ring's among them; yields each step's count."""
        while True:
            seqs = self._fetch(
                "SELECT seq FROM log WHERE seq < ? ORDER BY seq LIMIT ?", (before, STEP_ROWS)
            )
            if not seqs:
                return
            yield self._remove(seqs[0][0], seqs[-1][0], "", (), cause)

    def aged(self, group: AgeGroup, cutoff: int, cause: str = "age") -> Iterator[int]:
        """Remove a group's entries recorded before `cutoff` (µs); yields each step's count.

        A clock that once was wrong leaves times out of order: each entry is asked for its own, and
        what is too young now is looked at again the next time.
        """
        where = condition_of(self._fetch, group)
        key = f"pruned.{','.join(group.only)}!{','.join(group.but)}"
        start = max(self.journal.fact(key, 0) + 1, self.journal.first_seq())
        end = first_recorded_since(
            self._fetch, self.journal.first_seq(), self.journal.last_seq, cutoff
        )
        settled = True
        while start < end:
            with translated(self.journal.path):
                last, youngest = self.journal.connection.execute(
                    "SELECT max(seq), max(recorded) FROM"
                    " (SELECT seq, occurred_at + delay AS recorded FROM log"
                    f" WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT {STEP_ROWS})",
                    (start, end),
                ).fetchone()
            if last is None:
                return
            settled = settled and youngest < cutoff
            condition = f"{where} AND occurred_at + delay < ?"
            cursor = key if settled else ""
            yield self._remove(start, last, condition, (cutoff,), cause, cursor)
            start = last + 1

    def forget_totals(self, day: int) -> Iterator[None]:
        """Remove the totals of days before `day` of the epoch; readers go by the log there."""
        with derived(self.journal):
            self.journal.set_fact(FORGOTTEN, max(day, self.journal.fact(FORGOTTEN, day)))
        for span, start in ((3600, day * 24), (86400, day)):
            gone = STEP_ROWS
            while gone == STEP_ROWS:
                with derived(self.journal):
                    gone = self.journal.connection.execute(
                        "DELETE FROM totals WHERE (span, start, kind) IN (SELECT span, start, kind"
                        f" FROM totals WHERE span = ? AND start < ? LIMIT {STEP_ROWS})",
                        (span, start),
                    ).rowcount
                yield

    def take_account(self) -> Removed | None:
        """What was removed and not yet reported; call `reported` once it is an entry."""
        return self.removed if self.removed.count else None

    def reported(self) -> None:
        """The account has become an entry."""
        self.removed = Removed()
        with self.journal.transaction():
            self.journal.delete_fact("pruned.pending")

    def metadata(self, told: Removed) -> dict[str, Any]:
        """What an `events.pruned` entry says: what went since the last one, and the totals so far."""
        return {
            "count": told.count,
            "from_seq": told.from_seq,
            "to_seq": told.to_seq,
            **{f"by_{cause}": count for cause, count in told.causes.items()},
            "total": self.ledger.total,
            **{f"total_{cause}": count for cause, count in self.ledger.counts().items()},
        }

    def settle(self, told: Removed) -> None:
        """Within the transaction of the entry that tells of `told`: only the rest stays open.

        The account may have grown since: making room for that very entry removes others.
        """
        rest = self._rest(told)
        if rest.count:
            self.journal.set_fact("pruned.pending", msgspec.json.encode(rest).decode())
        else:
            self.journal.delete_fact("pruned.pending")

    def settled(self, told: Removed) -> None:
        """That transaction has committed."""
        self.removed = self._rest(told)

    def _rest(self, told: Removed) -> Removed:
        count = self.removed.count - told.count
        if not count:
            return Removed()
        causes = {
            cause: left
            for cause, number in self.removed.causes.items()
            if (left := number - told.causes.get(cause, 0))
        }
        return Removed(count, self.removed.from_seq, self.removed.to_seq, causes)

    # ── steps ───────────────────────────────────────────────────────────────────────────────────

    def _rotate_past(self, last: int, cause: str) -> int:
        """Remove all entries from the floor up to a seq: none is the daemon's own; returns how many."""

        def delete() -> list[tuple[Any, ...]]:
            first, self.ring.floor = self.ring.floor + 1, last
            self.ring.save()
            return self._delete("seq BETWEEN ? AND ?", (first, last))

        return self._step(last, delete, cause)

    def _rotate(self, rows: list[Passed], most: int, capacity: int, cause: str) -> int:
        """Remove what may go of the oldest rows, and of the ring; returns how many."""
        last = rows[-1][0] if rows else 0

        def delete() -> list[tuple[Any, ...]]:
            gone = self.ring.sort(rows, most, capacity) if rows else self.ring.shrink(most, 0)
            self.ring.save()
            return self._delete(f"seq IN ({','.join(map(str, gone))})", ())

        return self._step(last, delete, cause)

    def _remove(
        self,
        first: int,
        last: int,
        where: str,
        values: tuple[Any, ...],
        cause: str,
        cursor: str = "",
    ) -> int:
        """Remove what matches between two seqs, in one transaction; returns how many."""

        def delete() -> list[tuple[Any, ...]]:
            rows = self._delete(f"seq BETWEEN ? AND ?{where}", (first, last, *values))
            self.ring.on_removed(rows)
            if cursor:
                self.journal.set_fact(cursor, last)
            return rows

        return self._step(last, delete, cause)

    def _delete(self, where: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        sql = f"DELETE FROM log WHERE {where} RETURNING *"
        return self.journal.connection.execute(sql, values).fetchall()

    def _step(self, last: int, delete: Callable[[], list[tuple[Any, ...]]], cause: str) -> int:
        """One transaction: `delete` removes rows up to seq `last`, the accounts go with them."""
        while self.totals.cursor < last:
            self.totals.derive(last)
        removed = msgspec.structs.replace(self.removed, causes=dict(self.removed.causes))
        ledger, ring = self.ledger.rows, self.ring.state()
        try:
            with derived(self.journal):
                rows = delete()
                if rows:
                    self._account(rows, cause)
        except BaseException:
            self.removed, self.ledger.rows = removed, ledger
            self.ring.reset(ring)
            raise
        self._forget_ids(rows)
        self.total += len(rows)
        return len(rows)

    def _account(self, rows: list[tuple[Any, ...]], cause: str) -> None:
        journal = self.journal
        seqs = [row[0] for row in rows]
        first, last = min(seqs), max(seqs)
        for segment in {seq >> SEGMENT_BITS for seq in seqs}:
            name = f"{STALE}{segment}"
            journal.set_fact(name, journal.fact(name, 0) + 1)
        journal.connection.executemany(
            "DELETE FROM versions WHERE seq = ?", [(seq,) for seq in seqs]
        )
        self._uncheck(rows)
        self.removed.add(cause, len(rows), first, last)
        self.ledger.add(cause, len(rows), first, last, int(self._wall() * 1e6))
        journal.set_fact("pruned.pending", msgspec.json.encode(self.removed).decode())
        journal.set_fact("last_seq", max(journal.fact("last_seq", 0), last))

    def _uncheck(self, rows: list[tuple[Any, ...]]) -> None:
        """Take removed rows out of their chunks' checksums."""
        sums: dict[int, int] = defaultdict(int)
        for row in rows:
            sums[row[0] >> CHUNK_BITS] += checksum(row)
        self.journal.connection.executemany(
            "UPDATE checksums SET total = total - ? WHERE chunk = ?",
            [(total, chunk) for chunk, total in sums.items()],
        )

    def _forget_ids(self, rows: list[tuple[Any, ...]]) -> None:
        if self.journal.ids.tail:
            self.journal.ids.forget([row[1] for row in rows if row[1]])

    def _fetch(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with translated(self.journal.path):
            return self.journal.connection.execute(sql, values).fetchall()
