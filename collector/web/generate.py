"""Makes `openapi.json`: Litestar's document, made exact where its inference is not.

Query parameters get the schemas of `filters.FILTERS`, errors their one shape, bodies and streams
their media types, and audited resources the extension `x-audit`. Run it after every change of the
API: `python -m collector.web.generate > collector/web/openapi.json`; a test compares the two.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from litestar import Litestar
from litestar.openapi.config import OpenAPIConfig

from collector.event import CATEGORIES
from collector.web.activity import AUDIT
from collector.web.app import OPTIONS, routes
from collector.web.document import PREFIX
from collector.web.filters import FILTERS
from collector.web.links import LINKS
from collector.web.patterns import LAST_EVENT_ID
from collector.web.problems import MEDIA_TYPE, STATUS_OF_CODE
from collector.web.schemas import BODIES, BOUNDS, written

Json = dict[str, Any]
VERSION: Final = "1"
_METHODS: Final = ("get", "put", "post", "patch", "delete")
_OPEN: Final = frozenset({"healthz", "readyz", "getSession", "login", "openapi"})
"""Operations that need no identity."""
_PROBLEM: Final[Json] = {"$ref": "#/components/schemas/Problem"}
_ERRORS: Final[dict[int, str]] = {
    400: "The request is malformed.",
    401: "A key is needed, or it is not known.",
    403: "The caller's role may not do this, or a page of another site asked.",
    404: "There is no such thing.",
    405: "The path knows other methods; `Allow` names them.",
    409: "It is taken.",
    413: "The body is too large.",
    415: "The body's media type is not understood.",
    421: "The Host is none of ours.",
    429: "Too many wrong keys came from this address; `Retry-After` says how long to wait.",
    503: "Not now; try again.",
    507: "No space is left for the journal.",
}
_BASE: Final = (400, 401, 403, 405, 421, 429, 503)


def document(app: Litestar) -> Json:
    """The finished document of an application."""
    found: Json = app.openapi_schema.to_schema()
    for path in [each for each in found["paths"] if each.startswith("/schema")]:
        del found["paths"][path]
    schemas: Json = found["components"]["schemas"]
    schemas |= written(CATEGORIES)
    found["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "session": {"type": "apiKey", "in": "cookie", "name": "collector_session"},
    }
    audits = _audits(app)
    for path, method, operation in _operations(found):
        _parameters(operation)
        _body(operation)
        _responses(path, operation)
        _links(operation)
        if operation["operationId"] not in _OPEN:
            operation["security"] = [{}, {"key": []}, {"session": []}]
        if method == "get" and path in audits:
            operation[AUDIT] = audits[path]
    _bodies(found)
    return found


def generate() -> Json:
    """The document of the default configuration: what `openapi.json` beside this file holds."""
    config = OpenAPIConfig(
        title="collector",
        version=VERSION,
        description="The activity log of a machine and its network.",
        use_handler_docstrings=True,
    )
    return document(Litestar(routes(()), openapi_config=config, **OPTIONS))


def _operations(found: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in found["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield path, method, methods[method]


def _audits(app: Litestar) -> dict[str, Json]:
    return {
        route.path_format: handler.opt[AUDIT]
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if AUDIT in handler.opt
    }


def _parameters(operation: Json) -> None:
    filtered = any(each["name"] == "q" for each in operation.get("parameters", ()))
    for parameter in operation.get("parameters", ()):
        name, schema = parameter["name"], _without_null(parameter["schema"])
        schema = {**schema, **BOUNDS.get(name, {})}
        for noise in ("allowEmptyValue", "allowReserved", "deprecated"):
            parameter.pop(noise, None)
        if filtered and parameter["in"] == "query" and name in FILTERS:
            schema, parameter["description"] = FILTERS[name]
            if schema.get("type") == "array":
                parameter["style"], parameter["explode"] = "form", True
        if name == "Last-Event-ID":
            schema = {"type": "string", "pattern": LAST_EVENT_ID}
        parameter["schema"] = schema


def _without_null(schema: Json) -> Json:
    """A query parameter is there or it is not; null cannot be sent."""
    options = [option for option in schema.get("oneOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        schema = {**options[0], **{k: v for k, v in schema.items() if k != "oneOf"}}
    if isinstance(schema.get("type"), list):
        [kind] = (each for each in schema["type"] if each != "null")
        schema = {**schema, "type": kind}
    if "enum" in schema:
        schema = {**schema, "enum": [each for each in schema["enum"] if each is not None]}
    schema = {k: v for k, v in schema.items() if not (k == "default" and v is None)}
    for bound in ("minimum", "maximum"):
        if isinstance(schema.get(bound), float):
            schema[bound] = int(schema[bound])
    return schema


def _body(operation: Json) -> None:
    name = BODIES.get(operation["operationId"])
    if name is not None:
        schema = {"$ref": f"#/components/schemas/{name}"}
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }


def _responses(path: str, operation: Json) -> None:
    wanted = {*_BASE}
    if "{" in path:
        wanted.add(404)
    name = operation["operationId"]
    if "requestBody" in operation:
        wanted |= {413, 415}
    if name == "recordEvents":
        wanted.add(507)
    if name == "addKey":
        wanted.add(409)
    responses = operation["responses"]
    for status in list(responses):
        if int(status) >= 400:
            del responses[status]
    for status in sorted(wanted):
        responses[str(status)] = {
            "description": _ERRORS[status],
            "content": {MEDIA_TYPE: {"schema": _PROBLEM}},
        }


def _links(operation: Json) -> None:
    links = LINKS.get(operation["operationId"])
    if links is not None:
        _good(operation)["links"] = links


def _bodies(found: Json) -> None:
    """What Litestar cannot infer from a handler that reads or writes bytes."""
    paths = found["paths"]
    text: Json = {"type": "string"}
    events = paths[f"{PREFIX}/events"]["post"]
    draft: Json = {"$ref": "#/components/schemas/Draft"}
    events["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [draft, {"type": "array", "items": {"anyOf": [draft, {}]}}],
                    "description": "One draft, or an array in which each element is answered alone.",
                }
            },
            "application/x-ndjson": {
                "schema": {**text, "description": "One draft a line, each answered alone."}
            },
        },
    }
    for status, code in ((413, "too_large"), (415, "unsupported_media_type")):
        assert STATUS_OF_CODE[code] == status
        events["responses"][str(status)] = {
            "description": _ERRORS[status],
            "content": {MEDIA_TYPE: {"schema": _PROBLEM}},
        }
    _content(events, {"application/json": {"$ref": "#/components/schemas/Recorded"}})
    _content(paths[f"{PREFIX}/events/stream"]["get"], {"text/event-stream": text})
    export = {
        "text/csv": text,
        "application/json": {"type": "array", "items": {"$ref": "#/components/schemas/Entry"}},
        "application/x-ndjson": text,
    }
    _content(paths[f"{PREFIX}/events/export"]["get"], export)
    _content(paths["/metrics"]["get"], {"text/plain": text})
    ready: Json = {"type": "object", "properties": {"status": text}, "required": ["status"]}
    _content(paths["/readyz"]["get"], {"application/json": ready})
    _content(paths["/openapi.json"]["get"], {"application/json": {"type": "object"}})
    for path, method in ((f"{PREFIX}/session", "delete"), (f"{PREFIX}/keys/{{label}}", "delete")):
        paths[path][method]["responses"]["204"].pop("content", None)


def _content(operation: Json, content: dict[str, Json]) -> None:
    _good(operation)["content"] = {media: {"schema": schema} for media, schema in content.items()}


def _good(operation: Json) -> Json:
    found: Json = next(
        response for status, response in operation["responses"].items() if status.startswith("2")
    )
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(generate(), indent=1, ensure_ascii=False) + "\n")
