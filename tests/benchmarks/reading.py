"""Rows about reading. Run as a program with a journal's path: eight readers, until stdin ends."""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from collector.core.query import Filter
from collector.journal.reader import Reader
from tests.benchmarks.bench import Bench, Line

READERS: Final = 8
ONE: Final = {
    "action": Filter(action=("person.updated",)),
    "action.*": Filter(action=("lamp.*",)),
    "category": Filter(category=("auth",)),
    "outcome": Filter(outcome=("failure",)),
    "severity": Filter(severity=("warning",)),
    "channel": Filter(channel=("import",)),
    "source": Filter(source=("unix",)),
    "object_type": Filter(object_type=("door",)),
    "object_id": Filter(object_id=("person-6",)),
    "actor": Filter(actor=("user:u7",)),
    "correlation_id": Filter(correlation_id=("req-f4243",)),
}
WORDS: Final = Filter(q="invoice approved")
BOTH: Final = Filter(action=("person.created",), actor=("user:u7",))
NEVER: Final = Filter(action=("person.sent",), actor=("user:u7",))
"""Only actors from number 450 on send: see `events.varied`."""


def pages(bench: Bench) -> list[Line]:
    """Pages of 50 by filter, with a tail that no follower has seen yet."""
    return asyncio.run(_pages(bench))


def counts(bench: Bench) -> list[Line]:
    """Counts over time by action."""
    return asyncio.run(_counts(bench))


async def _pages(bench: Bench) -> list[Line]:
    daemon = bench.filled()
    bench.load(daemon, "stream", make=bench.sizes.tail, seed=9)
    async with Reader.open(daemon.database) as reader:

        async def page(wanted: Filter) -> float:
            return await _median(bench, lambda: reader.page(wanted))

        one = {name: await page(wanted) for name, wanted in ONE.items()}
        slowest = max(one, key=one.__getitem__)
        both, never, words = await page(BOTH), await page(NEVER), await page(WORDS)
    size = f"at {bench.sizes.filled:,}"
    each = f"slowest by {slowest}; median {statistics.median(one.values()):.1f} ms"
    return [
        Line(f"page of 50 by one filter, ms, {size}", one[slowest], "≤ 5", each),
        Line(f"page by two that match, ms, {size}", both, "≤ 20"),
        Line(f"page by two that never match together, ms, {size}", never, "≤ 500"),
        Line(f"page by two words, ms, {size}", words, "none"),
    ]


async def _counts(bench: Bench) -> list[Line]:
    daemon = bench.filled()
    async with Reader.open(daemon.database) as reader:
        took = await _median(bench, lambda: reader.counts("action", "hour", Filter()))
    return [Line(f"counts over time by action, ms, at {bench.sizes.filled:,}", took, "≤ 20")]


async def _median(bench: Bench, ask: Callable[[], Awaitable[Any]]) -> float:
    times = []
    for _ in range(bench.sizes.pages):
        start = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


async def _read_on(path: str, ended: asyncio.Event) -> None:
    """A person with the page open: a question every fifth of a second or so."""
    async with Reader.open(path) as reader:
        while not ended.is_set():
            await reader.page(random.choice(list(ONE.values())))
            await asyncio.sleep(random.uniform(0.1, 0.3))


async def _readers(path: str) -> None:
    ended = asyncio.Event()
    readers = [asyncio.create_task(_read_on(path, ended)) for _ in range(READERS)]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    ended.set()
    await asyncio.gather(*readers)


if __name__ == "__main__":
    asyncio.run(_readers(sys.argv[1]))
