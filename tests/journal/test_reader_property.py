"""Readers never lie: every filter and statistic equals a plain scan, whatever the followers, the
pruner and the sweeper are in the middle of."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.core.matching import matcher
from collector.core.query import KIND_FIELDS, Filter
from collector.core.retention import AgeGroup
from collector.core.rfc3339 import from_rfc3339
from collector.event import Entry
from tests.journal import samples, scan
from tests.journal.world import World, spend

BY = (*KIND_FIELDS, "actor")
BUCKETS = (None, "hour", "day")


class Trial:
    """A world, the totals it owes for ever, and one reader that compares."""

    def __init__(self, path: Path, *, small: bool = True) -> None:
        self.world = World(path, small=small)
        self.gone: list[Entry] = []
        """Entries that were pruned: unfiltered totals still hold them."""
        self.sources = ("unix", "unix", "http", "collector", "mdns")

    def record(self, rng: random.Random, count: int) -> None:
        self.world.now += rng.choice((0, 1, 700, 90_000))
        drafts = [samples.draft(rng, self.world.now) for _ in range(count)]
        receipts = self.world.record(drafts, source=rng.choice(self.sources))
        assert all(receipt.ok for receipt in receipts), receipts

    def prune(self, rng: random.Random) -> None:
        before = self.world.entries()
        spend(self.pruning(rng))
        self.note_gone(before)

    def note_gone(self, before: list[Entry]) -> None:
        left = {entry.seq for entry in self.world.entries()}
        self.gone += [entry for entry in before if entry.seq not in left]

    def pruning(self, rng: random.Random) -> Iterator[Any]:
        pruner, now = self.world.pruner, int(self.world.now * 1e6)
        kind = rng.choice(("oldest", "age", "group", "others"))
        if kind == "oldest":
            return pruner.oldest(rng.choice((1, 7, 64, 100)), "entries")
        cutoff = now - rng.choice((0, 1, 100, 3600, 86_400, 200_000)) * 1_000_000
        if kind == "age":
            return pruner.aged(AgeGroup("", 1), cutoff)
        if kind == "group":
            category = rng.choice(("auth", "device", "billing"))
            return pruner.aged(AgeGroup(category, 1, only=(category,)), cutoff)
        return pruner.aged(AgeGroup("", 1, but=("auth", "device")), cutoff)

    async def compare(self, wanted: list[Filter], rng: random.Random) -> None:
        entries = self.world.entries()
        async with self.world.rooms.reader.Reader.open(self.world.path, seconds=60) as reader:
            for f in wanted:
                try:
                    truth = [entry for entry in entries if scan.passes(entry, f)]
                    assert list(filter(matcher(f), entries)) == truth, "the live stream's filter"
                    await self._compare(reader, f, truth, rng)
                except Exception as error:
                    error.add_note(f"filter: {f}")
                    raise

    async def _compare(
        self, reader: Any, f: Filter, truth: list[Entry], rng: random.Random
    ) -> None:
        least = len(truth) // 8 + 1
        limit = rng.choice((least, least + 1, 200))
        assert await _walk(reader, f, limit, up=False) == truth[::-1]
        assert await _walk(reader, f, rng.choice((least, 77)), up=True) == truth
        if truth:
            await self._from_the_middle(reader, f, truth, rng)
        assert await reader.count(f) == (len(truth), True)
        if len(truth) > 2:
            assert await reader.count(f, len(truth) - 1) == (len(truth) - 1, False)
        by, bucket = rng.choice(BY), rng.choice(BUCKETS)
        await self.compare_counts(reader, f, truth, by, bucket)
        facets = await reader.facets(f)
        for name in BY:
            expected = Counter(v for e in truth if (v := scan.value_of(e, name)))
            assert dict(facets[name]) == dict(expected), name
            assert [n for _, n in facets[name]] == sorted(expected.values(), reverse=True)
        exported = [e async for batch in reader.export(f) for e in batch]
        assert exported == truth

    async def compare_counts(
        self, reader: Any, f: Filter, truth: list[Entry], by: Any, bucket: Any
    ) -> None:
        """Unfiltered counts hold what is pruned by now, but within whole hours only."""
        expected = scan.counts(truth, by, bucket)
        timeless = Filter(since=f.since, until=f.until, q=f.q) == f and not (f.q or "").strip()
        if timeless and by != "actor":
            expected += scan.counts([e for e in self.gone if _in_whole_hours(e, f)], by, bucket)
        got = await reader.counts(by, bucket, f)
        assert {(c.bucket, c.value): c.count for c in got} == dict(expected), (by, bucket)
        assert _by_bucket(got)

    @staticmethod
    async def _from_the_middle(
        reader: Any, f: Filter, truth: list[Entry], rng: random.Random
    ) -> None:
        middle = rng.choice(truth).seq
        page = await reader.page(f, before=middle, limit=5)
        assert page.entries == [e for e in truth if e.seq < middle][::-1][:5]
        page = await reader.page(f, after=middle, limit=5)
        assert page.entries == [e for e in truth if e.seq > middle][:5]
        page = await reader.page(f, before=middle + 20, after=middle - 20, limit=100)
        between = [e for e in truth if middle - 20 < e.seq < middle + 20]
        assert page.entries == between


def _by_bucket(got: list[Any]) -> bool:
    """Oldest bucket first, and within one the greatest count first."""
    keys = [(_number(c.bucket), -c.count) for c in got]
    return keys == sorted(keys)


def _number(bucket: str | None) -> int:
    return 0 if bucket is None else from_rfc3339(bucket)


def _in_whole_hours(entry: Entry, f: Filter) -> bool:
    hour = from_rfc3339(scan.bucket_of(entry, "hour") or "")
    return (f.since is None or hour >= f.since) and (
        f.until is None or hour + samples.HOUR <= f.until
    )


async def _walk(reader: Any, f: Filter, limit: int, *, up: bool) -> list[Entry]:
    """All pages of a filter, one way or the other."""
    found: list[Entry] = []
    cursor = 0 if up else None
    while True:
        page = await (
            reader.page(f, after=cursor, limit=limit)
            if up
            else reader.page(f, before=cursor, limit=limit)
        )
        found += page.entries
        assert len(page.entries) <= limit
        cursor = page.next_after if up else page.next_before
        if not page.has_more:
            assert cursor is None
            return found
        assert cursor == page.entries[-1].seq


OPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("record", "record", "totals", "ids", "postings", "words", "follow", "prune", "sweep",
             "reopen", "compare")
        ),
        st.integers(0, 2**32),
    ),
    min_size=3,
    max_size=25,
)  # fmt: skip


def _do(trial: Trial, op: str, seed: int, sweeps: list[Iterator[Any]]) -> None:
    rng = random.Random(seed)
    world = trial.world
    if op == "record":
        trial.record(rng, rng.choice((1, 5, 40, 130)))
    elif op in ("totals", "ids", "postings", "words"):
        world.step(op, rng.choice((1, 2, 5)))
    elif op == "follow":
        world.follow()
    elif op == "prune":
        trial.prune(rng)
    elif op == "reopen":
        sweeps.clear()
        world.jobs.clear()
        world.crash() if rng.random() < 0.5 else world.close()
        world.open()
    elif op == "sweep":
        if not sweeps:
            sweeps.append(world.sweep())
        for _ in range(rng.choice((1, 3, 1000))):
            if next(sweeps[0], trial) is trial:
                sweeps.clear()
                break


@settings(max_examples=12)
@given(OPS)
def test_every_answer_equals_a_scan_in_any_interleaving(ops: list[tuple[str, int]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder) / "events.db")
        sweeps: list[Iterator[Any]] = []
        try:
            trial.record(random.Random(0), 70)
            for op, seed in (*ops, ("compare", 1)):
                _do(trial, op, seed, sweeps)
                if op == "compare":
                    rng = random.Random(seed)
                    singles = samples.filters_of_one(trial.world.now)
                    pairs = [samples.any_filter(rng, trial.world.now) for _ in range(10)]
                    anyio.run(trial.compare, [Filter(), *rng.sample(singles, 15), *pairs], rng)
        finally:
            trial.world.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_every_filter_equals_a_scan_in_a_long_run(tmp_path: Path, seed: int) -> None:
    """A few hundred entries over many segments, every single filter, and many pairs."""
    rng = random.Random(seed)
    trial = Trial(tmp_path / "events.db")
    sweeps: list[Iterator[Any]] = []
    ops = ("record", "record", "totals", "ids", "postings", "words", "follow", "prune", "sweep")
    for _ in range(60):
        _do(trial, rng.choice(ops), rng.getrandbits(32), sweeps)
    trial.record(rng, 250)
    trial.world.step("postings", 6)
    pairs = [samples.any_filter(rng, trial.world.now) for _ in range(60)]
    anyio.run(trial.compare, [*samples.filters_of_one(trial.world.now), *pairs], rng)
    trial.world.close()
