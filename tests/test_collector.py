"""`Collector` inside somebody else's program: recording, threads, reading back, and the end."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from collector.core.query import Filter
from collector.daemon.collector import Collector
from collector.event import Draft
from collector.journal.backup import verify

pytestmark = pytest.mark.anyio


def config(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {"storage": {"path": str(tmp_path / "events.db")}, **more}


async def entries(inside: Collector, **wanted: Any) -> list[Any]:
    reader = await inside.reader()
    try:
        return (await reader.page(Filter(**wanted), limit=200)).entries
    finally:
        await reader.close()


async def test_what_is_recorded_is_stored_when_record_returns(tmp_path: Path) -> None:
    async with Collector(config(tmp_path)) as inside:
        receipt = inside.record("note.added", object=("note", "7", "Seventh"), target=("user", "8"),
                                actor=("user", "1", "Ada"), metadata={"n": 1})  # fmt: skip
        assert receipt.ok
        found = (await entries(inside, action=("note.added",)))[0]
        assert (found.seq, found.id) == (receipt.seq, receipt.id)
        assert (found.object_type, found.object_id, found.object_name) == ("note", "7", "Seventh")
        assert (found.actor.name, found.target.id, found.source) == ("Ada", "8", "queue")
        assert found.producer.assurance == "internal"
    assert verify(tmp_path / "events.db") == []


async def test_a_bad_event_is_a_receipt_and_never_an_exception(tmp_path: Path) -> None:
    async with Collector(config(tmp_path)) as inside:
        for bad in (lambda: inside.record("Not An Action"), lambda: inside.record("a.b", nonsense=1),
                    lambda: inside.record(Draft(action="a.b", metadata={"x": object()}))):  # fmt: skip
            receipt = bad()
            assert not receipt.ok
            assert receipt.code == "invalid_event"


async def test_any_thread_may_record(tmp_path: Path) -> None:
    async with Collector(config(tmp_path)) as inside:
        futures: list[Any] = []

        def work(number: int) -> None:
            futures.extend(inside.record_threadsafe(f"thread.n{number}") for _ in range(25))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await anyio.to_thread.run_sync(thread.join)
        with anyio.fail_after(20):
            for future in futures:
                assert (await anyio.to_thread.run_sync(future.result)).ok
        assert len(await entries(inside, action=("thread.*",))) == 100


async def test_what_a_thread_handed_in_before_the_end_is_recorded_before_it(
    tmp_path: Path,
) -> None:
    async with Collector(config(tmp_path)) as inside:
        futures: list[Any] = []
        thread = threading.Thread(target=lambda: futures.append(inside.record_threadsafe("a.b")))
        thread.start()
        thread.join()  # the event loop has not turned since
    assert futures[0].result(0).ok
    async with Collector(config(tmp_path)) as inside:
        found = await entries(inside, action=("a.b", "collector.stopping"))
    assert [entry.action for entry in reversed(found)] == ["a.b", "collector.stopping"]


async def test_a_clean_end_and_a_new_start_are_in_the_log(tmp_path: Path) -> None:
    for _ in range(2):
        async with Collector(config(tmp_path)) as inside:
            pass
    async with Collector(config(tmp_path)) as inside:
        found = await entries(inside, action=("collector.*",))
    assert [entry.action for entry in reversed(found)] == [
        "collector.started", "collector.stopping"] * 2 + ["collector.started"]  # fmt: skip
    assert [e.metadata["previous"] for e in reversed(found) if "previous" in e.metadata] == [
        "first", "clean", "clean"]  # fmt: skip
    assert not (tmp_path / "events.db-wal").exists()


async def test_outside_of_its_block_it_says_so(tmp_path: Path) -> None:
    outside = Collector(config(tmp_path))
    with pytest.raises(RuntimeError, match="async with"):
        outside.record("note.added")
    async with outside:
        assert outside.record("note.added").ok
    with pytest.raises(RuntimeError, match="async with"):
        _ = outside.daemon


async def test_retention_works_inside_a_program_too(tmp_path: Path) -> None:
    with_limit = config(tmp_path, retention={"max_entries": 100})
    async with Collector(with_limit) as inside:
        for _ in range(300):
            assert inside.record("note.added").ok
        with anyio.fail_after(20):
            while len(await entries(inside)) > 105:  # noqa: ASYNC110
                await anyio.sleep(0.02)
        assert inside.daemon.janitor.pruner.total >= 200
