"""The application: every group of routes behind the gate."""

from __future__ import annotations

from typing import Any, Final

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig

from collector.core.audited import audited
from collector.web import (
    activity,
    devices,
    document,
    events,
    export,
    feed,
    keys,
    prometheus,
    recording,
    settings,
    stats,
    status,
)
from collector.web.filters import provide_filter
from collector.web.problems import handle
from collector.web.questions import check_query
from collector.web.services import Services, provide_who

VERSION: Final = "1"
_GROUPS: Final = (events, recording, feed, export, stats, devices, settings, keys, status)


def application(services: Services) -> Litestar:
    """The ASGI application without its gate."""
    api = Router(document.PREFIX, route_handlers=_handlers(services))
    routes: list[Any] = [api, *prometheus.HANDLERS, *document.HANDLERS]
    return Litestar(
        routes,
        dependencies=_dependencies(services),
        before_request=check_query,
        exception_handlers={Exception: handle},
        openapi_config=None,
        state=State({"services": services, **_described(services, routes)}),
        logging_config=None,
        debug=False,
        request_max_body_size=recording.BODY_MAX,
    )


def _handlers(services: Services) -> list[Any]:
    own: list[Any] = [each for group in _GROUPS for each in group.HANDLERS]
    for resource in audited(services.config.resources):
        own += activity.handlers(resource)
    return own


def _dependencies(services: Services) -> dict[str, Provide]:
    return {
        "services": Provide(lambda: services, sync_to_thread=False),
        "who": Provide(provide_who, sync_to_thread=False),
        "wanted": Provide(provide_filter),
    }


def _described(services: Services, routes: list[Any]) -> dict[str, Any]:
    """The document of these routes, made once by an application that is thrown away.

    An application that keeps Litestar's own configuration would also serve Litestar's own pages,
    which load scripts from other hosts.
    """
    config = OpenAPIConfig(
        title="collector",
        version=VERSION,
        description="The activity log of a machine and its network.",
        use_handler_docstrings=True,
    )
    throwaway = Litestar(
        routes, dependencies=_dependencies(services), openapi_config=config, logging_config=None
    )
    return document.described(throwaway, services.config.categories)
