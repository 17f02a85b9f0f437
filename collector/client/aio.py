"""`AsyncClient`: the recording calls for coroutines, on asyncio and trio."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

import anyio
import anyio.to_thread

from collector.client.aioexchange import AsyncExchange
from collector.client.buffer import OnOverflow
from collector.client.client import (
    BUFFER,
    BUFFER_BYTES,
    SPOOL_BYTES,
    Mode,
    deliver,
    rules,
)
from collector.client.delivery import Delivery
from collector.client.fields import Deed, Fields
from collector.client.ids import new_id
from collector.client.items import Item
from collector.client.lifetime import forget, watch
from collector.client.trail import Clock, Made, Trail, parts, utc_now
from collector.client.wire import Redaction, Wire
from collector.event import Draft, Receipt
from collector.paths import socket_path

R = TypeVar("R")


class AsyncReceipt(Receipt):
    """A receipt that can also be awaited, which returns it at once."""

    def __await__(self) -> Generator[Any, None, Receipt]:
        return self
        yield


class AsyncReceipts(list[Receipt]):
    """Receipts that can also be awaited."""

    def __await__(self) -> Generator[Any, None, list[Receipt]]:
        return self
        yield


class _AsyncWaiting(Delivery):
    """`wait` from coroutines. What ordinary code under the same client records (`with
    client.audit(…)`) cannot wait: it is delivered in the background, by `aside`."""

    def __init__(
        self, wire: Wire, where: Callable[[], str], timeout: float, aside: Callable[[], Delivery]
    ) -> None:
        super().__init__(wire)
        self._exchange = AsyncExchange(where, timeout)
        self._timeout = timeout
        self._make_aside = aside
        self._aside: Delivery | None = None
        self._ended = False

    async def wait(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        """One receipt a draft, the daemon's own."""
        items = self.items(drafts, warnings)
        if not self._closed:
            try:
                await self._exchange.deliver(items)
            finally:
                for one in items:
                    if not one.receipt.ok:
                        self.losses.add(one.receipt.code or "failed", one.at)
        return [one.receipt for one in items]

    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        if self._aside is None:
            self._aside = self._make_aside()
            if self._ended:
                self._aside.end(self._timeout)
        return self._aside.submit(drafts, warnings)

    def _send(self, items: Sequence[Item]) -> None:
        """Everything goes by `wait` or `submit`."""

    @property
    def dropped(self) -> int:
        return self.losses.total + (self._aside.dropped if self._aside is not None else 0)

    def flush(self, timeout: float) -> bool:
        return self._aside.flush(timeout) if self._aside is not None else True

    def close(self, timeout: float) -> bool:
        self._closed = True
        return self._aside.close(timeout) if self._aside is not None else True

    def end(self, timeout: float) -> bool:
        self._ended = True
        return self._aside.end(timeout) if self._aside is not None else True

    async def disconnect(self) -> None:
        """Let go of the connection, within its event loop."""
        await self._exchange.close()

    def after_fork(self) -> None:
        self._ended = False
        self.losses.forget()
        self._exchange.after_fork()
        if self._aside is not None:
            self._aside.after_fork()


