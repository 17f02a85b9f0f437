"""Who acts is said once, and followed into tasks and threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Thread

import anyio
import anyio.to_thread
import pytest

from collector.client import MemorySink, actor_context, in_context

pytestmark = pytest.mark.anyio


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


def test_fields_hold_within_and_calls_go_before_them(sink: MemorySink) -> None:
    with actor_context("user:7", ip="10.0.0.1", correlation_id="c", metadata={"a": 1}):
        sink.record("a.b")
        sink.record("c.d", actor="user:8", metadata={"b": 2})
    sink.record("e.f")
    assert sink.one("a.b", actor="user:7", ip="10.0.0.1", correlation_id="c")
    assert sink.one("c.d", actor="user:8", ip="10.0.0.1").metadata == {"a": 1, "b": 2}
    assert sink.one("e.f").actor is None


def test_contexts_nest(sink: MemorySink) -> None:
    with actor_context("user:7", channel="outer", tenant_id="t"):
        with actor_context(channel="inner"):
            sink.record("a.b")
        sink.record("c.d")
    assert sink.one("a.b", actor="user:7", channel="inner", tenant_id="t")
    assert sink.one("c.d", channel="outer")


def test_context_that_fails_is_left_too(sink: MemorySink) -> None:
    with pytest.raises(ZeroDivisionError), actor_context("user:7"):
        raise ZeroDivisionError
    sink.record("a.b")
    assert sink.one().actor is None


def test_actor_is_asked_when_something_is_recorded(sink: MemorySink) -> None:
    who = ["user:1"]
    with actor_context(lambda: who[0]):
        who[0] = "user:2"
        sink.record("a.b")
    assert sink.one("a.b", actor="user:2")


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_tasks_inherit_it_and_keep_theirs_apart(sink: MemorySink) -> None:
    async def work(number: int) -> None:
        with actor_context(f"user:{number}"):
            await anyio.sleep(0.001)
            await anyio.to_thread.run_sync(sink.record, f"thread.n{number}")
            sink.record(f"task.n{number}")

    with actor_context(channel="all"):
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(work, number)
    for number in range(10):
        assert sink.one(f"task.n{number}", actor=f"user:{number}", channel="all")
        assert sink.one(f"thread.n{number}", actor=f"user:{number}", channel="all")


def test_threads_and_executors_carry_it_where_asked(sink: MemorySink) -> None:
    with actor_context("user:7"):
        thread = Thread(target=in_context(sink.record), args=("a.thread",))
        thread.start()
        thread.join()
        with ThreadPoolExecutor() as pool:
            list(pool.map(in_context(sink.record), [f"a.n{n}" for n in range(20)]))
            pool.submit(sink.record, "a.plain").result()
    assert sink.recorded("a.*", actor="user:7") == 21
    assert sink.one("a.plain").actor is None


def test_leaving_in_another_context_than_entering_does_not_raise(sink: MemorySink) -> None:
    """A framework may run set-up and tear-down of one fixture in different contexts."""
    manager = actor_context("user:7")
    copy_context().run(manager.__enter__)
    manager.__exit__(None, None, None)
    sink.record("a.b")
    assert sink.one().actor is None


async def test_block_left_in_another_task_does_not_raise(sink: MemorySink) -> None:
    block = sink.audit("a.b")
    await asyncio.create_task(block.__aenter__())  # type: ignore[arg-type]
    await block.__aexit__(None, None, None)
    assert sink.recorded("a.b") == 1
