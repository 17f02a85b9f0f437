"""`emit --json`: one event a line, many in flight, the answers in the order of the lines.

    source ──lines──▶ waiting ──▶ socket ──▶ unanswered ──replies──▶ a seq, or the line's number
                     (≤ WINDOW)              (≤ WINDOW)

The source is not read while both are full, so memory is bounded however long it is, and the daemon
never has more unread replies from us than its own limit (1 MiB). After a line that is too large the
daemon answers and hangs up; what followed it was not looked at, so it is sent again on a new
connection. If the daemon goes away otherwise, what was not answered may be recorded or not.
"""

from __future__ import annotations

import select
import sys
from collections import deque
from collections.abc import Callable
from typing import Final

from collector.cli.lines import CHUNK, Line, Source, opened
from collector.cli.send import report
from collector.cli.wire import Wire
from collector.errors import EXIT_DATA, EXIT_OK, DaemonUnreachable

WINDOW: Final = 1000
"""Events in flight; their replies are some 100 bytes each, a tenth of what the daemon holds."""


def emit_all(name: str, connect: Callable[[], Wire], timeout: float) -> int:
    """Send every event of the file `name`, `-` for stdin; the exit code."""
    stream = opened(name)
    pipeline = Pipeline(Source(0 if stream is None else stream.fileno()), connect, timeout)
    try:
        pipeline.run()
    finally:
        pipeline.close()
        if stream is not None:
            stream.close()
    return pipeline.exit


class Pipeline:
    """Takes lines from `source` to the daemon; `exit` is the exit code so far."""

    def __init__(self, source: Source, connect: Callable[[], Wire], timeout: float) -> None:
        self._source = source
        self._connect = connect
        self._timeout = timeout
        self._wire = connect()
        self._waiting: deque[Line] = deque()
        self._unanswered: deque[Line] = deque()
        self._outgoing = memoryview(b"")
        self.exit = EXIT_OK

    def run(self) -> None:
        """Until every line is answered. Raises DaemonUnreachable."""
        while not (self._source.ended and not self._waiting and not self._unanswered):
            if not self._outgoing:
                self._frame()
            self._wait()

    def close(self) -> None:
        """Let go of the socket."""
        self._wire.close()

    def _frame(self) -> None:
        """Make the next bytes to send: as many waiting lines as may be in flight, about a chunk."""
        frames: list[bytes] = []
        size = 0
        while self._waiting and len(self._unanswered) < WINDOW and size < CHUNK:
            line = self._waiting.popleft()
            self._unanswered.append(line)  # a refused one too: answers keep the order of lines
            if line.refusal is None:
                frames.append(line.text)
                size += len(line.text)
        if frames:
            self._outgoing = memoryview(b"\n".join(frames) + b"\n")
        self._settle_refused()

    def _wait(self) -> None:
        readers: list[Wire | int] = [self._wire] if self._unanswered else []
        if not self._source.ended and len(self._waiting) < WINDOW:
            readers.append(self._source.descriptor)
        if not readers:
            return
        # While nothing is in flight, the source may take all the time in the world.
        timeout = self._timeout if self._unanswered else None
        # Writing never waits while there is something to read: two full buffers would wait for ever.
        writers = [self._wire] if self._outgoing else []
        ready, writable, _ = select.select(readers, writers, [], timeout)
        if not ready and not writable:
            raise DaemonUnreachable(self._lost(f"gave no answer for {self._timeout:g} s"))
        if writable:
            self._outgoing = self._outgoing[self._wire.send_some(self._outgoing) :]
        if self._wire in ready:
            self._take_replies()
        if self._source.descriptor in ready:
            self._waiting.extend(self._source.read())

    def _take_replies(self) -> None:
        replies = self._wire.replies()
        if not replies:
            raise DaemonUnreachable(self._lost("closed the connection"))
        for reply in replies:
            if not self._unanswered:
                raise DaemonUnreachable(f"{self._wire.path} answered what was not asked")
            line = self._unanswered.popleft()
            self._note(report(reply, f"line {line.number}: "))
            self._settle_refused()
            if reply.get("code") == "too_large":
                self._reconnect()
                break
        sys.stdout.flush()

    def _settle_refused(self) -> None:
        """Report the lines that were never sent, once all before them are answered."""
        while self._unanswered and self._unanswered[0].refusal is not None:
            line = self._unanswered.popleft()
            assert line.refusal is not None
            reply = {"ok": False, "code": line.refusal.code, "error": str(line.refusal)}
            self._note(report(reply, f"line {line.number}: "))

    def _reconnect(self) -> None:
        self._wire.close()
        self._wire = self._connect()
        self._outgoing = memoryview(b"")
        self._waiting.extendleft(reversed(self._unanswered))
        self._unanswered.clear()

    def _note(self, code: int) -> None:
        """Bad data outweighs every other failure; of those the first counts."""
        if code == EXIT_DATA or self.exit == EXIT_OK:
            self.exit = code

    def _lost(self, what: str) -> str:
        first, last = self._unanswered[0].number, self._unanswered[-1].number
        lines = f"line {first}" if first == last else f"lines {first} to {last}"
        return (
            f"{self._wire.path} {what}; {lines} may be recorded or not "
            "(events with an id can be sent again and count once)"
        )
