"""A source plugin: `load.risen` and `load.fallen` when the load average crosses a limit.

Options, under `[sources.queue.options.loadavg]`: `limit` (load of one minute, by default the number
of processors), `every` (seconds between two looks, by default 10), `file` (by default /proc/loadavg).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["watch"]


async def watch(queue: Any, options: Mapping[str, Any]) -> None:
    """Run until cancelled. `queue.record` takes a draft (or its fields) and returns its receipt."""
    limit = float(options.get("limit", os.cpu_count() or 1))
    every = float(options.get("every", 10.0))
    file = Path(options.get("file", "/proc/loadavg"))
    high = False
    while True:
        load = _load(file)
        if (load > limit) != high:
            high = load > limit
            await queue.record(
                {
                    "action": "load.risen" if high else "load.fallen",
                    "severity": "warning" if high else "info",
                    "object_type": "machine",
                    "object_id": os.uname().nodename,
                    "metadata": {"load": load, "limit": limit},
                }
            )
        await asyncio.sleep(every)


def _load(file: Path) -> float:
    return float(file.read_text("ascii").split()[0])
