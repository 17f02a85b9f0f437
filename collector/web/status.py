"""`GET /status`: the daemon's own account of itself, for the page and for scripts."""

from __future__ import annotations

from typing import Any, Final

from litestar import get

from collector.web.access import may_read_all
from collector.web.services import Given


@get("/status", guards=[may_read_all], tags=["health"], operation_id="getStatus")
async def get_status(services: Given) -> dict[str, Any]:
    """State, counters, sources and retention: what `collector status` shows."""
    return services.control.status()


HANDLERS: Final[list[Any]] = [get_status]
