"""Bodies, read strictly: a text is no number and a number no truth value."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from litestar import Request

from collector.web.problems import Refused

T = TypeVar("T")


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 30.0 is the integer 30."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def media_type(request: Request[Any, Any, Any]) -> str:
    """The Content-Type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read(request: Request[Any, Any, Any], shape: type[T]) -> T:
    """The request's JSON body as `shape`. Raises `Refused`."""
    if media_type(request) != "application/json":
        raise Refused("unsupported_media_type", "send application/json")
    try:
        value = msgspec.json.decode(await request.body())
        return msgspec.convert(_whole(value), shape)
    except msgspec.ValidationError as error:
        raise Refused("invalid_request", str(error)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("invalid_json", f"not JSON: {error}") from None
