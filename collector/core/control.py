"""What the socket, HTTP and embedders may ask of the daemon: one protocol class, one implementation."""

from __future__ import annotations

from bisect import bisect_left
from typing import Annotated, Any, Literal, Protocol

from msgspec import UNSET, Meta, Struct, UnsetType

from collector.config.schema import BYTES_MAX, DAYS_MAX, ENTRIES_MAX
from collector.core.retention import Limits
from collector.event import Draft, Principal, Producer, Receipt


class Caller(Struct, frozen=True):
    """Who asks: the identity that an entry about the request will carry."""

    producer: Producer
    actor: Principal
    admin: bool = False
    source: str = "unix"


class PruneRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One-off limits, 0 for none. Those that are given count alone; without any, the configured."""

    max_days: Annotated[int, Meta(le=DAYS_MAX)] | None = None
    max_entries: Annotated[int, Meta(le=ENTRIES_MAX)] | None = None
    max_bytes: Annotated[int, Meta(le=BYTES_MAX)] | None = None
    dry_run: bool = False


class PruneResult(Struct, frozen=True):
    """What a prune removed, or would remove."""

    count: int
    from_seq: int | None = None
    to_seq: int | None = None
    dry_run: bool = False


class RetentionState(Struct, frozen=True):
    """The retention in force, what the file says, and what was set at run time (None: nothing)."""

    effective: Limits
    file: Limits
    override: Limits | None = None


class DevicePatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person may set on a device; what is left out stays.

    `name` None takes the given name away. `maintenance_until` is seconds since the epoch, None ends
    the maintenance.
    """

    name: str | UnsetType | None = UNSET
    ignored: bool | UnsetType = UNSET
    maintenance_until: float | UnsetType | None = UNSET


Role = Literal["admin", "viewer", "producer"]


class Key(Struct, frozen=True):
    """An API key without its secret. `created_at` is RFC 3339; `tenant_id` binds it to one tenant."""

    label: str
    role: Role
    created_at: str
    tenant_id: str | None = None


class Histogram(Struct):
    """Observations in buckets: `counts[i]` are those at most `bounds[i]`, the last one the rest."""

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


def histogram(*bounds: float) -> Histogram:
    """An empty histogram with these upper bounds, ascending."""
    return Histogram(bounds, [0] * (len(bounds) + 1))


class Metrics(Struct, kw_only=True):
    """Numbers of this process for `/metrics`. Times are in seconds, sizes in bytes.

    `recorded` counts events by source since the start, `rejected` by code, `lost` by cause.
    `commit_seconds` is the whole transaction with its fsync, `batch_events` the events of a commit.
    `removed` is the loss ledger of the journal, entries by cause, whenever that was.
    `index_lag` is entries behind the log by follower; `prune_lag_seconds` is how much older than
    its limit the oldest entry is.
    """

    recorded: dict[str, int]
    rejected: dict[str, int]
    lost: dict[str, int]
    duplicates: int
    commits: int
    commit_failures: int
    commit_seconds: Histogram
    batch_events: Histogram
    journal_bytes: int
    wal_bytes: int
    free_bytes: int
    first_seq: int
    last_seq: int
    entries: int
    pruned: int
    removed: dict[str, int]
    prune_lag_seconds: float
    index_lag: dict[str, int]
    subscribers: int
    lagged: int
    connections: int
    start_time: float
    recording: bool
    held_seconds: float


class Control(Protocol):
    """Raises `Rejected("denied", …)` where `caller.admin` is required and missing."""

    def status(self) -> dict[str, Any]:
        """State, paths, counters, source states, retention: plain JSON values."""

    async def prune(self, request: PruneRequest, caller: Caller) -> PruneResult:
        """Apply limits now, in slices; the removal is recorded with the caller as actor."""

    def reload(self, caller: Caller) -> None:
        """Read the configuration again, all or nothing. Raises `ConfigError`; recorded either way."""

    async def reindex(self, caller: Caller) -> int:
        """Forget everything derived and build it anew; the number of entries to go through."""

    def devices(self) -> list[dict[str, Any]]:
        """Every known device as plain JSON values."""

    def patch_device(self, device_id: str, patch: DevicePatch, caller: Caller) -> dict[str, Any]:
        """Change what people may set on a device and return its row; recorded as `device.updated`.

        Raises `LookupError` for an unknown device, `InvalidEvent` for a value out of bounds.
        """

    def retention(self) -> RetentionState:
        """The retention in force and where it comes from."""

    def set_retention(self, limits: Limits, caller: Caller) -> RetentionState:
        """Override the file's retention until deleted; recorded as `settings.updated`.

        `totals_days` is no setting of run time: the file's value stays.
        """

    def delete_retention(self, caller: Caller) -> RetentionState:
        """Go back to the file's retention; recorded as `settings.updated`."""

    async def clear(self, caller: Caller) -> int:
        """Remove every entry and everything derived; leaves one `events.cleared`. Returns the count."""

    def keys(self) -> list[Key]:
        """Every API key, sorted by label."""

    def find_key(self, secret: str) -> Key | None:
        """The key that this secret belongs to, compared in constant time; None where there is none."""

    def add_key(self, label: str, role: Role, tenant_id: str | None, caller: Caller) -> str:
        """Make a key and return its secret, which is shown this once; recorded as `key.created`.

        Raises `Rejected("failed", …)` where the label is taken, `InvalidEvent` for a bad label.
        """

    def revoke_key(self, label: str, caller: Caller) -> None:
        """Remove a key; recorded as `key.revoked`. Raises `LookupError` for an unknown label."""

    def metrics(self) -> Metrics:
        """What `/metrics` shows beside what it reads from the journal."""


class Recorder(Protocol):
    """The one way in for sources inside the process: `collector.intake.Intake` implements it."""

    def record(
        self,
        draft: Draft,
        *,
        source: str,
        producer: Producer | None = None,
        devices: tuple[dict[str, Any], ...] = (),
    ) -> Receipt:
        """Admit and commit one draft now; never raises because of its content or the disk.

        `devices` are rows of the device registry (plain JSON, key `id` required) that become true
        in the same transaction. `producer` defaults to `internal`.
        """

    def save_devices(self, devices: tuple[dict[str, Any], ...]) -> bool:
        """Store registry rows without an event; False where the disk does not take them now."""
