"""Sweeping: clears away what the log no longer refers to.

Pruning leaves behind index rows of removed entries and texts that nothing mentions any more. What
was pruned, cleared or forgotten must not live on in an index or a dictionary, so it goes too: whole
segments at once, ids and dictionaries by walking through them in order, a small step at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from collector.journal.connection import translated
from collector.journal.followers import derived
from collector.journal.postings import CHUNK_BITS, SEGMENT_BITS
from collector.journal.writer import Journal

STEP_ROWS: Final = 512
VACUUM_PAGES: Final = 64
"""Pages given back to the file system in one step."""
VACUUM_AT: Final = 256
"""Free pages from which on giving them back is worth it."""

_DICTIONARIES: Final = (
    ("principals", "principal", ("actor", "on_behalf_of", "target")),
    ("producers", "producer", ("producer",)),
    ("scopes", "scope", ("scope",)),
    ("kinds", "kind", ("kind",)),
)


def stale_segments(journal: Journal) -> Iterator[None]:
    """Drop what is derived from segments and chunks that are pruned away."""
    first = journal.first_seq()
    segment, chunk = first >> SEGMENT_BITS, first >> CHUNK_BITS
    for table, key in (("postings", "term"), ("words", "word")):
        while True:
            with derived(journal):
                gone = journal.connection.execute(
                    f"DELETE FROM {table} WHERE (segment, {key}) IN"
                    f" (SELECT segment, {key} FROM {table} WHERE segment < ? LIMIT {STEP_ROWS})",
                    (segment,),
                ).rowcount
            yield
            if gone < STEP_ROWS:
                break
    with derived(journal):
        journal.connection.execute("DELETE FROM chunks WHERE chunk < ?", (chunk,))
        journal.connection.execute("DELETE FROM checksums WHERE chunk < ?", (chunk,))
    yield


def stale_ids(journal: Journal) -> Iterator[None]:
    """Drop index rows of ids whose entries are gone."""
    after = b""
    while True:
        with translated(journal.path):
            rows = journal.connection.execute(
                "SELECT ids.id, log.seq IS NULL FROM ids LEFT JOIN log ON log.seq = ids.seq"
                f" AND log.id = ids.id WHERE ids.id > ? ORDER BY ids.id LIMIT {STEP_ROWS}",
                (after,),
            ).fetchall()
        if not rows:
            return
        after = rows[-1][0]
        stale = [(raw,) for raw, gone in rows if gone]
        if stale:
            with derived(journal):
                journal.connection.executemany("DELETE FROM ids WHERE id = ?", stale)
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
    with translated(journal.path):
        kinds = journal.connection.execute(
            "SELECT DISTINCT kind FROM totals WHERE span = 86400"
        ).fetchall()
    live["kinds"].update(kind for (kind,) in kinds)
    yield
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