class AsyncClient(Trail):
    """`Client` for coroutines: the same arguments, the same names.

    In `background` mode a recording call is a plain call whose receipt may be awaited or not; in
    `wait` and `spool` it is a coroutine. `flush` and `close` are coroutines, and the client is an
    asynchronous context manager. Delivery in the background has a thread of its own, so that it
    needs no task of yours, serves any event loop, and goes on while yours is busy.
    """

    _receipts = AsyncReceipt

    def __init__(
        self,
        socket: str | os.PathLike[str] | None = None,
        *,
        mode: Mode = "background",
        timeout: float = 5.0,
        buffer: int = BUFFER,
        on_overflow: OnOverflow = "drop_oldest",
        spool: str | os.PathLike[str] | None = None,
        redaction: Redaction | Mapping[str, Any] | bool = True,
        strict: bool = False,
        buffer_bytes: int = BUFFER_BYTES,
        spool_bytes: int = SPOOL_BYTES,
        clock: Clock = utc_now,
        new_id: Callable[[], str] = new_id,
    ) -> None:
        hide = rules(redaction)
        build = partial(
            deliver, socket, timeout=timeout, buffer=buffer, on_overflow=on_overflow,
            redaction=hide if hide is not None else False,
            buffer_bytes=buffer_bytes, spool_bytes=spool_bytes,
        )  # fmt: skip
        self._waits: _AsyncWaiting | None = None
        delivery = build(mode=mode, spool=spool)
        if mode == "wait":
            explicit = os.fspath(socket) if socket is not None else None
            where = partial(socket_path, explicit)
            aside = partial(build, mode="background", spool=None)
            delivery = self._waits = _AsyncWaiting(Wire(hide), where, timeout, aside)
        delivery.receipts = AsyncReceipt
        self._delivery = delivery
        self._plain = mode == "background"
        super().__init__(delivery, strict=strict, timeout=timeout, clock=clock, new_id=new_id)
        watch(delivery, timeout)

    # ── recording ───────────────────────────────────────────────────────────────────────────────

    def record(self, action: str | Draft, /, **fields: Unpack[Fields]) -> AsyncReceipt:
        """See `Trail.record`; to be awaited, but in `background` mode not of necessity."""
        if self._plain:
            return cast(AsyncReceipt, super().record(action, **fields))
        return cast(AsyncReceipt, self._first([self._compose(action, fields)]))

    def record_many(self, events: Iterable[Draft | Mapping[str, Any]], /) -> AsyncReceipts:
        """See `Trail.record_many`; to be awaited like `record`."""
        if self._plain:
            return AsyncReceipts(super().record_many(events))
        return cast(AsyncReceipts, self._all([self._compose(*parts(event)) for event in events]))

    def record_success(self, action: str, /, **fields: Unpack[Fields]) -> AsyncReceipt:
        """See `Trail.record_success`."""
        return cast(AsyncReceipt, super().record_success(action, **fields))

    def record_denied(
        self, action: str, /, *, required: Any = None, actual: Any = None, **fields: Unpack[Fields]
    ) -> AsyncReceipt:
        """See `Trail.record_denied`."""
        said = super().record_denied(action, required=required, actual=actual, **fields)
        return cast(AsyncReceipt, said)

    def record_auth(
        self, action: str, /, *, outcome: str, reason: Any = None, **fields: Unpack[Deed]
    ) -> AsyncReceipt:
        """See `Trail.record_auth`."""
        said = super().record_auth(action, outcome=outcome, reason=reason, **fields)
        return cast(AsyncReceipt, said)

    def record_failure(self, action: str, reason: Any, /, **fields: Unpack[Fields]) -> AsyncReceipt:
        """See `Trail.record_failure`."""
        return cast(AsyncReceipt, super().record_failure(action, reason, **fields))

    def record_block(self, action: str, fields: Fields) -> Receipt:
        """A block of ordinary code cannot wait for the daemon, only for the disk."""
        return super().record(action, **fields)

    async def record_block_async(self, action: str, fields: Fields) -> Receipt:
        """Awaited to its end also where the block was cancelled."""
        with anyio.CancelScope(shield=True):
            receipt = await self.record(action, **fields)
        return receipt  # noqa: RET504 - to mypy a scope may end early

    async def _first(self, made: Sequence[Made]) -> Receipt:
        return (await self._all(made))[0]

    async def _all(self, made: Sequence[Made]) -> list[Receipt]:
        ready = [one for one in made if not isinstance(one, Receipt)]
        drafts, warnings = [draft for draft, _ in ready], [notes for _, notes in ready]
        try:
            if self._waits is not None:
                answers = await self._waits.wait(drafts, warnings)
            else:
                answers = await _in_thread(self._delivery.submit, drafts, warnings)
        except Exception as error:  # the caller never pays for auditing
            answers = [self._refused(error, draft.id) for draft in drafts]
        return self._answered(made, answers)

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    async def flush(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """See `Trail.flush`."""
        return await _in_thread(super().flush, timeout)

    async def close(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """See `Trail.close`."""
        forget(self._delivery)
        with anyio.CancelScope(shield=True):
            if self._waits is not None:
                await self._waits.disconnect()
            done = await _in_thread(super().close, timeout)
        return done  # noqa: RET504 - as above

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


async def _in_thread(function: Callable[..., R], *args: Any) -> R:
    return await anyio.to_thread.run_sync(function, *args)
