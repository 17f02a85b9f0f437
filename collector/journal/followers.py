"""Followers: what makes reading fast, derived from the log behind the writer's back.

Each follower has a cursor, the last seq it has derived from, and a generator of small steps. The
janitor takes steps for as long as its slice lasts; no transaction stays open between two of them, so
recording goes on in between. Where it adds up (totals) a step writes its rows and its cursor in one
transaction; where it is idempotent (postings, ids, words) rows are staged first and the cursor
follows, and readers look at nothing beyond the cursor.

Derived rows are committed with `synchronous=NORMAL`: they need no sync of their own, since the next
acknowledged commit syncs the write-ahead log up to and including them, and if none follows, losing
them costs the work of deriving them again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final
from zlib import crc32

import msgspec

from collector.core.query import KIND_FIELDS
from collector.core.words import unescaped, words_of
from collector.journal.connection import translated
from collector.journal.postings import (
    CHUNK_BITS,
    DENSE,
    SEGMENT,
    SEGMENT_BITS,
    bits,
    encode,
    encode_bits,
    term,
)
from collector.journal.writer import Journal

READ_ROWS: Final = 512
"""Log rows read in one step."""
WRITE_ROWS: Final = 256
"""Derived rows written in one step and transaction."""
SEARCH_ROWS: Final = 128
"""Rows whose words are taken in one step."""
IDS_BATCH: Final = 32_768
"""Ids merged into their index at once: random ones touch a page each, so few large merges."""
IDS_MOST: Final = 131_072
"""Ids merged at once where a flood has left more; each step over them stays small."""
IDS_SMALL: Final = 4_096
"""Ids that are worth a merge when there is nothing else to do."""
IDS_LAG: Final = 65_536
"""Entries behind which the cursor may stay at most, however few ids they brought: a start, and a look
for an id, go through the log from there on."""

STALE: Final = "stale."
"""Facts named so, with the number of a segment behind, tell that entries were removed from it while
others stayed, so its postings and words speak of some that are gone. The value counts removals."""

DERIVED_FRAMES: Final = 8
"""Pages that a derived transaction writes, about; see `Journal.frames`."""

Step = Iterator[None]


class Follower(ABC):
    """One derived structure. `behind` tells how much there is to do, `steps` does one batch of it."""

    name: str

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.cursor = journal.cursor(self.name)

    @property
    def lag(self) -> int:
        """Entries of the log that are not derived from yet."""
        return self.journal.last_seq - self.cursor

    @abstractmethod
    def due(self, idle: bool) -> bool:
        """Whether a batch is worth doing; more is while the daemon is idle."""

    @abstractmethod
    def steps(self) -> Step:
        """Do one batch in small steps."""

    @abstractmethod
    def reset(self) -> Iterable[str]:
        """The SQL that forgets everything derived."""

    def _advance(self, cursor: int) -> None:
        """Store the cursor within the current transaction."""
        self.journal.set_fact(f"cursor.{self.name}", cursor)


@contextmanager
def derived(journal: Journal) -> Iterator[None]:
    """A transaction whose loss would cost time and nothing else; see above."""
    run = journal.connection.execute
    run("PRAGMA synchronous = NORMAL")
    try:
        with journal.transaction():
            yield
        journal.frames += DERIVED_FRAMES
    finally:
        run("PRAGMA synchronous = FULL")


class Totals(Follower):
    """Counts by hour and day, and the range of time of each chunk. Its cursor may stand anywhere."""

    name = "totals"

    def due(self, idle: bool) -> bool:
        return self.lag >= (1 if idle else READ_ROWS * 8)

    def steps(self) -> Step:
        self.derive(self.journal.last_seq)
        yield

    def derive(self, up_to: int) -> None:
        """Count the entries up to the end of the cursor's chunk, none beyond `up_to`."""
        first = self.cursor + 1
        chunk = first >> CHUNK_BITS
        last = min(((chunk + 1) << CHUNK_BITS) - 1, up_to)
        if first > last:
            return
        with translated(self.journal.path):
            hours = self.journal.connection.execute(_HOURS, (first, last)).fetchall()
            least, greatest = self.journal.connection.execute(_RANGE, (first, last)).fetchone()
        days: Counter[tuple[int, int]] = Counter()
        for hour, kind, count in hours:
            days[hour // 24, kind] += count
        rows = [(3600, *row) for row in hours] + [(86400, *key, n) for key, n in days.items()]
        with derived(self.journal):
            self.journal.connection.executemany(_ADD_TOTAL, rows)
            if least is not None:
                self.journal.connection.execute(_ADD_RANGE, (chunk, least, greatest))
            self._advance(last)
        self.cursor = last

    def reset(self) -> Iterable[str]:
        return ("DELETE FROM chunks",)


def floor(span: int) -> str:
    """SQL for the number of whole spans (in seconds) from the epoch to `occurred_at`."""
    return f"(occurred_at - (occurred_at < 0) * ({span}000000 - 1)) / {span}000000"


_HOURS: Final = (
    f"SELECT {floor(3600)}, kind, count(*) FROM log WHERE seq BETWEEN ? AND ? GROUP BY 1, 2"
)
_RANGE: Final = "SELECT min(occurred_at), max(occurred_at) FROM log WHERE seq BETWEEN ? AND ?"
_ADD_TOTAL: Final = (
    "INSERT INTO totals VALUES (?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET count = count + excluded.count"
)
_ADD_RANGE: Final = (
    "INSERT INTO chunks VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET"
    " least = min(least, excluded.least), greatest = max(greatest, excluded.greatest)"
)


class Segmented(Follower):
    """A follower that works on one complete segment at a time; its cursor is a segment's end."""

    def due(self, idle: bool) -> bool:
        return self.journal.last_seq >= self.end

    @property
    def segment(self) -> int:
        """The segment that comes next."""
        return (self.cursor + 1) >> SEGMENT_BITS

    @property
    def end(self) -> int:
        """The last seq of the segment that comes next."""
        return ((self.segment + 1) << SEGMENT_BITS) - 1

    def _read(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of the segment, `READ_ROWS` seqs at a time."""
        start, end = self.segment << SEGMENT_BITS, self.end
        for first in range(start, end + 1, READ_ROWS):
            with translated(self.journal.path):
                yield self.journal.connection.execute(
                    sql, (first, min(first + READ_ROWS - 1, end))
                ).fetchall()

    def _write(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> Step:
        """Stage rows, then store the cursor."""
        pending = iter(rows)
        while batch := list(islice(pending, WRITE_ROWS)):
            with derived(self.journal):
                self.journal.connection.executemany(sql, batch)
            yield
        end = self.end
        with derived(self.journal):
            self._advance(end)
        self.cursor = end
        yield


class Postings(Segmented):
    """Postings of every filter but the full text's."""

    name = "postings"

    def steps(self) -> Step:
        by_kind: dict[int, list[int]] = defaultdict(list)
        actors: dict[int, list[int]] = defaultdict(list)
        targets: dict[int, list[int]] = defaultdict(list)
        scopes: dict[int, list[int]] = defaultdict(list)
        objects: dict[str, list[int]] = defaultdict(list)
        correlations: dict[str, list[int]] = defaultdict(list)
        for rows in self._read(_POSTED):
            for offset, kind, actor, target, scope, object_id, correlation in rows:
                by_kind[kind].append(offset)
                actors[actor].append(offset)
                if object_id:
                    objects[object_id].append(offset)
                if target:
                    targets[target].append(offset)
                if scope:
                    scopes[scope].append(offset)
                if correlation:
                    correlations[correlation].append(offset)
            yield
        terms = list(self._kind_terms(by_kind))
        yield
        for field, values in (("actor", actors), ("target", targets), ("scope", scopes)):
            terms += [(term(field, value), encode(at)) for value, at in values.items()]
        for field, texts in (("object_id", objects), ("correlation_id", correlations)):
            pending = iter(texts.items())
            while batch := list(islice(pending, WRITE_ROWS * 2)):
                terms += [(term(field, text), encode(at)) for text, at in batch]
                yield
        terms.sort()
        yield
        segment = self.segment
        rows_ = ((segment, key, offsets) for key, offsets in terms)
        yield from self._write("INSERT OR REPLACE INTO postings VALUES (?, ?, ?)", rows_)

    def _kind_terms(self, by_kind: dict[int, list[int]]) -> Iterator[tuple[bytes, bytes]]:
        """A kind's offsets count for each of its eight texts."""
        texts: dict[tuple[str, str], list[int]] = defaultdict(list)
        columns = ", ".join(KIND_FIELDS)
        with translated(self.journal.path):
            rows = self.journal.connection.execute(f"SELECT kind, {columns} FROM kinds").fetchall()
        for kind, *values in rows:
            if kind in by_kind:
                for field, value in zip(KIND_FIELDS, values, strict=True):
                    if value:
                        texts[field, value].append(kind)
        as_bits = {kind: bits(offsets) for kind, offsets in by_kind.items()}
        for (field, value), kinds in texts.items():
            if sum(len(by_kind[kind]) for kind in kinds) >= DENSE:
                union = 0
                for kind in kinds:
                    union |= as_bits[kind]
                yield term(field, value), encode_bits(union)
            else:
                yield term(field, value), encode(sorted(o for kind in kinds for o in by_kind[kind]))

    def reset(self) -> Iterable[str]:
        return ("DELETE FROM postings",)


_POSTED: Final = (
    f"SELECT seq & {SEGMENT - 1}, kind, actor, target, scope, object_id, correlation_id"
    " FROM log WHERE seq BETWEEN ? AND ?"
)


class Ids(Follower):
    """The index of ids that producers chose, behind the tail that the writer keeps in memory."""

    name = "ids"

    def due(self, idle: bool) -> bool:
        ids, far = len(self.journal.tail_ids), self.lag >= IDS_LAG
        return ids >= IDS_SMALL or far if idle else ids >= IDS_BATCH or (far and ids < IDS_SMALL)

    def steps(self) -> Step:
        journal = self.journal
        taken = list(islice(journal.tail_ids.items(), IDS_MOST))
        whole = len(taken) == len(journal.tail_ids)
        up_to = journal.last_seq if whole else taken[-1][1]
        yield
        buckets: list[list[tuple[bytes, int]]] = [[] for _ in range(256)]
        for start in range(0, len(taken), IDS_SMALL):
            for item in taken[start : start + IDS_SMALL]:
                buckets[item[0][0]].append(item)
            yield
        for bucket in buckets:
            bucket.sort()
            for start in range(0, len(bucket), WRITE_ROWS):
                batch = bucket[start : start + WRITE_ROWS]
                with derived(journal):
                    journal.connection.executemany(_ADD_ID, batch)
                yield
        with derived(journal):
            self._advance(up_to)
        self.cursor = journal.ids_cursor = up_to
        yield
        for start in range(0, len(taken), IDS_SMALL):
            for raw, seq in taken[start : start + IDS_SMALL]:
                if journal.tail_ids.get(raw) == seq:  # else pruned, and perhaps recorded anew
                    del journal.tail_ids[raw]
            yield

    def reset(self) -> Iterable[str]:
        return ("DELETE FROM ids",)


_ADD_ID: Final = "INSERT OR REPLACE INTO ids VALUES (?, ?)"


class Search(Segmented):
    """Words of the full text, and a checksum of every row, which needs the whole row as well."""

    name = "words"

    def due(self, idle: bool) -> bool:
        return super().due(idle) and (idle or self.lag >= 4 * SEGMENT)

    def steps(self) -> Step:
        words: dict[str, list[int]] = defaultdict(list)
        sums: dict[int, int] = defaultdict(int)
        start, removals = self.segment << SEGMENT_BITS, self._removals()
        for rows in self._read(_SEARCHED):
            for at in range(0, len(rows), SEARCH_ROWS):
                for texts, row in map(_split, rows[at : at + SEARCH_ROWS]):
                    seq = row[0]
                    for word in words_of(texts):
                        words[word].append(seq - start)
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
        rows_ = ((segment, word, encode(words[word])) for word in keys)
        yield from self._write("INSERT OR REPLACE INTO words VALUES (?, ?, ?)", rows_)

    def _removals(self) -> tuple[int, int]:
        """What changes with every removal from the segment."""
        count: int = self.journal.fact(f"{STALE}{self.segment}", 0)
        return count, self.journal.first_seq()

    def reset(self) -> Iterable[str]:
        return ("DELETE FROM words", "DELETE FROM checksums")


SEARCH_TEXTS: Final = (
    "kinds.action, kinds.object_type, actor.type, actor.id, actor.name,"
    " log.object_id, log.object_name, log.message, log.metadata"
)
"""The columns that the full text covers, for a query that joins `kinds` and the actor."""

_SEARCHED: Final = (
    f"SELECT {SEARCH_TEXTS}, log.* FROM log JOIN kinds USING (kind)"
    " LEFT JOIN principals AS actor ON actor.principal = log.actor"
    " WHERE log.seq BETWEEN ? AND ?"
)
_TEXTS: Final = SEARCH_TEXTS.count(",") + 1
_packed: Final = msgspec.msgpack.Encoder().encode


def _split(row: tuple[Any, ...]) -> tuple[list[str], tuple[Any, ...]]:
    return searchable(row[:_TEXTS]), row[_TEXTS:]


def searchable(texts: tuple[str | None, ...]) -> list[str]:
    """The values of `SEARCH_TEXTS` as text to take words from; the last is metadata in JSON."""
    *plain, metadata = texts
    return [*filter(None, plain), unescaped(metadata or "")]


def checksum(row: tuple[Any, ...]) -> int:
    """The CRC-32 of a row of the log, every column in order."""
    return crc32(_packed(row))


def all_followers(journal: Journal) -> list[Follower]:
    """Every follower, the most urgent first."""
    return [Totals(journal), Ids(journal), Postings(journal), Search(journal)]
