"""The optional parts that a configuration asks for: discovery, health, plugins, HTTP, forwarding."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from collector.daemon import web
from collector.daemon.supervisor import Part
from collector.sources.queue import DraftQueue, plugins, run_plugin
from collector.web import exposure

if TYPE_CHECKING:
    from collector.core.device import Device
    from collector.daemon.daemon import Daemon


def optional_parts(daemon: Daemon) -> dict[str, Part]:
    """A part for each that is switched on, not started."""
    config = daemon.config
    wanted: dict[str, Callable[[], Awaitable[None]]] = {}
    if config.sources.mdns.enabled:
        wanted["mdns"] = lambda: _mdns(daemon)
    if config.health.enabled:
        wanted["health"] = lambda: _health(daemon)
    if config.sources.queue.enabled:
        for name in plugins(config.sources.queue.plugins):
            wanted[name] = _plugin(daemon, name)
    if config.web.enabled and web.installed():
        exposure.check(config.web.host, len(daemon.control.keys()))
        wanted["web"] = lambda: web.run(daemon)
    return {name: Part(name, run) for name, run in wanted.items()}


async def _mdns(daemon: Daemon) -> None:
    from collector.sources.mdns import MdnsSource

    daemon.mdns = source = MdnsSource(
        daemon.config.sources.mdns, daemon.registry, mono=daemon.monotonic, random=random.Random()
    )
    daemon.details["mdns"] = source
    await source.run()


async def _health(daemon: Daemon) -> None:
    from collector.sources.health import HealthSource
    from collector.sources.probes import Prober

    config = daemon.config.health
    prober = Prober(
        config.timeout, lambda: daemon.registry.networks(), lambda *a: _resolve(daemon, *a)
    )
    source = HealthSource(
        config, daemon.registry, prober, mono=daemon.monotonic, random=random.Random()
    )
    daemon.details["health"] = source
    await source.run()


async def _resolve(daemon: Daemon, device: Device, timeout: float) -> bool | None:
    """Ask discovery, where it runs, whether a device answers; None where nobody can say."""
    return None if daemon.mdns is None else await daemon.mdns.resolve(device, timeout)


def _plugin(daemon: Daemon, name: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        queue = DraftQueue(
            daemon.intake, size=daemon.config.sources.queue.size, lost=daemon.lost, plugin=name
        )
        try:
            point = plugins(("*",))[name]
            await run_plugin(point, queue, daemon.config.sources.queue.options.get(name, {}))
        finally:
            queue.close()

    return run
