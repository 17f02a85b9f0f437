"""One producer's connection: lines in, one reply a line out, in order.

The pure parts (framing, decoding, replies) decide; this class moves bytes and holds the limits: a
frame that is not finished in time, replies that are not read, more input than can be committed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from collector.core.control import Caller
from collector.core.decoding import Request, decode_lines
from collector.core.framing import Framer, FrameTooLarge
from collector.core.protocol import command_refusal, command_reply
from collector.core.rate import TokenBucket
from collector.errors import CollectorError, JournalError, Rejected
from collector.intake import Intake, Sender, rejection
from collector.sources.streams import Stream, Streams

UNREAD_PATIENCE: Final = 30.0
"""Seconds for which a peer may leave its replies unread before the connection is closed."""

_CLOSE: Final[dict[str, Any]] = {"op": "close"}
"""Stands behind a connection's last request, so that the end comes after the last answer."""

Commands = Callable[[dict[str, Any], Caller], Awaitable[dict[str, Any]]]
"""Carries out a command; returns the fields of its reply. Raises `CollectorError`."""

_log = logging.getLogger(__name__)


class Limits(Protocol):
    """`sources.unix.limits` of the configuration."""

    @property
    def frame(self) -> int: ...
    @property
    def frame_timeout(self) -> float: ...
    @property
    def unread(self) -> int: ...


class Owner(Protocol):
    """The source that the connection belongs to."""

    def lost(self, cause: str, count: int = 1) -> None:
        """Count requests that were refused by a limit, or that came in half."""

    def left(self, connection: Connection) -> None:
        """The connection is gone."""


