"""A device as the registry keeps it: its row of plain JSON, its audited record, user's settings."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from collector.core.hostile import NAME_MAX, clean
from collector.core.rfc3339 import rfc3339
from collector.errors import InvalidEvent

State: TypeAlias = Literal["unknown", "online", "suspect", "offline"]
Origin: TypeAlias = Literal["mdns", "config"]

RECORD_BUDGET: Final = 48 * 1024
"""Bytes of a device's `record` in JSON, below the 64 KiB an event may carry."""
MAINTENANCE_MAX: Final = 366 * 86_400.0
"""Seconds: maintenance ends within a year and a day, so that nobody forgets a device for good."""


class Instant(Struct, frozen=True):
    """Both clocks at once: `wall` is for people (seconds since the epoch), `mono` for intervals."""

    wall: float
    mono: float


class Service(Struct, kw_only=True):
    """One advertised service. `type` is short (`_http._tcp`), `present` false after its goodbye."""

    type: str
    instance: str
    host: str | None = None
    port: int | None = None
    txt: dict[str, str] = field(default_factory=dict)
    identities: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    present: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """How two services are told apart: type and instance, without case."""
        return self.type.lower(), self.instance.lower()

    @property
    def label(self) -> str:
        """Type and instance for people, `_http._tcp/Printer`."""
        return f"{self.type}/{self.instance}"


class Device(Struct, kw_only=True):
    """A row of the registry. Times are seconds since the epoch; `to_row` writes them as RFC 3339.

    `state` is what health knows now; `reported` the last state that an event told, so that after a
    restart only real differences are events. `present` is discovery's view: announced and not gone.
    `attempts` counts the probes in a row that led to `state`.
    """

    id: str
    name: str
    origin: Origin = "mdns"
    custom_name: str | None = None
    state: State = "unknown"
    reported: State = "unknown"
    present: bool = True
    unobservable: bool = False
    flapping: bool = False
    attempts: int = 0
    reason: str | None = None
    check: str | None = None
    addresses: list[str] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    first_seen: float = 0.0
    last_seen: float = 0.0
    last_change: float = 0.0
    state_since: float = 0.0
    initial: bool = False
    ignored: bool = False
    maintenance_until: float | None = None
    forgotten: bool = False

    @property
    def types(self) -> list[str]:
        """The types of its present services, sorted, each once."""
        return sorted({service.type for service in self.services if service.present})

    @property
    def shown_name(self) -> str:
        """What people call it: the name they gave it, else the advertised one."""
        return self.custom_name or self.name

    def suspended(self, wall: float) -> bool:
        """Whether health leaves it alone at `wall`: ignored, or in maintenance."""
        return self.ignored or (
            self.maintenance_until is not None and wall < self.maintenance_until
        )


TIMES: Final = ("first_seen", "last_seen", "last_change", "state_since", "maintenance_until")


def to_row(device: Device) -> dict[str, Any]:
    """The device as plain JSON values, `types` and `display_name` included for readers."""
    row: dict[str, Any] = msgspec.to_builtins(device)
    for key in TIMES:
        row[key] = None if row[key] is None else rfc3339(row[key])
    row["display_name"] = device.shown_name
    row["types"] = device.types
    return row


def from_row(row: dict[str, Any]) -> Device:
    """The device of a stored row, health unknown again. Raises `InvalidEvent` for anything else."""
    try:
        times = {key: _seconds(row[key]) for key in TIMES if row.get(key) is not None}
        device = msgspec.convert({**row, **times}, Device)
    except (msgspec.ValidationError, ValueError, TypeError, OverflowError) as error:
        raise InvalidEvent(f"not a device row: {error}") from None
    device.state, device.unobservable, device.attempts = "unknown", False, 0
    return device


def _seconds(value: str | float) -> float:
    return dt.datetime.fromisoformat(value).timestamp() if isinstance(value, str) else value


def record_of(device: Device) -> dict[str, Any]:
    """The tracked state whose differences are the device's history; at most `RECORD_BUDGET` bytes.

    Health and times of sight are no part of it. Where it would be too large, TXT goes first (from
    the last service on), and `truncated` says so.
    """
    services = {
        service.label: {"port": service.port, "txt": dict(service.txt)}
        for service in sorted(device.services, key=lambda service: service.key)
        if service.present
    }
    record: dict[str, Any] = {
        "name": device.shown_name,
        "addresses": sorted(device.addresses),
        "host": next((s.host for s in device.services if s.present and s.host), None),
        "check": device.check if device.origin == "config" else None,
        "ignored": device.ignored,
        **traits(device.services),
        "services": services,
    }
    for label in reversed(list(services)):
        if len(msgspec.json.encode(record)) <= RECORD_BUDGET:
            break
        services[label]["txt"] = {}
        record["truncated"] = True
    return record


TRAITS: Final[dict[str, tuple[str, ...]]] = {
    "manufacturer": ("manufacturer", "mf", "vendor", "usb_mfg", "mfg"),
    "model": ("model", "md", "ty", "product", "usb_mdl", "am", "board"),
    "firmware": ("fw_version", "firmware", "fw", "fv", "swversion", "sw", "version", "ver"),
}
"""TXT keys, in order, that state what people ask of a device; Cast, HomeKit, IPP, ESPHome."""


def traits(services: list[Service]) -> dict[str, str | None]:
    """Manufacturer, model, firmware, MAC address as the services state them, else None."""
    found: dict[str, str | None] = dict.fromkeys(TRAITS)
    ordered = sorted((s for s in services if s.present), key=lambda service: service.key)
    for trait, keys in TRAITS.items():
        values = (service.txt[key] for key in keys for service in ordered if service.txt.get(key))
        found[trait] = next(values, None)
    macs = (text for service in ordered for text in service.identities if text[:4] == "mac:")
    found["mac"] = next(macs, None)
    if found["mac"]:
        digits = found["mac"][4:]
        found["mac"] = ":".join(digits[at : at + 2] for at in range(0, 12, 2))
    return found


def patch(
    device: Device,
    *,
    now: float,
    name: str | UnsetType | None = UNSET,
    ignored: bool | UnsetType = UNSET,
    maintenance_until: float | UnsetType | None = UNSET,
) -> tuple[Device, dict[str, list[Any]]]:
    """A copy with what a user set, and `{field: [old, new]}` of what differs.

    `name` None or blank takes the user's name away again; `maintenance_until` is seconds since the
    epoch, in the future of `now`, None ends it. Raises `InvalidEvent` with the way out.
    """
    wanted: dict[str, Any] = {}
    if name is not UNSET:
        wanted["custom_name"] = _checked_name(name)
    if ignored is not UNSET:
        wanted["ignored"] = ignored
    if maintenance_until is not UNSET:
        wanted["maintenance_until"] = _checked_end(maintenance_until, now)
    changed = {
        key: [getattr(device, key), value]
        for key, value in wanted.items()
        if getattr(device, key) != value
    }
    return msgspec.structs.replace(device, **wanted), changed


def _checked_name(name: str | None) -> str | None:
    name = (name or "").strip()
    if len(name) > NAME_MAX:
        raise InvalidEvent(f"name is longer than {NAME_MAX} characters")
    return clean(name) or None


def _checked_end(until: float | None, now: float) -> float | None:
    if until is None:
        return None
    if not now < until <= now + MAINTENANCE_MAX:
        raise InvalidEvent("maintenance_until must lie in the future, within a year")
    return until
