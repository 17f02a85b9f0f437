"""A reader that holds a snapshot: nobody waits for it, nothing is pruned in vain, and it is told."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from collector.core.retention import Limits
from collector.event import Draft, Principal
from collector.janitor.full_disk import MARGIN
from collector.janitor.schedule import TRY_SOON
from tests.journal.world import PEER, World, world
from tests.test_janitor import DAY, House, notes

MIB = 1 << 20
NO_LIMITS = Limits(max_days=0, max_entries=0, max_bytes=0)


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "events.db") as made:
        yield made


def watched(w: World, limits: Limits) -> House:
    """A house whose journal's knowledge of readers is on the same clock."""
    house = House(w, limits)
    w.journal.held.monotonic = lambda: house.time
    return house


@contextmanager
def snapshot(w: World) -> Iterator[sqlite3.Connection]:
    """Somebody reads the journal as it is now, until the block ends."""
    reader = sqlite3.connect(f"file:{w.path}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM log").fetchone()
    yield reader
    reader.close()


def flood(w: World, mib: int) -> list[Any]:
    """Record so many MiB of events; the answers."""
    answers = []
    for _ in range(mib):
        answers += w.record(notes(1000, message="x" * 1000))
    return answers


# ── what it costs ───────────────────────────────────────────────────────────────────────────────


def test_nothing_is_pruned_for_the_bytes_of_a_log_that_is_held(w: World) -> None:
    """As reported: at its limit, a snapshot left open, and every entry was gone in 15 seconds."""
    limit = 8 * MIB
    house = watched(w, Limits(max_days=0, max_entries=0, max_bytes=limit))
    for _ in range(12):
        flood(w, 1)
        house.settle(2)
    house.settle(5)
    before = house.stored()
    assert w.journal.page_bytes()[0] > limit * 0.9
    with snapshot(w):
        for _ in range(60):
            assert w.record(notes(10, message="x" * 1000))[0].ok
            house.settle(1)
        assert w.journal.held.lasts
        assert w.journal.page_bytes()[0] + w.journal.wal_bytes() > limit * 1.1
        assert house.stored() >= before + 600
    house.settle(5)
    house.settle(5)
    assert w.journal.page_bytes()[0] + w.journal.wal_bytes() <= limit * 1.05
    assert house.stored() > before * 0.9


def test_pruning_for_bytes_waits_for_a_reader_that_stays_and_then_catches_up(w: World) -> None:
    house = watched(w, NO_LIMITS)
    flood(w, 6)
    house.settle(5)
    with snapshot(w):
        w.record(notes(10))
        before = house.stored()
        house.janitor.limits = Limits(max_days=0, max_entries=0, max_bytes=3 * MIB)
        for _ in range(30):
            house.settle(1)
        assert house.stored() == before + len(house.own("journal.held")) == before + 1
    house.settle(5)
    assert w.journal.page_bytes()[0] + w.journal.wal_bytes() <= 3 * MIB * 1.05


def test_queries_that_overlap_do_not_keep_pruning_for_bytes_from_its_work(w: World) -> None:
    """No checkpoint is ever complete, and yet nobody stays."""
    house = watched(w, Limits(max_days=0, max_entries=0, max_bytes=3 * MIB))
    with ExitStack() as readers:
        for _ in range(40):
            w.record(notes(200, message="x" * 1000))
            with ExitStack() as next_one:
                next_one.enter_context(snapshot(w))
                w.record(notes(1))
                readers.close()
                house.settle(0.2)
                assert w.journal.held.since is not None
                readers.push(next_one.pop_all())
        assert w.journal.page_bytes()[0] <= 3 * MIB * 1.1


def test_pruning_by_number_and_age_goes_on_while_a_snapshot_is_held(w: World) -> None:
    house = watched(w, Limits(max_days=2, max_entries=1000, max_bytes=8 * MIB))
    w.record(notes(1000))
    house.settle(5)
    with snapshot(w):
        for _ in range(5):
            w.record(notes(500))
            house.settle(20)
            assert house.stored() <= 1050
        house.settle(3 * DAY)
        house.settle(3 * DAY)
        assert house.own("note.added") == []


def test_the_oldest_go_for_their_bytes_only_until_the_rest_fits(w: World) -> None:
    """By their number they would take the small ones along: they are the largest by far."""
    limit = 4 * MIB
    house = watched(w, NO_LIMITS)
    for _ in range(4):
        w.record(notes(100, metadata={"text": "x" * 12_000}))
    w.record(notes(8000))
    house.settle(5)
    used, entries = w.journal.page_bytes()[0], house.stored()
    assert used > limit + MIB
    house.janitor.limits = Limits(max_days=0, max_entries=0, max_bytes=limit)
    house.settle(5)
    left = w.journal.page_bytes()[0]
    assert limit - 2 * MIB < left <= limit * 1.02
    by_number = (used - limit) * entries // used
    assert entries - house.stored() < by_number / 2


