"""Reloading: the configuration is read again and taken over all or nothing, and either is recorded."""

from __future__ import annotations

import asyncio
import logging
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from collector.config import Config
from collector.core.admission import Admission
from collector.core.audited import audited
from collector.core.control import Caller
from collector.daemon.limits import limits_of
from collector.daemon.parts import optional_parts
from collector.errors import ConfigError
from collector.event import Draft
from collector.journal.connection import translated
from collector.journal.versions import Versions, install_views
from collector.web import exposure

if TYPE_CHECKING:
    from collector.daemon.daemon import Daemon

FIXED: Final = (
    "storage.path",
    "sources.unix.enabled",
    "sources.unix.path",
    "sources.unix.mode",
    "sources.unix.group",
    "sources.queue.size",
)
"""Keys that only a restart can change: they are what the running daemon stands on."""


def reload(daemon: Daemon, caller: Caller | None) -> None:
    """Read the configuration and make it true. Raises `ConfigError`, with nothing changed."""
    try:
        config = daemon.read_config()
        _check(daemon, config)
        redactor = daemon.redactor_of(config)
    except ConfigError as error:
        told = {"path": error.path, "reason": error.message, "mistakes": len(error.mistakes)}
        _record(daemon, caller, "config.rejected", told)
        raise
    changed = changed_keys(daemon.config, config)
    if config.retention.enabled is False and daemon.config.retention.enabled:
        _log.info("pruning is switched off")
    _record(daemon, caller, "config.reloaded", {"changed": changed[:100]})
    with translated(daemon.path):
        install_views(daemon.journal.connection, audited(config.resources))
    daemon.config = config
    daemon.intake.admission = Admission(daemon.journal.books, redactor, config.categories)
    daemon.intake.versions = Versions(
        daemon.journal.connection, audited(config.resources), redactor
    )
    daemon.janitor.limits = limits_of(config, daemon.journal)
    daemon.janitor.interval = config.retention.interval
    daemon.janitor.disk.on_full = config.storage.on_full
    daemon.janitor.disk.wal_max = config.storage.wal_max
    daemon.janitor.look_soon()
    if daemon.unix is not None:
        daemon.unix.limits = config.sources.unix.limits
        daemon.unix.admin_groups = config.sources.unix.admin_groups
    logging.getLogger().setLevel(config.log.level.upper())
    daemon.registry.configure(config.devices)
    if any(
        key.startswith(("sources.mdns", "sources.queue", "health", "web", "forward"))
        for key in changed
    ):
        daemon.restarting = asyncio.create_task(_restart_parts(daemon, changed))


def _check(daemon: Daemon, config: Config) -> None:
    """Raise ConfigError where a configuration is right, but not for this daemon as it runs."""
    fixed = [
        ConfigError("cannot change while the daemon runs; restart it", path, str(config.file or ""))
        for path in FIXED
        if attrgetter(path)(config) != attrgetter(path)(daemon.config)
    ]
    if fixed:
        raise ConfigError.of(fixed)
    if config.web.enabled:
        exposure.check(config.web.host, len(daemon.control.keys()))


async def _restart_parts(daemon: Daemon, changed: list[str]) -> None:
    """Stop the optional parts that a change concerns, and start what the configuration now asks for."""
    old, new = daemon.parts, optional_parts(daemon)
    concerned = {
        name
        for name in old.keys() | new.keys()
        if any(
            key.startswith(_SECTIONS.get(name, f"sources.queue.options.{name}")) for key in changed
        )
        or (name in old) != (name in new)
    }
    await asyncio.gather(*(old[name].stop() for name in concerned if name in old))
    daemon.parts = {
        name: new[name] if name in concerned else old.get(name, part) for name, part in new.items()
    }
    for name in concerned & new.keys():
        new[name].start()


_SECTIONS: Final = {
    "mdns": "sources.mdns",
    "health": "health",
    "web": "web",
    "nats": "forward.nats",
}
_log = logging.getLogger(__name__)


def changed_keys(before: Config, after: Config) -> list[str]:
    """The dotted paths of the keys that differ."""
    return sorted(_differences(before.to_mapping(), after.to_mapping(), ""))


def _differences(before: Any, after: Any, path: str) -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            difference
            for key in before.keys() | after.keys()
            for difference in _differences(
                before.get(key, msgspec.UNSET),
                after.get(key, msgspec.UNSET),
                f"{path}.{key}".lstrip("."),
            )
        ]
    return [] if before == after else [path]


def _record(daemon: Daemon, caller: Caller | None, action: str, metadata: dict[str, Any]) -> None:
    draft = Draft(
        action=action,
        outcome="success" if action == "config.reloaded" else "failure",
        object_type="config",
        object_id=str(daemon.config.file or "")[-200:] or None,
        metadata=metadata,
        actor=None if caller is None else caller.actor,
    )
    daemon.intake.record(
        draft,
        source="collector" if caller is None else caller.source,
        producer=None if caller is None else caller.producer,
    )
