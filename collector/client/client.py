"""`Client`: record to a daemon on this machine, over its socket."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from collector.client.buffer import OnOverflow
from collector.client.connection import Connection
from collector.client.delivery import Background, Delivery, Spooled, Waiting
from collector.client.fields import Fields
from collector.client.ids import new_id
from collector.client.lifetime import forget, watch
from collector.client.trail import Clock, Trail, utc_now
from collector.client.wire import Redaction, Wire
from collector.errors import DaemonUnreachable
from collector.event import Receipt
from collector.paths import socket_path

Mode = Literal["wait", "background", "spool"]
MODES: Final = ("wait", "background", "spool")
BUFFER: Final = 10_000
BUFFER_BYTES: Final = 32 * 1024 * 1024
SPOOL_BYTES: Final = 64 * 1024 * 1024


class Client(Trail):
    """Records to the daemon behind `socket`; without one it is found as the command line does.

    `mode`: `"background"` returns at once and delivers after; `"wait"` returns with the receipt;
    `"spool"` returns when the event is on the disk under the directory `spool`. `timeout` (s) is
    `wait`'s per call, and what `flush` and `close` take, also at the interpreter's end. `buffer`
    (events) and `buffer_bytes` bound `background`; `on_overflow` is `"drop_oldest"` or
    `"drop_newest"`. `spool_bytes` bounds the spool. `redaction` is a `Redaction`, a mapping of its
    arguments, or False to send everything as it is. `strict` raises what a receipt would say.

    Raises ValueError for arguments that contradict each other, here and never later. One client
    serves a whole process: threads may share it, a forked child goes on with it.
    """

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
        delivery = deliver(
            socket, mode, timeout, buffer, on_overflow, spool, redaction, buffer_bytes, spool_bytes
        )
        super().__init__(delivery, strict=strict, timeout=timeout, clock=clock, new_id=new_id)
        self._delivery = delivery
        self._blocking = mode != "background"
        watch(delivery, timeout)

    def close(self, timeout: float | None = None) -> bool:
        """See `Trail.close`. What a spool still holds is delivered by the next process."""
        forget(self._delivery)
        return super().close(timeout)

    async def record_block_async(self, action: str, fields: Fields) -> Receipt:
        """A call that blocks is made in a worker thread, and not cut short by a cancellation."""
        if not self._blocking:
            return self.record(action, **fields)
        from functools import partial

        import anyio
        import anyio.to_thread

        with anyio.CancelScope(shield=True):
            receipt = await anyio.to_thread.run_sync(partial(self.record, action, **fields))
        return receipt  # noqa: RET504 - to mypy a scope may end early


def deliver(
    socket: str | os.PathLike[str] | None,
    mode: str,
    timeout: float,
    buffer: int,
    on_overflow: OnOverflow,
    spool: str | os.PathLike[str] | None,
    redaction: Redaction | Mapping[str, Any] | bool,
    buffer_bytes: int,
    spool_bytes: int,
) -> Delivery:
    """The delivery that these arguments of `Client` ask for."""
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
    if (spool is not None) != (mode == "spool"):
        raise ValueError("`spool` names the directory of mode='spool', and of no other")
    if on_overflow not in ("drop_oldest", "drop_newest"):
        raise ValueError(f"on_overflow is drop_oldest or drop_newest, not {on_overflow!r}")
    if buffer < 1 or buffer_bytes < 1 or spool_bytes < 1 or not timeout > 0:
        raise ValueError("timeout, buffer, buffer_bytes and spool_bytes are above 0")
    wire = Wire(rules(redaction))
    connect = connector(socket, timeout)
    if mode == "wait":
        return Waiting(wire, connect, timeout)
    if spool is not None:
        return Spooled(wire, connect, os.path.abspath(spool), spool_bytes)
    return Background(wire, connect, buffer, buffer_bytes, on_overflow)


def rules(redaction: Redaction | Mapping[str, Any] | bool) -> Redaction | None:
    """The redaction that `Client`'s argument asks for."""
    if isinstance(redaction, Redaction):
        return redaction
    if isinstance(redaction, Mapping):
        return Redaction(**redaction)
    return Redaction() if redaction else None


def connector(socket: str | os.PathLike[str] | None, timeout: float) -> Callable[[], Connection]:
    """Opens connections; where the socket is, is asked anew each time: a daemon may come later."""
    explicit = os.fspath(socket) if socket is not None else None
    path = ""

    def connect() -> Connection:
        nonlocal path
        try:
            path = socket_path(explicit)
        except (OSError, ValueError) as error:
            raise DaemonUnreachable(f"the configuration cannot be read: {error}") from error
        except ImportError as error:  # TOML's reader, at the interpreter's end: where it was before
            if not path:
                raise DaemonUnreachable("the configuration cannot be read any more") from error
        return Connection(path, timeout)

    return connect
