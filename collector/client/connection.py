"""One blocking connection to the daemon's socket: lines out, reply lines in, in order.

It costs the import of `socket` and msgspec and nothing more: `collector emit` starts with it.
"""

from __future__ import annotations

import select
import socket
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from collector.errors import DaemonUnreachable
from collector.event import Receipt

CHUNK: Final = 64 * 1024
REPLY_MAX: Final = 64 * 1024 * 1024
"""Bytes of one reply line; the answer to `devices` of a large network is the longest there is."""

_decode_receipt = msgspec.json.Decoder(Receipt).decode
_decode_receipts = msgspec.json.Decoder(Receipt).decode_lines
_decode_reply = msgspec.json.Decoder(dict[str, Any]).decode


class ReplyTimeout(DaemonUnreachable):
    """No reply within the time given. One may still come: the connection is as good as before."""


class Connection:
    """Connected from construction to `close`. Not thread-safe: one user at a time.

    `path` is the socket's, a leading `@` names an abstract one. `timeout` is in seconds and holds
    for connecting, for each `send` and for each reply. Whatever goes wrong is `DaemonUnreachable`,
    after which the connection is of no further use. What was sent and not answered by then may be
    stored or not: send it again with its id.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self._buffer = bytearray()
        self._searched = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect("\0" + path[1:] if path.startswith("@") else path)
            self._socket.setblocking(False)
        except (OSError, ValueError) as error:
            self._socket.close()
            raise DaemonUnreachable(f"no daemon answers at {path}: {_why(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """The socket's descriptor, for `select`."""
        return self._socket.fileno()

    def send(self, frames: bytes) -> None:
        """Send one request line, or several; the last newline is added where it is missing.

        Who pipelines reads replies before a megabyte of them is unread: the daemon stops reading.
        """
        if not frames.endswith(b"\n"):
            frames += b"\n"
        self._send(frames, select.POLLOUT)

    def send_and_gather(self, frames: bytes) -> None:
        """Send many lines and keep the replies that come meanwhile for `receive`.

        So neither side waits for the other with both directions full. Nobody else may read.
        """
        self._send(frames, select.POLLOUT | select.POLLIN)

    def _send(self, frames: bytes, events: int) -> None:
        view = memoryview(frames)
        deadline = monotonic() + self.timeout
        while view:
            try:
                view = view[self._socket.send(view) :]
                continue
            except BlockingIOError:
                ready = self._wait(events, deadline)
            except OSError as error:
                raise DaemonUnreachable(f"{self.path} took no more: {_why(error)}") from error
            if not ready:
                raise DaemonUnreachable(f"{self.path} took no more: timed out")
            if ready & select.POLLIN:
                self._take()

    def receive(self, timeout: float | None = None) -> Receipt:
        """The receipt of the oldest open request; `timeout` goes before the connection's own."""
        line = self.read_line(timeout)
        try:
            return _decode_receipt(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DaemonUnreachable(f"{self.path} does not speak our protocol: {error}") from error

    def receive_some(self, timeout: float | None = None) -> list[Receipt]:
        """The receipts that are there, in order; waits for the first only."""
        if b"\n" not in self._buffer:
            receipt = self.receive(timeout)
            if b"\n" not in self._buffer:
                return [receipt]
            return [receipt, *self.receive_some()]
        end = self._buffer.rindex(b"\n") + 1
        lines = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._searched = 0
        try:
            return _decode_receipts(lines)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DaemonUnreachable(f"{self.path} does not speak our protocol: {error}") from error

    def request(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send one `op` and return its reply as it came, whether `ok` or not."""
        self.send(msgspec.json.encode(command))
        line = self.read_line()
        try:
            return _decode_reply(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DaemonUnreachable(f"{self.path} does not speak our protocol: {error}") from error

    def read_line(self, timeout: float | None = None) -> bytes:
        """The next reply line without its newline."""
        deadline = monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                self._searched = 0
                return line
            self._searched = len(self._buffer)
            if self._searched > REPLY_MAX:
                raise DaemonUnreachable(f"{self.path} sent a reply without an end")
            self._fill(deadline)

    def _fill(self, deadline: float) -> None:
        if not self._wait(select.POLLIN, deadline):
            raise ReplyTimeout(f"{self.path} gave no answer in time")
        self._take()

    def _wait(self, events: int, deadline: float) -> int:
        """What the socket is ready for; 0 where nothing came until `deadline`.

        The socket itself is non-blocking and has no timeout: one thread may send while another
        receives, each with a time of its own. (`poll`: `select` knows no descriptor above 1023.)
        """
        poll = select.poll()
        try:
            poll.register(self._socket, events)
            ready = poll.poll(max(deadline - monotonic(), 0) * 1000)
        except (OSError, ValueError) as error:
            raise DaemonUnreachable(f"{self.path} is closed: {_why(error)}") from error
        return ready[0][1] if ready else 0

    def _take(self) -> None:
        try:
            chunk = self._socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            raise DaemonUnreachable(f"{self.path} gave no answer: {_why(error)}") from error
        if not chunk:
            raise DaemonUnreachable(f"{self.path} closed the connection")
        self._buffer += chunk

    def shut(self) -> None:
        """End the conversation, so that another thread that reads or writes here returns; the
        descriptor stays until `close`, which must not come while such a thread is at it."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Let go of the socket; to be called any number of times."""
        self._socket.close()


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return getattr(error, "strerror", None) or str(error)
