"""The application: every group of routes behind the gate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin

from collector.config import Resource
from collector.core.audited import audited
from collector.web import (
    activity,
    devices,
    document,
    events,
    export,
    feed,
    keys,
    page,
    prometheus,
    recording,
    settings,
    stats,
    status,
)
from collector.web.bodies import BODY_MAX
from collector.web.filters import provide_filter
from collector.web.problems import handle
from collector.web.questions import check_query
from collector.web.services import Services, provide_services, provide_who

_GROUPS: Final = (events, recording, feed, export, stats, devices, settings, keys, status)


OPTIONS: Final[dict[str, Any]] = {
    "before_request": check_query,
    "exception_handlers": {Exception: handle},
    "logging_config": None,
    "debug": False,
    "request_max_body_size": BODY_MAX,
    "dependencies": {
        "services": Provide(provide_services, sync_to_thread=False),
        "who": Provide(provide_who, sync_to_thread=False),
        "wanted": Provide(provide_filter),
    },
}
"""What every application of ours is made with."""


def application(services: Services) -> Litestar:
    """The ASGI application without its gate.

    Litestar's own OpenAPI routes are off: they would load scripts from other hosts.
    """
    resources = audited(services.config.resources)
    described = document.described(resources, services.config.categories)
    state = State({"services": services, **described})
    return _Lean(routes(resources), openapi_config=None, state=state, **OPTIONS)


class _Lean(Litestar):
    """Without the plugins for pydantic and attrs: Litestar loads them wherever those happen to be
    installed, which here serves nothing and costs 9 MB."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def routes(resources: Iterable[Resource]) -> list[Any]:
    """Every handler; without `resources` the devices are the only audited ones."""
    own: list[Any] = [each for group in _GROUPS for each in group.HANDLERS]
    for resource in resources or audited(()):
        own += activity.handlers(resource)
    api = Router(document.PREFIX, route_handlers=own)
    return [api, *prometheus.HANDLERS, *document.HANDLERS, *page.HANDLERS]
