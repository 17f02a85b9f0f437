"""Pages under work: filters and cursors hold while writer, followers and pruner are all at it."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from collector.core.control import PruneRequest
from collector.event import Draft, Principal
from collector.journal.postings import SEGMENT
from tests.web.conftest import BOSS, House

pytestmark = pytest.mark.anyio
URL = "/api/v1/events"
ACTIONS = ("device.lost", "device.updated", "settings.updated", "auth.login", "devices.x")
BATCH, BATCHES = 1500, 24
FEW = 100
"""Entries of a batch once those are written, for as long as it takes to walk often enough."""
WALKS = 12
PRUNED = 400
"""Entries that go for each batch that comes, once half of the batches are there."""
CHOICES: dict[str, tuple[Any, ...]] = {
    "action": (["device.*"], ["auth.login"], ["device.lost", "devices.x"], ["no.such"]),
    "category": (["device"], ["auth", "device"]),
    "outcome": (["failure"], ["success", "failure"]),
    "actor": (["user:1"], ["2", "A"]),
    "object_id": (["0"], ["1", "2"]),
    "tenant_id": (["t1"],),
    "correlation_id": (["c7"], ["c1", "c2"]),
    "q": ("lamp", "kit*", "lamp hall", "device"),
}


def draft(chance: random.Random) -> Draft:
    return Draft(
        action=chance.choice(ACTIONS),
        category=chance.choice(("device", "auth", None)),
        outcome=chance.choice(("success", "failure", None)),
        actor=Principal(type="user", id=str(chance.randrange(4)), name=chance.choice("AB")),
        object_type="thing",
        object_id=str(chance.randrange(50)),
        tenant_id=chance.choice(("t1", None)),
        correlation_id=f"c{chance.randrange(900)}",
        message=chance.choice(("lamp kitchen off", "lamp hall on", None)),
    )


def passes(event: Draft, asked: dict[str, Any]) -> bool:
    """The oracle: what the specification says of a filter, on what was sent."""
    who = event.actor
    assert isinstance(who, Principal)
    values = {
        "category": event.category or "system",
        "outcome": event.outcome or "success",
        "object_id": event.object_id,
        "tenant_id": event.tenant_id,
        "correlation_id": event.correlation_id,
    }
    texts = [event.action, "user", who.id, who.name, "thing", event.object_id, event.message]
    words = re.findall(r"\w+", " ".join(filter(None, texts)).lower())
    for name, wanted in asked.items():
        if name == "action":
            found = any(_action(event.action, each) for each in wanted)
        elif name == "actor":
            found = bool({who.id, who.name, f"user:{who.id}"} & set(wanted))
        elif name == "q":
            found = all(any(_word(word, each) for word in words) for each in wanted.split())
        else:
            found = values[name] in wanted
        if not found:
            return False
    return True


def _action(action: str, wanted: str) -> bool:
    return action.startswith(wanted[:-1]) if wanted.endswith(".*") else action == wanted


def _word(word: str, wanted: str) -> bool:
    return word.startswith(wanted[:-1]) if wanted.endswith("*") else word == wanted


class Log:
    """What was sent, by the seq that its receipt named."""

    def __init__(self, house: House, seed: int) -> None:
        self.house, self.sent = house, dict[int, Draft]()
        self._chance = random.Random(seed)

    def write(self, count: int = BATCH) -> None:
        made = [draft(self._chance) for _ in range(count)]
        receipts = self.house.daemon.intake.record_many(made, source="queue")
        self.sent |= {receipt.seq or 0: each for receipt, each in zip(receipts, made, strict=True)}

    async def prune(self) -> None:
        entries = self.house.daemon.janitor.pruner.entries
        await self.house.daemon.control.prune(PruneRequest(max_entries=entries - PRUNED), BOSS)

    def check(self, seen: list[int], asked: dict[str, Any], start: int) -> None:
        """Whether a walk that began when `start` was the last seq saw all and nothing else."""
        assert len(seen) == len(set(seen)), "nothing comes twice"
        ours = {seq for seq in seen if seq in self.sent}
        wrong = {seq for seq in ours if not passes(self.sent[seq], asked)}
        assert not wrong, (asked, sorted(wrong)[:5])
        kept = {
            seq for (seq,) in self.house.daemon.journal.connection.execute("SELECT seq FROM log")
        }
        stored = {
            seq
            for seq, event in self.sent.items()
            if seq in kept and seq <= start and passes(event, asked)
        }
        assert stored <= ours, (asked, sorted(stored - ours)[:5])


async def walk(client: httpx.AsyncClient, asked: dict[str, Any], up: bool, limit: int) -> list[int]:
    """The seqs of every page, one after the other."""
    seen: list[int] = []
    name, cursor = ("after_seq", 0) if up else ("before_seq", None)
    while True:
        more = {} if cursor is None else {name: cursor}
        query = urlencode({**asked, **more, "limit": limit}, doseq=True)
        page = (await client.get(f"{URL}?{query}")).json()
        seqs = [entry["seq"] for entry in page["entries"]]
        assert seqs == sorted(seqs, reverse=not up)
        seen += seqs
        if not page["has_more"]:
            return seen
        cursor = page[f"next_{name}"]


@pytest.mark.slow
async def test_filtered_pages_hold_while_writer_followers_and_pruner_are_at_work(
    house: House,
) -> None:
    """What matched and was stored at the first page, and is at the last, is seen once; only matches
    are seen."""
    log, done = Log(house, 1), asyncio.Event()
    chance, walks = random.Random(2), 0
    postings = next(f for f in house.daemon.janitor.followers if f.name == "postings")

    async def work() -> None:
        number = 0
        while number < BATCHES or walks < WALKS:
            log.write(BATCH if number < BATCHES else FEW)
            number += 1
            await asyncio.sleep(0.02)
            if number > BATCHES // 2 and house.daemon.janitor.pruner.entries > BATCH:
                await log.prune()
        done.set()

    async def look(client: httpx.AsyncClient) -> None:
        nonlocal walks
        while not done.is_set():
            names = chance.sample(sorted(CHOICES), chance.choice((1, 2, 2)))
            asked = {name: chance.choice(CHOICES[name]) for name in names}
            start = house.daemon.journal.last_seq
            up = chance.random() < 0.3
            log.check(await walk(client, asked, up, chance.choice((130, 200))), asked, start)
            walks += 1

    log.write()
    async with house.admin() as client, asyncio.TaskGroup() as group:
        group.create_task(work())
        for _ in range(4):
            group.create_task(look(client))
    assert postings.cursor >= SEGMENT, "followers were at work meanwhile"
    assert house.daemon.janitor.pruner.total > PRUNED, "and the pruner"
