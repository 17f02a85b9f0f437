"""What zeroconf's cache knows of a service; for calls on zeroconf's own thread.

Records are read from the cache rather than through `ServiceInfo`, which refuses instance names with a
control character; here they are devices like any other, shown escaped.
"""

from __future__ import annotations

import socket
from typing import Final, TypeVar

from zeroconf._cache import DNSCache
from zeroconf._dns import DNSAddress, DNSPointer, DNSRecord, DNSService, DNSText

from collector.core.sighting import Sighting, sighting

FLUSHED: Final = 1
"""Seconds to live of a record that another one has replaced (RFC 6762 §10.2), or of a goodbye."""
RECORDS_A_NAME: Final = 64
"""Records looked at for one name; a stranger can make them many."""

_Record = TypeVar("_Record", bound=DNSRecord)


def is_pointed_at(cache: DNSCache, name: str) -> bool:
    """Whether a pointer to the service is in the cache: without one it is not advertised."""
    labels = name.rstrip(".").rsplit(".", 3)
    pointers = cache.async_entries_with_name(".".join(labels[1:]) + ".")
    lower = name.lower()
    return any(
        isinstance(one, DNSPointer) and one.alias.lower() == lower and one.ttl > FLUSHED
        for one in pointers
    )


def sighted(cache: DNSCache, name: str) -> Sighting | None:
    """What is known of the service called `name`; None where the name is none of a service."""
    service = _latest(_records(cache, name), DNSService)
    text = _latest(_records(cache, name), DNSText)
    host = service.server if service else None
    found = _records(cache, host) if host else []
    return sighting(
        name,
        host=host,
        port=service.port if service else None,
        txt=text.text if text else None,
        addresses=[_address(one) for one in found if isinstance(one, DNSAddress)],
    )


def server(cache: DNSCache, name: str) -> str | None:
    """The host that the service runs on, as it was announced; None where that is not known."""
    service = _latest(_records(cache, name), DNSService)
    return service.server if service else None


def _records(cache: DNSCache, name: str) -> list[DNSRecord]:
    records = cache.async_entries_with_name(name)[-RECORDS_A_NAME:]
    return [record for record in records if record.ttl > FLUSHED]


def _latest(records: list[DNSRecord], kind: type[_Record]) -> _Record | None:
    found = [record for record in records if isinstance(record, kind)]
    return max(found, key=lambda record: record.created, default=None)


def _address(record: DNSAddress) -> str:
    """As text; an IPv6 link-local address with the name of its interface, where that is known."""
    if len(record.address) == 4:
        return socket.inet_ntop(socket.AF_INET, record.address)
    text = socket.inet_ntop(socket.AF_INET6, record.address)
    if record.scope_id and text.startswith("fe80"):
        try:
            return f"{text}%{socket.if_indextoname(record.scope_id)}"
        except OSError:
            return text
    return text
