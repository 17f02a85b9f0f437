"""Lines to the daemon's socket and back, without msgspec: what `emit` can afford.

Every other verb uses `client.connection`.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Final

from collector.errors import EXIT_NOPERM, DaemonUnreachable

CHUNK: Final = 256 * 1024
REPLY_MAX: Final = 4 * 1024 * 1024
"""Bytes of a reply without an end, after which it is not our daemon that answers."""


class Wire:
    """A connected socket. `timeout` (seconds) holds for connecting and for each wait.

    Whatever goes wrong is DaemonUnreachable.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self._rest = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect("\0" + path[1:] if path.startswith("@") else path)
        except (OSError, ValueError) as error:
            self._socket.close()
            raise unreachable(f"no daemon answers at {path}: {_why(error)}", path, error) from error

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def send(self, lines: bytes) -> None:
        """Send all of it; waits while the daemon is busy."""
        rest = memoryview(lines)
        while rest:
            rest = rest[self.send_some(rest) :]

    def send_some(self, lines: bytes | memoryview) -> int:
        """Send what the daemon takes now, at least a byte; how many bytes that were."""
        try:
            return self._socket.send(lines)
        except (BrokenPipeError, ConnectionResetError):
            return len(lines)  # what was answered before it closed can still be read, and says why
        except OSError as error:
            raise DaemonUnreachable(f"{self.path} took no more: {_why(error)}") from error

    def replies(self) -> list[dict[str, Any]]:
        """At least one reply, and all that came with it; an empty list at the end of the stream."""
        while True:
            try:
                chunk = self._socket.recv(CHUNK)
            except ConnectionResetError:
                chunk = b""
            except OSError as error:
                raise DaemonUnreachable(f"{self.path} gave no answer: {_why(error)}") from error
            if not chunk:
                return []
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if len(self._rest) > REPLY_MAX:
                raise DaemonUnreachable(f"{self.path} sent a reply without an end")
            if lines:
                return [self._decoded(each) for each in lines]

    def _decoded(self, reply: bytes) -> dict[str, Any]:
        try:
            found = json.loads(reply)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or "ok" not in found:
            raise DaemonUnreachable(f"{self.path} does not speak our protocol")
        return found


def unreachable(said: str, path: str, error: BaseException | None) -> DaemonUnreachable:
    """The error for nobody answering at `path`, with what to do about it; `error` is the cause."""
    if isinstance(error, PermissionError):
        found = DaemonUnreachable(f"{said}; `ls -l {path}` tells who may")
        found.exit_code = EXIT_NOPERM
        return found
    absent = isinstance(error, FileNotFoundError | ConnectionRefusedError)
    return DaemonUnreachable(f"{said}; `collector run` starts one" if absent else said)


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return getattr(error, "strerror", None) or str(error)
