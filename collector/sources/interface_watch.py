"""The interfaces that are wanted and there; one that is missing is said once, and waited for."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from collector.core.checks import Net
from collector.sources import interfaces
from collector.sources.interfaces import Choice, Interface, Lister

_log = logging.getLogger(__name__)


class InterfaceWatch:
    """`look` now and then: interfaces come and go. `wanted` are names or addresses, none for all.

    `networks` and `missing` (of what is wanted by name or address) are as of the last look.
    """

    def __init__(self, wanted: Sequence[str], ip_version: str, lister: Lister) -> None:
        self.networks: list[Net] = []
        self.missing: list[str] = []
        self._wanted, self._ip_version, self._lister = wanted, ip_version, lister

    def look(self) -> list[Choice]:
        """What to listen on now."""
        there = self._lister()
        self._note(interfaces.missing(there, self._wanted), there)
        found = interfaces.chosen(there, self._wanted)
        self.networks = interfaces.networks(found)
        return interfaces.choices(found, self._ip_version)

    def _note(self, missing: list[str], there: list[Interface]) -> None:
        for name in missing:
            if name not in self.missing:
                names = ", ".join(one.name for one in there) or "none"
                _log.warning(
                    "sources.mdns.interfaces: there is no %r (there are: %s); it is used once it"
                    " appears",
                    name,
                    names,
                )
        for name in self.missing:
            if name not in missing:
                _log.info("sources.mdns.interfaces: %r is there now", name)
        self.missing = missing
