"""`background`: the bounded buffer, resending by id, and the exact account of what was lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.client import Client
from tests.client.conftest import until
from tests.client.server import Server, refusal


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(server.path, timeout=5)
    yield client
    client.close(1)


def lost(server: Server) -> list[dict[str, Any]]:
    return [
        event["metadata"] for event in server.stored.values() if event["action"] == "events.lost"
    ]


def test_call_returns_at_once_and_the_receipt_is_filled_in_later(
    server: Server, client: Client
) -> None:
    server.gate.clear()
    receipt = client.record("a.b")
    assert (receipt.ok, receipt.seq) == (True, None)
    server.gate.set()
    assert client.flush()
    assert receipt.seq == 1
    assert receipt.id in server.stored


def test_order_is_kept_over_many_batches(server: Server, client: Client) -> None:
    for number in range(5000):
        client.record(f"a.n{number}")
    assert client.flush()
    assert server.actions() == [f"a.n{number}" for number in range(5000)]
    assert client.dropped == 0


@pytest.mark.parametrize(
    ("policy", "kept"),
    [("drop_oldest", range(150, 250)), ("drop_newest", range(100))],
)
def test_overflow_drops_counts_and_reports_exactly(
    tmp_path: Path, policy: Any, kept: range
) -> None:
    server = Server(tmp_path / "collector.sock")
    client = Client(server.path, buffer=100, on_overflow=policy)
    before = time.time()
    receipts = [client.record(f"a.n{number}") for number in range(250)]
    assert client.dropped == 150
    assert [receipt.code for receipt in receipts].count("busy") == 150
    server.start()
    assert client.flush(10)
    client.close()
    server.stop()
    assert [name for name in server.actions() if name != "events.lost"] == [
        f"a.n{number}" for number in kept
    ]
    (report,) = lost(server)
    assert report["count"] == 150
    assert report["cause"] == "buffer_full"
    assert report["from"] <= report["to"]
    assert report["from"] >= time.strftime("%Y-%m-%dT%H:%M", time.gmtime(before - 60))


def test_buffer_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    client = Client(tmp_path / "nobody.sock", buffer_bytes=20_000)
    for _ in range(100):
        client.record("a.b", metadata={"text": "x" * 900})
    assert 70 < client.dropped < 85
    client.close(0.05)


def test_connection_lost_after_storing_is_stored_once(server: Server, client: Client) -> None:
    server.close_after = 7
    receipts = [client.record(f"a.n{number}") for number in range(20)]
    assert client.flush()
    assert server.connections == 2
    assert server.actions() == [f"a.n{number}" for number in range(20)]
    assert server.lines > 20  # some were sent again
    assert all(receipt.ok and receipt.seq for receipt in receipts)
    assert any(receipt.duplicate for receipt in receipts)
    assert client.dropped == 0


def test_daemon_that_comes_later_gets_everything(tmp_path: Path) -> None:
    server = Server(tmp_path / "collector.sock")
    client = Client(server.path)
    receipt = client.record("a.b")
    server.start()
    assert client.flush(10)
    assert receipt.seq == 1
    client.close()
    server.stop()


def test_refusal_that_says_try_again_is_tried_again(server: Server, client: Client) -> None:
    seen: dict[str, int] = {}

    def full_at_first(event: dict[str, Any]) -> dict[str, Any] | None:
        seen[event["id"]] = seen.get(event["id"], 0) + 1
        return refusal(event, "storage_full", retry=True) if seen[event["id"]] < 3 else None

    server.answer = full_at_first
    for number in range(10):
        client.record(f"a.n{number}")
    assert client.flush(10)
    assert sorted(server.actions()) == [f"a.n{number}" for number in range(10)]
    assert client.dropped == 0


def test_daemon_that_says_try_again_is_not_hammered(server: Server, client: Client) -> None:
    server.answer = lambda event: refusal(event, "storage_full", retry=True)
    stop = time.monotonic() + 1.0
    while time.monotonic() < stop:
        client.record("a.b")
        time.sleep(0.001)
    # Back-off doubles from 50 ms: a handful of tries in a second, each of all that waits (< 1,000).
    assert server.lines < 10 * 1000
    assert server.connections == 1
    server.answer = lambda event: None
    assert client.flush(20)
    assert client.dropped == 0


def test_refusal_for_good_is_counted_reported_and_does_not_stop_the_rest(
    server: Server, client: Client
) -> None:
    server.answer = lambda event: (
        refusal(event, "invalid_event", retry=False) if event["action"] == "bad.one" else None
    )
    bad = client.record("bad.one")
    client.record("a.b")
    assert client.flush(10)
    assert (bad.ok, bad.code) == (False, "invalid_event")
    assert client.dropped == 1
    assert [(each["count"], each["cause"]) for each in lost(server)] == [(1, "invalid_event")]
    (report,) = [each for each in server.stored.values() if each["action"] == "events.lost"]
    assert report["message"] == "1 event was lost before delivery (invalid_event)"


def test_event_refused_before_it_left_is_reported_too(server: Server, client: Client) -> None:
    assert not client.record("No Action").ok
    assert client.flush(10)
    assert [(each["count"], each["cause"]) for each in lost(server)] == [(1, "invalid_event")]


def test_report_itself_counts_once_over_a_broken_connection(tmp_path: Path) -> None:
    server = Server(tmp_path / "collector.sock")
    client = Client(server.path, buffer=10)
    for _ in range(15):
        client.record("a.b")
    server.close_after = 1  # the report is stored, its reply never comes
    server.start()
    assert client.flush(10)
    client.close()
    server.stop()
    assert [each["count"] for each in lost(server)] == [5]


def test_reply_that_makes_no_sense_breaks_the_connection_only(
    server: Server, client: Client
) -> None:
    server.answer = lambda event: {"what": "is this"} if server.connections == 1 else None  # type: ignore[return-value]
    client.record("a.b")
    assert client.flush(10)
    assert server.actions() == ["a.b"]


def test_many_threads_share_a_client(server: Server, client: Client) -> None:
    def work(name: int) -> None:
        for number in range(300):
            client.record(f"t{name}.n{number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(20)
    assert len(server.stored) == 2400
    for name in range(8):
        own = [action for action in server.actions() if action.startswith(f"t{name}.")]
        assert own == [f"t{name}.n{number}" for number in range(300)]


def test_signal_handler_may_record(server: Server, client: Client) -> None:
    old = signal.signal(signal.SIGALRM, lambda *_: client.record("from.handler"))
    try:
        for number in range(3000):
            signal.setitimer(signal.ITIMER_REAL, 0.00002)  # once a call; see test_wait
            client.record(f"a.n{number}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert client.flush(20)
    ours = [action for action in server.actions() if action != "from.handler"]
    assert ours == [f"a.n{number}" for number in range(3000)]
    assert "from.handler" in server.actions()


@pytest.mark.alone
def test_flush_says_when_its_time_was_too_short(server: Server, client: Client) -> None:
    server.gate.clear()
    client.record("a.b")
    started = time.monotonic()
    assert client.flush(0.2) is False
    assert time.monotonic() - started < 1
    server.gate.set()
    assert client.flush(5) is True


@pytest.mark.alone
def test_close_keeps_its_deadline_and_counts_what_is_left(tmp_path: Path) -> None:
    client = Client(tmp_path / "nobody.sock")
    receipt = client.record("a.b")
    started = time.monotonic()
    assert client.close(0.3) is False
    assert time.monotonic() - started < 1.5
    assert client.dropped == 1
    assert (receipt.ok, receipt.retry) == (False, True)


def test_closed_client_refuses_and_counts(server: Server) -> None:
    with Client(server.path) as client:
        client.record("a.b")
    assert server.actions() == ["a.b"]
    after = client.record("c.d")
    assert (after.ok, after.error, client.dropped) == (False, "the client is closed", 1)
    assert client.close()


def test_idle_client_has_no_thread_until_it_records(server: Server) -> None:
    def couriers() -> int:
        return sum(thread.name == "collector-courier" for thread in threading.enumerate())

    before = couriers()
    client = Client(server.path)
    assert couriers() == before
    client.record("a.b")
    assert couriers() == before + 1
    client.close()
    until(lambda: couriers() == before)


def test_arguments_that_contradict_are_refused_at_once(tmp_path: Path) -> None:
    for arguments in (
        {"mode": "often"}, {"mode": "spool"}, {"spool": tmp_path}, {"buffer": 0}, {"timeout": 0},
        {"on_overflow": "panic"},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"mode|spool|timeout|on_overflow"):
            Client(tmp_path / "x", **arguments)  # type: ignore[arg-type]
