"""Which resources are audited: those of the configuration, and the devices, which always are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from collector.config import Resource

DEVICES: Final = Resource(
    slug="devices",
    object_type="device",
    audit=True,
    labels={
        "name": "Name",
        "addresses": "Addresses",
        "host": "Host",
        "check": "Check",
        "ignored": "Ignored",
        "manufacturer": "Manufacturer",
        "model": "Model",
        "firmware": "Firmware",
        "mac": "MAC address",
        "services": "Services",
    },
)
"""The daemon's own; a `[[resources]]` table of that slug adds labels and ignored fields."""


def audited(resources: Iterable[Resource]) -> tuple[Resource, ...]:
    """The audited ones of `resources`, and the devices, each slug once, sorted by slug."""
    found = {resource.slug: resource for resource in resources if resource.audit}
    own = next((each for each in resources if each.slug == DEVICES.slug), None)
    found[DEVICES.slug] = (
        msgspec.structs.replace(DEVICES, ignore=own.ignore, labels={**DEVICES.labels, **own.labels})
        if own
        else DEVICES
    )
    return tuple(found[slug] for slug in sorted(found))
