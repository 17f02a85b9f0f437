"""`audit` and `audited`: exactly one event, and a function that behaves as it did before."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.client import MemorySink, NullSink, Trail, audit, audited, configure
from collector.client.sinks import Outlet
from collector.event import Receipt

pytestmark = pytest.mark.anyio


class Broken(Outlet):
    """A sink under which everything fails."""

    dropped = 0

    def submit(self, drafts: Any, warnings: Any) -> list[Receipt]:
        raise OSError("the sink is broken")

    def refuse(self, code: str) -> None:
        raise OSError("the sink is broken")


def broken_ids() -> str:
    raise RuntimeError("no ids today")


AUDITING: dict[str, Callable[[], Trail | None]] = {
    "off": lambda: None,
    "null": NullSink,
    "on": lambda: MemorySink(strict=False),
    "broken": lambda: Trail(Broken(), new_id=broken_ids),
}


def under(how: str, function: Any) -> Any:
    trail = AUDITING[how]()
    return (
        function
        if trail is None
        else trail.audited("thing.done", object=lambda *_: 1 / 0)(function)
    )


# ── blocks ──────────────────────────────────────────────────────────────────────────────────────


def test_block_that_ends_is_one_success_with_what_it_learned() -> None:
    sink = MemorySink()
    with sink.audit("backup.restored", object=("backup", "nightly"), metadata={"a": 1}) as event:
        event.metadata["bytes"] = 4096
        event.message = "restored"
        event.target = "host:b"
        assert not sink.recorded()
    recorded = sink.one("backup.restored", object="backup:nightly", target="host:b")
    assert recorded.metadata == {"a": 1, "bytes": 4096}
    assert recorded.message == "restored"
    assert recorded.outcome is None
    assert event.receipt is not None
    assert event.receipt.id == recorded.id == event.id


def test_block_that_fails_is_one_failure_and_the_exception_goes_through_untouched() -> None:
    sink = MemorySink()
    error = ValueError("hunter2")
    with (
        pytest.raises(ValueError, match="hunter2") as caught,
        sink.audit("a.b", metadata={"kept": 1}),
    ):
        raise error
    assert caught.value is error
    assert error.__context__ is None
    assert not hasattr(error, "__notes__")
    assert sink.one("a.b", outcome="failure").metadata == {
        "kept": 1, "db_pending": True, "error_kind": "other", "error_code": "ValueError",
    }  # fmt: skip


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_block_that_is_interrupted_is_a_failure(error: type[BaseException]) -> None:
    sink = MemorySink()
    with pytest.raises(error), sink.audit("a.b"):
        raise error
    assert sink.one("a.b", outcome="failure")


def test_block_can_fail_or_be_denied_without_an_exception() -> None:
    sink = MemorySink()
    with sink.audit("a.failed") as event:
        event.fail("not_found")
    with sink.audit("a.denied") as event:
        event.deny(required="admin", actual="viewer")
    assert sink.one("a.failed", outcome="failure").metadata == {
        "db_pending": True, "error_kind": "code", "error_code": "not_found",
    }  # fmt: skip
    assert sink.one("a.denied", outcome="denied").metadata == {
        "required": "admin", "actual": "viewer",
    }  # fmt: skip


def test_nested_events_name_their_cause() -> None:
    sink = MemorySink()
    with sink.audit("outer.done") as outer:
        with sink.audit("inner.done") as inner:
            sink.record("leaf.seen")
        sink.record("second.seen")
    sink.record("after.seen")
    causes = {event.action: event.causation_id for event in sink.events}
    assert causes == {
        "leaf.seen": inner.id,
        "inner.done": outer.id,
        "second.seen": outer.id,
        "outer.done": None,
        "after.seen": None,
    }


def test_strict_sink_does_not_hide_the_blocks_own_exception() -> None:
    with pytest.raises(ValueError, match="mine"), MemorySink().audit("Not An Action"):
        raise ValueError("mine")


async def test_asynchronous_block_is_one_event() -> None:
    sink = MemorySink()
    async with sink.audit("a.b") as event:
        event.metadata["x"] = 1
    with pytest.raises(ZeroDivisionError):
        async with sink.audit("c.d"):
            1 / 0  # noqa: B018
    assert sink.recorded("a.b") == 1
    assert sink.recorded("c.d", outcome="failure") == 1


async def test_cancelled_block_is_a_failure_and_stays_cancelled() -> None:
    sink = MemorySink()
    with anyio.move_on_after(0.01) as scope:
        async with sink.audit("a.b"):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert sink.one("a.b", outcome="failure").metadata == {
        "db_pending": True, "error_kind": "code", "error_code": "cancelled",
    }  # fmt: skip


# ── functions ───────────────────────────────────────────────────────────────────────────────────


def test_decorated_function_takes_fields_from_its_arguments() -> None:
    sink = MemorySink()

    @sink.audited("person.deleted", object=lambda number, **_: ("person", number), channel="people")
    def delete(number: int, *, hard: bool = False) -> str:
        """Deletes."""
        return f"{number} {hard}"

    assert delete(7, hard=True) == "7 True"
    assert sink.recorded("person.deleted", object=("person", 7), channel="people") == 1
    assert delete.__name__ == "delete"
    assert delete.__doc__ == "Deletes."
    assert str(inspect.signature(delete)) == "(number: 'int', *, hard: 'bool' = False) -> 'str'"


def test_methods_of_every_kind_are_decorated() -> None:
    sink = MemorySink()

    class Shelf:
        @sink.audited("a.plain")
        def plain(self) -> Any:
            return self

        @sink.audited("a.of_class")
        @classmethod
        def of_class(cls) -> Any:
            return cls

        @sink.audited("a.static")
        @staticmethod
        def static() -> int:
            return 3

    shelf = Shelf()
    assert (shelf.plain(), shelf.of_class(), Shelf.static()) == (shelf, Shelf, 3)
    assert [event.action for event in sink.events] == ["a.plain", "a.of_class", "a.static"]


def test_module_level_decorator_records_where_configured_when_called() -> None:
    @audited("a.b")
    def work() -> None:
        with audit("c.d"):
            pass

    first, second = MemorySink(), MemorySink()
    configure(first)
    work()
    configure(second)
    work()
    assert [event.action for event in first.events] == ["c.d", "a.b"]
    assert [event.action for event in second.events] == ["c.d", "a.b"]


@pytest.mark.parametrize("kind", ["plain", "coroutine", "generator", "async generator"])
def test_kind_of_function_stays(kind: str) -> None:
    def plain() -> None: ...
    async def coroutine() -> None: ...
    def generator() -> Iterator[None]:
        yield

    async def async_generator() -> AsyncIterator[None]:
        yield

    kinds = {
        "plain": plain, "coroutine": coroutine, "generator": generator,
        "async generator": async_generator,
    }  # fmt: skip
    tests = [inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction]
    before = kinds[kind]
    after = NullSink().audited("a.b")(before)
    assert [test(after) for test in tests] == [test(before) for test in tests]


class Stop(BaseException):
    """No Exception."""


OUTCOMES = st.sampled_from([ValueError("v"), KeyError("k"), Stop(), SystemExit(3), None, 7, "text"])


def result(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, Any]:
    try:
        return "returned", function(*args, **kwargs)
    except BaseException as error:
        return "raised", error


@given(outcome=OUTCOMES, how=st.sampled_from(sorted(AUDITING)))
def test_function_behaves_the_same_with_auditing_on_off_and_broken(outcome: Any, how: str) -> None:
    def function(value: Any) -> Any:
        if isinstance(value, BaseException):
            raise value
        return value

    assert result(under(how, function), outcome) == result(function, outcome)


@given(outcome=OUTCOMES, how=st.sampled_from(sorted(AUDITING)))
def test_coroutine_behaves_the_same(outcome: Any, how: str) -> None:
    async def function(value: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(value, BaseException):
            raise value
        return value

    def run(each: Any) -> tuple[str, Any]:
        async def outcome_of() -> tuple[str, Any]:
            # Inside the loop: asyncio itself treats SystemExit in a task in its own way.
            try:
                return "returned", await each(outcome)
            except BaseException as error:
                return "raised", error

        return asyncio.run(outcome_of())

    assert run(under(how, function)) == run(function)


STEPS = st.lists(
    st.tuples(st.sampled_from(["next", "send", "throw", "close"]), st.integers(0, 9)), max_size=8
)
ENDS = st.sampled_from(["return", "raise", "go on"])


def conversation(end: str, stubborn: bool) -> Iterator[Any]:
    """A generator with every habit: it answers what is sent, swallows or passes what is thrown."""
    got: Any = None
    for number in range(4):
        try:
            got = yield (number, got)
        except KeyError as error:
            if not stubborn:
                raise
            got = error.args
        finally:
            got = (got, "seen")
    if end == "raise":
        raise LookupError(got)
    if end == "go on":
        yield "last"
    return got


def talk(generator: Any, steps: list[tuple[str, int]]) -> list[Any]:
    heard: list[Any] = []
    for verb, number in steps:
        if verb == "next":
            step = result(next, generator)
        elif verb == "send":
            step = result(generator.send, number)
        elif verb == "throw":
            step = result(generator.throw, KeyError(number))
        else:
            step = result(generator.close)
        heard.append((verb, step[0], type(step[1]), getattr(step[1], "args", step[1])))
    generator.close()
    return heard


@given(steps=STEPS, end=ENDS, stubborn=st.booleans(), how=st.sampled_from(sorted(AUDITING)))
def test_generator_behaves_the_same(steps: Any, end: str, stubborn: bool, how: str) -> None:
    audited_one = under(how, conversation)
    assert talk(audited_one(end, stubborn), steps) == talk(conversation(end, stubborn), steps)


@given(steps=STEPS, end=ENDS, stubborn=st.booleans())
def test_generator_is_one_event_if_it_ever_started(steps: Any, end: str, stubborn: bool) -> None:
    sink = MemorySink()
    talk(sink.audited("a.b")(conversation)(end, stubborn), steps)
    started = any(verb in ("next", "throw") for verb, _ in steps)
    assert len(sink.events) <= 1
    if steps and steps[0][0] == "next":
        assert started
        assert len(sink.events) == 1


@given(steps=STEPS, end=st.sampled_from(["raise", "go on"]), how=st.sampled_from(sorted(AUDITING)))
def test_asynchronous_generator_behaves_the_same(steps: Any, end: str, how: str) -> None:
    async def function() -> AsyncIterator[Any]:
        got: Any = None
        for number in range(4):
            try:
                got = yield (number, got)
            except KeyError as error:
                got = error.args
        if end == "raise":
            raise LookupError(got)

    async def chat(generator: Any) -> list[Any]:
        heard: list[Any] = []
        for verb, number in steps:
            step = {
                "next": generator.__anext__,
                "send": functools.partial(generator.asend, number),
                "throw": functools.partial(generator.athrow, KeyError(number)),
                "close": generator.aclose,
            }[verb]
            try:
                heard.append((verb, await step()))
            except BaseException as error:
                heard.append((verb, type(error), error.args))
        await generator.aclose()
        return heard

    async def both() -> tuple[list[Any], list[Any]]:
        return await chat(under(how, function)()), await chat(function())

    ours, theirs = asyncio.run(both())
    assert ours == theirs


def test_generator_closed_early_is_a_failure_and_its_pauses_are_the_callers() -> None:
    sink = MemorySink()

    @sink.audited("rows.exported")
    def rows() -> Iterator[int]:
        sink.record("row.read")
        yield 1
        yield 2

    stream = rows()
    next(stream)
    sink.record("caller.spoke")
    stream.close()
    exported = sink.one("rows.exported", outcome="failure")
    assert sink.one("row.read").causation_id == exported.id
    assert sink.one("caller.spoke").causation_id is None


async def test_native_cancellation_goes_through_a_decorated_coroutine() -> None:
    sink = MemorySink()
    started = asyncio.Event()

    @sink.audited("a.b")
    async def work() -> None:
        started.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel("please")
    with pytest.raises(asyncio.CancelledError, match="please"):
        await task
    assert sink.recorded("a.b", outcome="failure") == 1
