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
from collector.journal.finding import SEQ_MAX, matching
from collector.journal.followers.totals import floor
from collector.journal.planning import Fetch, bounded
from collector.journal.pruning import FORGOTTEN
from collector.journal.rows import moment
from collector.journal.tallying import tally

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
    edges = [wanted]
    if is_unfiltered(wanted) and by != "actor":
        edges = _from_totals(cells, by, bucket, wanted, fetch)
    ranges: list[tuple[int, int]] = [(0, SEQ_MAX)]
    if by == "actor" and bucket is None and _is_everything(wanted):
        found: dict[str, Counter[str]] = {"actor": Counter()}
        ranges = tally(fetch, found, _ACTOR)
        cells.update({(0, value): count for value, count in found["actor"].items()})
    for edge in edges:
        for first, last in ranges:
            for rows in matching(fetch, edge, _columns(by, bucket), first, last, grouped=True):
                for start, value, count in rows:
                    cells[start, value] += count
    return _finished(cells, bucket)


def facets(fetch: Fetch, wanted: Filter) -> dict[str, list[tuple[str, int]]]:
    """See `Reader.facets`."""
    found: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
    ranges: list[tuple[int, int]] = [(0, SEQ_MAX)]
    if _is_everything(wanted):
        ranges = tally(fetch, found, _ACTOR)
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


def _is_everything(wanted: Filter) -> bool:
    return is_unfiltered(wanted) and wanted.since is None and wanted.until is None


def _columns(by: CountBy, bucket: Bucket | None) -> str:
    """The columns to group entries by: the bucket's number, then the value."""
    start = "0" if bucket is None else floor(_span(bucket) // 1_000_000)
    return f"{start}, {_ACTOR if by == 'actor' else f'kinds.{by}'}"


def _from_totals(
    cells: Cells, by: CountBy, bucket: Bucket | None, wanted: Filter, fetch: Fetch
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
    _add_totals(cells, by, bucket, first, last, span, fetch)
    _add_tail(cells, by, bucket, first, last, span, fetch)
    edges = []
    if first is not None and (low is None or low < first * span):
        edges.append(Filter(since=low, until=first * span))
    if high is not None and last is not None and last * span < high:
        edges.append(Filter(since=last * span, until=high))
    return edges


def _add_totals(
    cells: Cells,
    by: CountBy,
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
        f"SELECT {start}, kinds.{by}, sum(count) FROM totals JOIN kinds USING (kind)"
        f" WHERE {' AND '.join(where)} GROUP BY 1, 2",
        values,
    )
    for number, value, count in rows:
        cells[number, value] += count


def _add_tail(
    cells: Cells,
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
    rows = fetch(
        f"SELECT {_columns(by, bucket)}, count(*) FROM log JOIN kinds USING (kind)"
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
    return moment(number * _span(bucket))[:19] + "Z"


def _span(bucket: Bucket) -> int:
    return HOUR if bucket == "hour" else DAY


def _aligned(when: int | None, span: int) -> bool:
    return when is None or when % span == 0
