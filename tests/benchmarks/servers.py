"""What is measured against what: the real daemon and, where it is installed, Redis."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

PYTHON: Final = os.environ.get("COLLECTOR_BENCHMARK_PYTHON", sys.executable)
"""The interpreter that runs the daemon: one whose environment holds `[web]` and no more shows what a
user's does, since Litestar loads every package that it knows and finds."""
SEGMENT: Final = 16_384
"""Entries below which postings and words are not worth a segment; see `journal.postings`."""
PATIENCE: Final = 120.0
"""Seconds for anything that must happen at all."""

CONFIG: Final = """
[storage]
path = "{place}/events.db"
[retention]
max_days = 0
max_entries = 0
max_bytes = 0
[sources.unix]
path = "{place}/s"
[sources.mdns]
enabled = false
[health]
enabled = false
[web]
enabled = {web}
port = {port}
"""
DEVICE: Final = """
[[devices]]
name = "Device {n}"
address = "127.0.0.1"
check = "tcp://127.0.0.1:{port}"
"""


class Daemon:
    """`collector run` in a process of its own; a context manager that stops it at the end."""

    wire = "collector"

    def __init__(self, place: Path, *, web: bool = False, devices: int = 0) -> None:
        place.mkdir(exist_ok=True)
        self.place, self.database, self.address = place, place / "events.db", str(place / "s")
        port = _free_port() if web else 8477
        self.page, self._web = f"127.0.0.1:{port}", web
        config = CONFIG.format(place=place, web=str(web).lower(), port=port)
        config += "".join(DEVICE.format(n=n, port=n + 1) for n in range(devices))
        (place / "config.toml").write_text(config)

    def __enter__(self) -> Daemon:
        notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notices.bind(str(self.place / "notify"))
        notices.settimeout(0.5)
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.place / "notify")}
        start = time.perf_counter()
        command = [PYTHON, "-m", "collector", "run", "--config"]
        command.append(str(self.place / "config.toml"))
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        while not self._ready(notices):
            if self.process.poll() is not None:
                log_says = (self.place / "log").read_text()[-2000:]
                raise RuntimeError(f"the daemon ended with {self.process.returncode}: {log_says}")
        self.started_in = time.perf_counter() - start
        notices.close()
        (self.place / "notify").unlink()
        if self._web:
            self._await_page()
        return self

    def __exit__(self, *_: object) -> None:
        stop(self.process)

    @staticmethod
    def _ready(notices: socket.socket) -> bool:
        try:
            return b"READY=1" in notices.recv(4096)
        except TimeoutError:
            return False

    def _await_page(self) -> None:
        """HTTP is an optional part: it begins to listen a little after recording has begun."""
        host, _, port = self.page.partition(":")
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection((host, int(port))).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to one command."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(self.address)
            peer.sendall(json.dumps(request).encode() + b"\n")
            with peer.makefile("rb") as replies:
                reply: dict[str, Any] = json.loads(replies.readline())
        return reply

    def journal(self) -> dict[str, Any]:
        """Sizes and lags."""
        journal: dict[str, Any] = self.ask(op="status")["status"]["journal"]
        return journal

    def key(self) -> str:
        """A new key that may do everything."""
        label = f"benchmark-{time.monotonic_ns()}"
        secret: str = self.ask(op="add_key", label=label, role="admin")["secret"]
        return secret

    def settle(self, look: float) -> float:
        """Wait until the followers have nothing to do and no more is written; the seconds.

        There is a look every `look` seconds, and five in a row must find everything at rest.
        """
        start, written, quiet = time.perf_counter(), -1, 0
        while quiet < 5:
            if time.perf_counter() - start > PATIENCE * 10:
                raise TimeoutError("the followers did not come to rest")
            time.sleep(look)
            state, before = self.journal(), written
            written, lag = self.written(), state["lag"]
            rest = max(lag["postings"], lag["words"]) < SEGMENT and not lag["totals"]
            quiet = quiet + 1 if rest and written == before and state["wal_bytes"] >= 0 else 0
        return time.perf_counter() - start - 5 * look

    def written(self) -> int:
        """Bytes that the process has sent towards the disk."""
        fields = Path(f"/proc/{self.process.pid}/io").read_text().split()
        return int(fields[fields.index("write_bytes:") + 1])

    def resident(self) -> float:
        """Resident memory in MB."""
        fields = Path(f"/proc/{self.process.pid}/status").read_text().split()
        return int(fields[fields.index("VmRSS:") + 1]) / 1024

    def processor(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Redis:
    """A Redis of our own with `appendfsync always`, its append-only file on the same disk."""

    wire = "redis"

    def __init__(self, place: Path) -> None:
        place.mkdir(exist_ok=True)
        self.place, self.port = place, _free_port()
        self.address = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Redis:
        words = f"""redis-server --port {self.port} --bind 127.0.0.1 --dir {self.place} --save ""
            --appendonly yes --appendfsync always --auto-aof-rewrite-percentage 0 --daemonize no"""
        command = [word.strip('"') for word in words.split()]
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError("Redis did not start; see its log")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        stop(self.process)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port)) as peer:
                peer.sendall(b"PING\r\n")
                return peer.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def redis_is_here() -> bool:
    """Whether Redis is installed."""
    return shutil.which("redis-server") is not None


class Load:
    """One load generator, prepared; `go` begins, `result` waits for it."""

    def __init__(
        self, server: Daemon | Redis, do: str, *, program: str = "load", **job: Any
    ) -> None:
        job = {"do": do, "address": server.address, "wire": server.wire, **job}
        job.setdefault("make", 50_000)
        command = [sys.executable, "-m", f"tests.benchmarks.{program}", json.dumps(job)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the load generator did not start")

    def go(self) -> Load:
        """Begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self

    def result(self) -> dict[str, Any]:
        """What it measured."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        code = self._process.wait(PATIENCE)
        if code or not answer:
            raise RuntimeError(f"the load generator ended with {code}")
        result: dict[str, Any] = json.loads(answer)
        result["rate"] = result["events"] / result["seconds"]
        return result


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started, by force where asking does not help."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A directory that is gone afterwards."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix=".benchmark-", dir=parent) as place:
        yield Path(place)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
