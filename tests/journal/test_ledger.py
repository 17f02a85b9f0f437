"""The loss ledger adds up in every committed state, and the ring keeps the daemon's own entries."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.core.query import Filter
from collector.core.retention import AgeGroup
from collector.event import Draft
from collector.journal.backup import restore
from tests.journal.world import World, spend, world

CATEGORIES = ("entity", "auth", "device", "billing")
OWN = ("collector.started", "storage.full", "events.lost")
DAY = 86_400.0


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "events.db") as made:
        yield made


@pytest.fixture
def small(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "events.db", small=True) as made:
        yield made


def others(count: int, category: str = "system") -> list[Draft]:
    return [Draft(action="note.added", category=category) for _ in range(count)]


def say(w: World, action: str, count: int = 1) -> None:
    """The daemon says something of itself."""
    assert all(r.ok for r in w.record([Draft(action=action)] * count, source="collector"))


def own(w: World) -> Counter[str]:
    """What is stored of the daemon's own, by action."""
    return Counter(entry.action for entry in w.entries() if entry.source == "collector")


def check(w: World) -> dict[str, int]:
    """Hold the ledger to the log, as another connection sees what is committed; its counts."""
    with closing(sqlite3.connect(f"file:{w.path}?mode=ro", uri=True)) as reader:
        last, stored = reader.execute(
            "SELECT max(coalesce(max(seq), 0), coalesce((SELECT value FROM facts"
            " WHERE name = 'last_seq'), 0)), count(*) FROM log"
        ).fetchone()
        rows = reader.execute("SELECT cause, count, first_seq, last_seq FROM removed").fetchall()
        assert last == stored + sum(count for _, count, _, _ in rows)
        assert all(0 < first <= end <= last for _, _, first, end in rows)
    assert w.pruner.entries == stored
    assert w.journal.last_seq == last
    return {cause: count for cause, count, _, _ in rows}


# ── the equation ────────────────────────────────────────────────────────────────────────────────

OPS = ("record", "own", "oldest", "aged", "all", "clear", "crash", "backup", "restore", "report")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OPS), st.integers(0, 10**6)), max_size=15))
def test_the_account_adds_up_in_every_committed_state(ops: list[tuple[str, int]]) -> None:
    """Whatever is recorded, removed for any cause, lost in a crash or restored, in any order."""
    with tempfile.TemporaryDirectory() as folder:
        w, copy = World(Path(folder) / "events.db", small=True), Path(folder) / "copy.db"
        removed: Counter[str] = Counter()
        kept: tuple[int, Counter[str]] = (0, Counter())
        newest = 0
        for op, seed in (("record", 0), ("own", 1), *ops):
            rng = random.Random(seed)
            job: Iterator[Any] = iter(())
            cause = rng.choice(("entries", "bytes", "full", "request"))
            if op in ("record", "own"):
                w.now += 3600
                drafts = others(rng.choice((1, 50)), rng.choice(CATEGORIES))
                if op == "own":
                    drafts = [Draft(action=rng.choice(OWN)) for _ in range(rng.choice((1, 9)))]
                receipts = w.record(drafts, source="collector" if op == "own" else "unix")
                assert receipts[0].seq == newest + 1, "a seq is never handed out twice"
                newest = receipts[-1].seq or 0
            elif op == "oldest":
                job = w.pruner.oldest(rng.choice((1, 30, 70)), cause)
            elif op == "all":
                job = w.pruner.oldest(10**6, cause)
            elif op == "aged":
                only = (rng.choice(CATEGORIES),)
                cutoff = int((w.now - rng.choice((0, 3600, 90_000))) * 1e6)
                group = AgeGroup("", 1, only=only) if seed % 2 else AgeGroup("", 1, but=only)
                cause, job = "age", w.pruner.aged(group, cutoff)
            elif op == "clear":
                cause, job = "cleared", w.rooms.clearing.clear(w.journal, w.pruner)
            elif op == "crash":
                w.crash()
                w.open()
            elif op == "backup":
                w.rooms.backup.backup(w.path, copy)
                kept = (newest, removed.copy())
            elif op == "restore" and copy.exists():
                w.close()
                restore(copy, w.path)
                w.open()
                newest, removed = kept[0], kept[1].copy()
            elif op == "report" and w.pruner.take_account():
                w.pruner.reported()
            before = w.pruner.entries
            for _ in job:
                check(w)
            removed[cause] += before - w.pruner.entries
            assert check(w) == +removed, "each removal is under its own cause"
        assert w.rooms.backup.verify(w.path) == []
        w.close()


