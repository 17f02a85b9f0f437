"""Query parameters that no handler asked for are errors: a misspelt filter must not show everything.

Scalars may be given once. What may be given is read from the OpenAPI document, so that the two
cannot differ.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from typing import Any, Final

from litestar import Request

from collector.errors import QueryError

Json = dict[str, Any]
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
STATE_KEY: Final = "questions"


def questions(document: Json) -> dict[str, dict[str, Json]]:
    """For each operation the schemas of its query parameters."""
    return {
        operation["operationId"]: {
            each["name"]: each["schema"]
            for each in operation.get("parameters", ())
            if each["in"] == "query"
        }
        for methods in document["paths"].values()
        for operation in methods.values()
        if isinstance(operation, dict) and "operationId" in operation
    }


async def check_query(request: Request[Any, Any, Any]) -> None:
    """Litestar's hook before each request. Raises `QueryError`."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    if not given:
        return
    known = request.app.state[STATE_KEY].get(request.route_handler.operation_id, {})
    for name, count in given.items():
        if name not in known:
            raise QueryError(_unknown(name, known), name[:50])
        kind = known[name].get("type")
        if kind != "array" and count > 1:
            raise QueryError("may be given only once", name)
        allowed = known[name].get("enum")
        if allowed and (value := request.query_params[name]) not in allowed:
            raise QueryError(f"{value[:50]!r} is not one of {', '.join(allowed)}", name)
        if kind == "integer" and not _INTEGER.fullmatch(request.query_params[name]):
            raise QueryError("expected a whole number", name)


def _unknown(name: str, known: dict[str, Json]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known) or 'none'}"
    return f"there is no such parameter; {hint}"
