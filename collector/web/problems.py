"""One shape for every error: `application/problem+json` (RFC 9457) with a `code` for programs."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from msgspec import Struct

from collector.errors import (
    CollectorError,
    JournalBusy,
    JournalError,
    JournalFull,
    QueryError,
    QueryTimeout,
    Rejected,
)
from collector.web.patterns import in_words

MEDIA_TYPE: Final = "application/problem+json"
STATUS_OF_CODE: Final[dict[str, int]] = {
    "invalid_json": 400,
    "invalid_event": 400,
    "invalid_request": 400,
    "invalid_query": 400,
    "unauthorized": 401,
    "denied": 403,
    "foreign_origin": 403,
    "not_found": 404,
    "unknown_op": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "misdirected": 421,
    "rate_limited": 429,
    "failed": 500,
    "busy": 503,
    "draining": 503,
    "io_error": 503,
    "query_timeout": 503,
    "timeout": 503,
    "storage_full": 507,
}
"""Every code that an HTTP answer can carry: those of the socket and HTTP's own."""
_TITLES: Final[dict[int, str]] = {
    400: "Bad request",
    401: "Authentication needed",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    421: "Misdirected request",
    429: "Too many requests",
    500: "Internal error",
    503: "Not now",
    507: "No space left",
}
_BY_STATUS: Final[dict[int, str]] = {
    400: "invalid_request",
    401: "unauthorized",
    403: "denied",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
_DETAILS: Final[dict[int, str]] = {
    404: "there is no such path; /openapi.json lists what there is",
    405: "this path does not know that method; `Allow` names those that it does",
    413: "the body is too large: POST /api/v1/events takes 16 MiB, every other path 64 KiB",
}
"""For what Litestar itself refuses, which says no more than the status does."""
_log = logging.getLogger(__name__)


class Problem(Struct, kw_only=True):
    """What went wrong. `code` is for programs, `detail` for people, `retry`: later may work."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    retry: bool = False


class Refused(CollectorError):
    """A request that HTTP itself refuses; `code` is one of `STATUS_OF_CODE`."""

    def __init__(self, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        self.code = code
        self.headers = headers or {}
        super().__init__(detail)


def problem(code: str, detail: str, *, retry: bool = False) -> Problem:
    """The problem for one of `STATUS_OF_CODE`."""
    status = STATUS_OF_CODE[code]
    return Problem(title=_TITLES[status], status=status, code=code, detail=detail, retry=retry)


def answer(found: Problem, headers: dict[str, str] | None = None) -> Response[bytes]:
    """A problem as a response."""
    more = {"Retry-After": "1", **(headers or {})} if found.retry else headers
    body = msgspec.json.encode(found)
    return Response(body, status_code=found.status, media_type=MEDIA_TYPE, headers=more)


def of_error(error: Exception) -> Problem:
    """The problem for anything that a handler raises."""
    if isinstance(error, Refused):
        return problem(error.code, str(error), retry=error.code == "rate_limited")
    if isinstance(error, Rejected):
        return problem(error.code, str(error), retry=error.retry)
    if isinstance(error, QueryError):
        return problem("invalid_query", str(error))
    if isinstance(error, QueryTimeout):
        return problem("query_timeout", str(error))
    if isinstance(error, JournalBusy):
        return problem("busy", "the journal is busy; try again", retry=True)
    if isinstance(error, JournalFull):
        return problem("storage_full", "no space is left for the journal", retry=True)
    if isinstance(error, (JournalError, OSError)):
        _log.error("a request could not be answered: %s", error)
        return problem("io_error", "the journal cannot be read at present; try again", retry=True)
    if isinstance(error, HTTPException):
        return _of_http(error)
    _log.error("an unexpected error while answering a request", exc_info=error)
    return problem("failed", "an unexpected error; the daemon's log has it")


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's hook: any exception to a response."""
    headers = dict(getattr(error, "headers", None) or {})
    return answer(of_error(error), headers)


def _of_http(error: HTTPException) -> Problem:
    code = _BY_STATUS.get(error.status_code, "failed")
    detail = _DETAILS.get(error.status_code, error.detail)
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        code = "invalid_request"
        parts = [f"{item.get('key', '')}: {item.get('message', '')}" for item in error.extra]
        detail = in_words("; ".join(parts)) or detail
    if error.status_code >= 500:
        _log.error("an error while answering a request", exc_info=error)
        detail = "an unexpected error; the daemon's log has it"
    return problem(code, detail)
