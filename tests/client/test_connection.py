"""One blocking connection: lines out, replies in, and every failure one error."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.client.connection import Connection, ReplyTimeout
from collector.errors import DaemonUnreachable

Peer = Callable[[socket.socket], None]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Peer], str]]:
    threads = []
    listeners = []

    def start(peer: Peer) -> str:
        path = str(tmp_path / f"{len(threads)}.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        listeners.append(listener)

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                peer(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        threads.append(thread)
        return path

    yield start
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    for listener in listeners:
        listener.close()


def echo(connection: socket.socket) -> None:
    """Answers each line at once, and reads no further while its answer is not taken."""
    with connection.makefile("rb") as lines:
        for number, _ in enumerate(lines, 1):
            connection.sendall(b'{"ok":true,"seq":%d}\n' % number)


def test_replies_come_in_order_however_they_are_split(serve: Callable[[Peer], str]) -> None:
    def slowly(connection: socket.socket) -> None:
        connection.recv(100)
        for byte in b'{"ok":true,"seq":1}\n{"ok":true,"seq":2}\n':
            connection.sendall(bytes([byte]))

    with Connection(serve(slowly), 5) as connection:
        connection.send(b'{"action":"a.b"}\n{"action":"c.d"}')
        assert [connection.receive().seq, connection.receive().seq] == [1, 2]


def test_several_replies_are_taken_at_once(serve: Callable[[Peer], str]) -> None:
    with Connection(serve(echo), 5) as connection:
        connection.send(b"{}\n" * 10)
        got = []
        while len(got) < 10:
            got += connection.receive_some()
        assert [receipt.seq for receipt in got] == list(range(1, 11))


def test_many_lines_go_out_while_their_replies_come_in(serve: Callable[[Peer], str]) -> None:
    """Neither direction holds them all: who only sends would wait for ever, and so would the peer."""
    count = 20_000
    with Connection(serve(echo), 20) as connection:
        connection.send_and_gather(b'{"action":"%s"}\n' % (b"x" * 60) * count)
        got = 0
        while got < count:
            got += len(connection.receive_some())
    assert got == count


def test_operation_returns_its_raw_reply(serve: Callable[[Peer], str]) -> None:
    with Connection(serve(echo), 5) as connection:
        assert connection.request({"op": "ping"}) == {"ok": True, "seq": 1}


def test_silence_is_a_timeout_and_the_connection_goes_on(serve: Callable[[Peer], str]) -> None:
    gate = threading.Event()

    def later(connection: socket.socket) -> None:
        connection.recv(100)
        gate.wait(10)
        connection.sendall(b'{"ok":true,"seq":7}\n')

    with Connection(serve(later), 5) as connection:
        connection.send(b"{}")
        started = time.monotonic()
        with pytest.raises(ReplyTimeout):
            connection.receive(0.1)
        assert time.monotonic() - started < 2
        gate.set()
        assert connection.receive().seq == 7


@pytest.mark.parametrize("reply", [b"", b"half", b"not json\n", b'{"ok":5}\n', b"\xff\n"])
def test_peer_that_is_no_daemon_is_unreachable(serve: Callable[[Peer], str], reply: bytes) -> None:
    def peer(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(reply)

    with Connection(serve(peer), 5) as connection:
        connection.send(b"{}")
        with pytest.raises(DaemonUnreachable):
            connection.receive()


def test_peer_that_takes_nothing_is_unreachable_in_time(serve: Callable[[Peer], str]) -> None:
    done = threading.Event()
    with Connection(serve(lambda _: done.wait(10) and None), 0.2) as connection:
        with pytest.raises(DaemonUnreachable, match="timed out"):
            connection.send(b"x" * 10_000_000)
        done.set()


@pytest.mark.parametrize(
    "path", ["/nonexistent/x.sock", "/tmp/" + "x" * 200, "/etc/passwd", "a\0b"]
)
def test_place_without_a_daemon_is_unreachable(path: str) -> None:
    with pytest.raises(DaemonUnreachable, match="no daemon answers"):
        Connection(path, 1)


def test_closed_connection_is_unreachable(serve: Callable[[Peer], str]) -> None:
    connection = Connection(serve(lambda _: None), 1)
    connection.close()
    connection.close()
    with pytest.raises(DaemonUnreachable):
        connection.send(b"{}")
    with pytest.raises(DaemonUnreachable):
        connection.receive()


def test_descriptors_above_a_thousand_work(serve: Callable[[Peer], str]) -> None:
    """`select` knows none above 1023; a busy web server has them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("needs a limit of 2048 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    path = serve(echo)
    held = []
    try:
        while not held or held[-1] < 1100:
            held.append(os.dup(0) if not held else os.dup(held[0]))
        with Connection(path, 5) as connection:
            assert connection.fileno() > 1023
            connection.send(b"{}")
            assert connection.receive().ok
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
