"""`wait` for coroutines: the same conversation as `exchange`, over anyio, on asyncio and trio.

One connection for all tasks of one event loop. The first task that waits reads for all; cancelled,
it leaves the reading to the next. A task that is cancelled in the middle of a `send` takes the
connection with it, since half a line may be under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio
import msgspec
from anyio.abc import SocketStream
from anyio.lowlevel import current_token

from collector.client import notices
from collector.client.exchange import BACKOFF_FIRST, BACKOFF_MOST, PROBE
from collector.client.ids import jitter
from collector.client.items import Item, answer, fail
from collector.errors import DaemonUnreachable
from collector.event import Receipt

WINDOW: Final = 500
"""Lines of one call under way; fewer than in threads, since nothing is read during a `send`."""
_decode = msgspec.json.Decoder(Receipt).decode_lines
_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class _Ticket:
    """One call's lines on one connection."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.left = len(items)
        self.again: list[Item] = []
        self.broken: str | None = None


class AsyncExchange:
    """Sends items and waits for their receipts, at most `timeout` (s) a call; see `Exchange`.

    `where` tells the socket's path; it may raise OSError or ValueError.
    """

    def __init__(self, where: Callable[[], str], timeout: float) -> None:
        self._where = where
        self._timeout = timeout
        self._token: Any = None
        self._away = False
        self._reset()

    def _reset(self) -> None:
        self._stream: SocketStream | None = None
        self._buffer = b""
        self._sending = anyio.Lock()
        self._turn = anyio.Event()
        self._reading = False
        self._waiting: deque[tuple[_Ticket, Item]] = deque()

    def after_fork(self) -> None:
        """The parent's connection belongs to an event loop that does not run here."""
        self._token = None

    async def deliver(self, items: Sequence[Item]) -> None:
        """Fill in the receipt of each item."""
        token = current_token()
        if token is not self._token and token != self._token:
            self._token = token  # another event loop than last time
            self._reset()
        patience = min(self._timeout, PROBE) if self._away else self._timeout
        deadline = anyio.current_time() + patience
        for start in range(0, len(items), WINDOW):
            await self._persist(items[start : start + WINDOW], deadline)

    async def close(self) -> None:
        """Let go of the connection."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await anyio.aclose_forcefully(stream)

    async def _persist(self, items: Sequence[Item], deadline: float) -> None:
        pause = BACKOFF_FIRST
        why = "the daemon said: try again"
        hopeless = self._away
        while items:
            refused = False
            try:
                with anyio.fail_after(max(deadline - anyio.current_time(), 0)):
                    items = await self._attempt(items)
                refused = bool(items)
                self._away = hopeless = False
            except (DaemonUnreachable, TimeoutError) as error:
                why = str(error) or "no answer in time"
                items = [item for item in items if item.receipt.seq is None and item.receipt.ok]
            if items and (hopeless or deadline - anyio.current_time() <= pause):
                self._away = not refused
                for item in items:
                    fail(item.receipt, "timeout", why, retry=True)
                notices.unreachable(why)
                return
            if items:
                await anyio.sleep(pause * jitter())
                pause = min(pause * 2, BACKOFF_MOST)

    async def _attempt(self, items: Sequence[Item]) -> list[Item]:
        ticket = _Ticket(items)
        async with self._sending:
            stream = self._stream or await self._connected()
            self._waiting.extend((ticket, item) for item in items)
            try:
                await stream.send(b"".join([item.frame for item in items]))
            except BaseException as error:
                await self._break(stream, str(error) or "the sender was cancelled")
                if isinstance(error, _GONE):
                    raise DaemonUnreachable(f"the daemon took no more: {error}") from error
                raise
        while ticket.left:
            if ticket.broken is not None:
                raise DaemonUnreachable(ticket.broken)
            if self._reading:
                await self._turn.wait()
            else:
                await self._read(stream)
        return ticket.again

    async def _connected(self) -> SocketStream:
        try:
            path = self._where()
            self._stream = await anyio.connect_unix(path)
        except (OSError, ValueError) as error:
            raise DaemonUnreachable(f"no daemon answers: {error}") from error
        self._buffer = b""
        return self._stream

    async def _read(self, stream: SocketStream) -> None:
        self._reading = True
        try:
            self._hand_out(await stream.receive())
        except _GONE as error:
            await self._break(stream, f"the daemon closed the connection: {error}")
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            await self._break(stream, f"this is not our protocol: {error}")
        finally:
            self._reading = False
            self._turn.set()
            self._turn = anyio.Event()

    def _hand_out(self, chunk: bytes) -> None:
        whole, newline, rest = (self._buffer + chunk).rpartition(b"\n")
        self._buffer = rest
        for reply in _decode(whole) if newline else ():
            if not self._waiting:
                return
            ticket, item = self._waiting.popleft()
            ticket.left -= 1
            if reply.ok or not reply.retry:
                answer(item.receipt, reply)
                if not reply.ok:
                    notices.refused(reply.code or "failed", reply.error or "")
            else:
                ticket.again.append(item)

    async def _break(self, stream: SocketStream, problem: str) -> None:
        if self._stream is stream:
            self._stream = None
            for ticket, _ in self._waiting:
                ticket.broken = problem
            self._waiting.clear()
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(stream)
