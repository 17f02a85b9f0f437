"""The configuration: every key, its default and bounds, and where it comes from.

`load(path, environ)` is what the daemon calls; `Config.from_mapping({...})` what an embedding
program calls. The schema stands in `schema.py`, the words for durations and sizes in `units.py`.
"""

from collector.config.load import Config, load
from collector.config.schema import (
    DAYS_MAX,
    ENTRIES_MAX,
    CategoryRetention,
    Device,
    Forward,
    Health,
    Log,
    MdnsSource,
    Nats,
    QueueSource,
    Redaction,
    Resource,
    Retention,
    Settings,
    Sources,
    Storage,
    UnixLimits,
    UnixSource,
    Web,
)

__all__ = [
    "DAYS_MAX",
    "ENTRIES_MAX",
    "CategoryRetention",
    "Config",
    "Device",
    "Forward",
    "Health",
    "Log",
    "MdnsSource",
    "Nats",
    "QueueSource",
    "Redaction",
    "Resource",
    "Retention",
    "Settings",
    "Sources",
    "Storage",
    "UnixLimits",
    "UnixSource",
    "Web",
    "load",
]
