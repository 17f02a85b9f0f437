"""Bodies, read strictly: a text is no number and a number no truth value."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar, get_args, get_type_hints

import msgspec
from litestar import Request

from collector.web.patterns import in_words
from collector.web.problems import Refused

T = TypeVar("T")
BODY_MAX: Final = 64 * 1024
"""Bytes of a request's body, where its path has no limit of its own: settings, a key, a device."""
_ENUM: Final = re.compile(r"Invalid enum value .* - at `\$\.(\w+)`$")


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


def _choices(error: Exception, shape: type[Any]) -> str:
    """What a field that has a closed set of values allows, where that was the mistake."""
    field = _ENUM.search(str(error))
    allowed = get_args(get_type_hints(shape).get(field[1])) if field else ()
    return f"; one of {', '.join(map(str, allowed))}" if allowed else ""


def _decoded(body: bytes, shape: type[T]) -> T:
    """Typed at once, so that no more is built than the shape has; a number written 30.0 the long way."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        if "got `float`" not in str(error):
            raise
    return msgspec.convert(_whole(msgspec.json.decode(body)), shape)


async def read(request: Request[Any, Any, Any], shape: type[T]) -> T:
    """The request's JSON body as `shape`. Raises `Refused`."""
    if media_type(request) != "application/json":
        raise Refused("unsupported_media_type", "the Content-Type must be application/json")
    body = await request.body()
    try:
        return _decoded(body, shape)
    except msgspec.ValidationError as error:
        raise Refused("invalid_request", in_words(str(error)) + _choices(error, shape)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("invalid_json", f"not JSON: {error}") from None
