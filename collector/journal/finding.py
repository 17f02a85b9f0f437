"""Finding: the rows that a filter asks for, in order, within one snapshot of the journal.

Everything here runs in a reader's own thread, from the plan to the last row, so that an answer costs
the event loop one wait and not one for each statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from collector.core.query import Filter
from collector.core.words import words_of
from collector.journal.followers.words import SEARCH_TEXTS, searchable
from collector.journal.planning import Fetch, Plan, make_plan
from collector.journal.rows import SELECT
from collector.journal.search import Stretch, read_cursors, stretches

BATCH: Final = 500
"""Rows read in one statement while a range is scanned."""
FIND_AT_ONCE: Final = 128
"""Seqs looked up in one statement."""
FEW: Final = 16
"""Seqs in a row that are looked up one by one, together with others, instead of as a range."""
SEQ_MAX: Final = 2**62
_FROM: Final = (
    " FROM log LEFT JOIN kinds USING (kind)"
    " LEFT JOIN principals AS actor ON actor.principal = log.actor"
)
"""For counts: no more than they look at, since SQLite leaves out a left join that nothing uses."""

Row = tuple[Any, ...]


def collect(
    fetch: Fetch, wanted: Filter, before: int | None, after: int | None, limit: int
) -> list[Row]:
    """Up to `limit` whole rows between two seqs (neither included): oldest first with `after`."""
    first = 0 if after is None else max(0, min(after, SEQ_MAX)) + 1
    last = SEQ_MAX if before is None else max(0, min(before, SEQ_MAX)) - 1
    rows: list[Row] = []
    for batch in matching(fetch, wanted, None, first, last, after is not None, limit):
        rows += batch
    return rows[:limit]


def matching(
    fetch: Fetch,
    wanted: Filter,
    columns: str | None,
    first: int = 0,
    last: int = SEQ_MAX,
    ascending: bool = False,
    limit: int = SEQ_MAX,
    grouped: bool = False,
) -> Iterator[list[Row]]:
    """Batches of matching rows in order: whole entries, or `columns`, counted where `grouped`."""
    plan = make_plan(wanted, fetch)
    cursors = read_cursors(fetch)
    select = _Select(columns, ascending, grouped, plan)
    found = stretches(plan, cursors, first, last, ascending, limit, fetch)
    for stretch in _joined(found, min(FIND_AT_ONCE, limit), ascending):
        for rows in _look(fetch, select, stretch, limit):
            if rows:
                limit -= len(rows)
                yield rows
            if limit <= 0 and not grouped:
                return


def _joined(found: Iterator[Stretch], enough: int, ascending: bool) -> Iterator[Stretch]:
    """The same stretches, the seqs of neighbouring ones together: a statement costs more than a row."""
    seqs: list[int] = []
    for stretch in found:
        few = stretch.seqs
        if few is None and stretch.last - stretch.first < FEW:
            few = list(range(stretch.first, stretch.last + 1))
            few = few if ascending else few[::-1]
        seqs += few or ()
        if seqs and (few is None or len(seqs) >= enough):
            yield Stretch(seqs[0], seqs[-1], seqs)
            seqs = []
        if few is None:
            yield stretch
    if seqs:
        yield Stretch(seqs[0], seqs[-1], seqs)


def _look(fetch: Fetch, select: _Select, stretch: Stretch, limit: int) -> Iterator[list[Row]]:
    if stretch.seqs is not None:
        yield from _pick(fetch, select, stretch.seqs, limit)
        return
    low, high = stretch.first, stretch.last
    if select.grouped:
        yield fetch(select.sql(f"log.seq BETWEEN {low} AND {high}", 0), select.values)
        return
    while low <= high:
        size = BATCH if select.plan.words else min(limit, BATCH)
        sql = select.sql(f"log.seq BETWEEN {low} AND {high}", size)
        rows = fetch(sql, select.values)
        kept = select.checked(rows)
        yield kept
        limit -= len(kept)
        if len(rows) < size or limit <= 0:
            return
        reached = rows[-1][select.seq_at]
        low, high = (reached + 1, high) if select.ascending else (low, reached - 1)


def _pick(fetch: Fetch, select: _Select, seqs: list[int], limit: int) -> Iterator[list[Row]]:
    """Rows by their seqs; about as many at once as are wanted."""
    size = min(FIND_AT_ONCE, max(16, limit))
    for start in range(0, len(seqs), size):
        part = seqs[start : start + size]
        sql = select.sql(f"log.seq IN ({','.join(map(str, part))})", len(part))
        yield select.checked(fetch(sql, select.values))


class _Select:
    """The statement of one query: its columns, its order, and what SQL cannot check."""

    def __init__(self, columns: str | None, ascending: bool, grouped: bool, plan: Plan) -> None:
        self.plan = plan
        self.ascending = ascending
        self.values = tuple(plan.values)
        self.grouped = grouped and plan.words is None
        self._counted = grouped
        self.seq_at = 0
        """The column that holds the seq; with columns of their own, how many those are."""
        texts = "" if plan.words is None else f", {SEARCH_TEXTS}"
        if columns is None:
            self._head = SELECT.replace("\nFROM log", f"{texts}\nFROM log", 1)
        else:
            self.seq_at = columns.count(",") + 1 - _nested(columns)
            extra = ", count(*)" if self.grouped else f", log.seq{texts}"
            self._head = f"SELECT {columns}{extra}{_FROM}"

    def sql(self, where: str, limit: int) -> str:
        """The statement for one stretch."""
        head = f"{self._head} WHERE {self.plan.condition(where)}"
        if self.grouped:
            return f"{head} GROUP BY {', '.join(map(str, range(1, self.seq_at + 1)))}"
        return f"{head} ORDER BY log.seq {'ASC' if self.ascending else 'DESC'} LIMIT {limit}"

    def checked(self, rows: list[Row]) -> list[Row]:
        """The rows that also hold the words asked for, without the columns read for that."""
        words = self.plan.words
        if words is None:
            return rows
        kept = [row for row in rows if words.match(words_of(searchable(row[-_TEXTS:])))]
        if self._counted:
            return [(*row[: self.seq_at], 1) for row in kept]
        return [row[:-_TEXTS] for row in kept]


_TEXTS: Final = len(SEARCH_TEXTS.split(","))


def _nested(columns: str) -> int:
    """Commas inside parentheses, which separate no columns."""
    depth = commas = 0
    for character in columns:
        depth += (character == "(") - (character == ")")
        commas += character == "," and depth > 0
    return commas
