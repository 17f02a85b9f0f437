"""Who can reach the page, and whether that is safe. Needs nothing of the extra `web`."""

from __future__ import annotations

import ipaddress

from collector.errors import ConfigError


def check(host: str, keys: int) -> None:
    """Raises `ConfigError` where the page would listen beyond loopback while there are no keys."""
    if not is_loopback(host) and not keys:
        raise ConfigError(
            f"{host} is reachable from other machines, and there is no key yet; make one first:"
            " collector keys add LABEL --role admin",
            "web.host",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
