"""Foresight: what limits would remove if they were in force now, counted and not removed.

In the order of pruning itself: first the oldest entries, down to the limits in number and bytes, then
of what is left the entries that are too old for their category. It is asked of a reader, so that
going through a large journal holds up nobody who records.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from collector.core.retention import AgeGroup, Limits, age_groups, cutoff, entries_for_bytes
from collector.core.retention import surplus as with_slack
from collector.journal.planning import Fetch

_EXTENT = (
    "SELECT coalesce((SELECT min(seq) FROM log), 0), max(coalesce((SELECT max(seq) FROM log), 0),"
    " coalesce((SELECT value FROM facts WHERE name = 'last_seq'), 0)),"
    " coalesce((SELECT value FROM facts WHERE name = 'holes'), 0)"
)


class Removal(Struct, frozen=True):
    """How many entries would go, and the first and last of them; None where there are none."""

    count: int = 0
    from_seq: int | None = None
    to_seq: int | None = None


def removal(fetch: Fetch, limits: Limits, now: int, slack: bool) -> Removal:
    """What `limits` would remove at `now` (µs), whether or not they are `enabled`.

    With `slack`, what retention would do by itself, which lets a limit be passed by a little before
    it begins; without, what a prune on demand would. What goes for its bytes is an estimate.
    """
    first, last, holes = fetch(_EXTENT, ())[0]
    if not first:
        return Removal()
    found, start = [], first
    count = _surplus(fetch, limits, last + 1 - first - holes, slack)
    if count:
        end = _nth(fetch, first, count, holes)
        found.append(Removal(count, first, end))
        start = fetch("SELECT coalesce(min(seq), 0) FROM log WHERE seq > ?", (end,))[0][0]
    found += [
        _aged(fetch, group, start, last, cutoff(now, group.max_days))
        for group in (age_groups(limits) if start else ())
    ]
    return _together([each for each in found if each.count])


def first_recorded_since(fetch: Fetch, first: int, last: int, when: int) -> int:
    """The first seq recorded at or after `when` (µs), by bisection; one past the last if none was."""
    low, high = first, last + 1
    while low < high:
        middle = (low + high) // 2
        sql = "SELECT seq, occurred_at + delay FROM log WHERE seq >= ? ORDER BY seq LIMIT 1"
        row = next(iter(fetch(sql, (middle,))), None)
        if row is None or row[1] >= when:
            high = middle
        else:
            low = row[0] + 1
    return low


def condition_of(fetch: Fetch, group: AgeGroup) -> str:
    """The SQL that a group's entries meet, to go behind other conditions."""
    names = group.only or group.but
    if not names:
        return ""
    marks = ",".join("?" * len(names))
    rows = fetch(f"SELECT kind FROM kinds WHERE category IN ({marks})", names)
    numbers = ",".join(str(row[0]) for row in rows)
    return f" AND kind {'IN' if group.only else 'NOT IN'} ({numbers})"


def _surplus(fetch: Fetch, limits: Limits, entries: int, slack: bool) -> int:
    """How many of the oldest have to go for the limits in number and bytes."""
    over = entries - limits.max_entries if limits.max_entries else 0
    if slack:
        over = with_slack(entries, limits.max_entries)
    size = fetch("SELECT page_size FROM pragma_page_size()", ())[0][0]
    pages = fetch("SELECT page_count FROM pragma_page_count()", ())[0][0]
    free = fetch("SELECT freelist_count FROM pragma_freelist_count()", ())[0][0]
    heavy = entries_for_bytes((pages - free) * size, limits.max_bytes, entries)
    return min(entries, max(over, heavy, 0))


def _nth(fetch: Fetch, first: int, count: int, holes: int) -> int:
    """The seq of the `count`th oldest entry."""
    if not holes:
        return first + count - 1
    rows = fetch("SELECT seq FROM log ORDER BY seq LIMIT 1 OFFSET ?", (count - 1,))
    seq: int = rows[0][0]
    return seq


def _aged(fetch: Fetch, group: AgeGroup, first: int, last: int, before: int) -> Removal:
    end = first_recorded_since(fetch, first, last, before)
    values: tuple[Any, ...] = (first, end, before)
    sql = (
        "SELECT count(*), min(seq), max(seq) FROM log"
        f" WHERE seq >= ? AND seq < ? AND occurred_at + delay < ?{condition_of(fetch, group)}"
    )
    return Removal(*fetch(sql, values)[0])


def _together(found: list[Removal]) -> Removal:
    if not found:
        return Removal()
    return Removal(
        sum(each.count for each in found),
        min(each.from_seq or 0 for each in found),
        max(each.to_seq or 0 for each in found),
    )
