"""The intake's own time: what an entry says of when it was recorded, whatever the clock does."""

from __future__ import annotations

from pathlib import Path

from collector.config import Config
from collector.core.admission import Admission
from collector.core.redaction import Redactor
from collector.event import Draft
from collector.hub import Hub
from collector.intake import Intake
from collector.journal.versions import Versions
from collector.journal.writer import Journal

NOON = 1_800_000_000.0


class Clock:
    """A wall clock that people set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def recorded(intake: Intake) -> int:
    """Record an event; when, in µs, its entry says that was."""
    receipt = intake.record(Draft(action="clock.read"), source="queue")
    assert receipt.ok
    assert receipt.seq is not None
    found = intake.journal.recorded_at(receipt.seq)
    assert found is not None
    return found


def test_a_clock_set_back_is_believed_and_no_moment_is_used_twice(tmp_path: Path) -> None:
    rules = Config.from_mapping({}, {"HOME": str(tmp_path)}).redaction
    journal = Journal.open(tmp_path / "events.db")
    redactor = Redactor(keys=rules.keys, patterns=(), emails="hash", key=journal.hmac_key)
    clock = Clock()
    intake = Intake(
        journal,
        Admission(journal.books, redactor),
        Versions(journal.connection, (), redactor),
        Hub(journal.entries),
        wall=clock,
        monotonic=clock,
        call_soon=lambda callback: None,
    )
    first = recorded(intake)
    assert recorded(intake) == first + 1  # the same microsecond on the clock, the next in the log
    clock.now = NOON - 0.5
    assert recorded(intake) == first + 2  # slewing: time stands still rather than going back
    clock.now = NOON - 3600
    assert recorded(intake) == int((NOON - 3600) * 1e6)
    clock.now = NOON + 10
    assert recorded(intake) == int((NOON + 10) * 1e6)
    journal.close()
