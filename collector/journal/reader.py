"""Readers: read-only connections on aiosqlite, in any process, with or without a daemon.

Every answer is taken from one snapshot: a read transaction that begins before the cursors are read
and ends when the page is complete. Pages go by `seq`, and no transaction outlives a page, so that a
reader never keeps the write-ahead log from being checkpointed for long.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import aiosqlite
import anyio
import msgspec

from collector.core.ids import assigned_id, assigned_seq
from collector.core.query import Bucket, Count, CountBy, Filter, Page
from collector.core.words import words_of
from collector.errors import JournalCorrupt, JournalError, JournalTooNew, QueryTimeout
from collector.event import Entry
from collector.journal import counting
from collector.journal.connection import APPLICATION_ID, SCHEMA_VERSION, translate, wal_of
from collector.journal.followers import SEARCH_TEXTS, searchable
from collector.journal.planning import Plan, make_plan
from collector.journal.rows import FROM, SELECT, entry
from collector.journal.search import Stretch, read_cursors, stretches

QUERY_SECONDS: Final = 5.0
"""Longest time that one query may take."""
COUNT_CAP: Final = 10_000
EXPORT_PAGE: Final = 500
FIND_AT_ONCE: Final = 128
"""Seqs looked up in one statement."""
_PROGRESS_STEPS: Final = 10_000
"""SQLite instructions between two looks at the clock."""

Row = tuple[Any, ...]


class Reader:
    """One read-only connection. Open with `Reader.open`, or `async with Reader.open(path)`."""

    def __init__(self, connection: aiosqlite.Connection, path: Path, seconds: float) -> None:
        self.path = path
        self.seconds = seconds
        self._connection = connection
        self._lock = anyio.Lock()
        self._deadline = 0.0
        self._tag = 0

    @classmethod
    def open(cls, path: Path | str, *, seconds: float = QUERY_SECONDS) -> _Opening:
        """A reader of the journal at `path`; queries end after `seconds`. Raises `JournalError`."""
        return _Opening(Path(path), seconds)

    async def close(self) -> None:
        """End the connection and its thread."""
        await self._connection.close()

    # ── what readers ask ────────────────────────────────────────────────────────────────────────

    async def page(
        self,
        wanted: Filter,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Page:
        """Newest first, from below `before`; with `after`, oldest first from above it."""
        async with self._snapshot():
            rows = await self._collect(wanted, before, after, limit + 1)
        entries = [entry(row, self._tag) for row in rows[:limit]]
        more = len(rows) > limit
        page = Page(entries=entries, has_more=more)
        if entries and more:
            if after is None:
                page.next_before = entries[-1].seq
            else:
                page.next_after = entries[-1].seq
        return page

    async def entry(self, key: int | str) -> Entry | None:
        """One entry by its seq or its id; None where there is none."""
        async with self._snapshot():
            seq = key if isinstance(key, int) else await self._seq_of(key)
            rows = await self._fetch(f"{SELECT} WHERE log.seq = ?", (seq,)) if seq else []
        return entry(rows[0], self._tag) if rows else None

    async def export(
        self, wanted: Filter, newest_first: bool = False
    ) -> AsyncIterator[list[Entry]]:
        """Everything that matches up to now, in batches, each from a snapshot of its own."""
        last = await self.last_seq()
        before, after = (last + 1, None) if newest_first else (None, 0)
        while True:
            page = await self.page(wanted, before, after, EXPORT_PAGE)
            entries = [item for item in page.entries if item.seq <= last]
            if entries:
                yield entries
            if not page.has_more or len(entries) < len(page.entries):
                return
            before, after = page.next_before, page.next_after

    async def count(self, wanted: Filter, cap: int = COUNT_CAP) -> tuple[int, bool]:
        """How many match, and whether that is exact; counting ends at `cap`."""
        total = 0
        async with self._snapshot():
            async for rows in self._matching(wanted, "log.seq"):
                total += len(rows)
                if total > cap:
                    return cap, False
        return total, True

    async def counts(self, by: CountBy, bucket: Bucket | None, wanted: Filter) -> list[Count]:
        """Counts by a dimension and, with `bucket`, by hour or day; oldest bucket, then greatest.

        Unfiltered counts (but for the range of time) include entries that are pruned by now.
        """
        async with self._snapshot():
            cells: Counter[tuple[int, str]] = Counter()
            if counting.is_unfiltered(wanted) and by != "actor":
                edges = await counting.from_totals(cells, by, bucket, wanted, self._fetch)
            else:
                edges = [wanted]
            for edge in edges:
                columns = counting.columns(by, bucket)
                async for rows in self._matching(edge, columns, grouped=True):
                    for start, value, count in rows:
                        cells[start, value] += count
        return counting.finished(cells, bucket)

    async def facets(self, wanted: Filter) -> dict[str, list[tuple[str, int]]]:
        """For each dimension the values that occur among what matches, most frequent first."""
        found: dict[str, Counter[str]] = {name: Counter() for name in counting.FACETS}
        async with self._snapshot():
            async for rows in self._matching(wanted, counting.FACET_COLUMNS, grouped=True):
                for *values, count in rows:
                    for name, value in zip(counting.FACETS, values, strict=True):
                        if value:
                            found[name][value] += count
        return {name: counter.most_common() for name, counter in found.items()}

    async def devices(self) -> list[dict[str, Any]]:
        """The device registry's rows."""
        rows = await self._fetch("SELECT body FROM devices ORDER BY id", ())
        return [msgspec.json.decode(body) for (body,) in rows]

    async def last_seq(self) -> int:
        """The newest seq; 0 in an empty journal."""
        rows = await self._fetch(
            "SELECT max(coalesce((SELECT max(seq) FROM log), 0),"
            " coalesce((SELECT value FROM facts WHERE name = 'last_seq'), 0))",
            (),
        )
        last: int = rows[0][0]
        return last

    async def info(self) -> dict[str, Any]:
        """Facts for people: journal id, first and last seq, followers' cursors, bytes."""
        async with self._snapshot():
            cursors = await read_cursors(self._fetch)
            facts: dict[str, Any] = dict(
                await self._fetch("SELECT name, value FROM facts WHERE name NOT GLOB 'hmac*'", ())
            )
            pages = (await self._fetch("SELECT page_count FROM pragma_page_count()", ()))[0][0]
            size = (await self._fetch("SELECT page_size FROM pragma_page_size()", ()))[0][0]
        return {
            "journal_id": facts.get("journal_id"),
            "first_seq": cursors.first if cursors.last else None,
            "last_seq": max(cursors.last, facts.get("last_seq", 0)),
            "cursors": {
                "totals": cursors.totals,
                "postings": cursors.postings,
                "words": cursors.words,
            },
            "bytes": pages * size,
        }

    # ── finding ─────────────────────────────────────────────────────────────────────────────────

    async def _collect(
        self, wanted: Filter, before: int | None, after: int | None, limit: int
    ) -> list[Row]:
        rows: list[Row] = []
        first = 0 if after is None else after + 1
        last = 2**62 if before is None else before - 1
        found = self._matching(wanted, None, first, last, after is not None, limit)
        async for batch in found:
            rows += batch
            if len(rows) >= limit:
                break
        return rows[:limit]

    async def _matching(
        self,
        wanted: Filter,
        columns: str | None,
        first: int = 0,
        last: int = 2**62,
        ascending: bool = False,
        limit: int = 1_000_000,
        grouped: bool = False,
    ) -> AsyncIterator[list[Row]]:
        """Batches of matching rows in order: whole entries, or `columns`, counted where `grouped`."""
        plan = await make_plan(wanted, self._fetch)
        cursors = await read_cursors(self._fetch)
        select = _Select(columns, ascending, grouped, plan)
        async for stretch in stretches(plan, cursors, first, last, ascending, self._fetch):
            async for rows in self._look(select, stretch, limit):
                if rows:
                    limit -= len(rows)
                    yield rows
                if limit <= 0:
                    return

    async def _look(
        self, select: _Select, stretch: Stretch, limit: int
    ) -> AsyncIterator[list[Row]]:
        if stretch.seqs is not None:
            size = min(FIND_AT_ONCE, max(16, limit))
            for start in range(0, len(stretch.seqs), size):
                part = stretch.seqs[start : start + size]
                yield await self._run(select, f"log.seq IN ({','.join(map(str, part))})", len(part))
            return
        low, high = stretch.first, stretch.last
        if select.grouped and not select.plan.words:
            yield await self._run(select, f"log.seq BETWEEN {low} AND {high}", limit)
            return
        while low <= high:
            rows, next_ = await self._scan(select, low, high, limit)
            yield rows
            limit -= len(rows)
            if next_ is None or limit <= 0:
                return
            low, high = (next_ + 1, high) if select.ascending else (low, next_ - 1)

    async def _scan(
        self, select: _Select, low: int, high: int, limit: int
    ) -> tuple[list[Row], int | None]:
        """One batch of a range, and the last seq looked at, None at the range's end."""
        size = EXPORT_PAGE if select.plan.words else min(limit, EXPORT_PAGE)
        rows = await self._fetch(
            select.sql(f"log.seq BETWEEN {low} AND {high}", size), select.values
        )
        if len(rows) < size:
            return select.checked(rows), None
        return select.checked(rows), rows[-1][select.seq_at]

    async def _run(self, select: _Select, where: str, limit: int) -> list[Row]:
        return select.checked(await self._fetch(select.sql(where, limit), select.values))

    async def _seq_of(self, key: str) -> int | None:
        try:
            raw = UUID(key).bytes
        except ValueError:
            return None
        assigned = assigned_seq(raw, self._tag)
        if assigned is not None:
            rows = await self._fetch(
                "SELECT occurred_at + delay FROM log WHERE seq = ? AND id = x''", (assigned,)
            )
            if rows and UUID(assigned_id(rows[0][0], self._tag, assigned)).bytes == raw:
                return assigned
        rows = await self._fetch(
            "SELECT log.seq FROM ids JOIN log ON log.seq = ids.seq AND log.id = ids.id"
            " WHERE ids.id = ? UNION ALL SELECT seq FROM log WHERE seq >"
            " coalesce((SELECT value FROM facts WHERE name = 'cursor.ids'), 0) AND id = ? LIMIT 1",
            (raw, raw),
        )
        return rows[0][0] if rows else None

    # ── the connection ──────────────────────────────────────────────────────────────────────────

    async def fetch(self, sql: str, values: tuple[Any, ...] = ()) -> list[Row]:
        """Rows of one SELECT, for rooms that keep tables of their own. Raises `JournalError`."""
        return await self._fetch(sql, values)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[None]:
        """One answer's read transaction, within the time that a query may take."""
        async with self._lock:
            self._deadline = time.monotonic() + self.seconds
            try:
                await self._fetch("BEGIN", ())  # cancelled here, it may still have begun
                yield
            finally:
                self._deadline = 0.0
                with anyio.CancelScope(shield=True):
                    await self._connection.rollback()

    async def _fetch(self, sql: str, values: tuple[Any, ...] | list[Any]) -> list[Row]:
        if self._overdue():
            raise self._timeout()
        try:
            rows = await self._connection.execute_fetchall(sql, values)
            return [tuple(row) for row in rows] if not isinstance(rows, list) else rows
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise self._timeout() from error
            raise translate(error, self.path) from error

    def _timeout(self) -> QueryTimeout:
        return QueryTimeout(
            f"the query took longer than {self.seconds:g} s; narrow it by time or a filter"
        )

    def _overdue(self) -> int:
        return int(bool(self._deadline) and time.monotonic() > self._deadline)

    async def start(self) -> None:
        """Check what was opened, and learn the journal's tag. Called by `open`."""
        await self._connection.set_progress_handler(self._overdue, _PROGRESS_STEPS)
        application = (await self._fetch("PRAGMA application_id", ()))[0][0]
        version = (await self._fetch("PRAGMA user_version", ()))[0][0]
        if application != APPLICATION_ID:
            raise JournalCorrupt(f"{self.path} is not a journal of collector")
        if version > SCHEMA_VERSION:
            raise JournalTooNew(f"{self.path} has schema {version}; upgrade collector to read it")
        self._tag = (await self._fetch("SELECT value FROM facts WHERE name = 'tag'", ()))[0][0]


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
            self._head = f"SELECT {columns}{extra} {FROM}"

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
        texts = len(SEARCH_TEXTS.split(","))
        kept = [row for row in rows if words.match(words_of(searchable(row[-texts:])))]
        if self._counted:
            return [(*row[: self.seq_at], 1) for row in kept]
        return [row[:-texts] for row in kept]


