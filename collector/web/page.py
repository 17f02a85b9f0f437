"""The page: one document for every address it has, and its modules and styles under `/static`.

Whoever passes the gate may have these files; what the page then shows, it asks of the API under the
caller's own role.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Final

from anyio import to_thread
from litestar import Request, Response, get
from litestar.params import PathParameter

from collector.web.problems import Refused

STATIC: Final = Path(__file__).parent / "static"
MEDIA_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
NAME: Final = r"^[a-z][a-z0-9-]{0,40}\.(css|js|svg)$"
ADDRESSES: Final = (
    "/",
    "/activity",
    "/devices",
    "/devices/{device:str}",
    "/changes",
    "/changes/{slug:str}",
    "/settings",
)
"""The page's own addresses: each can be opened, shared and reloaded."""


async def any_query(request: Request[Any, Any, Any]) -> None:
    """Instead of the API's strict check: the page reads its own query, and ignores what it must."""


@get(list(ADDRESSES), include_in_schema=False, before_request=any_query)
async def index(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The document; the address decides, in the browser, what it shows."""
    return await to_thread.run_sync(_file, "index.html", request)


@get("/static/{name:str}", include_in_schema=False, before_request=any_query)
async def static(
    request: Request[Any, Any, Any], name: Annotated[str, PathParameter(pattern=NAME)]
) -> Response[bytes]:
    """One of the page's files; a name has no folders in it."""
    return await to_thread.run_sync(_file, name, request)


def _file(name: str, request: Request[Any, Any, Any]) -> Response[bytes]:
    """The file, or 304 where the browser has it: an upgrade shows at the next load."""
    try:
        content = (STATIC / name).read_bytes()
    except FileNotFoundError:
        raise Refused("not_found", f"the page has no file {name}") from None
    tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=304, headers=headers)
    return Response(content, media_type=MEDIA_TYPES[Path(name).suffix], headers=headers)


HANDLERS: Final[list[Any]] = [index, static]
