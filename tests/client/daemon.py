"""The real daemon in a process of its own, to be killed, stopped, restarted and filled up."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from collector.client import Connection
from collector.errors import DaemonUnreachable

CONFIG = """
[storage]
path = "{database}"
on_full = "suspend"
[sources.unix]
path = "{folder}/run/collector.sock"
[sources.mdns]
enabled = false
[health]
enabled = false
[web]
enabled = {web}
port = {port}
"""


WATCHFUL: Final = (
    "import collector.janitor.schedule as j, collector.cli as cli\n"
    "j.LOOK_EVERY = 0.2; j.RETRY_MOST = 0.2\nraise SystemExit(cli.main())"
)
"""The daemon as it is, but looking at a full disk five times a second and not every five."""


class Daemon:
    """`collector run` below `folder`, on a socket and a journal of its own.

    `state` is the directory of the journal, else one below `folder`; `extra` is more configuration.
    With `web`, HTTP is served at `api`, the Unix socket beside the other.
    """

    def __init__(
        self, folder: Path, *, state: Path | None = None, extra: str = "", web: bool = False
    ) -> None:
        self.socket = folder / "run" / "collector.sock"
        self.database = (state or folder / "state") / "events.db"
        self.socket.parent.mkdir(exist_ok=True)
        self.database.parent.mkdir(exist_ok=True)
        self._config = folder / "config.toml"
        self.api = self.socket.with_name("api.sock")
        self._web = web
        values = {"folder": folder, "database": self.database, "web": str(web).lower()}
        self._config.write_text(CONFIG.format(port=_free_port(), **values) + extra)
        self._log = folder / "daemon.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Daemon:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", WATCHFUL, "run", "--config", str(self._config)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)
        return self

    def _answers(self) -> bool:
        try:
            if self._web:
                Connection(str(self.api), 5).close()
            return bool(self.ask("ping")["ok"])
        except DaemonUnreachable:
            return False

    def ask(self, op: str) -> dict[str, Any]:
        """The reply to a command. Raises DaemonUnreachable."""
        with Connection(str(self.socket), 5) as connection:
            return connection.request({"op": op})

    def is_full(self) -> bool:
        """Whether it refuses for want of space."""
        return bool(self.ask("status")["status"]["journal"]["full"])

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """A clean stop; its exit code must be 0."""
        assert self._end(signal.SIGTERM) == 0, self._log.read_text()

    def _end(self, number: int) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        os.kill(process.pid, number)
        return process.wait(30)

    def entries(self) -> list[dict[str, Any]]:
        """Every stored entry, oldest first, as the plain view shows it."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            rows = connection.execute("SELECT * FROM entries ORDER BY seq").fetchall()
            return [dict(row) for row in rows]
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