def test_each_cause_has_the_range_of_what_went_and_when(w: World) -> None:
    w.record(others(50, "auth"))
    w.pruner._wall = lambda: 1_000.0
    spend(w.pruner.oldest(10, "entries"))
    w.pruner._wall = lambda: 2_000.0
    spend(w.pruner.oldest(5, "entries"))
    spend(w.pruner.aged(AgeGroup("", 1, only=("auth",)), int((w.now + 1) * 1e6)))
    status = w.pruner.ledger.status()
    assert status == {
        "age": {"count": 35, "first_seq": 16, "last_seq": 50,
                "first_at": "1970-01-01T00:33:20.000000Z", "last_at": "1970-01-01T00:33:20.000000Z"},
        "entries": {"count": 15, "first_seq": 1, "last_seq": 15,
                    "first_at": "1970-01-01T00:16:40.000000Z",
                    "last_at": "1970-01-01T00:33:20.000000Z"},
    }  # fmt: skip
    w.crash()
    w.open()
    assert w.pruner.ledger.status() == status


def accounts(w: World) -> Any:
    """All that the pruner keeps in memory."""
    pruner = w.pruner
    return deepcopy((pruner.removed, pruner.ledger.rows, pruner.ring.state(), pruner.total))


@pytest.mark.parametrize("when", ["DELETE ON log", "INSERT ON removed", "INSERT ON facts"])
def test_a_step_that_fails_leaves_every_account_as_it_was(w: World, when: str) -> None:
    """Also where it fails behind the accounts: what is in memory goes back with the transaction."""
    say(w, "collector.started")
    w.record(others(500))
    spend(w.pruner.oldest(100, "entries"))
    say(w, "storage.full")
    before = accounts(w)
    condition = "WHEN new.name = 'last_seq'" if "facts" in when else ""
    w.journal.connection.execute(
        f"CREATE TEMP TRIGGER no AFTER {when} {condition} BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    for job in (
        w.pruner.oldest(300, "bytes"),
        w.pruner.aged(AgeGroup("", 1), int((w.now + 1) * 1e6)),
        w.pruner.everything("cleared", before=400),
    ):
        with pytest.raises(Exception, match="no"):
            spend(job)
        assert accounts(w) == before
        check(w)
    w.journal.connection.execute("DROP TRIGGER no")
    spend(w.pruner.oldest(300, "bytes"))
    assert check(w) == {"entries": 100, "bytes": 300}


def test_clearing_leaves_what_is_recorded_meanwhile(w: World) -> None:
    say(w, "collector.started")
    w.record(others(300))
    spend(w.pruner.oldest(50, "entries"))
    job = w.rooms.clearing.clear(w.journal, w.pruner)
    next(job)
    later = w.record(others(200))
    spend(job)
    assert [entry.seq for entry in w.entries()] == [receipt.seq for receipt in later]
    assert check(w) == {"entries": 50, "cleared": 251}
    assert w.rooms.verifying.verify(w.path) == []


