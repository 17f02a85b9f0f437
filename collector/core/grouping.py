"""The devices and the ways to find one: by a service it has, by an id it stated, by its host.

The rules are those of `core.identity`. Everything here is bounded: by devices in all, by services
of one device. What does not fit is refused and counted by the caller.
"""

from __future__ import annotations

from hashlib import blake2s
from typing import Final

from collector.core.device import Device, Service
from collector.core.hostile import NAME_MAX, clean
from collector.core.identity import contradict, device_id, identities
from collector.core.sighting import ADDRESSES_MAX, Sighting, address_order, merged

DEVICES_MAX: Final = 1_000
SERVICES_MAX: Final = 32
IDENTITIES_MAX: Final = 8
"""Ids kept of one service."""

NAME_TYPES: Final = (
    "_googlecast._tcp",
    "_airplay._tcp",
    "_hap._tcp",
    "_ipp._tcp",
    "_ipps._tcp",
    "_printer._tcp",
    "_esphomelib._tcp",
    "_shelly._tcp",
    "_hue._tcp",
    "_sonos._tcp",
    "_raop._tcp",
    "_workstation._tcp",
    "_device-info._tcp",
    "_smb._tcp",
    "_ssh._tcp",
)
"""Types whose instance (or friendly name in TXT) is what people call the device, best first."""
FRIENDLY_KEYS: Final = ("fn", "friendly_name")


class Grouping:
    """`devices` by id, shared with the registry; the indexes follow what is attached here."""

    def __init__(self, devices: dict[str, Device], devices_max: int = DEVICES_MAX) -> None:
        self.devices = devices
        self.devices_max = devices_max
        self._by_service: dict[tuple[str, str], str] = {}
        self._by_identity: dict[str, str] = {}
        self._by_host: dict[str, str] = {}
        for device in devices.values():
            for service in device.services:
                self._index(device, service)

    def of_service(self, key: tuple[str, str]) -> tuple[Device, Service] | None:
        """The device that has the service with this key."""
        device = self.devices.get(self._by_service.get(key, ""))
        if device is None:
            return None
        service = next((one for one in device.services if one.key == key), None)
        return None if service is None else (device, service)

    def find(self, seen: Sighting) -> Device | None:
        """The known device that a sighting belongs to, None for a new one."""
        before = self.of_service(seen.key)
        ids = stated(seen, before[1] if before else None)
        for identity in ids:
            if (known := self._by_identity.get(identity)) in self.devices:
                return self.devices[str(known)]
        if before and not contradict(before[1].identities, ids):
            return before[0]
        host = self.devices.get(self._by_host.get((seen.host or "").lower(), ""))
        if host is not None and not _clashes(host, seen.type, ids):
            return host
        return None

    def create(self, seen: Sighting, wall: float) -> Device | None:
        """A new device for a sighting; None where there are `devices_max` already."""
        if len(self.devices) >= self.devices_max:
            return None
        ids = stated(seen, None)
        name = self._free(device_id(ids, seen.host, seen.type, seen.instance), seen)
        device = Device(id=name, name=name, first_seen=wall, last_change=wall, state_since=wall)
        self.devices[name] = device
        return device

    def _free(self, wanted: str, seen: Sighting) -> str:
        if wanted not in self.devices:
            return wanted
        salt = 0
        while True:
            text = f"{seen.key}{seen.host}{salt}".encode("utf-8", "backslashreplace")
            name = f"{wanted}-{blake2s(text, digest_size=4).hexdigest()}"
            if name not in self.devices:
                return name
            salt += 1

    def attach(self, device: Device, seen: Sighting) -> bool:
        """Write the sighting into the device's service; False where it has too many already."""
        before = self.of_service(seen.key)
        if before and before[0] is not device:
            self.detach(before[0], before[1])
            before = None
        service = before[1] if before else Service(type=seen.type, instance=seen.instance)
        if before is None:
            if len(device.services) >= SERVICES_MAX:
                return False
            device.services.append(service)
        _write(service, seen)
        self._index(device, service)
        refresh(device)
        return True

    def detach(self, device: Device, service: Service) -> None:
        """Take a service away from its device; the device keeps the ids it stated."""
        device.services.remove(service)
        if self._by_service.get(service.key) == device.id:
            del self._by_service[service.key]
        if device.services:
            refresh(device)

    def forget(self, device: Device) -> None:
        """Drop a device and everything that leads to it."""
        self.devices.pop(device.id, None)
        for service in device.services:
            if self._by_service.get(service.key) == device.id:
                del self._by_service[service.key]
        _purge(self._by_identity, device.id)
        _purge(self._by_host, device.id)

    def evictable(self) -> Device | None:
        """The device that is gone for longest and that nobody named or ignored, if there is one."""
        gone = [
            device
            for device in self.devices.values()
            if not (device.present or device.custom_name or device.ignored)
            and device.origin == "mdns"
        ]
        return min(gone, key=lambda device: device.last_seen, default=None)

    def _index(self, device: Device, service: Service) -> None:
        self._by_service[service.key] = device.id
        for identity in service.identities:
            self._by_identity.setdefault(identity, device.id)
        if service.host:
            self._by_host.setdefault(service.host.lower(), device.id)


def _purge(index: dict[str, str], name: str) -> None:
    for key in [key for key, value in index.items() if value == name]:
        del index[key]


def stated(seen: Sighting, before: Service | None) -> list[str]:
    """The ids of a sighting; before its TXT has arrived, those it stated earlier."""
    if seen.txt is None and before is not None:
        return before.identities
    return identities(seen.type, seen.instance, seen.txt or {})[:IDENTITIES_MAX]


def _clashes(device: Device, type_: str, ids: list[str]) -> bool:
    return any(
        service.type == type_ and contradict(service.identities, ids) for service in device.services
    )


def _write(service: Service, seen: Sighting) -> None:
    service.present = True
    service.identities = stated(seen, service)
    service.host = seen.host or service.host
    service.port = service.port if seen.host is None else seen.port
    if seen.txt is not None:
        service.txt = seen.txt
    service.addresses = merged(service.addresses, seen.addresses)


def refresh(device: Device) -> None:
    """Name and addresses as the services have them; a device without any present keeps its last."""
    present = [service for service in device.services if service.present]
    if not present:
        return
    addresses = {text for service in present for text in service.addresses}
    device.addresses = sorted(addresses, key=address_order)[:ADDRESSES_MAX]
    device.name = _name(min(present, key=_rank))


def _rank(service: Service) -> tuple[int, tuple[str, str]]:
    type_ = service.type.lower()
    rank = NAME_TYPES.index(type_) if type_ in NAME_TYPES else len(NAME_TYPES)
    return rank, service.key


def _name(service: Service) -> str:
    friendly = (service.txt[key] for key in FRIENDLY_KEYS if service.txt.get(key))
    instance = service.instance
    if service.type == "_raop._tcp":
        instance = instance.partition("@")[2] or instance
    return clean(next(friendly, instance) or service.host or service.type, NAME_MAX)
