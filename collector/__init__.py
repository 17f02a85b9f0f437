"""collector: the activity log for a machine and its network.

Importing this package loads nothing else. `Collector` (the daemon inside your own asyncio program)
and `Config` are loaded when they are first asked for; programs that only send events import
`collector.client`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collector.config import Config as Config
    from collector.daemon import Collector as Collector

__all__ = ["Collector", "Config"]

_HOMES: Final = {"Collector": "collector.daemon", "Config": "collector.config"}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(home), name)