def test_versions_go_with_their_entries_and_the_last_state_stays(tmp_path: Path) -> None:
    from tests.journal.world import Resource

    with world(tmp_path / "events.db", resources=[Resource("categories", "category")]) as w:
        for name in "abcd":
            w.record([Draft(action="category.updated", object_type="category", object_id="7",
                            record={"name": name})])  # fmt: skip
        count = "SELECT count(*), min(seq) FROM versions"
        spend(w.pruner.oldest(2, "entries"))
        assert w.journal.connection.execute(count).fetchone() == (2, 3)
        spend(w.pruner.aged(AgeGroup("", 1), int((w.now + 1) * 1e6)))
        assert w.journal.connection.execute(count).fetchone() == (0, None)
        w.record([Draft(action="category.updated", object_type="category", object_id="7",
                        record={"name": "e"})])  # fmt: skip
        (entry,) = w.entries()
        assert [(change.old, change.new) for change in entry.changes or ()] == [("d", "e")]


def test_what_was_too_young_at_the_oldest_end_goes_when_its_time_comes(w: World) -> None:
    """A step over older entries behind it must not count it as done with."""
    group = AgeGroup("auth", 1, only=("auth",))
    w.record(others(3, "auth"))
    w.journal.connection.execute("UPDATE log SET delay = delay + 86400000000 WHERE seq = 1")
    spend(w.pruner.aged(group, int(w.now * 1e6) + 1))
    assert [entry.seq for entry in w.entries()] == [1]
    spend(w.pruner.aged(group, int((w.now + 2 * DAY) * 1e6)))
    assert w.entries() == []


def test_totals_of_old_days_are_forgotten_once_and_for_all(w: World) -> None:
    def days() -> list[int]:
        rows = w.journal.connection.execute(
            "SELECT DISTINCT start FROM totals WHERE span = 86400 ORDER BY 1"
        )
        return [row[0] for row in rows]

    for _ in range(4):
        w.record(others(5))
        w.now += DAY
    w.follow()
    first = days()[0]
    assert days() == [first, first + 1, first + 2, first + 3]
    spend(w.pruner.forget_totals(first + 2))
    assert days() == [first + 2, first + 3]
    hours = w.journal.connection.execute("SELECT min(start) FROM totals WHERE span = 3600")
    assert hours.fetchone()[0] >= (first + 2) * 24
    spend(w.pruner.forget_totals(first + 1))  # a clock that was set back
    spend(w.pruner.oldest(7, "entries"))

    async def counted() -> int:
        async with w.rooms.reader.Reader.open(w.path) as reader:
            return sum(one.count for one in await reader.counts("action", None, Filter()))

    assert anyio.run(counted) == 3 + 10, (
        "what is stored of the forgotten days, and the other totals"
    )


# ── verify ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM log WHERE seq = 77", "1 entries too few"),
        ("DELETE FROM removed WHERE cause = 'entries'", "20 entries too few"),
        ("UPDATE removed SET count = count + 1", "1 entries too many"),
        ("UPDATE removed SET first_seq = last_seq", "contradicts itself"),
        ("UPDATE removed SET first_seq = first_seq + 40, last_seq = last_seq + 40", "1 to 41"),
        ("DELETE FROM ring", "forgot"),
        ("INSERT INTO ring VALUES (1, 5)", "not there"),
    ],
)
def test_verify_proves_the_account_from_the_file_alone(w: World, damage: str, said: str) -> None:
    say(w, "collector.started")
    w.record(others(99))
    spend(w.pruner.oldest(20, "entries"))
    assert w.rooms.verifying.verify(w.path) == []
    w.journal.connection.execute(damage)
    assert said in "\n".join(w.rooms.verifying.verify(w.path))


def test_verify_believes_no_entry(w: World) -> None:
    """An `events.pruned` that speaks of a range accounts for nothing, whoever recorded it."""
    w.record(others(99))
    w.record([Draft(action="events.pruned", metadata={"count": 1, "from_seq": 1, "to_seq": 99})],
             source="collector")  # fmt: skip
    w.journal.connection.execute("DELETE FROM log WHERE seq = 50")
    assert w.rooms.verifying.verify(w.path) != []


# ── the ring ────────────────────────────────────────────────────────────────────────────────────


