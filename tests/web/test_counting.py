"""Counting costs what it counts and not what the log holds: from the totals, from sizes of postings.

How much SQLite does is counted in its own steps, which a busy machine does not change. A scan of the
log takes a dozen steps an entry; what is asserted is a share of one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from collector.core.control import PruneRequest
from collector.core.query import KIND_FIELDS
from collector.event import Draft, Principal
from collector.journal import snapshot
from collector.journal.postings import SEGMENT
from tests.web.conftest import BOSS, House

pytestmark = pytest.mark.anyio
STEPS = 10
"""SQLite's instructions between two looks."""
SHARE = 0.2
"""Steps that each further entry may cost."""
QUESTIONS = [
    *(
        f"/api/v1/stats?by={by}{bucket}"
        for by in KIND_FIELDS
        for bucket in ("", "&bucket=hour", "&bucket=day")
    ),
    "/api/v1/stats?by=action&since=-300d&until=2100-01-01",
    "/api/v1/stats?by=actor",
    "/api/v1/stats?by=actor&bucket=day",
    "/api/v1/stats?by=actor&bucket=hour&since=-300d",
    "/api/v1/events/facets",
    "/api/v1/events/facets?since=-300d&until=2100-01-01",
    "/metrics",
]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One element: how often SQLite has looked up from its work."""
    count = [0]
    overdue = snapshot.Snapshot._overdue

    def counted(self: Any) -> int:
        count[0] += 1
        return overdue(self)

    monkeypatch.setattr(snapshot, "_PROGRESS_STEPS", STEPS)
    monkeypatch.setattr(snapshot.Snapshot, "_overdue", counted)
    return count


def drafts() -> Iterator[list[Draft]]:
    """Segments full of entries over the same kinds and actors, at the same hour."""
    kinds = itertools.cycle(
        Draft(
            action=f"thing.{verb}",
            category=category,
            outcome=outcome,
            actor=Principal(type="user", id=str(number)),
            channel="web",
        )
        for verb, category, outcome, number in itertools.product(
            ("made", "seen", "gone"), ("auth", "device"), ("success", "failure"), range(5)
        )
    )
    while True:
        yield list(itertools.islice(kinds, SEGMENT // 4))


async def settled(house: House) -> None:
    """Everything derived, as it is after a while without events."""
    for follower in house.daemon.janitor.followers:
        while follower.due(True):
            before = follower.cursor
            for _ in follower.steps():
                pass
            if follower.cursor == before:
                break


async def spent(client: httpx.AsyncClient, steps: list[int], question: str) -> int:
    """Instructions of SQLite for one answer."""
    before = steps[0]
    answer = await client.get(question)
    assert answer.status_code == 200, answer.text
    return (steps[0] - before) * STEPS


async def test_counts_do_not_step_through_the_log(house: House, steps: list[int]) -> None:
    parts = drafts()
    half_past = house.daemon.wall() // 3600 * 3600 - 1800
    house.daemon.intake._wall = lambda: half_past  # no segment lies in two hours

    async def measured(segments: int) -> tuple[int, dict[str, int]]:
        for _ in range(segments * 4):
            house.daemon.intake.record_many(next(parts), source="queue")
        await settled(house)
        costs = {question: await spent(client, steps, question) for question in QUESTIONS}
        return house.daemon.journal.last_seq, costs

    async with house.admin() as client:
        few, before = await measured(1)
        many, after = await measured(4)
        scan = await spent(client, steps, "/api/v1/stats?by=action&actor=user:3")
    an_entry = {q: (after[q] - before[q]) / (many - few) for q in QUESTIONS}
    assert {q: cost for q, cost in an_entry.items() if cost > SHARE} == {}
    assert scan / many > 20 * SHARE, "entries that a filter finds are stepped through"


async def test_what_is_recorded_now_counts_at_once_and_what_is_pruned_still(house: House) -> None:
    for _ in range(30):
        house.record("a.b", outcome="failure")
    await settled(house)
    house.record("a.b", outcome="denied")
    await house.daemon.control.prune(PruneRequest(max_entries=5), BOSS)
    assert (await house.reader.flows())["queue", "failure"] == 30
    assert (await house.reader.flows())["queue", "denied"] == 1
    async with house.admin() as client:
        text = (await client.get("/metrics")).text
    assert 'collector_events_total{outcome="failure",source="queue"} 30.0' in text
