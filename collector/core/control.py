"""What the socket, HTTP and embedders may ask of the daemon: one protocol class, one implementation."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from collector.event import Draft, Principal, Producer, Receipt


class Caller(Struct, frozen=True):
    """Who asks: the identity that an entry about the request will carry."""

    producer: Producer
    actor: Principal
    admin: bool = False
    source: str = "unix"


class PruneRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One-off limits; None leaves a limit as it is configured, 0 means no limit."""

    max_days: int | None = None
    max_entries: int | None = None
    max_bytes: int | None = None
    dry_run: bool = False


class PruneResult(Struct, frozen=True):
    """What a prune removed, or would remove."""

    count: int
    from_seq: int | None = None
    to_seq: int | None = None
    dry_run: bool = False


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

    def save_devices(self, devices: tuple[dict[str, Any], ...]) -> None:
        """Store registry rows without an event."""