def flood(w: World, rounds: int, limit: int = 1000, *, speaking: int = 0) -> None:
    """Record others' events, and the daemon's own `events.lost`, with rotation down to a limit."""
    for _ in range(rounds):
        w.record(others(limit // 2))
        if speaking:
            say(w, "events.lost", speaking)
        spend(w.pruner.oldest(max(0, w.pruner.entries - limit), "entries"))


def test_what_the_daemon_says_of_itself_outlives_the_rotation_of_others(w: World) -> None:
    say(w, "collector.started")
    say(w, "storage.full", 3)
    w.record([Draft(action="collector.started")], source="unix")  # anybody's words
    flood(w, 20)
    say(w, "config.reloaded")
    flood(w, 20)
    assert own(w) == {"collector.started": 1, "storage.full": 3, "config.reloaded": 1}
    assert len(w.entries()) == 1000
    assert not [e for e in w.entries() if e.source == "unix" and e.action != "note.added"]
    assert w.rooms.verifying.verify(w.path) == []
    before = w.pruner.ring.state()
    w.crash()
    w.open()
    assert w.pruner.ring.state() == before
    flood(w, 2)
    assert own(w) == {"collector.started": 1, "storage.full": 3, "config.reloaded": 1}


def test_a_flood_of_the_daemons_own_is_bounded_and_removes_its_own(w: World) -> None:
    """Strangers can provoke it: what is there once outlives what is said again and again."""
    say(w, "collector.started")
    say(w, "storage.full", 3)
    flood(w, 30, speaking=40)
    assert w.pruner.ring.size <= 51
    kept = own(w)
    assert (kept["collector.started"], kept["storage.full"]) == (1, 3)
    assert kept["events.lost"] >= 40
    ringed = [s for (s,) in w.journal.connection.execute("SELECT seq FROM ring")]
    lost = [e.seq for e in w.entries() if e.action == "events.lost" and e.seq in ringed]
    assert lost == sorted(lost)
    assert min(lost) > 30 * 300, "the oldest repeats went first"
    assert len(w.entries()) == 1000, "the limit holds, whoever speaks"
    assert w.rooms.verifying.verify(w.path) == []


def test_a_log_that_shrinks_has_a_smaller_ring(w: World) -> None:
    flood(w, 10, speaking=40)
    flood(w, 4)
    spend(w.pruner.oldest(w.pruner.entries - 200, "bytes"))
    assert w.pruner.ring.size <= 11
    assert w.rooms.verifying.verify(w.path) == []


def test_where_all_are_there_equally_often_the_oldest_goes_first(w: World) -> None:
    for action in ("storage.full", "collector.started", "events.lost"):
        say(w, action)
    w.record(others(97))
    spend(w.pruner.oldest(50, "entries"))  # room for two of fifty
    assert own(w) == {"collector.started": 1, "events.lost": 1}


def test_where_nothing_else_is_left_the_ring_goes_too(w: World) -> None:
    say(w, "collector.started", 30)
    w.record(others(70))
    flood(w, 1, 200)
    spend(w.pruner.oldest(w.pruner.entries - 10, "full"))
    assert w.pruner.entries == 10
    spend(w.pruner.oldest(10**6, "full"))
    assert w.entries() == []
    assert w.pruner.ring.size == 0
    check(w)


def test_age_counts_for_the_rings_entries_as_for_all(w: World) -> None:
    say(w, "collector.started")
    w.now += DAY
    say(w, "storage.full")
    flood(w, 5)
    spend(w.pruner.aged(AgeGroup("", 1), int((w.now - DAY + 1) * 1e6)))
    assert own(w) == {"storage.full": 1}
    assert w.pruner.ring.size == 1
    assert w.rooms.verifying.verify(w.path) == []
    spend(w.rooms.clearing.clear(w.journal, w.pruner))
    assert (w.entries(), w.pruner.ring.size) == ([], 0)


def test_finding_the_daemons_own_entries_is_no_scan_of_the_log(w: World) -> None:
    """A step of rotation looks at its own rows and no others, however many the ring keeps in front."""
    say(w, "collector.started", 40)
    flood(w, 8)
    looked_at = 0

    def tick() -> int:
        nonlocal looked_at
        looked_at += 1
        return 0

    w.follow()  # else the step derives first
    w.journal.connection.set_progress_handler(tick, 100)
    try:
        w.pruner.ring.rows(w.pruner.ring.ahead(128)[0])
    finally:
        w.journal.connection.set_progress_handler(None, 0)
    assert looked_at * 100 < 128 * 40, "instructions"


def test_what_is_derived_of_passed_segments_tells_of_the_rings_entries_alone(small: World) -> None:
    say(small, "collector.started")
    small.record(others(300))
    say(small, "storage.full")
    small.record(others(300))
    small.follow()
    spend(small.pruner.oldest(530, "entries"))
    spend(small.rooms.sweeping.stale_segments(small.journal))
    stored = [entry.seq for entry in small.entries()]
    assert stored[:2] == [1, 302]
    segment = small.rooms.postings.SEGMENT_BITS
    live = {seq >> segment for seq in stored}
    for table in ("postings", "words"):
        rows = small.journal.connection.execute(f"SELECT segment, offsets FROM {table}").fetchall()
        assert {n for n, _ in rows} <= live, table
        told = {(n << segment) + at for n, each in rows
                for at in small.rooms.postings.members(small.rooms.postings.decode(each))}  # fmt: skip
        first = stored[2] >> segment
        assert {seq for seq in told if seq >> segment < first} <= {1, 302}, table
    bits = small.rooms.postings.CHUNK_BITS
    end = stored[2] >> segment << segment - bits
    rows = small.journal.connection.execute("SELECT chunk FROM chunks WHERE chunk < ?", (end,))
    assert {n for (n,) in rows} == {1 >> bits, 302 >> bits}
    again = small.journal.connection.total_changes
    spend(small.rooms.sweeping.stale_segments(small.journal))
    assert small.journal.connection.total_changes == again, "nothing is swept twice"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("record", "own", "oldest", "sweep", "follow", "crash")),
                          st.integers(0, 10**6)), max_size=14))  # fmt: skip
