"""A whole daemon in a process of its own, with HTTP on a free port, and the streams it sends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Running:
    """`start`, `kill`, `stop` of one daemon on one directory."""

    path: Path
    port: int = field(default_factory=free_port)
    extra: str = ""
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        (self.path / "config.toml").write_text(
            f'[storage]\npath = "{self.path}/events.db"\n'
            f'[sources.unix]\npath = "{self.path}/c.sock"\n'
            "[sources.mdns]\nenabled = false\n[health]\nenabled = false\n"
            f"[web]\nport = {self.port}\n{self.extra}"
        )

    @property
    def url(self) -> str:
        """Where its page is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, seconds: float = 20.0) -> Running:
        """Start it and wait until it records and answers."""
        command = [sys.executable, "-m", "collector", "run", "--config", f"{self.path}/config.toml"]
        with open(self.path / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError((self.path / "log").read_text())

    def api(self) -> httpx.Client:
        """A client on `api.sock`, as the user who runs the tests."""
        transport = httpx.HTTPTransport(uds=str(self.path / "api.sock"))
        return httpx.Client(transport=transport, base_url="http://collector", timeout=20)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 10.0) -> tuple[int, float]:
        """SIGTERM; the exit code and how many seconds it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds), time.monotonic() - began

    def memory(self) -> int:
        """Resident bytes."""
        assert self.process is not None
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running(path: Path, extra: str = "") -> Iterator[Running]:
    """A started daemon that is gone at the end, whatever happens."""
    daemon = Running(path, extra=extra).start()
    try:
        yield daemon
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()


@dataclass
class Message:
    """One server-sent event."""

    event: str
    id: int | None
    data: Any


def messages(response: httpx.Response) -> Iterator[Message]:
    """The events of a stream as they arrive; comments are left out."""
    event, number, data = "message", None, None
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            event = value
        elif name == "id":
            number = int(value)
        elif name == "data":
            data = json.loads(value)
        elif not line and data is not None:
            yield Message(event, number, data)
            event, number, data = "message", None, None
