"""Where to look: from a plan to ranges and lists of seqs, index and tail joined, in order.

The log is cut into stretches. A stretch that the followers have been through is narrowed down by
postings, words and times to the seqs that can match; the rest is scanned. Both give the reader seqs
in the asked-for order, and the reader's SQL decides. So a follower that is behind, or was deleted,
costs time and never an entry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from collector.journal import fingerprints
from collector.journal.cursors import cursor_fact
from collector.journal.planning import Fetch, Group, Plan
from collector.journal.postings import (
    CHUNK_BITS,
    FULL,
    SEGMENT,
    SEGMENT_BITS,
    decode,
    members,
    span,
)

FIRST_SEGMENTS, MOST_SEGMENTS = 2, 128
"""Segments whose postings are fetched at once: few at first, since a page often ends there."""
_CHUNKS: Final = 1 << (SEGMENT_BITS - CHUNK_BITS)


class Stretch(Struct):
    """Part of the log in which to look: `seqs` where they are known, else all from first to last."""

    first: int
    last: int
    seqs: list[int] | None = None


class Cursors(Struct, frozen=True):
    """How far the followers have come, and the log itself."""

    first: int
    last: int
    totals: int
    postings: int
    words: int


def read_cursors(fetch: Fetch) -> Cursors:
    """The cursors, within the current read transaction."""
    row = (fetch(_CURSORS, ()))[0]
    return Cursors(*row)


_CURSORS: Final = "SELECT coalesce((SELECT min(seq) FROM log), 1)" + "".join(
    f", coalesce(({one}), 0)"
    for one in (
        "SELECT max(seq) FROM log",
        *(
            f"SELECT value FROM facts WHERE name = '{cursor_fact(name)}'"
            for name in ("totals", "postings", "words")
        ),
    )
)


def stretches(
    plan: Plan, cursors: Cursors, first: int, last: int, ascending: bool, fetch: Fetch
) -> Iterator[Stretch]:
    """Where matches can be between two seqs (both included), in the asked-for order."""
    first, last = max(first, cursors.first), min(last, cursors.last)
    if plan.nothing or first > last:
        return
    if not plan.groups and plan.words is None and not plan.timed:
        yield Stretch(first, last)
        return
    indexed = _indexed_up_to(plan, cursors)
    tail = Stretch(max(first, indexed + 1), last)
    if not ascending and tail.first <= tail.last:
        yield tail
    if first <= indexed:
        end = min(last, indexed)
        masks = _time_masks(plan, cursors.totals, end, fetch)
        segments = _segments(first, end, ascending, masks)
        yield from _narrowed(plan, cursors, segments, first, end, ascending, masks, fetch)
    if ascending and tail.first <= tail.last:
        yield tail


def _indexed_up_to(plan: Plan, cursors: Cursors) -> int:
    """The last seq up to which at least one of the plan's indexes narrows the search."""
    ends = []
    if plan.groups:
        ends.append(cursors.postings)
    if plan.words is not None:
        ends.append(cursors.words)
    if not ends:
        ends.append(cursors.totals)
    return max(ends)


