"""Where to look: from a plan to ranges and lists of seqs, index and tail joined, in order.

The log is cut into stretches. A stretch that the followers have been through is narrowed down by
postings, words and times to the seqs that can match; the rest is scanned. Both give the reader seqs
in the asked-for order, and the reader's SQL decides. So a follower that is behind, or was deleted,
costs time and never an entry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct

from collector.journal import fingerprints
from collector.journal.cursors import cursor_fact
from collector.journal.fingerprints import BLOCK_BITS
from collector.journal.planning import Fetch, Group, Plan
from collector.journal.postings import (
    CHUNK_BITS,
    FULL,
    SEGMENT,
    SEGMENT_BITS,
    Places,
    both,
    decode,
    either,
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
    plan: Plan,
    cursors: Cursors,
    first: int,
    last: int,
    ascending: bool,
    enough: int,
    fetch: Fetch,
) -> Iterator[Stretch]:
    """Where matches can be between two seqs (both included), in the asked-for order.

    `enough` entries are wanted, about: the index is not asked for many more places than those.
    """
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
        yield from _narrowed(plan, cursors, segments, first, end, ascending, masks, enough, fetch)
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
    enough: int,
    fetch: Fetch,
) -> Iterator[Stretch]:
    start, size, seen = 0, FIRST_SEGMENTS, 0
    while start < len(segments):
        batch = segments[start : start + size]
        start += size
        possible = _possible(plan, cursors, batch, fetch)
        for segment in batch:
            found = possible[segment]
            base = segment << SEGMENT_BITS
            if found and (first > base or last < base + SEGMENT - 1):
                found = both(found, span(max(0, first - base), min(SEGMENT - 1, last - base)))
            if found and masks is not None:
                found = both(found, masks[segment])
            if found:
                seen += len(found) if isinstance(found, frozenset) else found.bit_count()
                yield from _runs(found, base, ascending)
        size = _next_size(size, start, seen, enough)


def _next_size(size: int, looked_at: int, seen: int, enough: int) -> int:
    """How many segments come next: as many as hold what is wanted still, going by those before."""
    most = min(size * 4, MOST_SEGMENTS)
    if not 0 < seen < enough:
        return most
    return max(1, min(most, (enough - seen) * looked_at // seen + 1))


def _runs(found: Places, base: int, ascending: bool) -> Iterator[Stretch]:
    """A set of offsets, not empty, as lists of seqs, or as a range where it has no gaps."""
    if isinstance(found, int):
        low, high = (found & -found).bit_length() - 1, found.bit_length() - 1
        if found == span(low, high):
            yield Stretch(base + low, base + high)
            return
    seqs = [base + offset for offset in members(found)]
    yield Stretch(seqs[0], seqs[-1], seqs if ascending else seqs[::-1])


def _possible(plan: Plan, cursors: Cursors, segments: list[int], fetch: Fetch) -> dict[int, Places]:
    """For each segment the offsets that the plan's postings and words allow."""
    possible: dict[int, Places] = dict.fromkeys(segments, FULL)
    posted = [n for n in segments if (n + 1 << SEGMENT_BITS) - 1 <= cursors.postings]
    for group in plan.groups:
        asked = [n for n in posted if possible[n]]
        if not asked:
            break
        _intersect(possible, asked, _of_group(group, asked, fetch))
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


def _of_group(group: Group, segments: list[int], fetch: Fetch) -> Iterator[tuple[int, Places]]:
    """Where any term or fingerprint of a group occurs, in no order."""
    if group.terms:
        yield from _of_terms(group.terms, segments, fetch)
    if group.fingerprints:
        often: dict[int, set[int]] = defaultdict(set)
        for segment, fingerprint, numbers in _buckets(group.fingerprints, segments, fetch):
            places = fingerprints.found(numbers, fingerprint)
            if places is None:
                often[fingerprint].add(segment)
            else:
                yield segment, places
        for fingerprint, places_of in often.items():
            term = fingerprints.frequent_term(fingerprint)
            yield from _of_terms([term], sorted(places_of), fetch)


def _of_terms(
    terms: list[bytes], segments: list[int], fetch: Fetch
) -> Iterator[tuple[int, Places]]:
    condition = f"term IN ({','.join('?' * len(terms))})"
    for segment, offsets in fetch(_on("postings", "offsets", segments, condition), terms):
        yield segment, decode(offsets)


def _buckets(prints: list[int], segments: list[int], fetch: Fetch) -> list[tuple[Any, ...]]:
    """The rows of buckets in which fingerprints may stand: `(segment, fingerprint, numbers)`.

    Segments between those that are asked for may be among them.
    """
    blocks = ",".join(f"({block})" for block in sorted({n >> BLOCK_BITS for n in segments}))
    sought = ",".join(
        f"({one},{fingerprints.bucket_of(one)},x'{fingerprints.trace(one).hex()}')"
        for one in prints
    )
    return fetch(
        f"WITH wanted (block) AS (VALUES {blocks}), sought (one, bucket, trace) AS (VALUES {sought})"
        " SELECT segment, one, numbers FROM wanted CROSS JOIN sought CROSS JOIN occurrences AS o"
        " ON o.block = wanted.block AND o.bucket = sought.bucket"
        " AND segment BETWEEN ? AND ? AND instr(numbers, trace)",
        (min(segments), max(segments)),
    )


def _on(table: str, columns: str, segments: list[int], condition: str) -> str:
    """One seek a segment; joining on a list keeps SQLite from scanning all terms of a range."""
    values = ",".join(f"({number})" for number in segments)
    return (
        f"WITH wanted (n) AS (VALUES {values}) SELECT n, {columns} FROM wanted CROSS JOIN {table}"
        f" ON segment = n AND {condition}"
    )


def _intersect(
    possible: dict[int, Places], segments: list[int], sets: Iterable[tuple[int, Places]]
) -> None:
    union: dict[int, Places] = {}
    for segment, places in sets:
        union[segment] = either(union[segment], places) if segment in union else places
    for segment in segments:
        possible[segment] = both(possible[segment], union[segment]) if segment in union else 0