# ── room ────────────────────────────────────────────────────────────────────────────────────────


def test_a_log_that_may_not_grow_is_refused_and_goes_on_as_soon_as_the_reader_left(
    w: World,
) -> None:
    house = watched(w, NO_LIMITS)
    house.janitor.disk.wal_max = 16 * MIB
    flood(w, 1)
    house.settle(5)
    with snapshot(w):
        stored = 0
        for _ in range(40):
            answers = flood(w, 1)
            stored += sum(answer.ok for answer in answers)
            house.janitor._keep_log_short()
            if not answers[-1].ok:
                break
        assert {answer.code for answer in answers if not answer.ok} == {"storage_full"}
        assert "collector status" in next(a.error for a in answers if not a.ok)
        assert 15 * MIB < w.journal.wal_bytes() < 24 * MIB
        before = w.journal.wal_bytes()
        house.janitor._wait_for_readers()
        assert house.janitor.status()["full"]
        assert not w.record(notes(1))[0].ok
        entries = house.stored()
        for _ in range(300):  # it is looked at twenty times a second, and nothing is done
            house.time += TRY_SOON
            house.janitor._wait_for_readers()
        assert w.journal.wal_bytes() - before < 256 * 1024
        assert house.stored() == entries + len(house.own("journal.held"))
    house.time += 2
    house.janitor._wait_for_readers()
    assert w.record(notes(1))[0].ok
    assert w.journal.wal_bytes() < MIB, "the log is cut, so that its room is free again"
    house.settle(5)
    full, recovered = house.own("storage.full")[0], house.own("storage.recovered")[0]
    assert full.metadata == {"on_full": "rotate", "cause": "held"}
    assert full.severity == "error"
    assert full.seq < recovered.seq
    assert len(house.own("note.added")) == stored + 1001
    assert house.own("events.pruned") == []


@pytest.mark.parametrize(("spare", "refused"), [(0, False), (-1, True)])
def test_room_is_short_where_what_a_checkpoint_adds_and_eight_mib_do_not_fit(
    w: World, monkeypatch: pytest.MonkeyPatch, *, spare: int, refused: bool
) -> None:
    house = watched(w, NO_LIMITS)
    disk = house.janitor.disk
    disk.reserve.take()
    with snapshot(w):
        flood(w, 6)
        assert not w.journal.checkpoint()
        room = w.journal.growth() + MARGIN + spare - disk.reserve.size()
        monkeypatch.setattr(disk.reserve, "_available", lambda: room)
        assert w.journal.growth() > 4 * MIB
        house.janitor._watch_room()
        assert w.record(notes(1))[0].ok is not refused


