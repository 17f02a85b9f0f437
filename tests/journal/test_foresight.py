"""Foresight: what it says would go is what the janitor, or a prune on demand, then removes."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.core.retention import Limits
from collector.event import Draft
from tests.journal.world import World, world
from tests.test_janitor import DAY, House, notes

pytestmark = pytest.mark.anyio
CATEGORIES = ("entity", "auth", "device", "billing")
NONE: dict[str, int] = {"max_days": 0, "max_entries": 0, "max_bytes": 0}

DAYS = st.integers(0, 12)
# From 100 on there is slack enough for the report of what was pruned.
LIMITS = st.builds(
    Limits,
    max_days=DAYS,
    max_entries=st.sampled_from((0, 0, 100, 150, 250, 10_000)),
    max_bytes=st.just(0),
    categories=st.dictionaries(st.sampled_from(CATEGORIES), DAYS, max_size=3),
)


async def foreseen(w: World, limits: Limits, *, slack: bool) -> Any:
    async with w.rooms.reader.Reader.open(w.path) as reader:
        return await reader.removal(limits, int(w.now * 1e6), slack=slack)


def seqs(w: World) -> set[int]:
    return {entry.seq for entry in w.entries()}


def told(gone: set[int]) -> tuple[int, int | None, int | None]:
    return len(gone), min(gone, default=None), max(gone, default=None)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), LIMITS, LIMITS)
def test_what_is_foreseen_is_what_retention_removes(
    seed: int, before: Limits, after: Limits
) -> None:
    """Limits after limits, so that the second ones meet holes and cursors of the first."""

    async def check(w: World) -> None:
        rng, house = random.Random(seed), House(w, Limits(**NONE))
        for _ in range(10):
            for _ in range(rng.choice((1, 3))):
                drafts = [Draft(action="n.a", category=rng.choice(CATEGORIES))] * rng.randrange(20)
                w.record(drafts, source=rng.choice(("unix", "unix", "collector")))
            house.settle(DAY * rng.choice((0.3, 1, 1.01)))
        for limits in (before, after):
            said = await foreseen(w, limits, slack=True)
            stored = seqs(w)
            house.janitor.limits = limits
            house.janitor.look_soon()
            house.settle()
            assert told(stored - seqs(w)) == (said.count, said.from_seq, said.to_seq)

    with tempfile.TemporaryDirectory() as folder, world(Path(folder) / "events.db") as w:
        anyio.run(check, w)


async def test_within_the_slack_retention_waits_and_a_prune_on_demand_does_not(
    tmp_path: Path,
) -> None:
    with world(tmp_path / "events.db") as w:
        w.record(notes(1010))
        limits = Limits(**{**NONE, "max_entries": 1000})
        assert (await foreseen(w, limits, slack=True)).count == 0
        found = await foreseen(w, limits, slack=False)
        assert (found.count, found.from_seq, found.to_seq) == (10, 1, 10)


async def test_what_goes_for_its_bytes_is_about_right(tmp_path: Path) -> None:
    with world(tmp_path / "events.db") as w:
        house = House(w, Limits(**NONE))
        for n in range(30):
            w.record(notes(1000, message=f"{n} " + "x" * 700))
        house.settle(0.01)
        limits = Limits(**{**NONE, "max_bytes": w.journal.page_bytes()[0] // 2})
        said = await foreseen(w, limits, slack=True)
        house.janitor.limits = limits
        house.settle()
        assert (30_000 - house.stored()) * 0.8 < said.count < (30_000 - house.stored()) * 1.2


async def test_an_empty_journal_has_nothing_to_lose(tmp_path: Path) -> None:
    with world(tmp_path / "events.db") as w:
        limits = Limits(max_days=1, max_entries=1, max_bytes=1, categories={"auth": 1})
        assert (await foreseen(w, limits, slack=True)).count == 0
        w.record(notes(3))
        w.now += 30 * DAY
        for _ in w.pruner.oldest(3, "entries"):
            pass
        assert (await foreseen(w, limits, slack=False)).count == 0
