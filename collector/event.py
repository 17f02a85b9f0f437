"""The words every room shares: draft, entry, receipt, principal, producer.

A source hands in a `Draft`. Admission makes it an event, the journal an `Entry`, and the source
gets a `Receipt`. Bounds and meanings are those of `docs/event.md`.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

Category = Literal["entity", "auth", "device", "capture", "system"]
Outcome = Literal["success", "failure", "denied", "unknown"]
Severity = Literal["info", "warning", "error"]
Source = Literal["unix", "http", "queue", "mdns", "health", "collector", "nats"]
Assurance = Literal["peercred", "key", "internal", "asserted"]
ChangeType = Literal["create", "update", "delete"]

CATEGORIES: Final = ("entity", "auth", "device", "capture", "system")
OUTCOMES: Final = ("success", "failure", "denied", "unknown")
SEVERITIES: Final = ("info", "warning", "error")
SOURCES: Final = ("unix", "http", "queue", "mdns", "health", "collector", "nats")

ACTION_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)*$"
ACTION_MAX: Final = 100
CHANNEL_MAX: Final = 50
MODE_MAX: Final = 20
OBJECT_TYPE_MAX: Final = 100
CATEGORY_MAX: Final = 50
METADATA_MAX: Final = 16 * 1024
"""Bytes of `metadata` in compact JSON."""
RECORD_MAX: Final = 64 * 1024
"""Bytes of `record` in compact JSON."""
DEPTH_MAX: Final = 8
"""Levels of nesting in `metadata` and `record`, the outermost object included."""
RESERVED_METADATA: Final = ("db_pending", "error_kind", "error_keys", "error_code")

Text64: TypeAlias = Annotated[str, Meta(max_length=64)]
Text100: TypeAlias = Annotated[str, Meta(max_length=100)]
Text200: TypeAlias = Annotated[str, Meta(max_length=200)]
Text1000: TypeAlias = Annotated[str, Meta(max_length=1000)]
Moment: TypeAlias = Annotated[dt.datetime, Meta(tz=True)]


if TYPE_CHECKING:
    JSONObject: TypeAlias = dict[str, Any]
else:

    def _nested(levels: int) -> Any:
        """JSON of at most `levels` levels, as a type, so that decoding itself holds the bounds."""
        scalar = None | bool | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | str
        json = scalar
        for _ in range(levels):
            json = scalar | list[json] | dict[str, json]
        return json

    JSONObject = dict[str, _nested(DEPTH_MAX - 1)]


class Principal(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Who: an actor, the person impersonated, or a second party. A snapshot, not a reference."""

    type: Text200 | None = None
    id: Text200 | None = None
    name: Text200 | None = None
    role: Text200 | None = None
    email: Text200 | None = None


class Draft(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What a source hands in. Only `action` is required; an empty text means absent.

    A draft that was decoded from bytes has passed the types and lengths below; what admission adds
    (patterns, closed sets, sizes, defaults) is the same for decoded and for constructed drafts.
    """

    action: str
    id: Text64 | None = None
    occurred_at: Moment | None = None
    category: str | None = None
    outcome: str | None = None
    severity: str | None = None
    actor: str | Principal | None = None
    on_behalf_of: str | Principal | None = None
    object_type: str | None = None
    object_id: Text200 | None = None
    object_name: Text200 | None = None
    target: str | Principal | None = None
    channel: str | None = None
    mode: str | None = None
    tenant_id: Text64 | None = None
    org_id: Text64 | None = None
    ip: Text64 | None = None
    correlation_id: Text100 | None = None
    causation_id: Text100 | None = None
    message: Text1000 | None = None
    metadata: JSONObject | None = None
    record: JSONObject | None = None


DRAFT_FIELDS: Final = Draft.__struct_fields__


class Producer(Struct, frozen=True, omit_defaults=True):
    """Who handed an event in, and how surely that is known.

    `peercred`: the kernel's word (uid, gid, pid, and what could be read of the process). `key`: an
    API key, whose label is `key`. `internal`: the daemon itself or a plugin inside it (`plugin`).
    `asserted`: nothing but the caller's claim.
    """

    assurance: Assurance
    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    user: str | None = None
    comm: str | None = None
    unit: str | None = None
    user_unit: str | None = None
    key: str | None = None
    plugin: str | None = None


class Change(Struct, frozen=True):
    """One field of an audited resource before and after; an absent side is None."""

    field: str
    old: Any
    new: Any


class Entry(Struct, kw_only=True):
    """A stored event as readers get it: every key present, None where empty, times in UTC."""

    seq: int
    id: str
    occurred_at: str
    recorded_at: str
    action: str
    category: str
    outcome: str
    severity: str
    source: str
    producer: Producer
    actor: Principal | None = None
    on_behalf_of: Principal | None = None
    object_type: str | None = None
    object_id: str | None = None
    object_name: str | None = None
    target: Principal | None = None
    channel: str | None = None
    mode: str | None = None
    tenant_id: str | None = None
    org_id: str | None = None
    ip: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    message: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    changes: list[Change] | None = None
    change_type: str | None = None


ENTRY_FIELDS: Final = Entry.__struct_fields__


class Receipt(Struct, omit_defaults=True):
    """What a source gets back for one draft.

    `ok`: it is on the disk under `seq`. Otherwise `code` is one of `errors.CODES`, `error` says it
    to people, and `retry` tells whether sending the same draft again with `id` may succeed.
    """

    ok: bool
    seq: int | None = None
    id: str | None = None
    duplicate: bool = False
    code: str | None = None
    error: str | None = None
    retry: bool = False
    warnings: list[str] | None = None


OWN_ACTIONS: Final = (
    "auth.denied",
    "clock.stepped",
    "collector.started",
    "collector.stopping",
    "config.rejected",
    "config.reloaded",
    "device.discovered",
    "device.flapping",
    "device.health_changed",
    "device.lost",
    "device.restarted",
    "device.updated",
    "events.cleared",
    "events.exported",
    "events.lost",
    "events.pruned",
    "journal.held",
    "journal.released",
    "key.created",
    "key.revoked",
    "network.restored",
    "network.unobservable",
    "settings.updated",
    "storage.full",
    "storage.quarantined",
    "storage.recovered",
    "storage.restored",
)
"""What the daemon records of itself; a test holds this equal to `docs/event.md`."""
