"""`@audited("person.deleted", object=lambda id: ("person", id))`: each call is one event.

The decorated function is of the same kind as before: plain, coroutine, generator, asynchronous
generator. A generator's event is recorded when it ends: exhausted is success, an exception or a
close before its end is a failure; one that never starts never happened.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from collector.client.block import Audit

if TYPE_CHECKING:
    from collector.client.trail import Trail

Function = Callable[..., Any]


def audited(
    trail: Callable[[], Trail], action: str, fields: Mapping[str, Any]
) -> Callable[[Any], Any]:
    """The decorator. `trail` is asked at each call, so that `configure` holds for it too."""

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Audit:
        said = {name: _said(value, args, kwargs) for name, value in fields.items()}
        return Audit(trail(), action, said)

    def decorate(function: Any) -> Any:
        if isinstance(function, staticmethod | classmethod):
            return type(function)(decorate(function.__func__))
        if inspect.isasyncgenfunction(function):
            return _async_generator(function, begin)
        if inspect.iscoroutinefunction(function):
            return _coroutine(function, begin)
        if inspect.isgeneratorfunction(function):
            return _generator(function, begin)
        return _plain(function, begin)

    return decorate


def _said(value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A field's value for this call; a function of the call's arguments that fails says nothing."""
    if not callable(value):
        return value
    try:
        return value(*args, **kwargs)
    except Exception:  # auditing never gets in the way
        return None


def _plain(function: Function, begin: Callable[..., Audit]) -> Function:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs):
            return function(*args, **kwargs)

    return call


def _coroutine(function: Function, begin: Callable[..., Audit]) -> Function:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        async with begin(args, kwargs):
            return await function(*args, **kwargs)

    return call


def _generator(function: Function, begin: Callable[..., Audit]) -> Function:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        event = begin(args, kwargs)
        try:
            result = yield from _Steps(function(*args, **kwargs), event)
        except BaseException as error:
            event.finish(error)
            raise
        event.finish(None)
        return result

    return call


class _Steps:
    """A generator whose every step runs within the event, and whose pauses do not: they run in the
    context of whoever iterates."""

    def __init__(self, generator: Generator[Any, Any, Any], event: Audit) -> None:
        self._generator = generator
        self._event = event

    def __iter__(self) -> _Steps:
        return self

    def __next__(self) -> Any:
        return self._step(self._generator.__next__)

    def send(self, value: Any) -> Any:
        return self._step(self._generator.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._generator.throw, *error)

    def close(self) -> None:
        self._step(self._generator.close)

    def _step(self, method: Callable[..., Any], *args: Any) -> Any:
        token = self._event.step_in()
        try:
            return method(*args)
        finally:
            self._event.step_out(token)


def _async_generator(function: Function, begin: Callable[..., Audit]) -> Function:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        event = begin(args, kwargs)
        inner = function(*args, **kwargs)
        try:
            step = inner.__anext__()
            while True:
                token = event.step_in()
                try:
                    value = await step
                finally:
                    event.step_out(token)
                try:
                    sent = yield value
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:
                    step = inner.athrow(error)
                else:
                    step = inner.asend(sent)
        except StopAsyncIteration:
            pass
        except BaseException as error:
            await event.finish_async(error)
            raise
        await event.finish_async(None)

    return call
