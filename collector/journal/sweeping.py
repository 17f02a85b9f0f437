"""Sweeping: clears away what the log no longer refers to.

Pruning leaves behind index rows of removed entries and texts that nothing mentions any more. What
was pruned, cleared or forgotten must not live on in an index or a dictionary, so it goes too: whole
segments at once, ids and dictionaries by walking through them in order, a small step at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from collector.journal import fingerprints
from collector.journal.connection import translated
from collector.journal.fingerprints import BLOCK_BITS
from collector.journal.followers.base import STALE, derived
from collector.journal.postings import CHUNK_BITS, SEGMENT, SEGMENT_BITS, bits, only
from collector.journal.ring import extent
from collector.journal.writer import Journal

STEP_ROWS: Final = 512
TRIM_ROWS: Final = 64
"""Sets of offsets looked through in one step."""
VACUUM_PAGES: Final = 64
"""Pages given back to the file system in one step."""
LOOK_ROWS: Final = 2_048
"""Rows of an index looked through in one step."""
SWEPT: Final = "swept"
"""The fact that holds the first segment that rotation may have passed and that was not swept since."""
VACUUM_AT: Final = 256
"""Free pages from which on giving them back is worth it."""

_CHUNK: Final = (1 << (1 << CHUNK_BITS)) - 1
"""All offsets of the first chunk of a segment."""
_DICTIONARIES: Final = (
    ("principals", "principal", ("actor", "on_behalf_of", "target")),
    ("producers", "producer", ("producer",)),
    ("scopes", "scope", ("scope",)),
    ("kinds", "kind", ("kind",)),
)


def emptied(
    journal: Journal, table: str, key: str, condition: str = "TRUE", values: tuple[int, ...] = ()
) -> Iterator[None]:
    """Remove the rows of a derived table that meet a condition, all by default, a step at a time.

    `key` is the table's primary key, columns separated by commas.
    """
    while True:
        with derived(journal):
            gone = journal.connection.execute(
                f"DELETE FROM {table} WHERE ({key}) IN"
                f" (SELECT {key} FROM {table} WHERE {condition} LIMIT {STEP_ROWS})",
                values,
            ).rowcount
        yield
        if gone < STEP_ROWS:
            return


def stale_segments(journal: Journal) -> Iterator[None]:
    """Drop what is derived from segments and chunks that are pruned away, or passed by rotation."""
    first = journal.first_seq()
    segment, chunk = first >> SEGMENT_BITS, first >> CHUNK_BITS
    block, of_block = segment >> BLOCK_BITS, "block, bucket, segment"
    for table, key in (("postings", "segment, term"), ("words", "segment, word")):
        yield from emptied(journal, table, key, "segment < ?", (segment,))
    yield from emptied(journal, "occurrences", of_block, "block < ?", (block,))
    rest = "block = ? AND segment < ?"
    yield from emptied(journal, "occurrences", of_block, rest, (block, segment))
    for table in ("chunks", "checksums"):
        yield from emptied(journal, table, "chunk", "chunk < ?", (chunk,))
    for passed in range(
        max(journal.fact(SWEPT, 0), segment), extent(journal).first >> SEGMENT_BITS
    ):
        yield from _trim_segment(journal, passed)


def _trim_segment(journal: Journal, segment: int) -> Iterator[None]:
    """Leave of what is derived from a segment only what tells of the ring's entries in it."""
    removals, live = journal.fact(f"{STALE}{segment}", 0), _live(journal, segment)
    for sets in _SETS:
        if live:
            yield from _trim(journal, sets, segment, live)
        else:
            where = sets.place.replace("?1", str(segment))
            yield from emptied(journal, sets.table, f"segment, {sets.key}", where)
    first = segment << SEGMENT_BITS - CHUNK_BITS
    chunks = range(first, (segment + 1) << SEGMENT_BITS - CHUNK_BITS)
    empty = [(n,) for n in chunks if not live >> (n - first << CHUNK_BITS) & _CHUNK]
    with derived(journal):
        for table in ("chunks", "checksums"):
            journal.connection.executemany(f"DELETE FROM {table} WHERE chunk = ?", empty)
        _clear_mark(journal, segment, removals)
        journal.set_fact(SWEPT, segment + 1)
    yield


def _clear_mark(journal: Journal, segment: int, removals: int) -> None:
    """A segment's postings speak of none that are gone, unless more went since."""
    journal.connection.execute(
        "DELETE FROM facts WHERE name = ? AND value = ?", (f"{STALE}{segment}", removals)
    )


def stale_postings(journal: Journal) -> Iterator[None]:
    """Take entries that are gone out of the postings and words of segments that still have others.

    A segment that a follower has not been through yet stays marked for the next time.
    """
    first = journal.first_seq() >> SEGMENT_BITS
    for segment, removals in stale(journal):
        end = (segment + 1 << SEGMENT_BITS) - 1
        if segment >= first:
            if _derived_up_to(journal) < end:
                continue
            live = _live(journal, segment)
            for sets in _SETS:
                yield from _trim(journal, sets, segment, live)
        with derived(journal):
            _clear_mark(journal, segment, removals)
        yield


def stale(journal: Journal) -> list[tuple[int, int]]:
    """Segments from which entries were removed while others stayed, and how often."""
    with translated(journal.path):
        rows = journal.connection.execute(
            f"SELECT name, value FROM facts WHERE name GLOB '{STALE}*'"
        ).fetchall()
    return sorted((int(name.removeprefix(STALE)), value) for name, value in rows)