def _nested(columns: str) -> int:
    """Commas inside parentheses, which separate no columns."""
    depth = commas = 0
    for character in columns:
        depth += (character == "(") - (character == ")")
        commas += character == "," and depth > 0
    return commas


class _Opening:
    """Awaitable and async context manager, so that both spellings of opening work."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds = path, seconds
        self._reader: Reader | None = None

    def __await__(self) -> Any:
        return self._open().__await__()

    async def __aenter__(self) -> Reader:
        self._reader = await self._open()
        return self._reader

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._reader is not None
        await self._reader.close()

    async def _open(self) -> Reader:
        if not self._path.exists():
            raise JournalError(
                f"{self._path}: no journal is there; is the daemon running, or is --db missing?"
            )
        try:
            return await self._try("mode=ro")
        except JournalError:
            if not _at_rest(self._path):
                raise
            return await self._try("mode=ro&immutable=1")

    async def _try(self, mode: str) -> Reader:
        uri = f"file:{quote(os.fspath(self._path.absolute()))}?{mode}"
        try:
            connection = await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=1.0)
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
        reader = Reader(connection, self._path, self._seconds)
        try:
            await reader.start()
        except BaseException:
            await connection.close()
            raise
        return reader


def _at_rest(path: Path) -> bool:
    """Whether nobody can be writing: there is no write-ahead log. Only then may locks be skipped."""
    return not wal_of(path).exists()