def _time_masks(plan: Plan, known: int, end: int, fetch: Fetch) -> dict[int, int] | None:
    """For each segment that the plan's range of time touches, which of its offsets can match.

    Times are known up to seq `known`; from there to `end` everything can.
    """
    if not plan.timed:
        return None
    low = -(2**62) if plan.since is None else plan.since
    high = 2**62 if plan.until is None else plan.until
    rows = fetch("SELECT chunk FROM chunks WHERE greatest >= ? AND least < ?", (low, high))
    masks: dict[int, int] = defaultdict(int)
    for (chunk,) in rows:
        offset = chunk % _CHUNKS << CHUNK_BITS
        masks[chunk // _CHUNKS] |= span(offset, offset + (1 << CHUNK_BITS) - 1)
    for segment in range((known + 1) >> SEGMENT_BITS, (end >> SEGMENT_BITS) + 1):
        masks[segment] |= span(max(0, known + 1 - (segment << SEGMENT_BITS)), SEGMENT - 1)
    return masks


def _segments(first: int, last: int, ascending: bool, masks: dict[int, int] | None) -> list[int]:
    numbers = range(first >> SEGMENT_BITS, (last >> SEGMENT_BITS) + 1)
    wanted = [number for number in numbers if masks is None or masks.get(number)]
    return wanted if ascending else wanted[::-1]


def _narrowed(
    plan: Plan,
    cursors: Cursors,
    segments: list[int],
    first: int,
    last: int,
    ascending: bool,
    masks: dict[int, int] | None,
    fetch: Fetch,
) -> Iterator[Stretch]:
    start, size = 0, FIRST_SEGMENTS
    while start < len(segments):
        batch = segments[start : start + size]
        start, size = start + size, min(size * 4, MOST_SEGMENTS)
        possible = _possible(plan, cursors, batch, fetch)
        for segment in batch:
            base = segment << SEGMENT_BITS
            within = span(max(0, first - base), min(SEGMENT - 1, last - base))
            found = possible[segment] & within & (FULL if masks is None else masks[segment])
            yield from _runs(found, base, ascending)


def _runs(found: int, base: int, ascending: bool) -> Iterator[Stretch]:
    """A set of offsets as lists of seqs, or as a range where it has no gaps."""
    if not found:
        return
    low = (found & -found).bit_length() - 1
    high = found.bit_length() - 1
    if found == span(low, high):
        yield Stretch(base + low, base + high)
        return
    seqs = [base + offset for offset in members(found)]
    yield Stretch(seqs[0], seqs[-1], seqs if ascending else seqs[::-1])


def _possible(plan: Plan, cursors: Cursors, segments: list[int], fetch: Fetch) -> dict[int, int]:
    """For each segment the offsets that the plan's postings and words allow."""
    possible = dict.fromkeys(segments, FULL)
    posted = [n for n in segments if (n + 1 << SEGMENT_BITS) - 1 <= cursors.postings]
    for group in plan.groups:
        asked = [n for n in posted if possible[n]]
        if not asked:
            break
        marks = ",".join("?" * len(group.terms))
        rows = fetch(_on("postings", "term, offsets", asked, f"term IN ({marks})"), group.terms)
        _intersect(possible, asked, ((n, _offsets(group, *row)) for n, *row in rows))
    if plan.words is not None:
        worded = [n for n in segments if (n + 1 << SEGMENT_BITS) - 1 <= cursors.words]
        conditions: list[tuple[str, tuple[str, ...]]] = [
            ("word = ?", (word,)) for word in sorted(plan.words.exact)
        ]
        conditions += [
            ("word >= ? AND word < ?", (prefix, prefix + "\U0010ffff"))
            for prefix in sorted(plan.words.prefixes)
        ]
        for condition, values in conditions:
            asked = [n for n in worded if possible[n]]
            if not asked:
                break
            rows = fetch(_on("words", "offsets", asked, condition), values)
            _intersect(possible, asked, ((n, decode(offsets)) for n, offsets in rows))
    return possible


def _offsets(group: Group, term: bytes, stored: bytes) -> int:
    if fingerprints.is_bucket(term):
        return fingerprints.found(stored, term, group.fingerprints)
    return decode(stored)


def _on(table: str, columns: str, segments: list[int], condition: str) -> str:
    """One seek a segment; joining on a list keeps SQLite from scanning all terms of a range."""
    values = ",".join(f"({number})" for number in segments)
    return (
        f"WITH wanted (n) AS (VALUES {values}) SELECT n, {columns} FROM wanted CROSS JOIN {table}"
        f" ON segment = n AND {condition}"
    )


def _intersect(
    possible: dict[int, int], segments: list[int], sets: Iterable[tuple[int, int]]
) -> None:
    union: dict[int, int] = defaultdict(int)
    for segment, offsets in sets:
        union[segment] |= offsets
    for segment in segments:
        possible[segment] &= union[segment]
