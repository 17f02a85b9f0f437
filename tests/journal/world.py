"""A journal with all that works on it, driven by hand: recording, followers, pruning, sweeping.

With `small=True` the journal's rooms are loaded a second time with segments of 64 seqs and chunks of
8, so that a few hundred entries exercise what takes hundreds of thousands otherwise.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from collector.core.admission import Admission
from collector.core.redaction import Redactor
from collector.event import Draft, Entry, Principal, Producer, Receipt
from collector.hub import Hub
from tests.journal import samples

SMALL_SEGMENT_BITS, SMALL_CHUNK_BITS, SMALL_BLOCK_BITS = 6, 3, 1
SMALL_RUN = 8
_ROOMS = ("collector.journal", "collector.intake", "collector.janitor")
PEER = Producer(assurance="peercred", uid=1000, gid=1000, pid=4711, user="ada", comm="backup")


class Rooms:
    """The journal's modules by their short names: `rooms.reader.Reader`."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        self._modules = modules

    def __getattr__(self, name: str) -> Any:
        for prefix in ("collector.journal.", "collector."):
            if prefix + name in self._modules:
                return self._modules[prefix + name]
        raise AttributeError(name)


_NAMES = (
    "collector.journal.postings",
    "collector.journal.backup",
    "collector.journal.changesets",
    "collector.journal.clearing",
    "collector.journal.pruning",
    "collector.journal.reader",
    "collector.journal.reindexing",
    "collector.journal.sweeping",
    "collector.journal.thinning",
    "collector.journal.verifying",
    "collector.journal.versions",
    "collector.journal.followers",
    "collector.journal.id_index",
    "collector.journal.connection",
    "collector.journal.writer",
    "collector.intake",
    "collector.janitor",
)


def _ours(name: str) -> bool:
    return any(name == room or name.startswith(room + ".") for room in _ROOMS)


@cache
def rooms(small: bool) -> Rooms:
    """The modules as they are, or a second copy of them with small segments."""
    if not small:
        return Rooms({name: importlib.import_module(name) for name in _NAMES})
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _ours(name)}
    try:
        postings: Any = importlib.import_module("collector.journal.postings")
        postings.SEGMENT_BITS, postings.CHUNK_BITS = SMALL_SEGMENT_BITS, SMALL_CHUNK_BITS
        postings.SEGMENT = 1 << SMALL_SEGMENT_BITS
        postings.DENSE = postings.SEGMENT // 16
        postings.BITMAP_BYTES = postings.SEGMENT // 8
        postings.FULL = (1 << postings.SEGMENT) - 1
        fingerprints: Any = importlib.import_module("collector.journal.fingerprints")
        fingerprints.BLOCK_BITS = SMALL_BLOCK_BITS
        id_index: Any = importlib.import_module("collector.journal.id_index")
        id_index.BUCKET_IDS = 2
        runs: Any = importlib.import_module("collector.journal.followers.runs")
        runs.FOLD_RUNS, runs.TIER_BITS, runs.WRITE_ROWS, runs.STEP_IDS = 2, 1, 2, 4
        runs.MOVE_PARTS = 2
        ids: Any = importlib.import_module("collector.journal.followers.ids")
        ids.IDS_SMALL, ids.IDS_BATCH = 1, SMALL_RUN
        return Rooms({name: importlib.import_module(name) for name in _NAMES})
    finally:
        for name in [name for name in sys.modules if _ours(name)]:
            del sys.modules[name]
        sys.modules.update(kept)
        for name, module in kept.items():  # `import a.b` also binds b in a
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                setattr(sys.modules[parent], child, module)


class Resource(msgspec.Struct):
    """One audited resource, as the configuration would give it."""

    slug: str
    object_type: str
    audit: bool = True
    ignore: tuple[str, ...] = ()


