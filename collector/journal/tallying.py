"""Tallying: how often each value occurs in whole segments, from the sizes of their postings.

A posting holds one bit or two bytes an entry, so its length is a count and nothing of the log needs
to be read. That is exact for segments whose postings are complete and speak of no entry that is
gone and, where times matter, whose entries all lie on the same side of every bound; the others are
named, for the caller to go through.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct, field

from collector.core.query import KIND_FIELDS
from collector.journal.followers.base import STALE
from collector.journal.planning import Fetch
from collector.journal.postings import BITMAP_BYTES, CHUNK_BITS, SEGMENT_BITS, TAGS, term
from collector.journal.search import Cursors, read_cursors

SEGMENTS_AT_ONCE: Final = 64
_END: Final = 2**62


class Known(Struct):
    """Segments whose postings tell all, by bucket (0 without one), and the ranges that are left."""

    segments: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    rest: list[tuple[int, int]] = field(default_factory=list)

    def leave(self, first: int, last: int) -> None:
        """These seqs are still to be counted; neighbours become one range."""
        if self.rest and self.rest[-1][1] == first - 1:
            first = self.rest.pop()[0]
        self.rest.append((first, last))


def known(fetch: Fetch, since: int | None, until: int | None, span: int | None) -> Known:
    """What the postings tell of the entries from `since` on and before `until`, by `span`s of time.

    Times are in µs. What lies outside altogether is neither told nor left.
    """
    cursors = read_cursors(fetch)
    stale = _stale(fetch)
    timed = since is not None or until is not None or span is not None
    times = _times(fetch, cursors) if timed else {}
    low, high = -_END if since is None else since, _END if until is None else until
    found = Known()
    end = (cursors.postings + 1) >> SEGMENT_BITS
    for segment in range(cursors.first >> SEGMENT_BITS, end):
        least, greatest = times.get(segment, (-_END, _END) if timed else (0, 0))
        if greatest < low or least >= high:
            continue
        bucket = least // span if span else 0
        within = low <= least and greatest < high and (not span or greatest // span == bucket)
        if within and segment not in stale:
            found.segments[bucket].append(segment)
        else:
            found.leave(segment << SEGMENT_BITS, (segment + 1 << SEGMENT_BITS) - 1)
    found.leave(end << SEGMENT_BITS, _END)
    return found


def tally(fetch: Fetch, segments: list[int], names: Names) -> Counter[tuple[str, str]]:
    """How often each field has each value in some segments, for the fields of `names`."""
    by_term: Counter[bytes] = Counter()
    for start in range(0, len(segments), SEGMENTS_AT_ONCE):
        _add(by_term, segments[start : start + SEGMENTS_AT_ONCE], fetch, names.fields)
    found: Counter[tuple[str, str]] = Counter()
    for key, count in by_term.items():
        if count and key in names.of_term:
            found[names.of_term[key]] += count
    return found


class Names:
    """What the terms of some fields stand for. `actor` is the SQL for an actor's name."""

    def __init__(self, fetch: Fetch, fields: Iterable[str], actor: str) -> None:
        self.fields = tuple(fields)
        self.of_term = {key: (name, value) for name, value, key in self._every(fetch, actor)}

    def _every(self, fetch: Fetch, actor: str) -> Iterator[tuple[str, str, bytes]]:
        for name in self.fields:
            if name in KIND_FIELDS:
                for (value,) in fetch(f"SELECT DISTINCT {name} FROM kinds", ()):
                    yield name, value, term(name, value)
        if "actor" in self.fields:
            for number, value in fetch(f"SELECT principal, {actor} FROM principals AS actor", ()):
                yield "actor", value, term("actor", number)


def _stale(fetch: Fetch) -> set[int]:
    """Segments whose postings speak of entries that are gone."""
    names = fetch(f"SELECT name FROM facts WHERE name GLOB '{STALE}*'", ())
    return {int(name.removeprefix(STALE)) for (name,) in names}


def _times(fetch: Fetch, cursors: Cursors) -> dict[int, tuple[int, int]]:
    """The least and greatest time in each segment all of whose times are known, or more than that."""
    shift = SEGMENT_BITS - CHUNK_BITS
    rows = fetch(f"SELECT chunk >> {shift}, min(least), max(greatest) FROM chunks GROUP BY 1", ())
    end = (cursors.totals + 1) >> SEGMENT_BITS
    return {segment: (least, greatest) for segment, least, greatest in rows if segment < end}


def _add(by_term: Counter[bytes], segments: list[int], fetch: Fetch, fields: Iterable[str]) -> None:
    values = ",".join(f"({number})" for number in segments)
    for name in fields:
        tag = TAGS[name]
        rows = fetch(
            f"WITH wanted (n) AS (VALUES {values}) SELECT term, length(offsets) / 2,"
            f" CASE length(offsets) WHEN {BITMAP_BYTES} THEN offsets END"
            " FROM wanted CROSS JOIN postings ON segment = n AND term >= ? AND term < ?",
            (tag, bytes([tag[0] + 1])),
        )
        for key, count, bitmap in rows:
            dense = bitmap is not None
            by_term[key] += int.from_bytes(bitmap, "little").bit_count() if dense else count
