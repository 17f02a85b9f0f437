"""Foresight: what limits would remove if they were in force now, counted and not removed.

In the order of pruning itself: first the oldest entries, the daemon's own in the ring last, down to the
limits in number and bytes, then of what is left the entries that are too old for their category. It is
asked of a reader, so that going through a large journal holds up nobody who records.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from msgspec import Struct

from collector.core.retention import AgeGroup, Limits, age_groups, cutoff, entries_for_bytes
from collector.core.retention import surplus as with_slack
from collector.journal.ledger import LAST_SEQ, REMOVED
from collector.journal.planning import Fetch
from collector.journal.ring import OWN, RING_SHARE, ImaginedRing

_EXTENT: Final = (
    f"SELECT coalesce((SELECT min(seq) FROM log), 0), {LAST_SEQ}, {LAST_SEQ} - {REMOVED}"
)
SEQS_AT_ONCE: Final = 500
"""Entries of the ring that are looked up in one statement."""
_OWN: Final = (
    "SELECT number, seq, kind FROM (SELECT row_number() OVER (ORDER BY seq) AS number, seq, kind"
    f" FROM log WHERE seq > ? ORDER BY seq LIMIT ?) JOIN kinds USING (kind) WHERE {OWN} ORDER BY seq"
)
_OTHERS: Final = (
    f"SELECT seq FROM log JOIN kinds USING (kind) WHERE seq > ? AND seq <= ? AND NOT {OWN}"
)
_NTH: Final = "SELECT seq FROM log WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?"
_ENDS: Final = ("ASC", "DESC")


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
    first, last, entries = fetch(_EXTENT, ())[0]
    if not first:
        return Removal()
    found, kept, start = [], list[int](), first
    count = _surplus(fetch, limits, entries, slack)
    if count:
        rotation = rotate(fetch, count, (entries - count) // RING_SHARE)
        found.append(Removal(count, rotation.first, rotation.last))
        kept, start = rotation.kept, rotation.floor + 1
    for group in age_groups(limits):
        before = cutoff(now, group.max_days)
        found += [_aged(fetch, group, start, last, before), _kept(fetch, group, kept, before)]
    return _together([each for each in found if each.count])


class Rotation(NamedTuple):
    """What removing the oldest entries comes to: the first and last that go, and what is left.

    `kept` are the ring's entries then, none of them behind `floor`, up to which it went.
    """

    first: int
    last: int
    kept: list[int]
    floor: int


def rotate(fetch: Fetch, count: int, capacity: int) -> Rotation:
    """What `Pruner.oldest` would do: the daemon's own entries and how many lie between them tell."""
    ring, gone = ImaginedRing(fetch), list[int]()
    start, others, passed = ring.floor, 0, 0
    most = count + capacity + 1  # what is passed over is removed, or kept
    for number, seq, kind in [*fetch(_OWN, (start, most)), (1 + _rows(fetch, start, most), 0, 0)]:
        gone += ring.shrink(count - others - len(gone), capacity)
        between = min(number - 1 - passed, count - others - len(gone))
        others, passed = others + between, passed + between
        if others + len(gone) == count or not seq:
            break
        ring.keep(kind, seq)
        passed = number
    gone += ring.shrink(count - others - len(gone), 0)
    floor = fetch(_NTH, (start, passed - 1))[0][0] if passed else start
    if others:
        gone += [
            fetch(f"{_OTHERS} ORDER BY seq {way} LIMIT 1", (start, floor))[0][0] for way in _ENDS
        ]
    kept = [seq for seqs in ring.seqs.values() for seq in seqs]
    return Rotation(min(gone), max(gone), kept, floor)


def _rows(fetch: Fetch, start: int, most: int) -> int:
    sql = "SELECT count(*) FROM (SELECT 1 FROM log WHERE seq > ? LIMIT ?)"
    rows: int = fetch(sql, (start, most))[0][0]
    return rows


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


def _aged(fetch: Fetch, group: AgeGroup, first: int, last: int, before: int) -> Removal:
    end = first_recorded_since(fetch, first, last, before)
    values: tuple[Any, ...] = (first, end, before)
    sql = (
        "SELECT count(*), min(seq), max(seq) FROM log"
        f" WHERE seq >= ? AND seq < ? AND occurred_at + delay < ?{condition_of(fetch, group)}"
    )
    return Removal(*fetch(sql, values)[0])


def _kept(fetch: Fetch, group: AgeGroup, seqs: list[int], before: int) -> Removal:
    """Of the entries that a ring keeps, those of a group that are too old."""
    old: list[int] = []
    for start in range(0, len(seqs), SEQS_AT_ONCE):
        some = ",".join(map(str, seqs[start : start + SEQS_AT_ONCE]))
        sql = (
            f"SELECT seq FROM log WHERE seq IN ({some})"
            f" AND occurred_at + delay < ?{condition_of(fetch, group)}"
        )
        old += [row[0] for row in fetch(sql, (before,))]
    return Removal(len(old), min(old), max(old)) if old else Removal()


def _together(found: list[Removal]) -> Removal:
    if not found:
        return Removal()
    return Removal(
        sum(each.count for each in found),
        min(each.from_seq or 0 for each in found),
        max(each.to_seq or 0 for each in found),
    )
