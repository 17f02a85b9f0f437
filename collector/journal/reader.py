"""Readers: read-only connections on aiosqlite, in any process, with or without a daemon.

Every answer is taken from one snapshot: a read transaction that begins before the cursors are read
and ends when the answer is complete. It is worked out as a whole in the connection's own thread, so
that it costs the event loop one wait, however many statements it takes. Pages go by `seq`, and no
transaction outlives a page, so that a reader never keeps the write-ahead log from being checkpointed
for long.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
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
from collector.core.retention import Limits
from collector.errors import JournalCorrupt, JournalError, JournalTooNew
from collector.event import Entry
from collector.journal import counting
from collector.journal.connection import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    translated,
    wal_of,
)
from collector.journal.files import check_before_reading
from collector.journal.finding import Row, collect, matching
from collector.journal.foresight import Removal, removal
from collector.journal.id_index import stored_seq
from collector.journal.planning import Fetch
from collector.journal.rows import SELECT, entry
from collector.journal.search import read_cursors
from collector.journal.snapshot import Answer, Snapshot
from collector.journal.sqlite_version import require_sqlite

QUERY_SECONDS: Final = 5.0
"""Longest time that one query may take."""
COUNT_CAP: Final = 10_000
EXPORT_PAGE: Final = 500
JOIN_SECONDS: Final = 5.0
"""How long the thread of a connection that failed is waited for; its last step takes microseconds."""
CACHE_KIB: Final = 8192
"""Pages that a reader keeps, so that the tail of the log is not fetched anew for each page."""
_SEQ_MAX: Final = 2**63 - 1


class Reader:
    """Read-only connections. Open with `Reader.open`, or `async with Reader.open(path)`."""

    def __init__(
        self, connections: Sequence[aiosqlite.Connection], path: Path, seconds: float
    ) -> None:
        self.path = path
        self.seconds = seconds
        self._connections = tuple(connections)
        self._idle = list(connections)
        self._free = anyio.Semaphore(len(connections))
        self._tag = 0

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        seconds: float = QUERY_SECONDS,
        connections: int = 1,
        at_rest: bool = False,
    ) -> _Opening:
        """A reader of the journal at `path`; queries end after `seconds`. Raises `JournalError`.

        With several `connections`, so many questions are answered at a time. `at_rest` says that
        nobody can be writing to the file, so that nothing need be made beside it.
        """
        return _Opening(Path(path), seconds, connections, at_rest)

    async def close(self) -> None:
        """End the connection and its thread, also while being cancelled: it would outlive the loop."""
        with anyio.CancelScope(shield=True):
            for connection in self._connections:
                await connection.close()

    # ── what readers ask ────────────────────────────────────────────────────────────────────────

    async def page(
        self,
        wanted: Filter,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Page:
        """Newest first, from below `before`; with `after`, oldest first from above it."""
        return await self._ask(lambda fetch: self._page(fetch, wanted, before, after, limit))

    def _page(
        self, fetch: Fetch, wanted: Filter, before: int | None, after: int | None, limit: int
    ) -> Page:
        rows = collect(fetch, wanted, before, after, limit + 1)
        entries = [entry(row, self._tag) for row in rows[:limit]]
        page = Page(entries=entries, has_more=len(rows) > limit)
        if entries and page.has_more:
            if after is None:
                page.next_before = entries[-1].seq
            else:
                page.next_after = entries[-1].seq
        return page

    async def entry(self, key: int | str) -> Entry | None:
        """One entry by its seq or its id; None where there is none."""
        return await self._ask(lambda fetch: self._entry(fetch, key))

    def _entry(self, fetch: Fetch, key: int | str) -> Entry | None:
        seq = key if isinstance(key, int) else _seq_of(fetch, key, self._tag)
        if seq is None or not 0 < seq <= _SEQ_MAX:
            return None
        rows = fetch(f"{SELECT} WHERE log.seq = ?", (seq,))
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
        return await self._ask(lambda fetch: _count(fetch, wanted, cap))

    async def counts(self, by: CountBy, bucket: Bucket | None, wanted: Filter) -> list[Count]:
        """Counts by a dimension and, with `bucket`, by hour or day; oldest bucket, then greatest.

        Unfiltered counts (but for the range of time) include entries that are pruned by now.
        """
        return await self._ask(lambda fetch: counting.counts(fetch, by, bucket, wanted))

    async def flows(self) -> dict[tuple[str, str], int]:
        """How many events came by each source with each outcome, pruned ones included."""
        return await self._ask(counting.flows)

    async def facets(self, wanted: Filter) -> dict[str, list[tuple[str, int]]]:
        """For each dimension the values that occur among what matches, most frequent first."""
        return await self._ask(lambda fetch: counting.facets(fetch, wanted))

    async def removal(self, limits: Limits, now: int, *, slack: bool) -> Removal:
        """What limits would remove at `now` (µs); see `foresight.removal`."""
        return await self._ask(lambda fetch: removal(fetch, limits, now, slack))

    async def devices(self) -> list[dict[str, Any]]:
        """The device registry's rows."""
        rows = await self.fetch("SELECT body FROM devices ORDER BY id")
        return [msgspec.json.decode(body) for (body,) in rows]

    async def last_seq(self) -> int:
        """The newest seq; 0 in an empty journal."""
        rows = await self.fetch(
            "SELECT max(coalesce((SELECT max(seq) FROM log), 0),"
            " coalesce((SELECT value FROM facts WHERE name = 'last_seq'), 0))"
        )
        last: int = rows[0][0]
        return last

    async def info(self) -> dict[str, Any]:
        """Facts for people: journal id, first and last seq, followers' cursors, bytes."""
        return await self._ask(_info)

    async def fetch(self, sql: str, values: tuple[Any, ...] = ()) -> list[Row]:
        """Rows of one SELECT, for rooms that keep tables of their own. Raises `JournalError`."""
        return await self._ask(lambda fetch: fetch(sql, values))

    # ── the connection ──────────────────────────────────────────────────────────────────────────

    async def _ask(self, question: Callable[[Fetch], Answer]) -> Answer:
        """Have a question answered from one snapshot, in the connection's thread."""
        async with self._free:
            connection = self._idle.pop()
            try:
                return await self._answer(connection, question)
            finally:
                self._idle.append(connection)

    async def _answer(
        self, connection: aiosqlite.Connection, question: Callable[[Fetch], Answer]
    ) -> Answer:
        snapshot = Snapshot(self.path, self.seconds)
        try:
            # aiosqlite's own door to its thread; each of its public methods goes through it, one
            # statement at a time.
            run: Callable[..., Awaitable[Answer]] = connection._execute
            return await run(lambda: snapshot.answer(connection._conn, question))
        except BaseException:
            snapshot.abandon()
            raise

    async def start(self) -> None:
        """Check what was opened, and learn the journal's tag. Called by `open`."""
        for connection in self._connections:
            self._tag = await self._answer(connection, self._checked)

    def _checked(self, fetch: Fetch) -> int:
        fetch(f"PRAGMA cache_size = -{CACHE_KIB}", ())
        fetch("PRAGMA trusted_schema = OFF", ())
        if fetch("PRAGMA application_id", ())[0][0] != APPLICATION_ID:
            raise JournalCorrupt(f"{self.path} is not a journal of collector")
        version = fetch("PRAGMA user_version", ())[0][0]
        if version > SCHEMA_VERSION:
            raise JournalTooNew(f"{self.path} has schema {version}; upgrade collector to read it")
        found = fetch("SELECT value FROM facts WHERE name = 'tag'", ())
        if not found and fetch("SELECT 1 FROM log LIMIT 1", ()):
            raise JournalCorrupt(f"{self.path} is not a whole journal: its fact `tag` is missing")
        tag: int = found[0][0] if found else 0  # a copy of one that has only begun
        return tag


