"""Tallying: how often each value occurs in the whole log, from the sizes of its postings.

A posting holds one bit or two bytes an entry, so its length is a count and nothing of the log needs
to be read. That is exact for segments whose postings are complete and speak of no entry that is
gone; the others are named, for the caller to go through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from collector.core.query import KIND_FIELDS
from collector.journal.followers.base import STALE
from collector.journal.planning import Fetch
from collector.journal.postings import BITMAP_BYTES, SEGMENT_BITS, TAGS, term
from collector.journal.search import read_cursors

SEGMENTS_AT_ONCE: Final = 64


def tally(fetch: Fetch, found: dict[str, Counter[str]], actor: str) -> list[tuple[int, int]]:
    """Add up what postings tell; returns the ranges of seqs that are still to be counted.

    `found` maps each field that is asked for to counts by value. `actor` is the SQL for an actor's name.
    """
    cursors = read_cursors(fetch)
    names = fetch(f"SELECT name FROM facts WHERE name GLOB '{STALE}*'", ())
    stale = {int(name.removeprefix(STALE)) for (name,) in names}
    end = (cursors.postings + 1) >> SEGMENT_BITS
    exact = [n for n in range(cursors.first >> SEGMENT_BITS, end) if n not in stale]
    by_term: Counter[bytes] = Counter()
    for start in range(0, len(exact), SEGMENTS_AT_ONCE):
        _add(by_term, exact[start : start + SEGMENTS_AT_ONCE], fetch, found)
    for field, value, key in _named(fetch, actor, found):
        if by_term[key]:
            found[field][value] += by_term[key]
    rest = [(n << SEGMENT_BITS, (n + 1 << SEGMENT_BITS) - 1) for n in sorted(stale) if n < end]
    return [*rest, (end << SEGMENT_BITS, 2**62)]


def _add(by_term: Counter[bytes], segments: list[int], fetch: Fetch, fields: Iterable[str]) -> None:
    values = ",".join(f"({number})" for number in segments)
    for field in fields:
        tag = TAGS[field]
        rows = fetch(
            f"WITH wanted (n) AS (VALUES {values}) SELECT term, length(offsets) / 2,"
            f" CASE length(offsets) WHEN {BITMAP_BYTES} THEN offsets END"
            " FROM wanted CROSS JOIN postings ON segment = n AND term >= ? AND term < ?",
            (tag, bytes([tag[0] + 1])),
        )
        for key, count, bitmap in rows:
            dense = bitmap is not None
            by_term[key] += int.from_bytes(bitmap, "little").bit_count() if dense else count


def _named(fetch: Fetch, actor: str, fields: Iterable[str]) -> Iterator[tuple[str, str, bytes]]:
    """Every value that the dictionaries hold for these fields, with its term."""
    for field in KIND_FIELDS:
        if field not in fields:
            continue
        for (value,) in fetch(f"SELECT DISTINCT {field} FROM kinds", ()):
            yield field, value, term(field, value)
    if "actor" not in fields:
        return
    for number, name in fetch(f"SELECT principal, {actor} FROM principals AS actor", ()):
        yield "actor", name, term("actor", number)
