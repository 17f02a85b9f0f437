"""What must hold between keys, once each for itself is right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from collector.config.keys import nearest
from collector.config.schema import WAL_MAX_LEAST, Settings
from collector.errors import ConfigError
from collector.event import CATEGORIES
from collector.paths import SUN_PATH_MAX

Findings = Iterable[tuple[str, str]]


def broken(settings: Settings, doubtful: Sequence[str] = (), source: str = "") -> list[ConfigError]:
    """What does not fit together.

    A rule about keys below one of the `doubtful` paths is not asked: their values are not known.
    """
    return [
        ConfigError(message, path, source)
        for rule, reads in _RULES.items()
        if not any(_concerns(path, key) for path in doubtful for key in reads)
        for path, message in rule(settings)
    ]


def _concerns(path: str, key: str) -> bool:
    """Whether a key is, holds or lies below a path; below the root is what stands in no table."""
    if not path:
        return "." not in key
    return f"{key}.".startswith(f"{path}.") or path.startswith((f"{key}.", f"{key}["))


def _paths(settings: Settings) -> Findings:
    database, socket = settings.storage.path, settings.sources.unix.path
    if database == socket:
        yield "sources.unix.path", "the journal and the socket cannot be the same file"
    if len(os.fsencode(socket)) > SUN_PATH_MAX:
        yield (
            "sources.unix.path",
            f"longer than the {SUN_PATH_MAX} bytes that a Unix socket's path may have: {socket}",
        )


def _wal_max(settings: Settings) -> Findings:
    if 0 < settings.storage.wal_max < WAL_MAX_LEAST:
        bound, least = settings.storage.wal_max, WAL_MAX_LEAST >> 20
        yield (
            "storage.wal_max",
            f'{bound} bytes are too few; 0 (no bound), or at least "{least}MiB"',
        )


def _categories(settings: Settings) -> Findings:
    for index, name in enumerate(settings.categories):
        if name in CATEGORIES or name in settings.categories[:index]:
            yield f"categories[{index}]", f'"{name}" is there already'
    known = [*CATEGORIES, *settings.categories]
    for name in settings.retention.categories:
        if name not in known:
            near = nearest(name, known)
            hint = f'did you mean "{near}"? ' if near else ""
            yield (
                f"retention.categories.{name}",
                f"no such category; {hint}known: {', '.join(known)} (`categories` adds more)",
            )


def _health(settings: Settings) -> Findings:
    if settings.health.timeout > settings.health.interval:
        yield "health.timeout", "longer than health.interval: probes would pile up"


def _limits(settings: Settings) -> Findings:
    limits = settings.sources.unix.limits
    if limits.connections_per_uid > limits.connections:
        yield (
            "sources.unix.limits.connections_per_uid",
            f"more than all connections together ({limits.connections})",
        )


def _devices(settings: Settings) -> Findings:
    seen: set[str] = set()
    for index, device in enumerate(settings.devices):
        if device.name.casefold() in seen:
            yield f"devices[{index}].name", f'"{device.name}" is listed twice'
        if device.address is None and device.check is None:
            yield f"devices[{index}]", 'needs an "address" or a "check"'
        seen.add(device.name.casefold())


def _resources(settings: Settings) -> Findings:
    slugs: set[str] = set()
    types: set[str] = set()
    for index, resource in enumerate(settings.resources):
        at = f"resources[{index}]"
        # Devices are audited by the daemon itself; listing them may add labels and ignored fields.
        if (resource.slug == "devices") != (resource.object_type == "device"):
            yield f"{at}.slug", 'the slug "devices" and the object type "device" belong together'
        if resource.slug in slugs:
            yield f"{at}.slug", f'"{resource.slug}" is listed twice'
        if resource.object_type in types:
            yield f"{at}.object_type", f'"{resource.object_type}" is listed twice'
        slugs.add(resource.slug)
        types.add(resource.object_type)


def _tls(settings: Settings) -> Findings:
    if settings.web.tls_cert and not settings.web.tls_key:
        yield "web.tls_key", "missing: web.tls_cert is set, and neither works alone"
    if settings.web.tls_key and not settings.web.tls_cert:
        yield "web.tls_cert", "missing: web.tls_key is set, and neither works alone"


def _forward(settings: Settings) -> Findings:
    if settings.forward.nats.enabled:
        yield "forward.nats.enabled", "this version of collector does not forward yet; leave it off"


_RULES: Final[dict[Callable[[Settings], Findings], tuple[str, ...]]] = {
    _paths: ("storage.path", "sources.unix.path"),
    _wal_max: ("storage.wal_max",),
    _categories: ("categories", "retention.categories"),
    _health: ("health.timeout", "health.interval"),
    _limits: ("sources.unix.limits.connections", "sources.unix.limits.connections_per_uid"),
    _devices: ("devices",),
    _resources: ("resources",),
    _tls: ("web.tls_cert", "web.tls_key"),
    _forward: ("forward.nats.enabled",),
}
"""Each rule with the keys it reads."""