class Connection:
    """Implements `intake.Sink` for the peer at the other end, and `streams.Listener` for its bytes."""

    def __init__(
        self,
        intake: Intake,
        owner: Owner,
        caller: Caller,
        limits: Limits,
        commands: Commands,
        bucket: TokenBucket | None,
    ) -> None:
        self.caller = caller
        self._intake, self._owner, self._limits = intake, owner, limits
        self._commands, self._bucket = commands, bucket
        self._sender = Sender(caller.source, caller.producer, caller.actor)
        self._framer = Framer(limits.frame)
        self._stream: Stream | None = None
        self._loop = asyncio.get_running_loop()
        self._frame_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._command: asyncio.Task[None] | None = None
        self._held: list[Request] = []
        self._closing = False
        self._congested = False

    # ── streams.Listener ────────────────────────────────────────────────────────────────────────

    def begin(self, streams: Streams, peer: socket.socket) -> None:
        """Serve a peer; reading stops while more than `limits.unread` bytes of replies wait.

        Raises `OSError`, see `Streams.open`.
        """
        self._stream = streams.open(peer, self, self._limits.unread)

    def data_received(self, data: bytes) -> None:
        """Hand on what is complete, and keep the time of what is not."""
        if self._closing:
            return
        try:
            complete = self._framer.feed(data)
        except FrameTooLarge as error:
            self._submit(error.complete)
            self._fatal(Rejected("too_large", str(error)))
            return
        if complete:
            if self._frame_timer is not None:
                self._stop_frame_timer()
            self._submit(complete)
        if self._framer.unfinished:
            self._start_frame_timer()

    def eof_received(self) -> None:
        """The peer sends no more: answer what it sent, then close. Half a frame counts as nothing."""
        if self._framer.unfinished:
            self._owner.lost("half_frame")
        self._end()

    def pause_writing(self) -> None:
        """The peer does not read its replies: stop reading its requests."""
        self._pause()
        self._await_reading()

    def resume_writing(self) -> None:
        """The peer reads again; where this is the end, it has as long for the rest."""
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        if self._stream is not None and self._stream.closing:
            self._await_reading()
        self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end; what was submitted is committed all the same."""
        self._closing = True
        self._stop_frame_timer()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
        self._stream = None  # it knows us too: no circle is left for the garbage collector
        self._owner.left(self)

    # ── intake.Sink ─────────────────────────────────────────────────────────────────────────────

    def reply(self, lines: bytes) -> None:
        """Send reply lines."""
        if self._stream is not None and not self._stream.closing:
            self._stream.write(lines)

    def command(self, command: dict[str, Any], rest: list[Request]) -> None:
        """Carry out a command, then go on with what came after it."""
        if command is _CLOSE:
            self._close()
            return
        self._pause()
        self._command = self._loop.create_task(self._carry_out(command, rest))

    # ── requests ────────────────────────────────────────────────────────────────────────────────

    def _submit(self, lines: bytes) -> None:
        if not lines:
            return
        if self._intake.draining:
            self._hand_in([_draining() for _ in decode_lines(lines)])
            return
        if self._bucket is not None:
            self._hand_in(self._slowed(decode_lines(lines), self._bucket))
        else:
            self._hand_in(lines)

    def _slowed(self, requests: list[Request], bucket: TokenBucket) -> list[Request]:
        """Refuse the events above the rate; commands are not events."""
        events = [i for i, request in enumerate(requests) if not isinstance(request, dict)]
        allowed = bucket.take(len(events), self._loop.time())
        for index in events[allowed:]:
            requests[index] = _rate_limited()
        if allowed < len(events):
            self._owner.lost("rate_limited", len(events) - allowed)
        return requests

    def _hand_in(self, content: bytes | list[Request]) -> None:
        if self._command is not None:
            self._held += decode_lines(content) if isinstance(content, bytes) else content
            return
        self._intake.submit(content, self._sender, self)
        if self._intake.congested and not self._congested:
            self._congested = True
            self._pause()
            self._intake.when_relieved(self._relieved)

    def _relieved(self) -> None:
        """There is room again for what the peer sends."""
        self._congested = False
        self._resume()

    async def _carry_out(self, command: dict[str, Any], rest: list[Request]) -> None:
        refused = await self._result(command)
        self._command = None
        if isinstance(refused, Rejected):
            self.reply(command_refusal(refused))
            if refused.code == "denied":
                self._dismiss()
                return
        else:
            self.reply(command_reply(refused))
        rest, self._held = rest + self._held, []
        if rest:
            self._hand_in(rest)
        self._resume()

    async def _result(self, command: dict[str, Any]) -> dict[str, Any] | Rejected:
        """What a command came to. Whatever goes wrong with it, the connection goes on."""
        try:
            return await self._commands(command, self.caller)
        except Rejected as error:
            return error
        except JournalError as error:
            return rejection(error)
        except CollectorError as error:
            return Rejected("failed", str(error))
        except OSError as error:
            return Rejected("io_error", str(error))
        except Exception as error:
            _log.exception("the command %.60r failed", command.get("op"))
            return Rejected("failed", f"{type(error).__name__}: {error}")

    # ── limits ──────────────────────────────────────────────────────────────────────────────────

    def _fatal(self, error: Rejected) -> None:
        """Answer what came before, then the error, then close: the stream is out of step."""
        self._owner.lost(error.code)
        self._hand_in([error])
        self._end()

    def _frame_overdue(self) -> None:
        self._frame_timer = None
        seconds = self._limits.frame_timeout
        self._fatal(Rejected("timeout", f"a line must be finished within {seconds:g} s"))

    def _await_reading(self) -> None:
        if self._unread_timer is None:
            self._unread_timer = self._loop.call_later(UNREAD_PATIENCE, self._unread_overdue)

    def _unread_overdue(self) -> None:
        self._owner.lost("unread")
        if self._stream is not None:
            self._stream.abort()

    def _start_frame_timer(self) -> None:
        """The time of a frame runs while its peer could send the rest: not while we do not read."""
        if self._framer.unfinished and self._frame_timer is None and self._reads():
            delay = self._limits.frame_timeout
            self._frame_timer = self._loop.call_later(delay, self._frame_overdue)

    def _stop_frame_timer(self) -> None:
        if self._frame_timer is not None:
            self._frame_timer.cancel()
            self._frame_timer = None

    def _reads(self) -> bool:
        waiting = self._command is not None or self._unread_timer is not None or self._congested
        return not (waiting or self._closing)

    def _pause(self) -> None:
        self._stop_frame_timer()
        if self._stream is not None and not self._stream.closing:
            self._stream.pause_reading()

    def _resume(self) -> None:
        if self._reads() and self._stream is not None:
            self._stream.resume_reading()
            self._start_frame_timer()

    def finish(self) -> None:
        """The daemon stops: no more is read, and the end comes after the last answer."""
        if not self._closing:
            self._end()

    def _end(self) -> None:
        self._closing = True
        self._stop_frame_timer()
        self._pause()
        self._hand_in([_CLOSE])

    def _dismiss(self) -> None:
        """Close behind the last reply; what was sent after the refused request is left unanswered."""
        self._closing = True
        self._held = []
        self._close()

    def _close(self) -> None:
        """Close once the peer has read its replies, or when it has had the time to."""
        if self._stream is None:
            return
        if self._stream.waiting:
            self._await_reading()
        self._stream.close()

    def abort(self) -> None:
        """End at once, answered or not."""
        if self._stream is not None:
            self._stream.abort()


def _rate_limited() -> Rejected:
    return Rejected("rate_limited", "more events a second than this user may send; slow down")


def _draining() -> Rejected:
    return Rejected("draining", "the daemon is stopping; send again when it is back")