class World:
    """An open journal, what records into it, and its housekeeping; `now` is in seconds."""

    def __init__(
        self, path: Path, *, small: bool = False, resources: Iterable[Resource] = ()
    ) -> None:
        self.path, self.rooms = path, rooms(small)
        self.resources = tuple(resources)
        self.now = 1_800_000_000.0
        self.open()

    def open(self) -> None:
        """Open the journal (again), with everything that a start builds."""
        journal = self.journal = self.rooms.writer.Journal.open(self.path)
        redactor = Redactor(
            keys=("password", "token"), patterns=(), emails="hash", key=journal.hmac_key
        )
        versions = self.rooms.versions.Versions(journal.connection, self.resources, redactor)
        self.rooms.versions.install_views(journal.connection, self.resources)
        self.hub = Hub(journal.entries)
        self.intake = self.rooms.intake.Intake(
            journal,
            Admission(journal.books, redactor, ("billing",)),
            versions,
            self.hub,
            wall=lambda: self.now,
            monotonic=lambda: self.now,
            call_soon=lambda callback: None,
        )
        self.followers = self.rooms.followers.all_followers(journal)
        self.totals = self.followers[0]
        self.pruner = self.rooms.pruning.Pruner(journal, self.totals)
        self.jobs: dict[str, Iterator[Any]] = {}

    def close(self) -> None:
        """A clean stop."""
        self.journal.close()

    def crash(self) -> None:
        """The process is gone: nothing is checkpointed, nothing in memory survives."""
        self.jobs.clear()
        keeper = self.rooms.connection.sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        keeper.execute("BEGIN")
        keeper.execute("SELECT count(*) FROM facts").fetchone()
        self.journal.connection.close()  # the reader keeps the WAL from being checkpointed
        keeper.close()

    def record(
        self, drafts: list[Draft], *, source: str = "unix", producer: Producer = PEER
    ) -> list[Receipt]:
        """Record drafts in one commit."""
        receipts: list[Receipt] = self.intake.record_many(drafts, source=source, producer=producer)
        return receipts

    def entries(self) -> list[Entry]:
        """Every stored entry, oldest first, by a plain scan of the log."""
        entries: list[Entry] = self.journal.entries(0, 2**62)
        return entries

    def step(self, name: str, times: int = 1) -> None:
        """A follower's next steps; a batch is begun where none is under way."""
        follower = next(f for f in self.followers if f.name == name)
        for _ in range(times):
            job = self.jobs.get(name)
            if job is None:
                if not follower.due(True):
                    return
                job = self.jobs[name] = follower.steps()
            if next(job, self) is self:
                del self.jobs[name]

    def follow(self) -> None:
        """Let every follower catch up."""
        for follower in self.followers:
            while follower.name in self.jobs or follower.due(True):
                self.step(follower.name)

    def forget(self) -> None:
        """What the janitor tells the intake when dictionaries were cleaned."""
        self.intake.forget()

    def sweep(self) -> Iterator[Any]:
        """All of the janitor's sweeping, a step at a time."""
        sweeping = self.rooms.sweeping
        yield from sweeping.stale_segments(self.journal)
        yield from sweeping.stale_postings(self.journal)
        yield from self.rooms.thinning.stale_ids(self.journal)
        yield from sweeping.stale_texts(self.journal, self.forget)
        yield from sweeping.give_back(self.journal)


@contextmanager
def world(path: Path, **options: Any) -> Iterator[World]:
    """A `World` that is closed in the end."""
    made = World(path, **options)
    try:
        yield made
    finally:
        made.close()


def fill(w: World, count: int, seed: int = 0) -> None:
    """Record so many varied drafts, the same ones for the same seed and seq."""
    rng = random.Random(f"{seed} {w.journal.last_seq}")
    assert all(r.ok for r in w.record([samples.draft(rng, w.now) for _ in range(count)]))


def indexed(w: World) -> list[tuple[bytes, int]]:
    """What the index of ids holds, in the order of the seqs."""
    index, runs = w.rooms.id_index, w.rooms.followers.runs
    read = w.journal.connection.execute
    found = [
        (record[:16], index.seq_of(record))
        for run in runs.all_runs(w.journal)
        if run.size
        for (entries,) in read("SELECT entries FROM ids WHERE key BETWEEN ? AND ?", run.keys())
        for record in index.records(entries)
    ]
    return sorted(found, key=lambda pair: pair[1])


def spend(job: Iterator[Any]) -> int:
    """Do all steps of a job; how many there were."""
    return sum(1 for _ in job)


ADA = Principal(type="user", id="7", name="Ada Lovelace", role="owner", email="ada@example.org")
