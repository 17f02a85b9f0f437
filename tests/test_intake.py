"""The intake: times that an entry bears whatever the clock does, and groups of many senders."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.core.admission import Admission
from collector.core.redaction import Redactor
from collector.errors import JournalError
from collector.event import Draft, Principal
from collector.hub import Hub
from collector.intake import Intake, Sender
from collector.journal.versions import Versions
from collector.journal.writer import Journal
from tests.journal.world import ADA, PEER, Resource, World, world

NOON = 1_800_000_000.0


class Clock:
    """A wall clock that people set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def intake(tmp_path: Path, clock: Clock) -> Iterator[Intake]:
    """An intake on a journal of its own."""
    journal = Journal.open(tmp_path / "events.db")
    redactor = Redactor(keys=("password",), patterns=(), emails="hash", key=journal.hmac_key)
    yield Intake(
        journal,
        Admission(journal.books, redactor),
        Versions(journal.connection, (), redactor),
        Hub(journal.entries),
        wall=clock,
        monotonic=clock,
        call_soon=lambda callback: None,
    )
    journal.close()


def recorded(intake: Intake) -> int:
    """Record an event; when, in µs, its entry says that was."""
    receipt = intake.record(Draft(action="clock.read"), source="queue")
    assert receipt.ok
    assert receipt.seq is not None
    found = intake.journal.recorded_at(receipt.seq)
    assert found is not None
    return found


def test_a_clock_set_back_is_believed_and_no_moment_is_used_twice(
    intake: Intake, clock: Clock
) -> None:
    first = recorded(intake)
    assert recorded(intake) == first + 1  # the same microsecond on the clock, the next in the log
    clock.now = NOON - 0.5
    assert recorded(intake) == first + 2  # slewing: time stands still rather than going back
    clock.now = NOON - 3600
    assert recorded(intake) == int((NOON - 3600) * 1e6)
    clock.now = NOON + 10
    assert recorded(intake) == int((NOON + 10) * 1e6)


# ── groups ──────────────────────────────────────────────────────────────────────────────────────

LINES = (
    b'{"action":"lamp.switched"}',
    b'{"action":"lamp.switched","actor":"user:7","metadata":{"to":"on"}}',
    b'{"action":"door.opened","tenant_id":"north","ip":"192.0.2.7","target":{"id":"hall"}}',
    b'{"action":"door.opened","id":"0a0b0c0d-0000-4000-8000-000000000001"}',
    b'{"action":"door.opened","id":"0A0B0C0D-0000-4000-8000-000000000001","message":"again"}',
    b'{"action":"login.failed","metadata":{"password":"hunter2"},"message":"token=abcdef123456"}',
    b'{"action":"Not an action"}',
    b'{"action":"lamp.switched","metadata":{"text":"\\u0000"}}',
    b"no JSON",
)


