"""What the service manager is told, and the sockets it hands in, over real sockets."""

import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.notify import Notifier, listen_sockets, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket, and the text of `$NOTIFY_SOCKET` for it."""
    name = str(tmp_path / "n") if request.param == "path" else f"@collector-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        listening.settimeout(5)
        yield listening, name


def test_states_arrive_as_systemd_names_them(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    assert notifier.active
    sent = {
        lambda: notifier.ready("recording"): b"READY=1\nSTATUS=recording",
        lambda: notifier.ready(): b"READY=1",
        lambda: notifier.status("3 devices"): b"STATUS=3 devices",
        lambda: notifier.stopping(): b"STOPPING=1",
        lambda: notifier.watchdog(): b"WATCHDOG=1",
        lambda: notifier.watchdog_trigger(): b"WATCHDOG=trigger",
        lambda: notifier.extend_timeout(1.5): b"EXTEND_TIMEOUT_USEC=1500000",
        lambda: notifier.error(28, "disk full"): b"ERRNO=28\nSTATUS=disk full",
        lambda: notifier.bus_error("org.example.Error"): b"BUSERROR=org.example.Error",
    }
    for send, expected in sent.items():
        assert send()
        assert listening.recv(4096) == expected
    notifier.close()
    assert not notifier.active


def test_a_reload_says_when_it_began(manager: tuple[socket.socket, str]) -> None:
    import time

    listening, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    reloading, usec = listening.recv(4096).decode().split("\n")
    assert reloading == "RELOADING=1"
    assert before <= int(usec.removeprefix("MONOTONIC_USEC=")) <= after
    notifier.close()


def test_a_status_with_line_breaks_cannot_smuggle_in_a_state(
    manager: tuple[socket.socket, str],
) -> None:
    listening, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.status("a\nMAINPID=1\r\nb\udcff")
    assert listening.recv(4096) == b"STATUS=a MAINPID=1 b?"
    notifier.close()


@pytest.mark.parametrize("name", ["", "relative", "@", "vsock:2:1"])
def test_without_a_service_manager_nothing_happens(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name})
    assert not notifier.active
    assert not notifier.ready()
    notifier.close()


def test_a_service_manager_that_went_away_is_no_error(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert not notifier.watchdog()
    notifier.close()
    assert not notifier.watchdog()


def test_a_service_manager_that_does_not_read_never_blocks_the_sender(
    manager: tuple[socket.socket, str],
) -> None:
    _, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    answers: list[bool] = []
    sender = threading.Thread(
        target=lambda: answers.extend(notifier.watchdog() for _ in range(10_000)), daemon=True
    )
    sender.start()
    sender.join(20)
    assert not sender.is_alive(), "a state that nobody reads blocks its sender"
    assert answers[0]
    assert not answers[-1]
    notifier.close()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": ""}, 0.0),
    ],
)
def test_the_watchdogs_interval_is_for_the_process_it_names(
    environ: dict[str, str], seconds: float
) -> None:
    assert watchdog_interval(environ, pid=7) == seconds


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "x", "LISTEN_PID": "7"},
    ],
)
def test_sockets_for_another_process_are_left_alone(environ: dict[str, str]) -> None:
    assert listen_sockets(environ, pid=7) == []
    assert environ == {}


HANDED_IN = """
import os, sys
from collector.notify import listen_sockets
found = listen_sockets()
print(*(name for name, _ in found))
print(*(os.get_inheritable(s.fileno()) for _, s in found))
print(sorted(key for key in os.environ if key.startswith("LISTEN_")))
found[0][1].accept()[0].sendall(b"hello")
"""


def test_sockets_are_taken_over_by_name_and_work(tmp_path: Path) -> None:
    """The real hand-over: descriptors from 3 on, variables for the new process's own pid."""
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        for number, each in enumerate((first, second)):
            each.bind(str(tmp_path / str(number)))
            each.listen()
        not_a_socket = os.open(os.devnull, os.O_RDONLY)
        command = (
            f"exec 3<&{first.fileno()} 4<&{not_a_socket} 5<&{second.fileno()}; "
            "export LISTEN_PID=$$ LISTEN_FDS=3 LISTEN_FDNAMES=unix:file; "
            'exec "$0" -c "$1"'
        )
        process = subprocess.Popen(
            ["bash", "-c", command, sys.executable, HANDED_IN],
            pass_fds=(first.fileno(), second.fileno(), not_a_socket),
            stdout=subprocess.PIPE,
            text=True,
        )
        os.close(not_a_socket)
        with process, socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(tmp_path / "0"))
            assert client.recv(5) == b"hello"
            output, _ = process.communicate(timeout=20)
    assert output.splitlines() == ["unix unknown", "False False", "[]"]
