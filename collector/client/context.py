"""Who acts, from where and in which transaction: said once, true for everything recorded within.

A `contextvars` variable, so that tasks inherit it; a thread does where it is started with
`in_context` (or by `asyncio.to_thread`, `anyio.to_thread.run_sync`, which do it themselves).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token, copy_context
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar, Unpack

from collector.client.fields import Circumstances, Who

P = ParamSpec("P")
R = TypeVar("R")
_EMPTY: Final[Mapping[str, Any]] = {}
_ambient: ContextVar[Mapping[str, Any]] = ContextVar("collector_ambient", default=_EMPTY)


def ambient() -> Mapping[str, Any]:
    """The fields that hold here; what a call says itself goes before them."""
    return _ambient.get()


@contextmanager
def actor_context(
    actor: Who | Callable[[], Who] = None, **fields: Unpack[Circumstances]
) -> Iterator[None]:
    """Everything recorded within carries this actor and these fields, unless it says otherwise.

    `actor` may be a function without arguments: it is asked when something is recorded, so that it
    can be set up before the application knows who asks. Contexts nest: the inner one's fields win,
    the outer one's others stay.
    """
    said = {name: value for name, value in fields.items() if value is not None}
    if actor is not None:
        said["actor"] = actor
    token = enter({**_ambient.get(), **said})
    try:
        yield
    finally:
        leave(token)


def enter(fields: Mapping[str, Any]) -> Token[Mapping[str, Any]]:
    """Make `fields` the ambient ones until `leave`."""
    return _ambient.set(fields)


def leave(token: Token[Mapping[str, Any]]) -> None:
    """Back to what held before; also where a framework goes on in another context than it began."""
    try:
        _ambient.reset(token)
    except ValueError:
        _ambient.set(_EMPTY if token.old_value is Token.MISSING else token.old_value)


def in_context(function: Callable[P, R]) -> Callable[P, R]:
    """`function` bound to the context of this moment, for `Thread(target=…)` and executors."""
    context = copy_context()

    @wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return carried
