"""The live feed: no gap and no repeat, whoever is slow, whatever dies."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from collector.core.query import Filter
from collector.web import feed
from collector.web.feed import Feed
from collector.web.identity import anonymous
from tests.web.conftest import House, eventually, house_at
from tests.web.running import Running, messages, running

pytestmark = pytest.mark.anyio


class Listener:
    """Reads one stream of a house into lists."""

    def __init__(self, house: House, cursor: int | None, **wanted: Any) -> None:
        services = house.gate._app.state["services"]  # type: ignore[attr-defined]
        who = anonymous("viewer")
        self.stream = Feed(services, who, msgspec.convert(wanted, Filter)).lines(cursor)
        self.text = b""
        self.resume = asyncio.Event()
        self.resume.set()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for chunk in self.stream:
            self.text += chunk
            await self.resume.wait()

    @property
    def seqs(self) -> list[int]:
        lines = self.text.decode().split("\n\n")
        return [int(each.split()[1]) for each in lines if "event: activity_logged" in each]

    def names(self) -> set[str]:
        lines = self.text.decode().splitlines()
        return {line.partition(": ")[2] for line in lines if line.startswith("event: ")}

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_a_stream_resumes_after_any_seq_and_goes_on_live(house: House) -> None:
    for _ in range(500):
        house.record()
    listener = Listener(house, 100)
    await eventually(lambda: len(listener.seqs) >= house.daemon.journal.last_seq - 100)
    house.record()
    await eventually(lambda: listener.seqs[-1:] == [house.daemon.journal.last_seq])
    assert listener.seqs == list(range(101, house.daemon.journal.last_seq + 1))
    await listener.leave()
    assert len(house.daemon.hub) == 0, "a stream that ended leaves the hub"


async def test_without_a_cursor_only_what_is_new_comes(house: House) -> None:
    house.record()
    listener = Listener(house, None)
    await eventually(lambda: len(house.daemon.hub) == 1)
    assert house.record().seq == house.daemon.journal.last_seq
    await eventually(lambda: bool(listener.seqs))
    assert listener.seqs == [house.daemon.journal.last_seq]
    await listener.leave()


async def test_filters_hold_for_what_was_missed_and_for_what_is_live(house: House) -> None:
    house.record("a.b", outcome="failure")
    house.record("a.c", outcome="failure")
    listener = Listener(house, 0, action=["a.b"])
    await eventually(lambda: len(house.daemon.hub) == 1)
    house.record("a.c")
    house.record("a.b")
    await eventually(lambda: len(listener.seqs) == 2)
    assert listener.text.count(b'"action":"a.b"') == 2
    assert b'"action":"a.c"' not in listener.text
    await listener.leave()


async def test_a_cursor_beyond_the_end_is_of_another_journal(house: House) -> None:
    listener = Listener(house, 999_999)
    await eventually(lambda: "reset" in listener.names())
    assert house.daemon.journal.id.encode() in listener.text
    house.record()
    await eventually(lambda: listener.seqs == [house.daemon.journal.last_seq])
    await listener.leave()


async def test_session_status_and_stream_name_the_journal_and_a_new_one_has_another_name(
    tmp_path: Path,
) -> None:
    names = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        async with house_at(tmp_path / place) as house, house.admin() as client:
            listener = Listener(house, 0)
            await eventually(lambda one=listener: bool(one.seqs))  # type: ignore[misc]
            first = listener.text.partition(b"\n\n")[0].decode().splitlines()
            assert "event: journal" in first
            assert not any(line.startswith("id:") for line in first), "it moves no cursor"
            told = json.loads(next(line for line in first if line.startswith("data: "))[6:])
            session = (await client.get("/api/v1/session")).json()
            status = (await client.get("/api/v1/status")).json()
            assert told["journal_id"] == session["journal_id"] == status["journal_id"]
            names.append(told["journal_id"])
            await listener.leave()
    assert names[0] != names[1]


async def test_a_slow_reader_is_told_that_it_lagged_and_misses_nothing(house: House) -> None:
    listener = Listener(house, None)
    await eventually(lambda: len(house.daemon.hub) == 1)
    start = house.daemon.journal.last_seq
    listener.resume.clear()
    for _ in range(3000):
        house.record()
    assert house.daemon.hub.lagged >= 1
    listener.resume.set()
    await eventually(lambda: listener.seqs[-1:] == [house.daemon.journal.last_seq], 20)
    assert listener.seqs == list(range(start + 1, house.daemon.journal.last_seq + 1))
    assert "lagged" in listener.names()
    await listener.leave()


async def test_streams_that_join_under_full_load_miss_nothing(house: House) -> None:
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            for _ in range(20):
                house.record()
            await asyncio.sleep(0)

    writing = asyncio.create_task(write())
    listeners = []
    for cursor in itertools.chain([0, None] * 5):
        await asyncio.sleep(0.01)
        listeners.append((cursor, Listener(house, cursor)))
    await asyncio.sleep(0.3)
    stop.set()
    await writing
    last = house.daemon.journal.last_seq
    for cursor, listener in listeners:
        await eventually(lambda one=listener: one.seqs[-1:] == [last], 20)  # type: ignore[misc]
        first = 1 if cursor == 0 else listener.seqs[0]
        assert listener.seqs == list(range(first, last + 1))
        await listener.leave()


async def test_silence_is_filled_with_comments(house: House, monkeypatch: Any) -> None:
    monkeypatch.setattr(feed, "HEARTBEAT", 0.02)
    listener = Listener(house, None)
    await eventually(lambda: listener.text.count(b": still here\n\n") >= 3)
    house.record()
    await eventually(lambda: len(listener.seqs) == 1)
    await listener.leave()


async def test_a_closing_hub_ends_every_stream(house: House) -> None:
    listeners = [Listener(house, None) for _ in range(20)]
    await eventually(lambda: len(house.daemon.hub) == 20)
    house.daemon.hub.close()
    await asyncio.wait_for(asyncio.gather(*(listener.task for listener in listeners)), 2)


def follow(daemon: Running, cursor: int, seen: list[int], headers: bool = True) -> None:
    """Read until the connection dies."""
    where = (
        {"headers": {"Last-Event-ID": str(cursor)}}
        if headers
        else {"params": {"after_seq": cursor}}
    )
    try:
        with httpx.stream(
            "GET", f"{daemon.url}/api/v1/events/stream", timeout=10, **where
        ) as response:
            for message in messages(response):
                if message.event == "activity_logged":
                    assert message.id == message.data["seq"]
                    seen.append(message.data["seq"])
    except httpx.TransportError:
        pass


def test_kill_9_in_the_middle_of_a_stream_then_resume_without_gap_or_repeat(tmp_path: Path) -> None:
    seen: list[int] = []
    acknowledged: list[int] = []
    daemon = Running(tmp_path).start()
    try:
        for round_ in range(3):
            if round_:
                daemon.start()
            reader = threading.Thread(target=follow, args=(daemon, seen[-1] if seen else 0, seen))
            reader.start()
            with daemon.api() as client:
                until = time.monotonic() + 0.7
                while time.monotonic() < until:
                    body = b'{"action":"a.b"}\n' * 20
                    answer = client.post(
                        "/api/v1/events",
                        content=body,
                        headers={"Content-Type": "application/x-ndjson"},
                    )
                    acknowledged += [reply["seq"] for reply in answer.json()["replies"]]
            daemon.kill()
            reader.join(10)
        daemon.start()
        last = httpx.get(f"{daemon.url}/api/v1/events?limit=1").json()["entries"][0]["seq"]
        reader = threading.Thread(target=follow, args=(daemon, seen[-1], seen, False))
        reader.start()
        until = time.monotonic() + 10
        while seen[-1] < last and time.monotonic() < until:
            time.sleep(0.02)
        daemon.kill()
        reader.join(10)
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()
    assert seen == list(range(1, seen[-1] + 1)), "no gap, no repeat, in order"
    assert set(acknowledged) <= set(seen)
    assert len(acknowledged) > 100


def test_a_viewers_stream_holds_no_other_tenant_and_no_whole_address(tmp_path: Path) -> None:
    """What was missed and what is live, since each takes a way of its own."""
    with running(tmp_path) as daemon, daemon.api() as client:
        asked = {"label": "acme", "role": "viewer", "tenant_id": "acme"}
        key = client.post("/api/v1/keys", json=asked).json()["secret"]

        def record(action: str) -> None:
            for tenant in ("other", "acme", None):
                event = {"action": action, "tenant_id": tenant, "ip": "192.0.2.7"}
                assert client.post("/api/v1/events", json=event).status_code == 200

        record("a.missed")
        headers = {"Authorization": f"Bearer {key}", "Last-Event-ID": "0"}
        url = f"{daemon.url}/api/v1/events/stream"
        seen: list[Any] = []
        with httpx.stream("GET", url, headers=headers, timeout=20) as response:
            for message in messages(response):
                if message.event == "activity_logged":
                    seen.append(message.data)
                    record("a.live")
                if len(seen) == 2:
                    break
    assert [(entry["action"], entry["tenant_id"]) for entry in seen] == [
        ("a.missed", "acme"),
        ("a.live", "acme"),
    ]
    assert {entry["ip"] for entry in seen} == {"192.0.2.x"}


def test_an_open_stream_never_delays_the_end(tmp_path: Path) -> None:
    with running(tmp_path) as daemon:
        seen: list[int] = []
        readers = [threading.Thread(target=follow, args=(daemon, 0, seen)) for _ in range(5)]
        for reader in readers:
            reader.start()
        until = time.monotonic() + 10
        while len(seen) < 5 and time.monotonic() < until:
            time.sleep(0.01)
        code, seconds = daemon.stop()
        assert code == 0
        assert seconds < 2
        for reader in readers:
            reader.join(5)
            assert not reader.is_alive()


@pytest.mark.slow
def test_200_subscribers_cost_at_most_10_megabytes(tmp_path: Path) -> None:
    import socket

    with running(tmp_path) as daemon:
        follow_one = b"GET /api/v1/events/stream?after_seq=0 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        warm = []
        for _ in range(10):
            one = socket.create_connection(("127.0.0.1", daemon.port))
            one.sendall(follow_one)
            assert one.recv(100)
            warm.append(one)
        before = daemon.memory()
        for _ in range(200):
            one = socket.create_connection(("127.0.0.1", daemon.port))
            one.sendall(follow_one)
            assert one.recv(100)
            warm.append(one)
        with daemon.api() as client:
            for _ in range(20):
                client.post("/api/v1/events", json={"action": "a.b"})
        grown = daemon.memory() - before
        for one in warm:
            one.close()
    assert grown <= 10 * 1024 * 1024, f"{grown / 1024 / 1024:.1f} MiB"


async def test_what_arrives_while_the_journal_is_read_comes_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment between joining the hub and the last look at the journal: both have the entry."""
    subscribe = house.daemon.hub.subscribe

    def and_record(*arguments: Any) -> Any:
        subscription = subscribe(*arguments)
        house.record()
        return subscription

    monkeypatch.setattr(house.daemon.hub, "subscribe", and_record)
    listener = Listener(house, 0)
    await eventually(lambda: len(listener.seqs) >= house.daemon.journal.last_seq)
    house.record()
    await eventually(lambda: listener.seqs[-1:] == [house.daemon.journal.last_seq])
    assert listener.seqs == list(range(1, house.daemon.journal.last_seq + 1))
    await listener.leave()
