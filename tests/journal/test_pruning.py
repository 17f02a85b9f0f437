"""Pruning: every entry is accounted for, nothing young is taken, and what went is gone from the file."""

from __future__ import annotations

import datetime as dt
import random
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from collector.core.query import Filter
from collector.core.retention import AgeGroup
from collector.event import Draft, Principal
from tests.journal import samples
from tests.journal.world import World, spend, world

DAY = 86_400.0
CATEGORIES = ("entity", "auth", "device", "billing")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "events.db", small=True) as made:
        yield made


def fill(w: World, count: int, seed: int = 0) -> None:
    rng = random.Random(seed)
    receipts = w.record([samples.draft(rng, w.now) for _ in range(count)])
    assert all(receipt.ok for receipt in receipts)


def of(category: str, count: int = 1) -> list[Draft]:
    return [Draft(action="note.added", category=category) for _ in range(count)]


def stored(w: World) -> list[int]:
    return [entry.seq for entry in w.entries()]


def count_of(w: World) -> int:
    return w.journal.connection.execute("SELECT count(*) FROM log").fetchone()[0]


# ── accounts ────────────────────────────────────────────────────────────────────────────────────


def test_the_open_account_covers_what_was_removed_and_outlives_a_crash(small: World) -> None:
    fill(small, 300)
    spend(small.pruner.oldest(40, "entries"))
    spend(small.pruner.aged(AgeGroup("auth", 1, only=("auth",)), int((small.now + 1) * 1e6)))
    account = small.pruner.removed
    gone = sorted(set(range(1, 301)) - set(stored(small)))
    small.crash()
    small.open()
    assert small.pruner.removed == account
    assert (account.count, account.from_seq, account.to_seq) == (len(gone), gone[0], gone[-1])
    assert sum(account.causes.values()) == len(gone)
    assert account.causes["entries"] == 40
    assert small.rooms.backup.verify(small.path) == []


