"""What has to go, and what never may: entries within the limits, whoever reads meanwhile."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.core.retention import Limits
from tests.journal.world import world
from tests.test_janitor import DAY, House, notes

MIB = 1 << 20
STEP = 128 * 4096 + 256 * 1024
"""Bytes of a step of pruning with the largest entries below, and of what is derived from them."""

LIMITS = st.builds(
    lambda days, entries, size: Limits(max_days=days, max_entries=entries, max_bytes=size),
    st.sampled_from([0, 1, 3]),
    st.sampled_from([0, 300, 1500]),
    st.sampled_from([0, MIB, 2 * MIB, 3 * MIB]),
)
STEPS = st.one_of(
    st.tuples(st.just("record"), st.integers(1, 400), st.sampled_from([10, 800, 3000])),
    st.tuples(st.just("open"), st.just(0), st.just(0)),
    st.tuples(st.just("close"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 12, 4000, int(DAY)]), st.just(0)),
    st.tuples(st.just("limit"), LIMITS, st.just(0)),
)
FULL_OF_BYTES: list[Any] = [
    ("limit", Limits(max_days=0, max_entries=0, max_bytes=2 * MIB), 0),
    *[("record", 400, 800)] * 6,
    ("wait", 12, 0),
    ("open", 0, 0),
    *[("record", 100, 10), ("wait", 12, 0)] * 6,
    ("close", 0, 0),
    ("wait", 12, 0),
]
"""As it was reported: at the limit in bytes, a snapshot is left open, and a little is recorded."""
LARGE_FIRST: list[Any] = [
    *[("record", 400, 3000)] * 2,
    *[("record", 400, 10)] * 4,
    ("limit", Limits(max_days=0, max_entries=0, max_bytes=2 * MIB), 0),
    ("wait", 12, 0),
]


class Trial:
    """A journal, its janitor and its readers; after each step it is asked what was removed, and why."""

    def __init__(self, folder: Path, w: Any) -> None:
        self.w, self.house = w, House(w, Limits(max_days=0, max_entries=0, max_bytes=0))
        w.journal.held.monotonic = lambda: self.house.time
        self.readers: list[sqlite3.Connection] = []
        self.recorded: dict[int, float] = {}
        """When each of the notes was recorded that are not removed."""

    def record(self, count: int, size: int) -> None:
        for answer in self.w.record(
            notes(count, message="x" * min(size, 1000), metadata=self._text(size))
        ):
            assert answer.ok, "the disk is roomy"
            self.recorded[answer.seq] = self.w.now
        self.house.settle(0.5)

    @staticmethod
    def _text(size: int) -> dict[str, str]:
        return {"text": "y" * (size - 1000)} if size > 1000 else {}

    def open(self, *_: object) -> None:
        reader = sqlite3.connect(f"file:{self.w.path}?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM log").fetchone()
        self.readers.append(reader)

    def close(self, which: int, *_: object) -> None:
        if self.readers:
            self.readers.pop(which % len(self.readers)).close()

    def wait(self, seconds: int, *_: object) -> None:
        self.house.settle(seconds)
        self.house.settle(0.1)

    def limit(self, limits: Limits, *_: object) -> None:
        self.house.janitor.limits = limits
        self.house.janitor._removal.look_soon()

    def check(self) -> None:
        """Whatever is gone was past a limit: the newest of it is asked, and so all of it."""
        read = self.w.journal.connection.execute
        stored = {seq for (seq,) in read("SELECT seq FROM log")}
        gone = {seq: at for seq, at in self.recorded.items() if seq not in stored}
        for seq in gone:
            del self.recorded[seq]
        if not gone:
            return
        newest, limits = max(gone), self.house.janitor.limits
        newer = sum(seq > newest for seq in stored)
        if limits.max_days and self.w.now - gone[newest] > limits.max_days * DAY:
            return
        if limits.max_entries and newer >= limits.max_entries:
            return
        assert limits.max_bytes, f"{len(gone)} entries are gone, and no limit asks for that"
        left = self.w.journal.page_bytes()[0]
        assert left + STEP > limits.max_bytes, f"{len(gone)} gone, and only {left} bytes are left"


@settings(max_examples=12)
@given(st.lists(STEPS, max_size=25))
@example(FULL_OF_BYTES)
@example(LARGE_FIRST)
def test_entries_within_the_limits_are_never_removed(steps: list[Any]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        world(Path(folder) / "events.db", small=True) as w,
    ):
        trial = Trial(Path(folder), w)
        for name, first, second in steps:
            getattr(trial, name)(first, second)
            trial.check()
        while trial.readers:
            trial.close(0)
        trial.wait(12)
        trial.check()
        limits = trial.house.janitor.limits
        if limits.max_bytes:
            bytes_ = w.journal.page_bytes()[0] + w.journal.wal_bytes()
            assert bytes_ <= limits.max_bytes * 1.05 + 64 * 1024, (
                "when all have gone it is caught up on"
            )
        assert w.rooms.backup.verify(w.path) == []
