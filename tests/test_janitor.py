"""The janitor: limits hold while recording goes on, removals are reported, and space comes back."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from collector.clock import ClockWatch
from collector.core.losses import Losses
from collector.core.query import Filter
from collector.core.retention import Limits
from collector.event import Draft, Principal
from tests.journal import samples
from tests.journal.world import World, world

pytestmark = pytest.mark.anyio
DAY = 86_400.0


class House:
    """A world with its janitor, on a clock that only moves when it is told to."""

    def __init__(self, w: World, limits: Limits, *, synchronised: bool = True) -> None:
        self.w, self.time = w, 0.0
        w.intake._monotonic = lambda: self.time
        self.synchronised = synchronised
        self.janitor: Any = w.rooms.janitor.Janitor(
            w.journal,
            w.intake,
            limits,
            interval=3600.0,
            on_full="rotate",
            wall=lambda: w.now,
            monotonic=lambda: self.time,
            clock=ClockWatch(
                wall=lambda: w.now, steady=lambda: self.time, synchronised=lambda: self.synchronised
            ),
            losses=Losses(),
        )
        w.pruner = self.janitor.pruner

    def settle(self, seconds: float = 0.0) -> int:
        """Let time pass, then let the janitor do all that it finds to do; how many slices that took."""
        self.time += seconds
        self.w.now += seconds
        slices = 0
        janitor = self.janitor
        while janitor._jobs or janitor._find_work() or janitor._patient:
            janitor._slice(janitor._jobs or janitor._patient)
            slices += 1
            assert not self.w.journal.connection.in_transaction
            assert slices < 100_000, "housekeeping comes to an end"
        return slices

    def stored(self) -> int:
        count: int = self.w.journal.connection.execute("SELECT count(*) FROM log").fetchone()[0]
        return count

    def own(self, action: str) -> list[Any]:
        return [entry for entry in self.w.entries() if entry.action == action]


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "events.db") as made:
        yield made


def notes(count: int, **more: Any) -> list[Draft]:
    return [Draft(action="note.added", **more) for _ in range(count)]


async def test_the_number_of_entries_holds_within_five_per_cent(w: World) -> None:
    house = House(w, Limits(max_days=0, max_entries=1000, max_bytes=0))
    for _ in range(60):
        w.record(notes(30))
        house.settle()
        assert house.stored() <= 1050
    assert house.stored() >= 1000
    house.settle(70)
    reports = house.own("events.pruned")
    assert reports
    assert all(report.metadata["by_entries"] == report.metadata["count"] for report in reports)
    assert house.janitor.pruner.entries == house.stored()


async def test_bytes_of_database_and_log_hold_within_five_per_cent(w: World) -> None:
    limit = 16 * 1024 * 1024
    house = House(w, Limits(max_days=0, max_entries=0, max_bytes=limit))
    most = 0
    for n in range(40):
        w.record(notes(1000, message=f"{n} " + "x" * 700))
        house.settle(0.01)
        used, _ = w.journal.page_bytes()
        most = max(most, used + w.journal.wal_bytes())
    assert most <= limit * 1.05
    assert house.stored() * 700 > limit / 2, "no more is removed than has to be"
    house.settle(70)
    assert w.path.stat().st_size + w.journal.wal_bytes() <= limit * 1.10


async def test_each_category_goes_at_its_age_and_the_report_covers_every_hole(w: World) -> None:
    limits = Limits(max_days=5, max_entries=0, max_bytes=0, categories={"auth": 9, "device": 0})
    house = House(w, limits)
    for _ in range(12):
        w.record([*notes(4, category="auth"), *notes(4, category="device"), *notes(4)])
        house.settle(DAY)
    house.settle(3700)
    ages = {}
    for entry in w.entries():
        at = dt.datetime.fromisoformat(entry.recorded_at).timestamp()
        ages[entry.category] = max(ages.get(entry.category, 0), (w.now - at) / DAY)
    assert ages["auth"] < 9.1
    assert ages["system"] < 5.1
    assert ages["device"] > 11
    assert w.rooms.backup.verify(w.path) == []


async def test_ages_wait_for_a_clock_that_is_right_but_no_longer_than_a_day(w: World) -> None:
    house = House(w, Limits(max_days=1, max_entries=0, max_bytes=0), synchronised=False)
    w.record(notes(10))
    w.now += 2 * DAY  # the clock steps: that is recorded, and nothing is removed
    house.time += 4000
    house.settle(5)
    assert len(house.own("note.added")) == 10
    assert house.own("clock.stepped")[0].metadata["seconds"] == pytest.approx(2 * DAY - 4000, abs=1)
    house.synchronised = True
    house.settle(4000)
    assert house.own("note.added") == []


async def test_reports_add_up_to_what_is_missing(w: World) -> None:
    house = House(w, Limits(max_days=0, max_entries=500, max_bytes=0))
    for _ in range(30):
        w.record(notes(100))
        house.settle(2)
    house.settle(70)
    reported = sum(report.metadata["count"] for report in house.own("events.pruned"))
    gone = w.journal.last_seq - house.stored()
    first_report = house.own("events.pruned")[0]
    assert reported <= gone  # some reports were removed in their turn: the ledger was not
    assert first_report.metadata["to_seq"] < first_report.seq
    assert house.janitor.pruner.ledger.counts() == {"entries": gone}
    newest = house.own("events.pruned")[-1].metadata
    assert (newest["total"], newest["total_entries"]) == (gone, gone)
    assert w.rooms.backup.verify(w.path) == []


async def test_the_write_ahead_log_stays_short_under_a_flood(w: World) -> None:
    house = House(w, Limits(max_days=0, max_entries=0, max_bytes=0))
    for _ in range(60):
        w.record(notes(1000, message="x" * 300))
        house.settle(0.01)
        assert w.journal.frames < w.rooms.janitor.CHECKPOINT_FRAMES
    assert w.journal.wal_bytes() < 4 * w.rooms.janitor.CHECKPOINT_FRAMES * 4096


async def test_an_idle_janitor_checkpoints_derives_and_rests(w: World) -> None:
    house = House(w, Limits())
    w.record(notes(20_000))
    house.settle(2)
    lags = {follower.name: follower.lag for follower in house.janitor.followers}
    assert lags["totals"] == 0
    assert lags["postings"] < 16_384
    assert lags["words"] < 16_384
    assert w.journal.frames == 0
    assert house.settle() == 0, "nothing is left to do"


async def test_a_slice_ends_when_its_time_is_over(w: World) -> None:
    """Counted in steps of a clock, not in seconds: each step here takes one millisecond."""
    house = House(w, Limits(max_days=0, max_entries=10, max_bytes=0))
    w.record(notes(20_000))

    def tick() -> float:
        house.time += 0.001
        return house.time

    house.janitor._monotonic = tick
    longest = 0
    assert house.janitor._find_work()
    for _ in range(2):
        before = house.time
        house.janitor._slice(house.janitor._jobs)
        longest = max(longest, round((house.time - before) * 1000))
    assert longest <= 21 + 2
    assert house.janitor._jobs, "and the rest is left for later"


async def test_what_was_pruned_is_gone_from_the_file_within_the_hour(w: World) -> None:
    house = House(w, Limits(max_days=3, max_entries=0, max_bytes=0))
    w.record([Draft(action="note.added", actor=Principal(name="Zerbrechlichkeit"))])
    house.settle(3 * DAY + 10)
    w.record(notes(100))
    house.settle(10)
    house.settle(3700)
    house.settle(3700)
    files = (w.path, w.path.with_name(w.path.name + "-wal"))
    assert b"Zerbrechlichkeit" not in b"".join(f.read_bytes() for f in files if f.exists())
    assert len(house.own("note.added")) == 100


async def test_totals_are_kept_for_their_days(w: World) -> None:
    house = House(w, Limits(max_days=2, max_entries=0, max_bytes=0, totals_days=5))
    for _ in range(12):
        w.record(notes(10))
        house.settle(DAY)
    house.settle(3700)

    async with w.rooms.reader.Reader.open(w.path) as reader:
        found = await reader.counts("action", "day", Filter())
    days = [c for c in found if c.value == "note.added"]
    assert 4 <= len(days) <= 6
    assert {c.count for c in days} == {10}


async def test_producers_are_served_between_slices_and_readers_stay_right(w: World) -> None:
    """The real loop: recording, housekeeping and reading at once, and every answer is exact."""
    house = House(w, Limits(max_days=0, max_entries=3000, max_bytes=0))
    import time

    house.janitor._monotonic = time.monotonic
    w.intake._monotonic = time.monotonic
    rng = random.Random(1)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group, w.rooms.reader.Reader.open(w.path) as reader:
            group.start_soon(house.janitor.run)
            for _ in range(40):
                w.record([samples.draft(rng, w.now) for _ in range(200)])
                await anyio.lowlevel.checkpoint()
                page = await reader.page(Filter(category=("auth",)), limit=5)
                truth = [e for e in w.journal.entries(page.entries[-1].seq, page.entries[0].seq)
                         if e.category == "auth"]  # fmt: skip
                assert page.entries == truth[::-1][-5:] or page.entries == truth[::-1]
                assert house.stored() <= 3000 * 1.05 + 200
            group.cancel_scope.cancel()