def is_due(journal: Journal) -> bool:
    """Whether a segment's postings speak of entries that are gone, and can be made not to."""
    end = _derived_up_to(journal)
    return any((segment + 1 << SEGMENT_BITS) - 1 <= end for segment, _ in stale(journal))


def _derived_up_to(journal: Journal) -> int:
    return min(journal.cursor("postings"), journal.cursor("words"))


def _live(journal: Journal, segment: int) -> int:
    """The offsets of a segment whose entries are stored."""
    start = segment << SEGMENT_BITS
    with translated(journal.path):
        return bits(
            offset
            for (offset,) in journal.connection.execute(
                "SELECT seq - ? FROM log WHERE seq BETWEEN ? AND ?",
                (start, start, start + SEGMENT - 1),
            )
        )


class _Sets(NamedTuple):
    """A table of sets of offsets, each of one segment: what tells them apart, and takes some out."""

    table: str
    key: str
    column: str
    place: str
    only: Callable[[bytes, int], bytes]


_SETS: Final = (
    _Sets("postings", "term", "offsets", "segment = ?1", only),
    _Sets("words", "word", "offsets", "segment = ?1", only),
    _Sets(
        "occurrences",
        "bucket",
        "numbers",
        f"block = ?1 >> {BLOCK_BITS} AND segment = ?1",
        fingerprints.only,
    ),
)


def _trim(journal: Journal, sets: _Sets, segment: int, live: int) -> Iterator[None]:
    """Take what is not `live` out of one segment's sets; drop those that are empty then."""
    table, key, column, place, only_live = sets
    after: Any = None
    while True:
        with translated(journal.path):
            rows = journal.connection.execute(
                f"SELECT {key}, {column} FROM {table} WHERE {place}"
                f"{'' if after is None else f' AND {key} > ?2'} ORDER BY {key} LIMIT {TRIM_ROWS}",
                (segment,) if after is None else (segment, after),
            ).fetchall()
        if not rows:
            return
        after = rows[-1][0]
        kept = [(value, offsets, only_live(offsets, live)) for value, offsets in rows]
        with derived(journal):
            journal.connection.executemany(
                f"UPDATE {table} SET {column} = ?3 WHERE {place} AND {key} = ?2",
                [(segment, value, new) for value, old, new in kept if new and new != old],
            )
            journal.connection.executemany(
                f"DELETE FROM {table} WHERE {place} AND {key} = ?2",
                [(segment, value) for value, _, new in kept if not new],
            )
        yield


def stale_texts(journal: Journal, forget: Callable[[], None]) -> Iterator[None]:
    """Drop texts that no entry refers to any more. `forget` empties the caches that hold numbers.

    The log is walked once; what is recorded meanwhile is looked at before each removal, and the
    caches are emptied with it, so that no number is handed out again behind this function's back.
    """
    live: dict[str, set[int]] = {table: set() for table, _, _ in _DICTIONARIES}
    seen = journal.first_seq() - 1
    while seen < journal.last_seq:
        seen = _look(journal, live, seen, seen + STEP_ROWS)
        yield
    yield from _counted_kinds(journal, live["kinds"])
    for table, key, _ in _DICTIONARIES:
        after = 0
        while True:
            seen = _look(journal, live, seen, journal.last_seq)
            with translated(journal.path):
                numbers = journal.connection.execute(
                    f"SELECT {key} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT {STEP_ROWS}",
                    (after,),
                ).fetchall()
            if not numbers:
                break
            after = numbers[-1][0]
            dead = [row for row in numbers if row[0] not in live[table]]
            if dead:
                with derived(journal):
                    journal.connection.executemany(f"DELETE FROM {table} WHERE {key} = ?", dead)
                forget()
            yield


def _counted_kinds(journal: Journal, live: set[int]) -> Iterator[None]:
    """Note the kinds that totals still count."""
    at = (-(2**62), 0)
    while True:
        with translated(journal.path):
            rows = journal.connection.execute(
                "SELECT start, kind FROM totals WHERE span = 86400 AND (start, kind) > (?, ?)"
                f" ORDER BY start, kind LIMIT {LOOK_ROWS}",
                at,
            ).fetchall()
        if not rows:
            return
        at = rows[-1]
        live.update(kind for _, kind in rows)
        yield


def _look(journal: Journal, live: dict[str, set[int]], after: int, up_to: int) -> int:
    """Note what the entries of a range refer to; returns where the next look begins."""
    columns = [column for _, _, names in _DICTIONARIES for column in names]
    with translated(journal.path):
        rows: list[tuple[Any, ...]] = journal.connection.execute(
            f"SELECT {', '.join(columns)} FROM log WHERE seq > ? AND seq <= ?", (after, up_to)
        ).fetchall()
    if rows:
        by_column = iter(zip(*rows, strict=True))
        for table, _, names in _DICTIONARIES:
            for _name in names:
                live[table].update(next(by_column))
    return min(up_to, journal.last_seq)


def wipe(journal: Journal) -> Iterator[None]:
    """Leave no copy of what was removed in the write-ahead log, unless a reader is at work just now."""
    journal.wipe()
    yield


def give_back(journal: Journal) -> Iterator[None]:
    """Return free pages to the file system."""
    run = journal.connection.execute
    while True:
        with translated(journal.path):
            free = run("PRAGMA freelist_count").fetchone()[0]
            if free < VACUUM_AT:
                return
            with derived(journal):
                run(f"PRAGMA incremental_vacuum({min(VACUUM_PAGES, free)})").fetchall()
        yield
