"""The OpenAPI document as it is served: the package's own, with what the configuration adds.

Making the document from the handlers costs 12 MB of memory and a third of a second, which a daemon
on a small machine should not pay at each start; so it is made once, by `generate.py`, and kept as
`openapi.json` beside this file. Resources and categories of the configuration are filled in here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.datastructures import State

from collector.config import Resource
from collector.event import CATEGORIES
from collector.web.activity import audit_of, titled
from collector.web.questions import STATE_KEY, questions

Json = dict[str, Any]
PREFIX: Final = "/api/v1"
_OWN: Final = f"{PREFIX}/devices-activity"


@get("/openapi.json", tags=["health"], operation_id="openapi")
async def openapi(state: State) -> Response[bytes]:
    """This document."""
    return Response(state["document"], media_type="application/json")


HANDLERS: Final[list[Any]] = [openapi]


def described(audited: Iterable[Resource], categories: Iterable[str]) -> Json:
    """What an application keeps of its document: its bytes, and which questions may be asked."""
    found: Json = msgspec.json.decode(stored())
    _categories(found["components"]["schemas"], (*CATEGORIES, *categories))
    paths = found["paths"]
    templates = {path: paths.pop(path) for path in list(paths) if path.startswith(_OWN)}
    for resource in audited:
        for path, methods in templates.items():
            own = path.replace(_OWN, f"{PREFIX}/{resource.slug}-activity")
            paths[own] = _for(resource, methods)
    return {"document": msgspec.json.encode(found), STATE_KEY: questions(found)}


def stored() -> bytes:
    """The file as it is in the package."""
    return resources.files("collector.web").joinpath("openapi.json").read_bytes()


def _categories(schemas: Json, known: tuple[str, ...]) -> None:
    schemas["Draft"]["properties"]["category"]["enum"] = [*known, "", None]
    own = schemas["RetentionChange"]["properties"]["categories"]["properties"]
    any_of_them = next(iter(own.values()))
    own |= dict.fromkeys(known, any_of_them)


def _for(resource: Resource, methods: Json) -> Json:
    """The device's operations as those of another resource."""
    named = re.sub(
        b"(?<=[a-z])Devices(?=Activity)",
        titled(resource.slug).encode(),
        msgspec.json.encode(methods),
    )
    made: Json = msgspec.json.decode(named)
    for operation in made.values():
        operation["x-audit"] = audit_of(resource)
    return made