def test_a_short_log_is_no_reason_to_refuse_on_a_disk_with_little_room(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or each query on a small disk would stop recording."""
    house = watched(w, NO_LIMITS)
    reserve = house.janitor.disk.reserve
    monkeypatch.setattr(reserve, "size", lambda: MIB)
    assert reserve.take()
    monkeypatch.setattr(reserve, "_available", lambda: 0)
    with snapshot(w):
        w.record(notes(100))
        assert not w.journal.checkpoint()
        house.janitor._watch_room()
        assert w.record(notes(1))[0].ok


def test_a_reader_on_a_roomy_disk_stops_nothing(w: World) -> None:
    """A backup, a verify or an export holds one snapshot for as long as it takes."""
    house = watched(w, NO_LIMITS)
    with snapshot(w):
        for _ in range(12):
            assert all(answer.ok for answer in flood(w, 1))
            house.settle(0.1)
    house.settle(5)
    assert w.journal.held.since is None
    assert house.own("storage.full") == []


def test_a_full_disk_prunes_nothing_while_a_snapshot_is_held_and_does_not_wait(w: World) -> None:
    """To remove would give no room; and whoever waits for an answer would wait as well."""
    house = watched(w, NO_LIMITS)
    janitor = house.janitor
    janitor.disk.reserve.take()
    flood(w, 2)
    house.settle(5)
    with snapshot(w):
        flood(w, 1)
        entries = house.stored()
        error = w.rooms.connection.JournalFull("full")
        assert not janitor.make_room(error)
        assert house.stored() == entries
        assert not janitor.disk.reserve.held
        assert w.record(notes(1))[0].code == "storage_full"
    house.time += 2
    janitor._wait_for_readers()
    assert w.record(notes(1))[0].ok
    assert janitor.disk.reserve.held, "there is room: it is made again, and nothing had to go"
    assert house.stored() >= entries
    assert house.own("storage.recovered")


def test_what_a_producer_hands_in_does_not_slip_in_with_the_daemons_own_word(w: World) -> None:
    house = watched(w, NO_LIMITS)
    janitor = house.janitor
    janitor.disk.wal_max = 1
    with snapshot(w):
        flood(w, 5)
        w.journal.checkpoint()
        janitor._watch_room()
        assert janitor.disk.waiting
        answers: list[Any] = []
        sender = w.rooms.intake.submissions.Sender("unix", PEER, Principal(type="user", id="7"))
        sink = w.rooms.intake.submissions.ReceiptSink(answers.extend)
        w.intake.submit(b'{"action":"slipped.in"}\n', sender, sink)
        janitor.announcements.say()
        assert house.own("storage.full")
        assert house.own("slipped.in") == []


# ── what is said ────────────────────────────────────────────────────────────────────────────────


def test_a_hold_is_told_once_with_who_it_is_and_once_when_it_is_over(w: World) -> None:
    house = watched(w, NO_LIMITS)
    house.settle(10)
    with snapshot(w):
        w.record(notes(3))
        for _ in range(40):
            house.settle(1)
        (held,) = house.own("journal.held")
        assert held.metadata["pid"] == os.getpid()
        assert held.metadata["comm"]
        assert 10 <= held.metadata["seconds"] < 20
        assert held.metadata["wal_bytes"] > 0
        assert held.severity == "warning"
        assert house.own("journal.released") == []
        assert house.janitor.status()["held"]["by"].startswith(f"pid {os.getpid()} ")
    house.settle(1)
    house.settle(1)
    (released,) = house.own("journal.released")
    assert 30 < released.metadata["seconds"] < 50
    assert house.janitor.status()["held"] is None
    for _ in range(20):
        house.settle(5)
    assert len(house.own("journal.held")) == len(house.own("journal.released")) == 1


def test_a_hold_of_a_journal_that_is_hardly_written_to_is_noticed_too(w: World) -> None:
    """Nothing is due to be checkpointed: a producer that keeps sending leaves no quiet moment."""
    house = watched(w, NO_LIMITS)
    with snapshot(w):
        for _ in range(180):
            w.record(notes(1))
            house.settle(0.1)
        assert house.own("journal.held")


def test_short_readers_that_follow_each_other_are_told_of_never(w: World) -> None:
    house = watched(w, NO_LIMITS)
    for _ in range(60):
        with snapshot(w):
            w.record(notes(10))
            house.settle(0.5)
            with snapshot(w):
                w.record(notes(10))
                house.settle(0.5)
    assert house.own("journal.held") == []


def test_what_cannot_be_recorded_is_said_later_with_its_own_time(w: World) -> None:
    house = watched(w, NO_LIMITS)
    with snapshot(w):
        w.record(notes(3))
        w.journal.checkpoint()
        house.time += 11
        w.now += 11
        at = w.now
        refuse = w.rooms.connection.JournalIOError("no")
        w.intake.failing.failed(refuse)
        house.janitor._tell_of_readers()
        assert house.own("journal.held") == []
    house.time += 100
    w.now += 100
    w.intake.failing.recovered()
    house.settle()
    (held,) = house.own("journal.held")
    assert dt.datetime.fromisoformat(held.occurred_at).timestamp() == pytest.approx(at, abs=0.001)


def test_what_waits_to_be_said_is_bounded_and_keeps_the_first_and_the_last(w: World) -> None:
    house = watched(w, NO_LIMITS)
    said = house.janitor.announcements
    for number in range(500):
        said.add("storage.full", {"number": number})
    assert len(said) == 64
    said.say()
    numbers = [entry.metadata["number"] for entry in house.own("storage.full")]
    assert numbers[0] == 0
    assert numbers[1:] == list(range(437, 500))


def test_a_checkpoint_is_not_tried_at_every_turn_while_the_reader_is_still_there(w: World) -> None:
    """A try costs more the longer the log is."""
    house = watched(w, NO_LIMITS)
    tries = 0
    checkpoint = w.journal.checkpoint

    def counted() -> bool:
        nonlocal tries
        tries += 1
        return bool(checkpoint())

    with snapshot(w):
        flood(w, 5)
        assert not w.journal.checkpoint()
        assert w.journal.frames > house.janitor._long_wal
        w.journal.checkpoint = counted  # type: ignore[method-assign]
        for _ in range(300):
            w.record([Draft(action="note.added")])
            house.time += 0.001
            house.janitor._keep_log_short()
    assert tries <= 1
