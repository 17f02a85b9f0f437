"""What the tests of the command line stand on: a journal written by the real intake, a scripted
daemon that misbehaves, real processes and terminals."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from collector.config import Redaction
from collector.core.admission import Admission
from collector.core.redaction import Redactor
from collector.event import Draft, Receipt
from collector.hub import Hub
from collector.intake import Intake
from collector.journal.versions import Versions
from collector.journal.writer import Journal

DEADLINE = 20.0
COMMAND = (sys.executable, "-m", "collector")


class Result(NamedTuple):
    """What one call left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


class Book:
    """A journal of its own, open for writing as the daemon has it."""

    def __init__(self, path: Path, wall: Callable[[], float] = time.time) -> None:
        self.path = path
        self.journal = Journal.open(path)
        rules = Redaction()
        redactor = Redactor(
            keys=rules.keys, patterns=rules.patterns, emails=rules.emails, key=self.journal.hmac_key
        )
        self.intake = Intake(
            self.journal,
            Admission(self.journal.books, redactor),
            Versions(self.journal.connection, (), redactor),
            Hub(self.journal.entries),
            wall=wall,
            monotonic=time.monotonic,
            call_soon=lambda call: call(),
        )

    def record(self, action: str, **fields: Any) -> Receipt:
        receipt = self.intake.record(Draft(action=action, **fields), source="queue")
        assert receipt.ok, receipt
        return receipt

    def many(self, count: int, **fields: Any) -> None:
        drafts = [Draft(action=f"n.a{n % 7}", object_id=str(n), **fields) for n in range(count)]
        assert all(each.ok for each in self.intake.record_many(drafts, source="queue"))

    def close(self) -> None:
        self.journal.close()


def environment(home: Path, **more: str) -> dict[str, str]:
    """A process's environment without anything of this machine's that concerns collector."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COLLECTOR", "XDG_", "LESS"))}
    for name in ("NO_COLOR", "PAGER", "LC_ALL", "STATE_DIRECTORY", "RUNTIME_DIRECTORY"):
        kept.pop(name, None)
    return {**kept, "HOME": str(home), "TZ": "UTC", "LANG": "C.UTF-8", "TERM": "xterm", **more}


def run(*words: str, env: dict[str, str], stdin: bytes = b"", timeout: float = DEADLINE) -> Result:
    """One call in a process of its own, neither end of which is a terminal."""
    done = subprocess.run(
        [*COMMAND, *words], input=stdin, env=env, capture_output=True, timeout=timeout, check=False
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def in_terminal(*words: str, env: dict[str, str], keys: bytes = b"") -> Result:
    """One call with a terminal at all three ends; everything it shows is in `out`."""
    main, side = pty.openpty()
    process = subprocess.Popen([*COMMAND, *words], stdin=side, stdout=side, stderr=side, env=env)
    os.close(side)
    if keys:
        os.write(main, keys)
    shown = b""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        ready, _, _ = select.select([main], [], [], 0.1)
        try:
            chunk = os.read(main, 65536) if ready else None
        except OSError:  # EIO: the other side was closed
            break
        if chunk == b"":
            break
        shown += chunk or b""
    os.close(main)
    try:
        code = process.wait(5)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        code = process.wait()
    return Result(code, shown.decode().replace("\r\n", "\n"), "")


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`, under a deadline."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {DEADLINE:g} s: {what}")


class Script:
    """A daemon that does what a test says: `answer(line)` is its reply, None closes the connection.

    What it received stands in `lines`, connection by connection in `connections`.
    """

    def __init__(self, path: Path, answer: Callable[[bytes], dict[str, Any] | None]) -> None:
        self.path = path
        self.connections: list[list[bytes]] = []
        self.most_unanswered = 0
        self.hold = threading.Event()
        self.hold.set()
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def lines(self) -> list[bytes]:
        return [line for lines in self.connections for line in lines]

    def close(self) -> None:
        self.hold.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                self._converse(peer)

    def _converse(self, peer: socket.socket) -> None:
        heard: list[bytes] = []
        self.connections.append(heard)
        rest = b""
        while chunk := peer.recv(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            self.most_unanswered = max(self.most_unanswered, len(lines))
            self.hold.wait(DEADLINE)
            for line in lines:
                heard.append(line)
                reply = self._answer(line)
                if reply is None:
                    return
                closes = reply.pop("close", False)
                peer.sendall(json.dumps(reply).encode() + b"\n")
                if closes:
                    return


def counting() -> Callable[[bytes], dict[str, Any]]:
    """Acknowledges every line with the next seq."""
    seqs = iter(range(1, 10**9))
    return lambda line: {"ok": True, "seq": next(seqs), "id": "0"}
