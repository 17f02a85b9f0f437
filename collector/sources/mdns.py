"""The mDNS source: zeroconf on a thread of its own, its news on the event loop.

Browsers are made on zeroconf's loop; they ask and refresh, and their handler does nothing: `mdns_ear`
hears every record, and `mailbox` brings it here. A browser asks four times and then goes quiet, so
everything is asked again every few minutes, and types that appear later are heard of in passing. No
interface and no network are no errors: it waits, and `status` says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Final, Protocol

from zeroconf.asyncio import AsyncServiceBrowser

from collector.core.device import Device
from collector.core.sighting import META_QUERY, Sighting, short_type
from collector.sources import interfaces as nics
from collector.sources.devices import Registry
from collector.sources.interface_watch import InterfaceWatch
from collector.sources.mailbox import Mailbox
from collector.sources.mdns_ear import Ear, Gone, News, NewType, Seen
from collector.sources.mdns_engine import Engine
from collector.sources.mdns_types import COMMON_TYPES

POLL: Final = 5.0
"""Seconds between two looks at the machine's interfaces and at the browsers."""
RETRY: Final = 6
"""Polls until an address that could not be bound is tried again."""
ASK_EVERY: Final = 180.0
"""Seconds between two rounds of questions; ±10 %, so that two collectors do not march in step."""
TICK: Final = 0.5
TYPES_MAX: Final = 256
"""Service types browsed at once; a stranger can invent more than that."""

_log = logging.getLogger(__name__)


class MdnsConfig(Protocol):
    """The `sources.mdns` section. `grace` (seconds) is the registry's."""

    @property
    def types(self) -> Sequence[str]: ...
    @property
    def interfaces(self) -> Sequence[str]: ...
    @property
    def ip_version(self) -> str: ...
    @property
    def ignore(self) -> Sequence[str]: ...


def _quiet(**_: object) -> None:
    """A browser's handler. The ear hears the same records; nothing here can raise."""


