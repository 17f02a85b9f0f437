"""Counts over time: from the totals where they tell all, from the entries where they do not."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import msgspec

from collector.core.query import KIND_FIELDS, Bucket, Count, CountBy, Filter
from collector.journal.followers import floor
from collector.journal.planning import Fetch
from collector.journal.rows import moment

HOUR, DAY = 3_600_000_000, 86_400_000_000
"""Microseconds."""
FACETS: Final = (*KIND_FIELDS, "actor")
_ACTOR: Final = (
    "CASE WHEN actor.id = '' THEN actor.name WHEN actor.type = '' THEN actor.id"
    " ELSE actor.type || ':' || actor.id END"
)
FACET_COLUMNS: Final = ", ".join((*(f"kinds.{name}" for name in KIND_FIELDS), _ACTOR))


def is_unfiltered(wanted: Filter) -> bool:
    """Whether a filter holds nothing but a range of time."""
    return msgspec.structs.replace(wanted, since=None, until=None) == Filter()


def columns(by: CountBy, bucket: Bucket | None) -> str:
    """The columns to group entries by: the bucket's number, then the value."""
    start = "0" if bucket is None else floor(_span(bucket) // 1_000_000)
    return f"{start}, {_ACTOR if by == 'actor' else f'kinds.{by}'}"


async def from_totals(
    cells: Counter[tuple[int, str]],
    by: CountBy,
    bucket: Bucket | None,
    wanted: Filter,
    fetch: Fetch,
) -> list[Filter]:
    """Add up whole spans from the totals; returns the filters whose entries are still to be counted.

    Those are the entries behind the totals' cursor and the parts of an hour at the ends of the range.
    """
    low, high = wanted.since, wanted.until
    span = DAY if bucket != "hour" and _aligned(low, DAY) and _aligned(high, DAY) else HOUR
    first = None if low is None else -(-low // span)
    last = None if high is None else high // span
    if first is not None and last is not None and first >= last:
        return [wanted]
    seconds = span // 1_000_000
    per = _span(bucket) // span if bucket is not None else 0
    start = (
        f"CASE WHEN start < 0 THEN (start - {per} + 1) / {per} ELSE start / {per} END"
        if per
        else "0"
    )
    where, values = ["span = ?"], [seconds]
    for bound, sign in ((first, ">="), (last, "<")):
        if bound is not None:
            where.append(f"start {sign} ?")
            values.append(bound)
    rows = await fetch(
        f"SELECT {start}, kinds.{by}, sum(count) FROM totals JOIN kinds USING (kind)"
        f" WHERE {' AND '.join(where)} GROUP BY 1, 2",
        tuple(values),
    )
    for number, value, count in rows:
        cells[number, value] += count
    await _tail(cells, by, bucket, first, last, span, fetch)
    edges = []
    if low is not None and first is not None and low < first * span:
        edges.append(Filter(since=low, until=first * span))
    if high is not None and last is not None and last * span < high:
        edges.append(Filter(since=last * span, until=high))
    return edges


async def _tail(
    cells: Counter[tuple[int, str]],
    by: CountBy,
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
    rows = await fetch(
        f"SELECT {columns(by, bucket)}, count(*) FROM log JOIN kinds USING (kind)"
        f" WHERE {' AND '.join(where)} GROUP BY 1, 2",
        tuple(values),
    )
    for number, value, count in rows:
        cells[number, value] += count


def finished(cells: Counter[tuple[int, str]], bucket: Bucket | None) -> list[Count]:
    """Cells as readers get them: by bucket, then the greatest count first."""
    ordered = sorted(cells.items(), key=lambda cell: (cell[0][0], -cell[1], cell[0][1] or ""))
    return [
        Count(None if bucket is None else _rfc3339(number, bucket), value or None, count)
        for (number, value), count in ordered
    ]


def _rfc3339(number: int, bucket: Bucket) -> str:
    return moment(number * _span(bucket))[:19] + "Z"


def _span(bucket: Bucket) -> int:
    return HOUR if bucket == "hour" else DAY


def _aligned(when: int | None, span: int) -> bool:
    return when is None or when % span == 0