def _count(fetch: Fetch, wanted: Filter, cap: int) -> tuple[int, bool]:
    total = 0
    for rows in matching(fetch, wanted, "log.seq"):
        total += len(rows)
        if total > cap:
            return cap, False
    return total, True


def _info(fetch: Fetch) -> dict[str, Any]:
    cursors = read_cursors(fetch)
    facts: dict[str, Any] = dict(
        fetch("SELECT name, value FROM facts WHERE name IN ('journal_id', 'last_seq')", ())
    )
    pages = fetch("SELECT page_count FROM pragma_page_count()", ())[0][0]
    size = fetch("SELECT page_size FROM pragma_page_size()", ())[0][0]
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


def _seq_of(fetch: Fetch, key: str, tag: int) -> int | None:
    """The seq that an id names, assigned or chosen by its producer."""
    try:
        raw = UUID(key).bytes
    except ValueError:
        return None
    assigned = assigned_seq(raw, tag)
    if assigned is not None:
        rows = fetch("SELECT occurred_at + delay FROM log WHERE seq = ? AND id = x''", (assigned,))
        if rows and UUID(assigned_id(rows[0][0], tag, assigned)).bytes == raw:
            return assigned
    newest = fetch(
        "SELECT seq FROM log WHERE id = ? AND seq >"
        " coalesce((SELECT value FROM facts WHERE name = 'cursor.ids'), 0) LIMIT 1",
        (raw,),
    )
    if newest:
        seq: int = newest[0][0]
        return seq
    return stored_seq(fetch, raw, schema=fetch("PRAGMA user_version", ())[0][0])


class _Opening:
    """Awaitable and async context manager, so that both spellings of opening work."""

    def __init__(self, path: Path, seconds: float, connections: int, at_rest: bool) -> None:
        self._path, self._seconds, self._count = path, seconds, connections
        self._at_rest = at_rest
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
        require_sqlite()
        check_before_reading(self._path)
        if self._at_rest:
            return await self._try("mode=ro&immutable=1")
        try:
            return await self._try("mode=ro")
        except JournalError:
            if not _at_rest(self._path):
                raise
            return await self._try("mode=ro&immutable=1")

    async def _try(self, mode: str) -> Reader:
        uri = f"file:{quote(os.fspath(self._path.absolute()))}?{mode}"
        connections: list[aiosqlite.Connection] = []
        try:
            with translated(self._path):
                while len(connections) < self._count:
                    connections.append(await _connected(uri))
            reader = Reader(connections, self._path, self._seconds)
            await reader.start()
        except BaseException:
            with anyio.CancelScope(shield=True):
                for connection in connections:
                    await connection.close()
            raise
        return reader


async def _connected(uri: str) -> aiosqlite.Connection:
    """A connection, or what SQLite has against it, and then no thread of it either.

    aiosqlite only asks its thread to end. The thread would answer a loop that may be closed by then.
    """
    connection = aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=1.0)
    try:
        return await connection
    except BaseException:
        thread: Any = getattr(connection, "_thread", connection)  # before 0.22 it is one itself
        thread.join(JOIN_SECONDS)
        raise


def _at_rest(path: Path) -> bool:
    """Whether nobody can be writing: there is no write-ahead log. Only then may locks be skipped."""
    return not wal_of(path).exists()
