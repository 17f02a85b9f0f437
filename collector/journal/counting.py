"""Counts: from totals and postings where they tell all, from the entries where they do not.

Unfiltered counts come from the totals, which outlive the entries behind them; facets, and counts by
actor, are of what is stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from collector.core.query import KIND_FIELDS, Bucket, Count, CountBy, Filter
from collector.core.rfc3339 import to_rfc3339
from collector.journal.finding import SEQ_MAX, matching
from collector.journal.followers.totals import floor
from collector.journal.planning import Fetch, bounded
from collector.journal.pruning import FORGOTTEN
from collector.journal.tallying import Names, known, tally

HOUR, DAY = 3_600_000_000, 86_400_000_000
"""Microseconds."""
FACETS: Final = (*KIND_FIELDS, "actor")
_ACTOR: Final = (
    "CASE WHEN actor.id = '' THEN actor.name WHEN actor.type = '' THEN actor.id"
    " ELSE actor.type || ':' || actor.id END"
)
FACET_COLUMNS: Final = ", ".join((*(f"kinds.{name}" for name in KIND_FIELDS), _ACTOR))

Cells = Counter[tuple[int, str]]


def counts(fetch: Fetch, by: CountBy, bucket: Bucket | None, wanted: Filter) -> list[Count]:
    """See `Reader.counts`."""
    cells: Cells = Counter()
    edges, column = [wanted], _ACTOR if by == "actor" else f"kinds.{by}"
    if is_unfiltered(wanted) and by != "actor":
        edges = _from_totals(cells, column, bucket, wanted, fetch)
    ranges: list[tuple[int, int]] = [(0, SEQ_MAX)]
    if is_unfiltered(wanted) and by == "actor":
        ranges = _actors_from_postings(cells, bucket, wanted, fetch)
    for edge in edges:
        for first, last in ranges:
            _add_entries(cells, column, bucket, edge, fetch, first, last)
    return _finished(cells, bucket)


def flows(fetch: Fetch) -> dict[tuple[str, str], int]:
    """See `Reader.flows`."""
    cells: Cells = Counter()
    column = "kinds.source || ' ' || kinds.outcome"
    for edge in _from_totals(cells, column, None, Filter(), fetch):
        _add_entries(cells, column, None, edge, fetch)
    pairs = ((value.partition(" "), count) for (_, value), count in cells.items())
    return {(source, outcome): count for (source, _, outcome), count in pairs}


def facets(fetch: Fetch, wanted: Filter) -> dict[str, list[tuple[str, int]]]:
    """See `Reader.facets`."""
    found: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
    ranges: list[tuple[int, int]] = [(0, SEQ_MAX)]
    if is_unfiltered(wanted):
        told = known(fetch, bounded(wanted.since), bounded(wanted.until), None)
        counted = tally(fetch, told.segments[0], Names(fetch, FACETS, _ACTOR))
        for (name, value), count in counted.items():
            found[name][value] += count
        ranges = told.rest
    for first, last in ranges:
        for values, count in _grouped(fetch, wanted, first, last):
            for name, value in zip(FACETS, values, strict=True):
                if value:
                    found[name][value] += count
    for counter in found.values():
        counter.pop("", None)
    return {name: counter.most_common() for name, counter in found.items()}


def _grouped(
    fetch: Fetch, wanted: Filter, first: int, last: int
) -> Iterator[tuple[list[str], int]]:
    for rows in matching(fetch, wanted, FACET_COLUMNS, first, last, grouped=True):
        for *values, count in rows:
            yield values, count


def is_unfiltered(wanted: Filter) -> bool:
    """Whether a filter holds nothing but a range of time."""
    plain = msgspec.structs.replace(wanted, since=None, until=None)
    return plain == Filter() or (
        not (wanted.q or "").strip() and msgspec.structs.replace(plain, q=None) == Filter()
    )


def _actors_from_postings(
    cells: Cells, bucket: Bucket | None, wanted: Filter, fetch: Fetch
) -> list[tuple[int, int]]:
    """Add up the segments that postings tell of; returns the ranges of seqs still to be counted."""
    span = None if bucket is None else _span(bucket)
    told = known(fetch, bounded(wanted.since), bounded(wanted.until), span)
    names = Names(fetch, ("actor",), _ACTOR)
    for number, segments in told.segments.items():
        for (_, value), count in tally(fetch, segments, names).items():
            cells[number, value] += count
    return told.rest


def _columns(column: str, bucket: Bucket | None) -> str:
    """The columns to group entries by: the bucket's number, then the value."""
    start = "0" if bucket is None else floor(_span(bucket) // 1_000_000)
    return f"{start}, {column}"


def _add_entries(
    cells: Cells,
    column: str,
    bucket: Bucket | None,
    wanted: Filter,
    fetch: Fetch,
    first: int = 0,
    last: int = SEQ_MAX,
) -> None:
    """Count entries one by one."""
    for rows in matching(fetch, wanted, _columns(column, bucket), first, last, grouped=True):
        for start, value, count in rows:
            cells[start, value] += count


def _from_totals(
    cells: Cells, column: str, bucket: Bucket | None, wanted: Filter, fetch: Fetch
) -> list[Filter]:
    """Add up whole spans from the totals; returns the filters whose entries are still to be counted.

    Those are the parts of an hour at the ends of the range, and times whose totals are forgotten
    (`retention.totals_days`) while an entry of theirs may still be stored.
    """
    low, high = bounded(wanted.since), bounded(wanted.until)
    span = DAY if bucket != "hour" and _aligned(low, DAY) and _aligned(high, DAY) else HOUR
    first = None if low is None else -(-low // span)
    last = None if high is None else high // span
    forgotten = fetch("SELECT value FROM facts WHERE name = ?", (FORGOTTEN,))
    if forgotten:
        kept = forgotten[0][0] * (DAY // span)
        first = kept if first is None else max(first, kept)
    if first is not None and last is not None and first >= last:
        return [wanted]
    _add_totals(cells, column, bucket, first, last, span, fetch)
    _add_tail(cells, column, bucket, first, last, span, fetch)
    edges = []
    if first is not None and (low is None or low < first * span):
        edges.append(Filter(since=low, until=first * span))
    if high is not None and last is not None and last * span < high:
        edges.append(Filter(since=last * span, until=high))
    return edges


def _add_totals(
    cells: Cells,
    column: str,
    bucket: Bucket | None,
    first: int | None,
    last: int | None,
    span: int,
    fetch: Fetch,
) -> None:
    per = _span(bucket) // span if bucket is not None else 0
    start = (
        f"CASE WHEN start < 0 THEN (start - {per} + 1) / {per} ELSE start / {per} END"
        if per
        else "0"
    )
    where, values = ["span = ?"], [span // 1_000_000]
    for bound, sign in ((first, ">="), (last, "<")):
        if bound is not None:
            where.append(f"start {sign} ?")
            values.append(bound)
    rows = fetch(
        f"SELECT {start}, {column}, sum(count) FROM totals JOIN kinds USING (kind)"
        f" WHERE {' AND '.join(where)} GROUP BY 1, 2",
        values,
    )
    for number, value, count in rows:
        cells[number, value] += count


def _add_tail(
    cells: Cells,
    column: str,
    bucket: Bucket | None,
    first: int | None,
    last: int | None,
    span: int,
    fetch: Fetch,
) -> None:
    """Entries that the totals do not hold yet."""
    where = ["seq > coalesce((SELECT value FROM facts WHERE name = 'cursor.totals'), 0)"]
    values: list[Any] = []
    for bound, sign in ((first, ">="), (last, "<")):
        if bound is not None:
            where.append(f"occurred_at {sign} ?")
            values.append(bound * span)
    rows = fetch(
        f"SELECT {_columns(column, bucket)}, count(*) FROM log JOIN kinds USING (kind)"
        f" WHERE {' AND '.join(where)} GROUP BY 1, 2",
        values,
    )
    for number, value, count in rows:
        cells[number, value] += count


def _finished(cells: Cells, bucket: Bucket | None) -> list[Count]:
    """Cells as readers get them: by bucket, then the greatest count first."""
    ordered = sorted(cells.items(), key=lambda cell: (cell[0][0], -cell[1], cell[0][1] or ""))
    return [
        Count(None if bucket is None else _rfc3339(number, bucket), value or None, count)
        for (number, value), count in ordered
    ]


def _rfc3339(number: int, bucket: Bucket) -> str:
    return to_rfc3339(number * _span(bucket))[:19] + "Z"


def _span(bucket: Bucket) -> int:
    return HOUR if bucket == "hour" else DAY


def _aligned(when: int | None, span: int) -> bool:
    return when is None or when % span == 0