def test_every_answer_holds_the_rings_entries(ops: list[tuple[str, int]]) -> None:
    """A filter and a facet tell of what is stored, whatever was rotated, swept or derived when."""
    with tempfile.TemporaryDirectory() as folder, world(
        Path(folder) / "events.db", small=True
    ) as w:  # fmt: skip
        for op, seed in (("own", 3), ("record", 1), ("follow", 0), *ops):
            rng = random.Random(seed)
            if op == "record":
                w.record(others(rng.choice((20, 90)), rng.choice(CATEGORIES)))
            elif op == "own":
                say(w, rng.choice(OWN), rng.choice((1, 4)))
            elif op == "oldest":
                spend(w.pruner.oldest(rng.choice((30, 120)), "entries"))
            elif op == "sweep":
                spend(w.rooms.sweeping.stale_segments(w.journal) if seed % 2 else w.sweep())
            elif op == "follow":
                w.follow()
            else:
                w.crash()
                w.open()
        anyio.run(_answers_are_right, w)
        assert w.rooms.verifying.verify(w.path) == []


async def _answers_are_right(w: World) -> None:
    stored = w.entries()
    async with w.rooms.reader.Reader.open(w.path) as reader:
        for wanted in (Filter(source=("collector",)), Filter(action=("storage.full",)),
                       Filter(q="started"), Filter(category=("auth",))):  # fmt: skip
            page = await reader.page(wanted, limit=200)
            expected = [e.seq for e in stored if _matches(e, wanted)][::-1]
            assert [entry.seq for entry in page.entries] == expected[:200], wanted
        facets = await reader.facets(Filter())
        assert dict(facets["action"]) == Counter(entry.action for entry in stored)


def _matches(entry: Any, wanted: Filter) -> bool:
    if wanted.q:
        return wanted.q in entry.action
    return all(
        getattr(entry, name) in getattr(wanted, name)
        for name in ("source", "action", "category")
        if getattr(wanted, name)
    )
