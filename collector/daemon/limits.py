"""The retention in force: the configuration's, unless settings changed at run time override it."""

from __future__ import annotations

from typing import Final

import msgspec

from collector.config import Config
from collector.core.retention import Limits
from collector.journal.writer import Journal

SETTINGS: Final = "settings.retention"
"""The fact that holds settings changed at run time, as JSON."""


def configured(config: Config) -> Limits:
    """The limits that the configuration file sets."""
    retention = config.retention
    return Limits(
        enabled=retention.enabled,
        max_days=retention.max_days,
        max_entries=retention.max_entries,
        max_bytes=retention.max_bytes,
        totals_days=retention.totals_days,
        categories={name: own.max_days for name, own in retention.categories.items()},
    )


def limits_of(config: Config, journal: Journal) -> Limits:
    """The limits in force."""
    stored = journal.fact(SETTINGS)
    if stored is None:
        return configured(config)
    overrides = msgspec.json.decode(stored, type=dict[str, msgspec.Raw])
    changes = msgspec.json.decode(stored, type=Limits)
    return msgspec.structs.replace(
        configured(config), **{name: getattr(changes, name) for name in overrides}
    )
