"""`wait` for coroutines: the same conversation as `exchange`, over anyio, on asyncio and trio.

One connection for all tasks of one event loop. The first task that waits reads for all; cancelled,
it leaves the reading to the next. A task that is cancelled in the middle of a `send` takes the
connection with it, since half a line may be under way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio
import msgspec
from anyio.abc import SocketStream
from anyio.lowlevel import current_token

from collector.client.conversation import Conversation
from collector.client.items import Item
from collector.client.tries import Tries, patience
from collector.errors import DaemonUnreachable
from collector.event import Receipt

WINDOW: Final = 500
"""Lines of one call under way; fewer than in threads, since nothing is read during a `send`."""
_decode = msgspec.json.Decoder(Receipt).decode_lines
_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


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
        self._talk = Conversation()

    def after_fork(self) -> None:
        """The parent's connection belongs to an event loop that does not run here."""
        self._token = None

    async def deliver(self, items: Sequence[Item]) -> None:
        """Fill in the receipt of each item."""
        token = current_token()
        if token is not self._token and token != self._token:
            self._token = token  # another event loop than last time
            self._reset()
        deadline = anyio.current_time() + patience(self._timeout, self._away)
        for start in range(0, len(items), WINDOW):
            await self._persist(items[start : start + WINDOW], deadline)

    async def close(self) -> None:
        """Let go of the connection."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await anyio.aclose_forcefully(stream)

    async def _persist(self, items: Sequence[Item], deadline: float) -> None:
        tries = Tries(items, self._away)
        while True:
            try:
                with anyio.fail_after(max(deadline - anyio.current_time(), 0)):
                    tries.answered(await self._attempt(tries.items))
                    self._away = False
            except (DaemonUnreachable, TimeoutError) as error:
                tries.failed(str(error) or "no answer in time")
            if (rest := tries.rest(deadline - anyio.current_time())) is None:
                self._away = tries.away
                return
            await anyio.sleep(rest)

    async def _attempt(self, items: Sequence[Item]) -> list[Item]:
        async with self._sending:
            stream = self._stream or await self._connected()
            ticket = self._talk.ask(items)
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
            self._take(await stream.receive())
        except _GONE as error:
            await self._break(stream, f"the daemon closed the connection: {error}")
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            await self._break(stream, f"this is not our protocol: {error}")
        finally:
            self._reading = False
            self._turn.set()
            self._turn = anyio.Event()

    def _take(self, chunk: bytes) -> None:
        whole, newline, rest = (self._buffer + chunk).rpartition(b"\n")
        self._buffer = rest
        if newline:
            self._talk.hand_out(_decode(whole))

    async def _break(self, stream: SocketStream, problem: str) -> None:
        if self._stream is stream:
            self._stream = None
            self._talk.broke(problem)
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(stream)
