"""Totals: unfiltered counts outlive the entries, to the hour, for as long as they are kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest

from collector.core.query import Filter
from collector.event import Draft
from tests.journal import samples
from tests.journal.world import World, spend, world

HOUR = samples.HOUR
DAY = 24 * HOUR
START = 1_800_000_000 // 86_400 * DAY
"""A midnight, in µs."""


def at(when: int, action: str = "note.added", **more: Any) -> Draft:
    import datetime as dt

    return Draft(action=action, occurred_at=samples.EPOCH + dt.timedelta(microseconds=when), **more)


def ask(w: World, by: str, bucket: str | None, **wanted: Any) -> dict[tuple[Any, Any], int]:
    async def run() -> dict[tuple[Any, Any], int]:
        async with w.rooms.reader.Reader.open(w.path) as reader:
            found = await reader.counts(by, bucket, Filter(**wanted))
            return {(c.bucket, c.value): c.count for c in found}

    return anyio.run(run)


@pytest.fixture
def w(tmp_path: Path) -> Any:
    with world(tmp_path / "events.db", small=True) as made:
        yield made


@pytest.mark.parametrize("derived", [True, False])
def test_unfiltered_counts_outlive_what_is_pruned(w: World, derived: bool) -> None:
    w.record([at(START + i * HOUR, samples.ACTIONS[i % 3]) for i in range(48)])
    if derived:
        w.follow()
    before = {bucket: ask(w, "action", bucket) for bucket in (None, "hour", "day")}
    spend(w.pruner.oldest(30, "entries"))
    spend(w.sweep())
    assert {bucket: ask(w, "action", bucket) for bucket in (None, "hour", "day")} == before
    assert sum(ask(w, "action", None, action=tuple(samples.ACTIONS)).values()) == 18
    assert sum(ask(w, "actor", None).values()) == 18


def test_a_range_of_time_that_cuts_hours_counts_what_is_stored_in_their_parts(w: World) -> None:
    quarter = HOUR // 4
    w.record([at(START + i * quarter) for i in range(4 * 72)])
    w.follow()
    for since, until in ((1, 71 * HOUR + 5), (quarter, 2 * quarter), (HOUR, 3 * HOUR), (5, 6),
                         (DAY, 2 * DAY), (DAY + 1, 2 * DAY - 1), (HOUR - 1, HOUR + 1)):  # fmt: skip
        inside = [t for t in range(0, 72 * HOUR, quarter) if since <= t < until]
        wanted = {"since": START + since, "until": START + until}
        assert sum(ask(w, "action", None, **wanted).values()) == len(inside), (since, until)
        by_day = Counter((START + t) // DAY for t in inside)
        assert sorted(ask(w, "action", "day", **wanted).values()) == sorted(by_day.values())


def test_times_before_the_epoch_and_far_ahead_fall_into_their_own_hours(w: World) -> None:
    times = (-1, 0, -HOUR, -HOUR - 1, -DAY, -DAY - 1, -62_135_596_800_000_000,
             253_402_300_799_000_000)  # fmt: skip
    w.record([at(t) for t in times])
    for _ in range(2):  # from the tail, then from the totals
        assert ask(w, "action", "hour") == Counter(
            (bucket, "note.added")
            for bucket in ("1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z", "1969-12-31T23:00:00Z",
                           "1969-12-31T22:00:00Z", "1969-12-31T00:00:00Z", "1969-12-30T23:00:00Z",
                           "0001-01-01T00:00:00Z", "9999-12-31T23:00:00Z")
        )  # fmt: skip
        assert ask(w, "action", "day")["1969-12-31T00:00:00Z", "note.added"] == 4
        assert sum(ask(w, "action", None, until=0).values()) == 6
        w.follow()


def test_a_time_beyond_the_calendar_does_not_make_the_log_unreadable(w: World) -> None:
    """With an offset, RFC 3339 names times before year 1 and after 9999 in UTC."""
    import msgspec

    raw = b'{"action":"note.added","occurred_at":"%s"}'
    drafts = [msgspec.json.decode(raw % t, type=Draft) for t in
              (b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59.999999-12:00")]  # fmt: skip
    receipts = w.record(drafts)
    stored = [receipt for receipt in receipts if receipt.ok]

    async def read() -> None:
        async with w.rooms.reader.Reader.open(w.path) as reader:
            assert len((await reader.page(Filter())).entries) == len(stored)
            await reader.counts("action", "hour", Filter())
            await reader.counts("action", "day", Filter())

    anyio.run(read)


def test_forgotten_totals_leave_what_is_stored(w: World) -> None:
    """`totals_days` forgets what is pruned and old; a stored entry is counted all the same."""
    w.record([at(START + day * DAY + hour * HOUR) for day in range(10) for hour in range(24)])
    w.follow()
    spend(w.pruner.oldest(60, "entries"))
    spend(w.pruner.forget_totals(START // DAY + 5))
    kept = w.journal.connection.execute("SELECT min(start) FROM totals WHERE span = 3600")
    assert kept.fetchone()[0] == START // HOUR + 5 * 24
    assert sum(ask(w, "action", None).values()) == 240 - 60
    assert sum(ask(w, "action", "hour").values()) == 240 - 60
    by_day = ask(w, "action", "day")
    assert len(by_day) == 10 - 2
    assert by_day[samples_day(2), "note.added"] == 12
    spend(w.pruner.oldest(150, "entries"))
    assert sum(ask(w, "action", None).values()) == 120, "what is not forgotten outlives the rest"
    w.record([at(START)])  # late news of a forgotten day
    w.follow()
    assert sum(ask(w, "action", None).values()) == 121


def samples_day(number: int) -> str:
    from collector.core.rfc3339 import to_rfc3339

    return to_rfc3339(START + number * DAY)[:10] + "T00:00:00Z"


def test_forgetting_totals_never_goes_back(w: World) -> None:
    w.record([at(START + day * DAY) for day in range(4)])
    w.follow()
    spend(w.pruner.forget_totals(START // DAY + 3))
    spend(w.pruner.forget_totals(START // DAY + 1))
    spend(w.pruner.oldest(4, "entries"))
    assert sum(ask(w, "action", None).values()) == 1


def test_clearing_clears_counts_too(w: World) -> None:
    w.record([at(START + i) for i in range(100)])
    w.follow()
    job = w.rooms.clearing.clear(w.journal, w.pruner)
    next(job)
    w.record([at(START, "settings.updated")] * 3)  # while it is under way
    spend(job)
    w.follow()
    assert ask(w, "action", None) == {(None, "settings.updated"): 3}
