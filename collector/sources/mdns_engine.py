"""Zeroconf on a thread of its own: built, spoken to and closed without ever holding up the loop.

`Zeroconf(use_asyncio=False)` is built in a worker thread, so that it owns its loop's thread and a
slow disk never delays mDNS.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from zeroconf import IPVersion, Zeroconf

from collector.sources.interfaces import Choice

CLOSE_WITHIN: Final = 5.0
"""Seconds for zeroconf to close; after that its daemon thread is left behind."""
_VERSIONS: Final = {"all": IPVersion.All, "v4": IPVersion.V4Only, "v6": IPVersion.V6Only}

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class Engine:
    """One Zeroconf from `open` to `close`. `interfaces` are those that it was told to use."""

    def __init__(self, ip_version: str) -> None:
        self.interfaces: list[Choice] = []
        self._version = _VERSIONS[ip_version]
        self._zc: Zeroconf | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is one to talk to."""
        return self._zc is not None

    @property
    def zeroconf(self) -> Zeroconf:
        """The open one; only for calls on its own thread. Raises RuntimeError where none is open."""
        if self._zc is None:
            raise RuntimeError("zeroconf is not open")
        return self._zc

    @property
    def hears_all(self) -> bool:
        """Whether every interface could be bound."""
        return len(self.zeroconf.engine.senders) >= len(self.interfaces)

    async def open(self, interfaces: Sequence[Choice]) -> None:
        """Build one on these interfaces. Raises what zeroconf raises."""
        self.interfaces = list(interfaces)
        building: Future[Zeroconf] = Future()
        threading.Thread(
            target=self._build, args=(building,), daemon=True, name="mdns-open"
        ).start()
        try:
            self._zc = await asyncio.wrap_future(building)
        except asyncio.CancelledError:
            building.add_done_callback(_close_abandoned)
            raise

    async def move(self, interfaces: Sequence[Choice]) -> None:
        """Use these interfaces from now on; those that could not be bound are tried again."""
        await self.ask(self.zeroconf.async_update_interfaces(list(interfaces), self._version))
        self.interfaces = list(interfaces)

    async def ask(self, question: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on zeroconf's loop. Raises RuntimeError where there is none."""
        try:
            running = asyncio.run_coroutine_threadsafe(question, self._loop())
        except RuntimeError:
            question.close()
            raise
        return await asyncio.wrap_future(running)

    async def do(self, call: Callable[[], None]) -> None:
        """Call on zeroconf's loop, and wait until it is done."""

        async def there() -> None:
            call()

        await self.ask(there())

    def soon(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call on zeroconf's loop some time."""
        self._loop().call_soon_threadsafe(call, *arguments)

    async def close(self) -> None:
        """Close in a thread, within `CLOSE_WITHIN` seconds, even while being cancelled."""
        zc, self._zc = self._zc, None
        if zc is None:
            return
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=_close, args=(zc, loop, done), daemon=True, name="mdns-close"
        ).start()
        closing = asyncio.ensure_future(asyncio.wait_for(done.wait(), CLOSE_WITHIN))
        try:
            await asyncio.shield(closing)
        except TimeoutError:
            _log.warning("zeroconf did not close within %g s", CLOSE_WITHIN)
        except asyncio.CancelledError:
            await asyncio.wait([closing])
            raise

    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = self.zeroconf.loop
        assert loop is not None
        return loop

    # In the thread that builds it

    def _build(self, built: Future[Zeroconf]) -> None:
        try:
            try:
                zc = self._made(self._version)
            except OSError:
                if self._version is not IPVersion.All:
                    raise
                zc = self._made(IPVersion.V4Only)
        except BaseException as error:
            built.set_exception(error)
        else:
            built.set_result(zc)

    def _made(self, version: IPVersion) -> Zeroconf:
        """Without IPv6 in the kernel only IPv4 can be had; addresses of the other kind are left."""
        wanted = [
            one
            for one in self.interfaces
            if version is IPVersion.All or isinstance(one, str) == (version is IPVersion.V4Only)
        ]
        return Zeroconf(interfaces=wanted, ip_version=version, use_asyncio=False)


def _close(zc: Zeroconf, loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    try:
        zc.close()
    except Exception as error:
        _log.warning("closing zeroconf: %r", error)
    finally:
        try:
            loop.call_soon_threadsafe(done.set)
        except RuntimeError:
            pass


def _close_abandoned(building: Future[Zeroconf]) -> None:
    if not building.cancelled() and building.exception() is None:
        building.result().close()
