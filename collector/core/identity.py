"""Which device a service belongs to: hardware and product ids in TXT, else the host, else its name.

The rules, from the surest sign to the weakest:

1. A service that states an id (a MAC address, UUID, serial number, product id in its TXT) belongs
   to the device that has stated the same id before.
2. A service keeps the device it was seen on, unless it now states an id that contradicts it.
3. Services on one host (the SRV target) are one device: a printer that offers IPP, a page and a
   scanner is one thing to its owner. But where two services of the same type state different ids,
   they are two devices behind one host (a bridge's accessories).
4. Without an id and without a host it is its type and instance name.

Names are compared without case, as DNS does. Ids of devices are stable, readable and safe in a URL.
"""

from __future__ import annotations

import re
from hashlib import blake2s
from typing import Final

MAC_KEYS: Final = ("mac", "macaddress", "mac_address", "deviceid", "hwaddr", "rpmac", "wlanmac")
"""TXT keys that hold a MAC address: ESPHome, Shelly, AirPlay (`deviceid`), and common usage."""
ID_KEYS: Final = (
    "uuid",
    "udn",
    "serialnumber",
    "serial",
    "sn",
    "bridgeid",
    "deviceid",
    "unique_id",
    "id",
)
"""TXT keys that name one product: printers (`uuid`), Hue (`bridgeid`), Cast, HomeKit (`id`)."""
ID_MIN: Final = 6
"""Shorter values (`id=1`) are counters, not identities."""
ID_MAX: Final = 100

_MAC: Final = re.compile(r"[0-9a-f]{2}([:-]?[0-9a-f]{2}){5}")
_UNSAFE: Final = re.compile(r"[^a-z0-9.]+")
_SLUG_MAX: Final = 64


def normal_mac(text: str) -> str | None:
    """Twelve hex digits of a MAC address in any usual notation; None for others and all equal."""
    text = text.strip().lower()
    if not _MAC.fullmatch(text):
        return None
    digits = re.sub(r"[:-]", "", text)
    return None if len(set(digits)) == 1 else digits


def identities(type_: str, instance: str, txt: dict[str, str]) -> list[str]:
    """What a service says of who it is, the surest first: `mac:aabbccddeeff`, `uuid:…`, `id:…`."""
    found: list[str] = []
    if type_ == "_raop._tcp" and (mac := normal_mac(instance.partition("@")[0])):
        found.append(f"mac:{mac}")
    found += [f"mac:{mac}" for key in MAC_KEYS if (mac := normal_mac(txt.get(key, "")))]
    for key in ID_KEYS:
        value = txt.get(key, "").strip().lower()
        if key == "deviceid" and normal_mac(value):
            continue
        if ID_MIN <= len(value) <= ID_MAX and len(set(value)) > 1:
            found.append(f"{key}:{value}")
    return list(dict.fromkeys(found))


def contradict(one: list[str], other: list[str]) -> bool:
    """Whether two services of the same type say that they are different devices.

    They do where none of their ids agree and both state one of the same kind.
    """
    if set(one) & set(other):
        return False
    kinds = {text.partition(":")[0] for text in one}
    return any(text.partition(":")[0] in kinds for text in other)


def device_id(ids: list[str], host: str | None, type_: str, instance: str) -> str:
    """A stable, readable id in `[a-z0-9.-]`, at most 80 characters."""
    if ids:
        return slug(ids[0].replace(":", "-", 1))
    if host:
        return slug(f"host-{host.lower().removesuffix('.').removesuffix('.local')}")
    return slug(f"service-{instance.lower()}-{type_.lower()}")


def slug(text: str) -> str:
    """`text` in the alphabet of ids; a digest is added where something was lost on the way."""
    text = text.lower()
    plain = _UNSAFE.sub("-", text).strip("-.")[:_SLUG_MAX].strip("-.")
    if plain and plain == text:
        return plain
    digest = blake2s(text.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()
    return f"{plain}-{digest}" if plain else digest
