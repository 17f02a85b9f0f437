"""Every key of the configuration: its name, type, bounds and default.

The attribute path is the key's path: `config.sources.unix.limits.frame`. Durations are float
seconds, sizes int bytes, permissions int bits, paths absolute once loaded. What each key means
stands in `config.example.toml` and `docs/configuration.md`, which tests hold equal to this file.
Everything is immutable: a reload makes a new configuration.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, field

from collector.config.kinds import (
    Bytes,
    Check,
    Host,
    Mode,
    NatsUrl,
    Network,
    Path,
    Pattern,
    Seconds,
    ServiceType,
    Slug,
    Stream,
    Subject,
    Text,
    Word,
)

DAYS_MAX: Final = 3650
ENTRIES_MAX: Final = 100_000_000
BYTES_MAX: Final = 1 << 50
MAX_BYTES_LEAST: Final = 1 << 20
"""The least limit in bytes but 0 (none): an empty journal with its indexes takes a good part."""

WAL_MAX_LEAST: Final = 16 << 20
"""The least bound of the log in bytes but 0: its file is 8 MiB in quiet, and a commit may add 4."""

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400


class Storage(Struct, frozen=True, kw_only=True):
    """`[storage]`. `path` is filled in when the configuration is loaded."""

    path: Path = ""
    on_full: Literal["rotate", "suspend"] = "rotate"
    on_corrupt: Literal["quarantine", "fail"] = "quarantine"
    wal_max: Annotated[Bytes, Meta(ge=0, le=1 << 50)] = 0


class CategoryRetention(Struct, frozen=True, kw_only=True):
    """`[retention.categories.NAME]`."""

    max_days: Annotated[int, Meta(ge=0, le=DAYS_MAX)]


class Retention(Struct, frozen=True, kw_only=True):
    """`[retention]`. 0 means no limit for `max_days`, `max_entries`, `max_bytes`, `totals_days`."""

    enabled: bool = True
    max_days: Annotated[int, Meta(ge=0, le=DAYS_MAX)] = 90
    max_entries: Annotated[int, Meta(ge=0, le=ENTRIES_MAX)] = 1_000_000
    max_bytes: Annotated[Bytes, Meta(ge=0, le=BYTES_MAX)] = 1 << 30
    interval: Annotated[Seconds, Meta(ge=1, le=7 * DAY)] = 3600.0
    totals_days: Annotated[int, Meta(ge=0, le=DAYS_MAX)] = 0
    categories: dict[Word, CategoryRetention] = field(default_factory=dict)


class UnixLimits(Struct, frozen=True, kw_only=True):
    """`[sources.unix.limits]`. `rate` is events/s for each uid; 0 means no limit."""

    frame: Annotated[Bytes, Meta(ge=4 << 10, le=16 << 20)] = 256 << 10
    frame_timeout: Annotated[Seconds, Meta(ge=0.1, le=HOUR)] = 10.0
    connections: Annotated[int, Meta(ge=1, le=65_536)] = 256
    connections_per_uid: Annotated[int, Meta(ge=1, le=65_536)] = 64
    unread: Annotated[Bytes, Meta(ge=4 << 10, le=1 << 30)] = 1 << 20
    rate: Annotated[float, Meta(ge=0, le=10_000_000)] = 0.0


class UnixSource(Struct, frozen=True, kw_only=True):
    """`[sources.unix]`. `path` is filled in when the configuration is loaded."""

    enabled: bool = True
    path: Path = ""
    mode: Mode = 0o660
    group: Text | None = None
    admin_groups: tuple[Text, ...] = ()
    limits: UnixLimits = UnixLimits()


class MdnsSource(Struct, frozen=True, kw_only=True):
    """`[sources.mdns]`. No `interfaces` means all but docker, bridge and veth."""

    enabled: bool = True
    types: Annotated[tuple[ServiceType, ...], Meta(min_length=1, max_length=1000)] = ("*",)
    interfaces: tuple[Text, ...] = ()
    ip_version: Literal["all", "v4", "v6"] = "all"
    ignore: tuple[Text, ...] = ()
    grace: Annotated[Seconds, Meta(ge=0, le=HOUR)] = 15.0


class QueueSource(Struct, frozen=True, kw_only=True):
    """`[sources.queue]`: drafts from inside the process, and the plugins that make them."""

    enabled: bool = True
    size: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    plugins: tuple[Text, ...] = ("*",)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)


class Sources(Struct, frozen=True, kw_only=True):
    """`[sources.*]`."""

    unix: UnixSource = UnixSource()
    mdns: MdnsSource = MdnsSource()
    queue: QueueSource = field(default_factory=QueueSource)


class Health(Struct, frozen=True, kw_only=True):
    """`[health]`."""

    enabled: bool = True
    interval: Annotated[Seconds, Meta(ge=0.1, le=DAY)] = 60.0
    timeout: Annotated[Seconds, Meta(ge=0.05, le=10 * MINUTE)] = 3.0
    retry_interval: Annotated[Seconds, Meta(ge=0.05, le=DAY)] = 20.0
    failures: Annotated[int, Meta(ge=1, le=1000)] = 3
    successes: Annotated[int, Meta(ge=1, le=1000)] = 2
    concurrency: Annotated[int, Meta(ge=1, le=1000)] = 24


class Device(Struct, frozen=True, kw_only=True):
    """One `[[devices]]`: a device that mDNS cannot see."""

    name: Annotated[Text, Meta(max_length=200)]
    address: Host | None = None
    check: Check | None = None


class Resource(Struct, frozen=True, kw_only=True):
    """One `[[resources]]`: an object type of which versions and their differences are kept."""

    slug: Slug
    object_type: Annotated[Text, Meta(max_length=100)]
    audit: bool = False
    ignore: tuple[Text, ...] = ()
    labels: dict[str, Text] = field(default_factory=dict)


class Redaction(Struct, frozen=True, kw_only=True):
    """`[redaction]`."""

    keys: tuple[Text, ...] = (
        "password",
        "passwd",
        "secret",
        "token",
        "api_key",
        "apikey",
        "authorization",
        "cookie",
        "private_key",
        "credential",
        "credentials",
    )
    patterns: Annotated[tuple[Pattern, ...], Meta(max_length=100)] = ()
    emails: Literal["hash", "keep"] = "hash"


class Web(Struct, frozen=True, kw_only=True):
    """`[web]`."""

    enabled: bool = True
    host: Host = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8477
    anonymous: Literal["viewer", "producer", "admin", "none"] = "viewer"
    hosts: tuple[Host, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[Network, ...] = ()


class Nats(Struct, frozen=True, kw_only=True):
    """`[forward.nats]`."""

    enabled: bool = False
    url: NatsUrl = "nats://127.0.0.1:4222"
    subject: Subject = "collector"
    stream: Stream = "COLLECTOR"
    credentials: Path | None = None
    tls_ca: Path | None = None
    timeout: Annotated[Seconds, Meta(ge=0.1, le=10 * MINUTE)] = 5.0
    batch: Annotated[int, Meta(ge=1, le=10_000)] = 500


class Forward(Struct, frozen=True, kw_only=True):
    """`[forward.*]`."""

    nats: Nats = Nats()


class Log(Struct, frozen=True, kw_only=True):
    """`[log]`."""

    level: Literal["debug", "info", "warning", "error", "critical"] = "info"


class Settings(Struct, frozen=True, kw_only=True):
    """The whole file."""

    storage: Storage = Storage()
    retention: Retention = field(default_factory=Retention)
    categories: Annotated[tuple[Word, ...], Meta(max_length=100)] = ()
    sources: Sources = field(default_factory=Sources)
    health: Health = Health()
    devices: Annotated[tuple[Device, ...], Meta(max_length=10_000)] = ()
    resources: Annotated[tuple[Resource, ...], Meta(max_length=1000)] = ()
    redaction: Redaction = Redaction()
    web: Web = Web()
    forward: Forward = Forward()
    log: Log = Log()
