"""Queues inside the process: bounded, from any thread, never an exception; and which plugins run."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from collector.event import Draft, Receipt
from collector.journal.writer import Journal
from collector.sources.queue import DraftQueue, plugins, run_plugin
from tests.sources.ledger import until
from tests.sources.served import recording

pytestmark = pytest.mark.anyio


class Queue:
    """A queue on a real journal; `lost` counts what it turned away."""

    def __init__(self, journal: Journal, **options: Any) -> None:
        self.journal = journal
        self.lost = Counter[str]()
        self.queue = DraftQueue(
            recording(journal),
            lost=lambda cause, count: self.lost.update({cause: count}),
            **options,
        )


@asynccontextmanager
async def queue(folder: Path, **options: Any) -> AsyncIterator[Queue]:
    journal = Journal.open(folder / "events.db")
    try:
        yield Queue(journal, **{"size": 100, **options})
    finally:
        journal.close()


async def got(future: Future[Receipt]) -> Receipt:
    return await asyncio.wait_for(asyncio.wrap_future(future), 20)


async def test_a_task_gets_its_receipt_after_the_commit(tmp_path: Path) -> None:
    async with queue(tmp_path) as made:
        receipt = await made.queue.record({"action": "job.finished", "object_id": "42"})
        assert (receipt.ok, receipt.seq) == (True, 1)
        (entry,) = made.journal.entries(1, 1)
        assert (entry.object_id, entry.source, entry.producer.assurance) == (
            "42",
            "queue",
            "internal",
        )
        assert made.queue.waiting == 0


async def test_a_plugin_is_named_as_producer_and_actor(tmp_path: Path) -> None:
    async with queue(tmp_path, plugin="meter") as made:
        await made.queue.record(Draft(action="meter.read"))
        (entry,) = made.journal.entries(1, 1)
        assert entry.producer.plugin == "meter"
        assert entry.actor is not None
        assert (entry.actor.type, entry.actor.id) == ("service", "meter")


async def test_threads_keep_each_their_order(tmp_path: Path) -> None:
    async with queue(tmp_path, size=10_000) as made:
        futures: dict[int, list[Future[Receipt]]] = {n: [] for n in range(4)}

        def work(number: int) -> None:
            for _ in range(500):
                futures[number].append(made.queue.record_threadsafe({"action": "n.counted"}))

        threads = [threading.Thread(target=work, args=(n,)) for n in futures]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        seqs = [[(await got(future)).seq for future in each] for each in futures.values()]
        assert all(each == sorted(each) for each in seqs)  # type: ignore[type-var]
        assert sorted(seq for each in seqs for seq in each if seq) == list(range(1, 2001))


async def test_a_flood_from_a_thread_bounded_counted_and_never_blocking(tmp_path: Path) -> None:
    async with queue(tmp_path, size=100) as made:
        futures: list[Future[Receipt]] = []

        def flood() -> None:
            futures.extend(
                made.queue.record_threadsafe({"action": "n.counted"}) for _ in range(1000)
            )

        thread = threading.Thread(target=flood)
        thread.start()
        thread.join(20)  # the loop stands still, and the thread is not held up by it
        assert not thread.is_alive()
        assert made.queue.waiting == 100
        receipts = [await got(future) for future in futures]
        assert [receipt.ok for receipt in receipts] == [True] * 100 + [False] * 900
        assert {(receipt.code, receipt.retry) for receipt in receipts[100:]} == {("busy", True)}
        await until(lambda: made.lost == {"queue_full": 900})
        assert (await made.queue.record({"action": "n.counted"})).ok  # there is room again


@pytest.mark.parametrize(
    "bad",
    [
        {"action": "Not An Action"},
        {"action": 5},
        {},
        {"action": "a.b", "nonsense": 1},
        {"action": "a.b", "message": "x" * 1001},
        {"action": "a.b", "metadata": {"x": object()}},
        Draft(action="a.b", metadata={"x": object()}),
        Draft(action="a.b", message="\ud800"),
    ],
)
async def test_what_is_no_event_is_a_receipt_and_never_an_exception(
    tmp_path: Path, bad: Draft | dict[str, Any]
) -> None:
    async with queue(tmp_path) as made:
        good, refused, after = (
            made.queue.record_threadsafe(each)
            for each in ({"action": "a.b"}, bad, {"action": "a.b"})
        )
        assert not (await got(refused)).ok
        assert (await got(refused)).code == "invalid_event"
        assert ((await got(good)).seq, (await got(after)).seq) == (1, 2)


async def test_what_was_taken_before_the_end_is_recorded_and_the_rest_refused(
    tmp_path: Path,
) -> None:
    async with queue(tmp_path) as made:
        taken = made.queue.record_threadsafe({"action": "a.b"})
        made.queue.close()
        late = made.queue.record_threadsafe({"action": "a.b"})
        assert (await got(taken)).ok
        assert (await got(late)).code == "draining"
        assert made.lost == {}


async def test_a_future_that_nobody_waits_for_any_more_hurts_no_other(tmp_path: Path) -> None:
    async with queue(tmp_path) as made:
        given_up = made.queue.record_threadsafe({"action": "a.b"})
        kept = made.queue.record_threadsafe({"action": "a.b"})
        assert given_up.cancel()
        assert (await got(kept)).seq == 2
        assert made.queue.waiting == 0


# ── plugins ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two distributions with an entry point each, as pip leaves them."""
    for name in ("meter", "door"):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(
            f"[collector.sources]\n{name} = plugin_under_test:run\n"
        )
    (tmp_path / "plugin_under_test.py").write_text(
        "async def run(queue, options):\n"
        "    await queue.record({'action': 'plugin.ran', 'metadata': dict(options)})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (("*",), {"door", "meter"}),
        (("meter",), {"meter"}),
        (("*", "-meter"), {"door"}),
        (("-meter",), set()),
        ((), set()),
        (("none-such",), set()),
    ],
)
def test_the_plugins_that_run_are_those_that_are_wanted(
    installed: None, wanted: tuple[str, ...], found: set[str]
) -> None:
    assert set(plugins(wanted)) & {"door", "meter"} == found


async def test_a_plugin_gets_its_queue_and_its_options(tmp_path: Path, installed: None) -> None:
    async with queue(tmp_path, plugin="meter") as made:
        await run_plugin(plugins(("meter",))["meter"], made.queue, {"every": 5})
        (entry,) = made.journal.entries(1, 1)
        assert (entry.action, entry.metadata) == ("plugin.ran", {"every": 5})