class Replies:
    """What one sender hears."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def reply(self, lines: bytes) -> None:
        self.lines += [msgspec.json.decode(line) for line in lines.splitlines()]

    def command(self, command: dict[str, Any], rest: list[Any]) -> None:
        raise AssertionError(command)


def told(sinks: list[Replies]) -> list[list[tuple[Any, ...]]]:
    """The replies without the ids that the daemon chose."""
    return [
        [
            (r["ok"], r.get("seq"), r.get("duplicate"), r.get("code"), r.get("error"))
            for r in s.lines
        ]
        for s in sinks
    ]


def kept(w: World) -> list[dict[str, Any]]:
    """Every entry, without what the moment of its commit decides."""
    rows = [msgspec.to_builtins(entry) for entry in w.entries()]
    for row in rows:
        for name in ("id", "occurred_at", "recorded_at"):
            del row[name]
        # The digits of a redaction hang on the journal's own key.
        row["metadata"] = re.sub("[0-9a-f]{8}", "?", str(row["metadata"]))
        row["message"] = re.sub("[0-9a-f]{8}", "?", str(row["message"]))
    return rows


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.sampled_from(LINES), min_size=1, max_size=4)),
        min_size=1,
        max_size=12,
    )
)
def test_a_group_of_many_senders_stores_and_answers_what_they_would_hear_one_by_one(
    chunks: list[tuple[int, list[bytes]]],
) -> None:
    outcomes = []
    for together in (True, False):
        with tempfile.TemporaryDirectory() as folder, world(Path(folder) / "events.db") as w:
            senders = [
                Sender("unix", msgspec.structs.replace(PEER, pid=n + 1), ADA) for n in range(4)
            ]
            sinks = [Replies() for _ in senders]
            for who, lines in chunks:
                w.intake.submit(b"\n".join(lines) + b"\n", senders[who], sinks[who])
                if not together:
                    w.intake.flush()
            w.intake.flush()
            outcomes.append((told(sinks), kept(w)))
    assert outcomes[0] == outcomes[1]


# ── one transaction ─────────────────────────────────────────────────────────────────────────────


def test_what_settles_an_entry_is_true_with_it_and_only_then(intake: Intake) -> None:
    journal = intake.journal
    draft = Draft(action="events.pruned", actor=Principal(type="user", id="ada"))
    assert intake.record(draft, source="collector", settles=lambda: journal.set_fact("n", 5)).ok
    assert journal.fact("n") == 5

    def fails() -> None:
        journal.set_fact("n", 6)
        raise ZeroDivisionError("a fault of ours")

    refused = intake.record(draft, source="collector", settles=fails)
    assert (refused.ok, refused.code) == (False, "failed")
    assert journal.fact("n") == 5
    assert journal.last_seq == 1


def test_who_was_new_in_a_group_that_was_rolled_back_is_new_again(intake: Intake) -> None:
    """A number that the dictionary gave out and took back would name nobody, or somebody else."""

    def fails() -> None:
        raise ZeroDivisionError("a fault of ours")

    for who, settles in (("ada", fails), ("eve", lambda: None), ("ada", lambda: None)):
        intake.record(
            Draft(action="a.b", actor=Principal(type="user", id=who), tenant_id=f"of-{who}"),
            source="queue",
            settles=settles,
        )
    entries = intake.journal.entries(1, 2)
    assert [(entry.actor and entry.actor.id, entry.tenant_id) for entry in entries] == [
        ("eve", "of-eve"),
        ("ada", "of-ada"),
    ]


def test_a_commit_that_works_ends_the_trouble(intake: Intake, clock: Clock) -> None:
    intake.trouble(JournalError("the disk is away"))
    assert not intake.record(Draft(action="a.b"), source="queue").ok
    clock.now += 3600
    assert intake.record(Draft(action="a.b"), source="queue").ok
    assert intake.failing.since is None


def test_events_that_were_refused_together_are_told_apart_when_they_are_sent_again(
    intake: Intake, clock: Clock
) -> None:
    """An id that two of them shared would make the second a repeat of the first: lost."""
    intake.trouble(JournalError("the disk is away"))
    sinks = [Replies(), Replies()]
    for n, sink in enumerate(sinks):
        sender = Sender("unix", msgspec.structs.replace(PEER, pid=n + 1), ADA)
        intake.submit(b'{"action":"a.b"}\n' * 3, sender, sink)
    intake.flush()
    ids = [reply["id"] for sink in sinks for reply in sink.lines]
    assert len(set(ids)) == 6
    clock.now += 3600
    receipts = [intake.record(Draft(action="a.b", id=id_), source="queue") for id_ in ids]
    assert [receipt.duplicate for receipt in receipts] == [False] * 6
    assert [receipt.seq for receipt in receipts] == [1, 2, 3, 4, 5, 6]


def test_other_rules_for_audited_objects_hold_from_the_next_group_on(intake: Intake) -> None:
    journal = intake.journal

    def versions() -> int:
        count: int = journal.connection.execute("SELECT count(*) FROM versions").fetchone()[0]
        return count

    draft = Draft(
        action="lamp.updated", object_type="lamp", object_id="7", record={"brightness": 3}
    )
    assert intake.record(draft, source="queue").ok
    assert versions() == 0
    redactor = Redactor(keys=(), patterns=(), emails="hash", key=journal.hmac_key)
    lamps = Resource(slug="lamps", object_type="lamp")
    intake.versions = Versions(journal.connection, (lamps,), redactor)
    assert intake.record(draft, source="queue").ok
    assert versions() == 1


def test_nul_is_refused_wherever_it_hides(intake: Intake) -> None:
    for field, value in (
        ("actor", Principal(type="user", id="a\0b")),
        ("target", Principal(name="\udc80")),
        ("message", "a\0b"),
        ("metadata", {"list": [{"deep": "a\0b"}]}),
        ("record", {"a\0b": 1}),
    ):
        refused = intake.record(Draft(action="a.b", **{field: value}), source="queue")
        assert refused.code == "invalid_event", field
        assert f"$.{field}" in (refused.error or ""), field


@pytest.mark.parametrize(
    "member",
    [
        r'"message":"a\u0000b"',
        r'"object_name":"\u0000"',
        r'"actor":{"type":"user","id":"a\u0000"}',
        r'"metadata":{"list":[{"deep":"a\u0000b"}]}',
        r'"metadata":{"a\u0000":1}',
        r'"record":{"a\u0000b":1}',
        r'"message":"\\\u0000"',
    ],
)
def test_nul_is_refused_in_a_line_among_others_however_it_is_escaped(
    intake: Intake, member: str
) -> None:
    """Most chunks have no escape at all, and are not looked through for it."""
    sink = Replies()
    harmless = rb'{"action":"a.b","message":"a \\u0000 of some source, and a \" too"}'
    lines = [b'{"action":"a.b"}', b'{"action":"a.b",' + member.encode() + b"}", harmless]
    intake.submit(b"\n".join(lines) + b"\n", Sender("unix", PEER, ADA), sink)
    intake.flush()
    assert [line["ok"] for line in sink.lines] == [True, False, True]
    assert sink.lines[1]["code"] == "invalid_event"
    assert intake.journal.last_seq == 2
    assert "\\u0000 of" in (intake.journal.entries(2, 2)[0].message or "")


# ── who hears what ──────────────────────────────────────────────────────────────────────────────


def test_what_was_sent_earlier_is_stored_before_an_event_of_our_own(intake: Intake) -> None:
    sink = Replies()
    for _ in range(2):
        intake.submit(b'{"action":"sent.earlier"}\n', Sender("unix", PEER, ADA), sink)
    receipt = intake.record(Draft(action="collector.stopping"), source="collector")
    assert [line["seq"] for line in sink.lines] == [1, 2]
    assert receipt.seq == 3
    actions = [entry.action for entry in intake.journal.entries(1, 3)]
    assert actions == ["sent.earlier", "sent.earlier", "collector.stopping"]


KEPT_NOWHERE = b'{"action":"a.b","object_type":"lamp","object_id":"7","record":{"on":true}}'


def test_a_warning_goes_to_the_sender_of_its_event(intake: Intake) -> None:
    sinks = [Replies() for _ in range(4)]
    for sink, line in zip(sinks, [LINES[0], KEPT_NOWHERE, LINES[1], KEPT_NOWHERE], strict=True):
        intake.submit(line + b"\n" + LINES[0] + b"\n", Sender("unix", PEER, ADA), sink)
    intake.flush()
    warned = [["warnings" in line for line in sink.lines] for sink in sinks]
    assert warned == [[False, False], [True, False]] * 2
    assert intake._committer.take_warnings() == {}, "told once, and not kept for ever"


@pytest.mark.parametrize("why", ["fault", "row"])
def test_a_warning_about_an_event_that_failed_is_nobodys(intake: Intake, why: str) -> None:
    """The next event is stored under the seq that the failed one would have had."""
    sink = Replies()
    if why == "fault":

        def fails() -> None:
            raise ZeroDivisionError("a fault of ours")

        draft = Draft(action="a.b", object_type="lamp", object_id="7", record={"on": True})
        assert not intake.record(draft, source="queue", settles=fails).ok
        intake.submit(LINES[0] + b"\n", Sender("unix", PEER, ADA), sink)
    else:
        intake.journal.connection.execute(
            "CREATE TEMP TRIGGER refuse BEFORE INSERT ON log WHEN new.message = 'no' "
            "BEGIN SELECT raise(ABORT, 'no'); END"
        )
        refused = KEPT_NOWHERE.replace(b'"action"', b'"message":"no","action"')
        intake.submit(refused + b"\n" + LINES[0] + b"\n", Sender("unix", PEER, ADA), sink)
    intake.flush()
    assert [(line["ok"], line.get("warnings")) for line in sink.lines][-1] == (True, None)
    assert intake.journal.last_seq == 1


def test_a_device_is_stored_although_its_event_is_a_repeat(intake: Intake) -> None:
    """The reply to the first try was lost, and the device has changed meanwhile."""
    event_id = "0a0b0c0d-0000-4000-8000-000000000007"
    for state in ("online", "offline"):
        receipt = intake.record(
            Draft(action="device.updated", id=event_id),
            source="mdns",
            devices=({"id": "host-lamp", "state": state},),
        )
        assert (receipt.ok, receipt.seq) == (True, 1)
    assert receipt.duplicate
    assert intake.journal.devices() == [{"id": "host-lamp", "state": "offline"}]


# ── ids ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_id_that_the_daemon_assigned_is_known_when_it_is_sent_again(intake: Intake) -> None:
    first = intake.record(Draft(action="a.b"), source="queue")
    other = intake.record(Draft(action="a.b"), source="queue")
    for _ in range(2):
        again = intake.record(Draft(action="a.b", id=first.id), source="queue")
        assert (again.seq, again.duplicate, again.id) == (1, True, first.id)
    # It names its row, and that the row must confirm: another time is another event.
    assert first.id is not None
    assert other.id is not None
    stranger = other.id[:24] + first.id[24:]
    for seq, duplicate in ((3, False), (3, True)):
        receipt = intake.record(Draft(action="a.b", id=stranger), source="queue")
        assert (receipt.seq, bool(receipt.duplicate)) == (seq, duplicate)
    # Sent by a producer, the very id stands in the row: it is the producer's then.
    assert intake.record(Draft(action="a.b", id=stranger), source="queue").duplicate
