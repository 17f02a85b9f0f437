"""The application: every group of routes behind the gate."""

from __future__ import annotations

from typing import Any, Final

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import License

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
    """The ASGI application without its gate. Its OpenAPI document is made at once."""
    own: list[Any] = [each for group in _GROUPS for each in group.HANDLERS]
    for resource in audited(services.config.resources):
        own += activity.handlers(resource)
    api = Router(document.PREFIX, route_handlers=own)
    app = Litestar(
        [api, *prometheus.HANDLERS, *document.HANDLERS],
        dependencies={
            "services": Provide(lambda: services, sync_to_thread=False),
            "who": Provide(provide_who, sync_to_thread=False),
            "wanted": Provide(provide_filter),
        },
        before_request=check_query,
        exception_handlers={Exception: handle},
        openapi_config=OpenAPIConfig(
            title="collector",
            version=VERSION,
            description="The activity log of a machine and its network.",
            license=License(name="See the project"),
            use_handler_docstrings=True,
            path="/none",
        ),
        state=State({"services": services}),
        logging_config=None,
        debug=False,
        request_max_body_size=recording.BODY_MAX,
    )
    document.provide_document(app)
    return app