class MdnsSource:
    """`run` until cancelled; raises where zeroconf cannot be built, for the daemon to try again."""

    def __init__(
        self,
        config: MdnsConfig,
        registry: Registry,
        *,
        mono: Callable[[], float],
        random: Random,
        lister: nics.Lister = nics.system_interfaces,
        ask_every: float = ASK_EVERY,
        poll: float = POLL,
    ) -> None:
        self.state = "stopped"
        self.restarts = self.ignored = self.types_dropped = 0
        self._config, self._registry = config, registry
        self._mono, self._random = mono, random
        self._ask_every, self._poll = ask_every, poll
        self._wanted = _wanted(config.types)
        self._types: set[str] = set()
        self._watch = InterfaceWatch(config.interfaces, config.ip_version, lister)
        self._engine = Engine(config.ip_version)
        self._ear: Ear | None = None
        self._mailbox: Mailbox[News] | None = None
        self._browsers: list[AsyncServiceBrowser] = []
        self._broken = False
        self._since_retry = 0
        registry.networks = lambda: self._watch.networks

    def status(self) -> dict[str, Any]:
        """State and counters for `collector status`."""
        ear, mailbox = self._ear, self._mailbox
        return {
            "state": self.state,
            "interfaces": [str(one) for one in self._engine.interfaces],
            "missing": self._watch.missing,
            "types": len(self._types),
            "types_dropped": self.types_dropped,
            "ignored": self.ignored,
            "records": ear.records if ear else 0,
            "errors": ear.errors if ear else 0,
            "unusable_names": ear.poison if ear else 0,
            "overflow": (mailbox.dropped if mailbox else 0) + (ear.missing_dropped if ear else 0),
            "browser_restarts": self.restarts,
        }

    async def run(self) -> None:
        """Listen until cancelled; zeroconf is closed on the way out."""
        self._registry.blind("mdns", True)
        self._mailbox = Mailbox(asyncio.get_running_loop(), self._deliver)
        try:
            await self._open()
            await self._serve()
        finally:
            self.state = "stopped"
            self._registry.blind("mdns", True)
            self._mailbox.close()
            self._ear, self._browsers = None, []
            await self._engine.close()
            self._registry.flush()

    # Interfaces

    async def _open(self) -> None:
        self.state = "waiting for a network interface"
        while not (choices := self._watch.look()):
            self._registry.tick()
            await asyncio.sleep(min(1.0, self._poll))
        await self._engine.open(choices)
        await self._engine.do(self._attach)
        self._listening(True)

    async def _follow_interfaces(self) -> None:
        choices = self._watch.look()
        self._since_retry += 1
        unchanged = set(map(str, choices)) == set(map(str, self._engine.interfaces))
        if unchanged and (self._engine.hears_all or self._since_retry < RETRY):
            return
        self._since_retry = 0
        await self._engine.move(choices)
        self._listening(bool(choices))
        if not unchanged:
            self._ask_round()

    def _listening(self, can: bool) -> None:
        self.state = "listening" if can else "waiting for a network interface"
        self._registry.blind("mdns", not can)

    # Browsers, on zeroconf's loop

    def _attach(self) -> None:
        zc, mailbox = self._engine.zeroconf, self._mailbox
        assert zc.loop is not None
        assert mailbox is not None
        zc.loop.set_exception_handler(self._on_error)
        self._ear = Ear(zc, mailbox.put)
        zc.async_add_listener(self._ear, None)
        self._types = set(COMMON_TYPES if self._wanted is None else self._wanted)
        self._browse()

    def _browse(self) -> None:
        """(Re)start browsers for everything that is looked for."""
        for browser in self._browsers:
            if not browser.done:
                browser._async_cancel()
        meta = [META_QUERY] if self._wanted is None else []
        names = [*meta, *sorted(self._types)]
        self._browsers = [AsyncServiceBrowser(self._engine.zeroconf, names, handlers=[_quiet])]
        self._broken = False

    def _browse_also(self, name: str) -> None:
        """A type that was heard of later."""
        also = AsyncServiceBrowser(self._engine.zeroconf, [name], handlers=[_quiet])
        self._browsers.append(also)

    def _on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Whatever broke on zeroconf's loop may have been a browser: all are started anew."""
        self._broken = True
        _log.warning("zeroconf: %s %r", context.get("message"), context.get("exception"))

    # While it runs

    async def _serve(self) -> None:
        poll_at = self._mono() + self._poll
        ask_at = self._mono() + self._ask_delay()
        while True:
            await asyncio.sleep(TICK)
            self._registry.tick()
            now = self._mono()
            if now >= poll_at:
                poll_at = now + self._poll
                await self._follow_interfaces()
                await self._revive()
            if now >= ask_at:
                ask_at = now + self._ask_delay()
                self._ask_round()

    def _ask_delay(self) -> float:
        return self._ask_every * self._random.uniform(0.9, 1.1)

    def _ask_round(self) -> None:
        if self._ear is not None:
            self._engine.soon(self._ear.ask_types, sorted(self._types))

    async def _revive(self) -> None:
        if not self._broken and not any(browser.done for browser in self._browsers):
            return
        await self._engine.do(self._browse)
        self.restarts += 1

    # News, on the event loop

    def _deliver(self, news: News) -> None:
        if isinstance(news, NewType):
            self._meet_type(news.name)
        elif isinstance(news, Gone):
            self._registry.part(news.key, news.reason)
        elif isinstance(news, Seen) and self._is_wanted(news.seen):
            self._registry.hear(news.seen)

    def _meet_type(self, name: str) -> None:
        short = short_type(name)
        full = f"{short}.local."
        known = self._wanted is not None or short is None or full in self._types
        if known or not self._engine.is_open:
            return
        if len(self._types) >= TYPES_MAX:
            self.types_dropped += 1
            return
        self._types.add(full)
        self._engine.soon(self._browse_also, full)

    def _is_wanted(self, seen: Sighting) -> bool:
        if self._wanted is not None and f"{seen.type}.local." not in self._wanted:
            return False
        names = (seen.type, seen.instance.lower(), seen.host or "")
        for pattern in self._config.ignore:
            if any(fnmatchcase(name, pattern.lower().rstrip(".")) for name in names):
                self.ignored += 1
                return False
        return True

    # For health

    async def resolve(self, device: Device, timeout: float) -> bool | None:
        """Whether one of the device's services still answers by name; None where we cannot ask."""
        ear = self._ear
        service = next((one for one in device.services if one.present), None)
        service = service or next(iter(device.services), None)
        if ear is None or not self._engine.interfaces or service is None:
            return None
        if "\\" in service.instance:
            return None  # an escaped name is not the one on the network
        name = f"{service.instance}.{service.type}.local."

        async def there() -> bool:
            future = ear.await_record(name)
            try:
                return await asyncio.wait_for(asyncio.wrap_future(future), timeout)
            except TimeoutError:
                return False
            finally:
                ear.give_up(name)

        try:
            return await self._engine.ask(there())
        except RuntimeError:
            return None


def _wanted(types: Sequence[str]) -> frozenset[str] | None:
    """The full names of the configured types; None for every type that is found."""
    if "*" in types:
        return None
    return frozenset(f"{short}.local." for text in types if (short := short_type(text)))