def test_an_unfinished_step_leaves_the_account_as_it_was(small: World) -> None:
    fill(small, 100)
    small.journal.connection.execute(
        "CREATE TEMP TRIGGER no BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with pytest.raises(Exception, match="no"):
        spend(small.pruner.oldest(10, "entries"))
    assert small.pruner.take_account() is None
    assert small.pruner.entries == count_of(small) == 100


def test_verify_misses_an_entry_that_nobody_pruned(small: World) -> None:
    fill(small, 100)
    spend(small.pruner.aged(AgeGroup("auth", 1, only=("auth",)), int((small.now + 1) * 1e6)))
    assert small.rooms.backup.verify(small.path) == []
    small.journal.connection.execute("DELETE FROM log WHERE seq = 100 - 1")
    assert small.rooms.backup.verify(small.path) != []


def test_verify_knows_holes_whose_report_was_itself_pruned(small: World) -> None:
    for _ in range(3):
        small.record([*of("auth", 3), *of("device", 3), *of("auth", 3)])
        spend(small.pruner.aged(AgeGroup("device", 1, only=("device",)), int(small.now * 1e6) + 1))
        removed = small.pruner.removed
        small.record([Draft(action="events.pruned", metadata={
            "count": removed.count, "from_seq": removed.from_seq, "to_seq": removed.to_seq})],
            source="collector")  # fmt: skip
        small.pruner.reported()
        small.now += DAY
        assert small.rooms.backup.verify(small.path) == []
    spend(small.pruner.aged(AgeGroup("system", 1, only=("system",)), int((small.now - 1) * 1e6)))
    assert small.rooms.backup.verify(small.path) == []
    small.pruner.reported()
    assert small.rooms.backup.verify(small.path) == []


# ── ages ────────────────────────────────────────────────────────────────────────────────────────


def test_each_category_has_its_own_age(small: World) -> None:
    for _ in range(10):
        small.record([d for category in CATEGORIES for d in of(category, 3)])
        small.now += DAY
    now = int(small.now * 1e6)
    for group, days in ((AgeGroup("", 5, but=("auth", "device")), 5),
                        (AgeGroup("auth", 8, only=("auth",)), 8)):  # fmt: skip
        spend(small.pruner.aged(group, now - int(days * DAY * 1e6)))
    ages = {c: {(small.now * 1e6 - _recorded(e)) / 1e6 / DAY for e in small.entries()
                if e.category == c} for c in CATEGORIES}  # fmt: skip
    assert {c: max(found) for c, found in ages.items()} == pytest.approx(
        {"entity": 5, "billing": 5, "auth": 8, "device": 10}
    )


def _recorded(entry: Any) -> float:
    return dt.datetime.fromisoformat(entry.recorded_at).timestamp() * 1e6


def test_a_category_that_loses_its_own_limit_falls_under_the_common_one(small: World) -> None:
    small.record([*of("auth", 5), *of("device", 5), *of("entity", 5)])
    cutoff = int((small.now + 1) * 1e6)
    spend(small.pruner.aged(AgeGroup("", 1, but=("auth", "device")), cutoff))
    assert len(stored(small)) == 10
    spend(small.pruner.aged(AgeGroup("", 1, but=("device",)), cutoff))
    assert {entry.category for entry in small.entries()} == {"device"}


def test_no_young_entry_is_removed_where_a_clock_was_wrong_once(small: World) -> None:
    young = small.now
    small.record(of("auth", 40))
    small.intake._now = 0
    small.now = 1_000.0  # a machine without a clock of its own, before it asked for the time
    small.record(of("auth", 40))
    small.now = young + 60
    small.record(of("auth", 40))
    cutoff = int((young - DAY) * 1e6)
    for group in (AgeGroup("", 1), AgeGroup("auth", 1, only=("auth",))):
        spend(small.pruner.aged(group, cutoff))
        assert len([s for s in stored(small) if s <= 40 or s > 80]) == 80


def test_what_is_too_young_between_older_ones_goes_when_its_time_comes(small: World) -> None:
    group = AgeGroup("auth", 1, only=("auth",))
    small.record(of("auth", 3))
    small.journal.connection.execute("UPDATE log SET delay = delay + 86400000000 WHERE seq = 2")
    spend(small.pruner.aged(group, int(small.now * 1e6) + 1))
    small.record(of("auth", 1))
    spend(small.pruner.aged(group, int((small.now + 2 * DAY) * 1e6)))
    assert stored(small) == []


# ── what must be gone ───────────────────────────────────────────────────────────────────────────

SECRET = "Zerbrechlichkeit"


def _bytes_on_disk(w: World) -> bytes:
    files = [w.path, w.path.with_name(w.path.name + "-wal")]
    return b"".join(file.read_bytes().lower() for file in files if file.exists())


def _named() -> list[Draft]:
    who = Principal(type="user", id=f"id-{SECRET}", name=SECRET)
    return [
        Draft(action="note.added", category="auth", actor=who, object_id=SECRET, message=SECRET),
        Draft(action="note.added", category="auth", target=who, correlation_id=SECRET,
              metadata={"who": SECRET}),
        Draft(action="note.added", category="auth", tenant_id=SECRET, object_type="x"),
        Draft(action="note.added", category="auth", object_id=SECRET[:8], object_type="x"),
    ]  # fmt: skip


@pytest.mark.parametrize("way", ["oldest", "category", "clear"])
def test_a_pruned_name_is_nowhere_in_the_file(small: World, way: str) -> None:
    """Neither in the log nor in a dictionary, an index, a free page or the write-ahead log."""
    small.record(_named())
    fill(small, 200)
    small.record(_named())
    fill(small, 200, seed=1)
    small.follow()
    assert SECRET.lower().encode() in _bytes_on_disk(small)
    if way == "oldest":
        spend(small.pruner.oldest(210, "entries"))
    elif way == "category":
        spend(small.pruner.aged(AgeGroup("a", 1, only=("auth",)), int((small.now + 1) * 1e6)))
    else:
        spend(small.rooms.clearing.clear(small.journal, small.pruner))
    small.pruner.reported()
    spend(small.sweep())
    assert small.journal.wipe()
    on_disk = _bytes_on_disk(small)
    for trace in (SECRET, f"id-{SECRET}", SECRET[:8]):
        assert trace.lower().encode() not in on_disk, trace
    assert small.rooms.backup.verify(small.path) == []


def test_what_is_left_of_a_segment_is_still_found_after_a_sweep(small: World) -> None:
    fill(small, 400)
    small.follow()
    spend(small.pruner.aged(AgeGroup("a", 1, but=("auth",)), int((small.now + 1) * 1e6)))
    assert small.rooms.sweeping.is_due(small.journal)
    spend(small.sweep())
    assert not small.rooms.sweeping.is_due(small.journal)

    async def ask() -> None:
        async with small.rooms.reader.Reader.open(small.path) as reader:
            page = await reader.page(Filter(category=("auth",)), limit=200)
            assert [e.seq for e in page.entries] == stored(small)[::-1]
            facets = await reader.facets(Filter())
            assert facets["category"] == [("auth", len(stored(small)))]

    anyio.run(ask)
    segment = small.rooms.postings.SEGMENT_BITS
    live = {seq >> segment for seq in stored(small)}
    posted = small.journal.connection.execute("SELECT DISTINCT segment FROM postings").fetchall()
    assert {n for (n,) in posted} <= live
    assert traces(small) <= set(stored(small))


def test_buckets_go_with_their_segments_whole_blocks_and_parts_of_one(small: World) -> None:
    fill(small, 400)
    small.follow()
    before = traces(small)
    spend(small.pruner.oldest(3 * small.rooms.postings.SEGMENT + 5, "entries"))
    spend(small.sweep())
    first = stored(small)[0]
    assert traces(small) == {seq for seq in before if seq >= first}


def traces(world: World) -> set[int]:
    """The seqs that the rows of fingerprints speak of; a pair stands for postings elsewhere."""
    rows = world.journal.connection.execute("SELECT segment, numbers FROM occurrences").fetchall()
    postings, seqs = world.rooms.postings, set()
    for segment, stored_ in rows:
        numbers = Counter(array("I", stored_))
        offsets = {number & postings.SEGMENT - 1 for number, times in numbers.items() if times == 1}
        seqs |= {(segment << postings.SEGMENT_BITS) + offset for offset in offsets}
    assert seqs
    return seqs


def test_the_id_of_a_pruned_entry_can_be_used_again(small: World) -> None:
    one = "0192f1c4-0000-4000-8000-000000000001"
    first = small.record([Draft(action="note.added", id=one)])[0]
    for stage in ("tail", "indexed"):
        again = small.record([Draft(action="note.added", id=one)])[0]
        assert (again.duplicate, again.seq) == (True, first.seq), stage
        if stage == "indexed":
            spend(small.followers[1].steps())
        spend(small.pruner.oldest(10**6, "entries"))
        first = small.record([Draft(action="note.added", id=one)])[0]
        assert not first.duplicate, stage
        spend(small.followers[1].steps())
    spend(small.rooms.thinning.stale_ids(small.journal))
    again = small.record([Draft(action="note.added", id=one)])[0]
    assert (again.duplicate, again.seq) == (True, first.seq)


def test_no_seq_is_used_twice_after_everything_is_pruned_and_started_anew(small: World) -> None:
    fill(small, 90)
    spend(small.pruner.oldest(10**6, "entries"))
    assert small.pruner.entries == 0
    small.close()
    small.open()
    assert small.pruner.entries == 0
    assert small.record(of("auth"))[0].seq == 91
    small.crash()
    small.open()
    assert small.record(of("auth"))[0].seq == 92


# ── steps ───────────────────────────────────────────────────────────────────────────────────────


def test_no_step_changes_more_than_a_bounded_number_of_rows(tmp_path: Path) -> None:
    """Steps are what the event loop waits for, so each touches some hundreds of rows at most."""
    with world(tmp_path / "events.db") as w:
        for seed in range(9):
            fill(w, 2500, seed)
        for job in ("totals", "ids", "postings", "words"):
            follower = next(f for f in w.followers if f.name == job)
            while follower.due(True):
                _hold(w, follower.steps(), 4 * 1024 + 17)  # an hour and a day a row of two chunks
        _hold(w, w.pruner.aged(AgeGroup("a", 1, only=("auth",)), int((w.now + 1) * 1e6)), 2600)
        _hold(w, w.sweep(), 2600)
        _hold(w, w.rooms.reindexing.forget(w.journal, w.followers), 1100)
        _hold(w, w.rooms.reindexing.rebuild(w.journal), 1100)
        w.follow()
        _hold(w, w.pruner.oldest(10**6, "entries"), 2600)
        _hold(w, w.sweep(), 2600)
        assert count_of(w) == 0


def _hold(w: World, job: Iterator[Any], most: int) -> None:
    changes, steps = w.journal.connection.total_changes, 0
    for steps, _ in enumerate(job, 1):  # noqa: B007
        assert not w.journal.connection.in_transaction
        now = w.journal.connection.total_changes
        assert now - changes <= most, f"{now - changes} rows in one step"
        changes = now
    assert steps


def test_space_is_given_back(tmp_path: Path) -> None:
    with world(tmp_path / "events.db") as w:
        for _ in range(4):
            w.record([Draft(action="note.added", message="x" * 300)] * 5000)
        w.follow()
        assert w.journal.wipe()
        before = w.path.stat().st_size
        spend(w.pruner.oldest(19_000, "entries"))
        spend(w.sweep())
        assert w.journal.wipe()
        assert w.path.stat().st_size < before / 3
        _, free = w.journal.page_bytes()
        assert free < w.rooms.sweeping.VACUUM_AT * 4096
