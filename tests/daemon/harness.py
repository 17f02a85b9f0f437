"""The real daemon in a process of its own, and a raw socket to talk to it: no library in between."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

PATIENCE: Final = 30.0
"""Seconds after which a condition counts as never coming true; a busy machine is slow, not wrong."""
CONFIG: Final = """
[storage]
path = "{database}"
{storage}
[sources.unix]
path = "{socket}"
{unix}
[sources.unix.limits]
{limits}
[sources.mdns]
enabled = false
[sources.queue]
plugins = []
[health]
enabled = false
[web]
enabled = false
[retention]
{retention}
"""


ACTIVATED: Final = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes another program that is handed a socket, as systemd's protocol has it."""


class RunningDaemon:
    """`collector run` on files below `folder`. The keyword arguments are lines of TOML.

    `prefix` is a command to run it under (strace, setpriv); `script` replaces the command line by a
    Python program, for a daemon that is broken on purpose.
    """

    def __init__(
        self,
        folder: Path,
        *,
        storage: str = "",
        unix: str = "",
        limits: str = "",
        retention: str = "",
        state: Path | None = None,
    ) -> None:
        self.folder = folder
        self.database = (state or folder / "state") / "events.db"
        self.socket = folder / "run" / "collector.sock"
        self.config = folder / "config.toml"
        self.log = folder / "daemon.log"
        self.socket.parent.mkdir(exist_ok=True)
        self.config.write_text(
            CONFIG.format(
                database=self.database,
                socket=self.socket,
                storage=storage,
                unix=unix,
                limits=limits,
                retention=retention,
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    def spawn(
        self,
        *,
        prefix: Sequence[str] = (),
        script: str | None = None,
        preexec: Callable[[], None] | None = None,
        activated: socket.socket | None = None,
    ) -> RunningDaemon:
        """Start it and do not wait; `activated` is handed in as systemd does with a socket unit's."""
        if activated is not None:
            prefix = [*prefix, sys.executable, "-c", ACTIVATED, str(activated.fileno())]
        command = ["-c", script] if script else ["-m", "collector"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, *command, "run", "--config", str(self.config)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=preexec,
                pass_fds=() if activated is None else (activated.fileno(),),
                start_new_session=True,
            )
        return self

    def start(self, **how: Any) -> RunningDaemon:
        """Start it and wait until it answers."""
        self.spawn(**how)
        until(lambda: self.answers(), lambda: self.said())
        return self

    def answers(self) -> bool:
        """Whether a ping is answered; fails the test where the daemon has ended instead."""
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        try:
            with Line(self.socket) as line:
                return bool(line.ask({"op": "ping"}).get("ok"))
        except (OSError, EOFError):
            return False

    def pid(self) -> int:
        """The daemon's own process, also where it runs under something else."""
        return int(Path(f"{self.database}.lock").read_text())

    def kill(self) -> None:
        """kill -9, and wait; nothing where it does not run."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait(PATIENCE)
            self.process = None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        os.kill(self.pid(), number)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        assert self.process is not None
        code = self.process.wait(PATIENCE)
        self.process = None
        return code

    def fails(self, **how: Any) -> int:
        """Start one that cannot; its exit code."""
        return self.spawn(**how).ended()

    def said(self) -> str:
        """Everything it has written to stderr."""
        return self.log.read_text(errors="replace")

    # ── what it kept ────────────────────────────────────────────────────────────────────────────

    def line(self, **how: Any) -> Line:
        """A connection."""
        return Line(self.socket, **how)

    def status(self) -> dict[str, Any]:
        """What `status` says."""
        with self.line() as line:
            status: dict[str, Any] = line.ask({"op": "status"})["status"]
        return status

    def entries(self, action: str | None = None) -> list[dict[str, Any]]:
        """The stored entries, oldest first, `metadata` decoded."""
        return entries(self.database, action)


class Line:
    """One connection: bytes out, reply lines in."""

    def __init__(self, path: Path, timeout: float = PATIENCE) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self._rest = b""
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *requests: dict[str, Any] | bytes) -> None:
        """Send lines: objects are encoded, bytes go as they are with a newline behind."""
        self.raw(b"".join(map(encoded, requests)))

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def reply(self) -> dict[str, Any]:
        """The next reply. Raises `EOFError` where the daemon has closed."""
        while b"\n" not in self._rest:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def replies(self, count: int) -> list[dict[str, Any]]:
        """So many replies."""
        return [self.reply() for _ in range(count)]

    def ask(self, *requests: dict[str, Any] | bytes) -> dict[str, Any]:
        """Send, and the reply to the last."""
        self.send(*requests)
        return self.replies(len(requests))[-1]

    def rest(self) -> list[dict[str, Any]]:
        """Every reply until the daemon closes."""
        answers = []
        try:
            while True:
                answers.append(self.reply())
        except (EOFError, ConnectionResetError):
            return answers

    def no_more(self) -> None:
        """Say that nothing more comes, and keep listening."""
        self.socket.shutdown(socket.SHUT_WR)


def encoded(request: dict[str, Any] | bytes) -> bytes:
    """One request as its line."""
    return (request if isinstance(request, bytes) else json.dumps(request).encode()) + b"\n"


def entries(database: Path, action: str | None = None) -> list[dict[str, Any]]:
    """The entries that the plain view shows, oldest first, `metadata` decoded."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        rows: Iterable[sqlite3.Row] = connection.execute(
            "SELECT * FROM entries WHERE action = ? OR ? IS NULL ORDER BY seq", (action, action)
        ).fetchall()
    finally:
        connection.close()
    return [{**dict(row), "metadata": json.loads(row["metadata"] or "{}")} for row in rows]


def until(
    condition: Callable[[], object], why: Callable[[], str] = str, patience: float = PATIENCE
) -> None:
    """Wait for a condition under a deadline; `why` says what was there instead."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience:g} s: {why()}"
        time.sleep(0.01)
