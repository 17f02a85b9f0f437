"""The fork server seen from a test, and a daemon that is forked where others are started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.daemon.harness import RunningDaemon

SERVER: Final = Path(__file__).with_name("fork_server.py")


class ForkServer:
    """One such process; it has one child at a time. A context manager."""

    def __init__(
        self, shim: Path, log: Path, *, web: bool = False, prefix: Sequence[str] = ()
    ) -> None:
        """`web`: with HTTP's imports; `prefix`: a command to run it under."""
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, str(SERVER), *(["web"] if web else [])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "LD_PRELOAD": str(shim)},
            )
        self._one_at_a_time = threading.Lock()

    def ask(self, **request: Any) -> Any:
        """One request and its answer."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with self._one_at_a_time:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        assert answer, "the fork server has ended"
        return json.loads(answer)

    def fork(self, **request: Any) -> Child:
        """Start a child; see `fork_server.child` for what it takes."""
        return Child(self, self.ask(do="fork", **request))

    def close(self) -> None:
        """End it; its children are ended by whoever had them."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(10)
        process.stdout.close()

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Child:
    """The last child of a fork server, by the names of `subprocess.Popen`."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.pid = pid
        self._server = server
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or None while it lives."""
        return self._waited(0)

    def wait(self, timeout: float) -> int:
        """Its exit code. Raises `subprocess.TimeoutExpired`."""
        code = self._waited(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("collector run", timeout)
        return code

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it now."""
        if self.poll() is None:
            os.kill(self.pid, number)
            self.wait(10)

    def _waited(self, seconds: float) -> int | None:
        if self._code is None:
            self._code = self._server.ask(do="wait", seconds=seconds)
        return self._code


class ForkedDaemon(RunningDaemon):
    """`collector run` in a child of a fork server. `how` of `spawn` is what `fork` takes."""

    def __init__(self, server: ForkServer, folder: Path, **lines: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, **lines)
        self._server = server

    def spawn(self, **how: Any) -> ForkedDaemon:
        """Start it and do not wait."""
        usual = {
            "arguments": ["run", "--config", str(self.config)],
            "log": str(self.log),
            "watch": [str(self.database.parent), str(self.socket.parent)],
            "report": str(self.folder / "failed"),
        }
        self.process = self._server.fork(**{**usual, **how})  # type: ignore[assignment]
        return self

    def kill(self) -> None:
        """kill -9, and wait; nothing where it does not run."""
        child, self.process = self.process, None
        if child is not None:
            child.kill()
