"""`wait`: the receipt within the call, over one connection for many threads; and over anyio."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from collector.client import AsyncClient, Client
from tests.client.server import Server, refusal

BACKENDS = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(server.path, mode="wait", timeout=3)
    yield client
    client.close(1)


def test_receipt_has_its_seq(server: Server, client: Client) -> None:
    assert client.record("a.b").seq == 1
    assert client.record("a.b").seq == 2
    assert server.connections == 1


def test_same_id_is_the_same_event(server: Server, client: Client) -> None:
    first = client.record("a.b")
    again = client.record("a.b", id=first.id)
    assert (again.seq, again.duplicate) == (first.seq, True)


def test_refusal_is_the_receipt(server: Server, client: Client) -> None:
    server.answer = lambda event: refusal(event, "denied", retry=False)
    receipt = client.record("a.b")
    assert (receipt.ok, receipt.code, receipt.retry) == (False, "denied", False)
    assert client.dropped == 1


def test_record_many_is_one_conversation(server: Server, client: Client) -> None:
    receipts = client.record_many({"action": f"a.n{number}"} for number in range(2000))
    assert [receipt.seq for receipt in receipts] == list(range(1, 2001))


def test_threads_share_one_connection_and_each_gets_its_own(server: Server, client: Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        receipts = list(pool.map(client.record, [f"a.n{number}" for number in range(800)]))
    assert sorted(receipt.seq or 0 for receipt in receipts) == list(range(1, 801))
    for number, receipt in enumerate(receipts):
        assert server.stored[receipt.id or ""]["action"] == f"a.n{number}"
    assert server.connections == 1


def test_connection_lost_within_the_call_is_made_again(server: Server, client: Client) -> None:
    client.record("a.b")
    server.close_after = 1
    receipt = client.record("c.d")
    assert (receipt.ok, receipt.duplicate) == (True, True)
    assert server.actions() == ["a.b", "c.d"]


def test_threads_survive_a_lost_connection(server: Server, client: Client) -> None:
    server.close_after = 150
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(client.record, [f"a.n{number}" for number in range(400)]))
    assert all(receipt.ok for receipt in receipts)
    assert len(server.stored) == 400


def test_daemon_that_is_back_within_the_timeout_is_not_missed(tmp_path: Path) -> None:
    server = Server(tmp_path / "collector.sock")
    client = Client(server.path, mode="wait", timeout=5)
    timer = threading.Timer(0.3, server.start)
    timer.start()
    assert client.record("a.b").seq == 1
    timer.join()
    client.close()
    server.stop()


@pytest.mark.alone
def test_no_daemon_costs_the_timeout_once_and_little_after(tmp_path: Path) -> None:
    server = Server(tmp_path / "collector.sock")
    client = Client(server.path, mode="wait", timeout=0.6)
    started = time.monotonic()
    receipt = client.record("a.b")
    assert 0.3 < time.monotonic() - started < 2
    assert (receipt.ok, receipt.code, receipt.retry) == (False, "timeout", True)
    started = time.monotonic()
    for _ in range(5):
        client.record("a.b")
    assert time.monotonic() - started < 0.5
    assert client.dropped == 6
    server.start()
    assert client.record("a.b").ok
    assert client.record("a.b").ok
    client.close()
    server.stop()


def test_daemon_that_hangs_costs_the_timeout_and_the_receipt_may_come_true(
    server: Server, client: Client
) -> None:
    quick = Client(server.path, mode="wait", timeout=0.3)
    server.gate.clear()
    receipt = quick.record("a.b")
    assert (receipt.ok, receipt.code) == (False, "timeout")
    server.gate.set()
    assert quick.record("c.d").ok
    # The first was on its way all the time, and its owner sees it.
    assert server.actions() == ["a.b", "c.d"]
    assert (receipt.ok, receipt.seq) == (True, 1)
    quick.close()


def test_signal_handler_may_record_while_a_call_waits(server: Server, client: Client) -> None:
    receipts: list[Any] = []
    old = signal.signal(signal.SIGALRM, lambda *_: receipts.append(client.record("from.handler")))
    try:
        for _ in range(200):
            # Once a call: a timer that repeats can outrun its handler, each interrupting the last.
            signal.setitimer(signal.ITIMER_REAL, 0.0002)
            receipts.append(client.record("a.b"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert all(receipt.ok for receipt in receipts)
    assert len(server.stored) == len(receipts) > 200


# ── coroutines ──────────────────────────────────────────────────────────────────────────────────

pytestmark = pytest.mark.anyio


@BACKENDS
async def test_tasks_share_one_connection_and_each_gets_its_own(server: Server) -> None:
    answers: dict[str, str] = {}

    async def work(client: AsyncClient, number: int) -> None:
        receipt = await client.record(f"a.n{number}")
        answers[receipt.id or ""] = f"a.n{number}"

    async with AsyncClient(server.path, mode="wait") as client, anyio.create_task_group() as group:
        for number in range(300):
            group.start_soon(work, client, number)
    assert answers == {key: event["action"] for key, event in server.stored.items()}
    assert server.connections == 1


@BACKENDS
async def test_cancelled_call_leaves_the_others_alone(server: Server) -> None:
    async with AsyncClient(server.path, mode="wait", timeout=5) as client:
        await client.record("a.first")
        server.gate.clear()
        receipts: list[Any] = []

        async def work() -> None:
            receipts.append(await client.record("a.b"))

        async with anyio.create_task_group() as group:
            with anyio.move_on_after(0.05):
                await client.record("a.cancelled")  # it reads for all when it is cancelled
            group.start_soon(work)
            await anyio.sleep(0.05)
            server.gate.set()
        assert [receipt.ok for receipt in receipts] == [True]
        assert server.stored[receipts[0].id]["action"] == "a.b"


@BACKENDS
async def test_every_call_of_the_asynchronous_client(server: Server, tmp_path: Path) -> None:
    for mode in ("wait", "background", "spool"):
        spool = tmp_path / "spool" if mode == "spool" else None
        async with AsyncClient(server.path, mode=mode, spool=spool, strict=True) as client:  # type: ignore[arg-type]
            await client.record("a.record")
            await client.record_success("a.success")
            await client.record_denied("a.denied", required="x")
            await client.record_auth("a.auth", outcome="success")
            await client.record_failure("a.failure", ValueError())
            assert [each.ok for each in await client.record_many([{"action": "a.many"}])] == [True]
            async with client.audit("a.audit"):
                pass
            with client.audit("a.sync-audit"):
                pass

            @client.audited("a.audited")
            async def work() -> int:
                return 7

            assert await work() == 7
            assert await client.flush(10)
            assert client.dropped == 0
        assert len(server.stored) == 9
        assert {event.get("outcome") for event in server.stored.values()} == {
            None, "success", "denied", "failure",
        }  # fmt: skip
        server.stored.clear()


@BACKENDS
async def test_background_call_needs_no_await(server: Server) -> None:
    client = AsyncClient(server.path)
    receipt = client.record("a.b")
    assert receipt.ok
    assert await client.record("c.d") is not receipt
    assert await client.flush(10)
    assert receipt.seq == 1
    await client.close()


@BACKENDS
async def test_audited_coroutine_that_is_cancelled_is_recorded_by_wait(server: Server) -> None:
    async with AsyncClient(server.path, mode="wait") as client:
        with anyio.move_on_after(0.01):
            async with client.audit("a.b"):
                await anyio.sleep_forever()
    assert [event["outcome"] for event in server.stored.values()] == ["failure"]


@BACKENDS
async def test_no_daemon_costs_coroutines_the_timeout_once(tmp_path: Path) -> None:
    async with AsyncClient(tmp_path / "nobody.sock", mode="wait", timeout=0.5) as client:
        with anyio.fail_after(2):
            assert (await client.record("a.b")).code == "timeout"
        with anyio.fail_after(0.4):
            assert (await client.record("a.b")).code == "timeout"
        assert client.dropped == 2


def test_one_client_serves_one_event_loop_after_another(server: Server) -> None:
    client = AsyncClient(server.path, mode="wait")

    async def work() -> int | None:
        receipt = await client.record("a.b")
        await client._waits.disconnect()  # type: ignore[union-attr]
        return receipt.seq

    assert anyio.run(work) == 1
    assert anyio.run(work, backend="trio") == 2
    anyio.run(client.close)


def test_blocking_client_in_a_coroutine_leaves_the_loop_alone(server: Server) -> None:
    async def work() -> None:
        client = Client(server.path, mode="wait", timeout=5)
        server.gate.clear()
        ticks = 0
        async with anyio.create_task_group() as group:

            async def audited() -> None:
                async with client.audit("a.b"):
                    pass

            group.start_soon(audited)
            for _ in range(10):
                await anyio.sleep(0.01)
                ticks += 1
            assert not server.stored
            server.gate.set()
        assert ticks == 10
        client.close()

    anyio.run(work)
    assert server.actions() == ["a.b"]
