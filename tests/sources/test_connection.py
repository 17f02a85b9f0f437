"""One producer's connection: bytes in, replies in order out, and every limit with its word."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
import weakref
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.intake import BACKLOG_BYTES
from tests.sources.ledger import until
from tests.sources.served import GOOD, Line, encoded, served

pytestmark = pytest.mark.anyio


async def test_a_line_may_come_in_any_pieces(tmp_path: Path) -> None:
    async with served(tmp_path) as made:
        line = await made.line()
        for byte in encoded(GOOD) + b"\n \n" + encoded({"op": "ping"}):
            line.raw(bytes([byte]))
            await asyncio.sleep(0)
        first, second = await line.replies(2)
        assert (first["seq"], second["pong"]) == (1, True)


REQUESTS = [GOOD, {"op": "ping"}, {"op": "status"}, b"nonsense", {"op": "no"}, {"action": 5}]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    picked=st.lists(st.sampled_from(REQUESTS), max_size=40),
    cuts=st.lists(st.integers(0, 2000), max_size=6),
)
def test_replies_come_in_the_order_of_their_requests(
    tmp_path_factory: pytest.TempPathFactory, picked: list[bytes], cuts: list[int]
) -> None:
    async def talk() -> None:
        async with served(tmp_path_factory.mktemp("order")) as made:
            line, data, start = await made.line(), b"".join(map(encoded, picked)), 0
            for cut in [*sorted(cuts), len(data)]:
                line.raw(data[start:cut])
                start = max(start, cut)
                await line.writer.drain()
            line.writer.write_eof()
            answers = await line.rest()
            assert [kind(answer) for answer in answers] == [expected(one) for one in picked]

    asyncio.run(talk())


def kind(answer: dict[str, object]) -> str:
    return next(
        str(answer["code"]) if key == "code" else key
        for key in ("code", "seq", "pong", "status")
        if key in answer
    )


def expected(request: dict[str, object] | bytes) -> str:
    if isinstance(request, bytes):
        return "invalid_json"
    known = {"ping": "pong", "status": "status", "no": "unknown_op"}
    return known[str(request["op"])] if "op" in request else (
        "seq" if request == GOOD else "invalid_event"
    )  # fmt: skip


# ── frames ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_line_over_the_limit_is_answered_after_those_before_it_bounded(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, frame=4096) as made:
        line = await made.line()
        line.raw(encoded(GOOD) + b"x" * 4097)  # without an end: no more than that is ever held
        answers = await line.rest()
        assert [answer.get("code") for answer in answers] == [None, "too_large"]
        assert answers[1]["retry"] is False
        assert made.lost == {"too_large": 1}


async def test_a_line_of_exactly_the_limit_is_taken(tmp_path: Path) -> None:
    async with served(tmp_path, frame=4096) as made:
        line = await made.line()
        assert (await line.ask(encoded(GOOD)[:-1].ljust(4096)))["ok"]


async def test_a_line_that_is_not_finished_in_time_is_answered_and_closed(tmp_path: Path) -> None:
    async with served(tmp_path, frame_timeout=0.2) as made:
        line = await made.line()
        began = time.monotonic()
        line.raw(encoded(GOOD) + b'{"action')
        answers = await line.rest()
        assert [answer.get("code") for answer in answers] == [None, "timeout"]
        assert answers[1]["retry"] is True
        assert time.monotonic() - began >= 0.2
        assert made.lost == {"timeout": 1}


async def test_the_time_counts_from_a_lines_first_byte_and_not_from_the_last_one_received(
    tmp_path: Path,
) -> None:
    """Else one byte now and then would hold a connection for ever."""
    async with served(tmp_path, frame_timeout=0.5) as made:
        line = await made.line()
        answer = asyncio.create_task(line.reply())
        while not answer.done():
            line.raw(b" ")
            await asyncio.sleep(0.05)
        assert (await answer)["code"] == "timeout"


async def test_a_line_has_no_time_limit_before_it_begins(tmp_path: Path) -> None:
    async with served(tmp_path, frame_timeout=0.1) as made:
        idle, other = await made.line(), await made.line()
        assert (await idle.ask(GOOD))["ok"]
        other.raw(b"{")
        assert (await other.reply())["code"] == "timeout"  # so much time has gone by
        assert (await idle.ask(GOOD))["ok"]


async def test_a_line_has_no_time_limit_while_a_command_holds_its_connection(
    tmp_path: Path,
) -> None:
    """The peer has sent the rest long ago; it is we who do not read it."""
    async with served(tmp_path, frame_timeout=0.2) as made:
        line, other = await made.line(), await made.line()
        made.orders.gate.clear()
        line.raw(encoded({"op": "prune"}) + b'{"action":')
        await until(lambda: len(made.orders.asked) == 1)
        line.raw(b'"thing.done"}\n')
        other.raw(b"{")
        assert (await other.reply())["code"] == "timeout"  # so much time has gone by
        made.orders.gate.set()
        pruned, recorded = await line.replies(2)
        assert (pruned["ok"], recorded["ok"]) == (True, True)
        assert made.lost == {"timeout": 1}


async def test_a_line_has_no_time_limit_while_more_is_there_than_can_be_committed(
    tmp_path: Path,
) -> None:
    """The rest of it lies in the socket, which is not read."""
    async with served(tmp_path, frame_timeout=0.2) as made:
        flush, made.intake._flush_group = made.intake._flush_group, lambda: None  # type: ignore[method-assign]
        line, other = await made.line(), await made.line()
        event = encoded({**GOOD, "message": "x" * 900})
        count = 2 * BACKLOG_BYTES // len(event)
        line.raw(event * count)
        await until(lambda: made.intake.congested)
        await until(lambda: bool(made.source.status()["connections"] == 2))
        half = len(event) // 2
        line.raw(event[:half])
        other.raw(b"{")
        await until(lambda: made.lost["timeout"] == 1)  # the other's: so much time has gone by
        made.intake._flush_group = flush  # type: ignore[method-assign]
        line.raw(event[half:])
        assert all(answer["ok"] for answer in await line.replies(count + 1))
        assert made.lost == {"timeout": 1}


async def test_a_line_has_no_time_limit_while_its_peer_does_not_read_replies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is we who do not read then, though the peer is the reason: for that there is a limit too.

    Room for what it may send, meanwhile, is no reason to read.
    """
    monkeypatch.setattr("collector.intake.intake.BACKLOG_BYTES", 50_000)
    monkeypatch.setattr("collector.intake.submissions.GROUP_EVENTS", 50)
    async with served(tmp_path, frame_timeout=0.2, unread=4096) as made:
        deaf, other = await made.line(limit=1), await made.line()
        count = 20_000
        deaf.raw(encoded(GOOD) * count + b'{"action":"thing')

        def is_stopped() -> bool:
            waiting = [each for each in made.source._connections if each._unread_timer is not None]
            return bool(waiting and waiting[0]._framer.unfinished and not made.intake.backlog)

        await until(is_stopped)
        other.raw(b"{")
        assert (await other.reply())["code"] == "timeout"  # so much time has gone by
        deaf.raw(b'.done"}\n')
        answers = b""
        while answers.count(b"\n") < count + 1:
            answers += await asyncio.wait_for(deaf.reader.read(1 << 20), 20)
        assert answers.count(b'{"ok":true,') == count + 1
        assert made.lost == {"timeout": 1}


async def test_half_a_line_and_the_end_are_counted_and_recorded_as_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as made:
        line = await made.line()
        line.raw(encoded(GOOD) + encoded(GOOD)[:-1])  # whole JSON, but who knows what was to follow
        line.writer.write_eof()
        assert [answer["ok"] for answer in await line.rest()] == [True]
        assert made.lost == {"half_frame": 1}
        assert made.stored() == 1


# ── replies that are not read ───────────────────────────────────────────────────────────────────


async def flooded(line: Line, patience: float = 1.0) -> int:
    """Send events and read nothing until the other end stops reading too; how many were sent."""
    sent = 0
    try:
        while True:
            line.send(*[GOOD] * 500)
            sent += 500
            async with asyncio.timeout(patience):
                await line.writer.drain()
    except TimeoutError:
        return sent


async def test_replies_that_are_not_read_stop_the_reading_bounded_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, unread=4096) as made:
        deaf, other = await made.line(limit=1), await made.line()
        sent = await flooded(deaf)
        held = made.stored()
        assert held < sent
        assert (await other.ask(GOOD))["ok"]
        assert made.stored() == held + 1
        answers = b""
        while answers.count(b"\n") < sent:
            answers += await asyncio.wait_for(deaf.reader.read(1 << 20), 20)
        assert answers.count(b'{"ok":true,') == sent
        assert made.lost == {}


async def test_replies_that_are_not_read_for_too_long_end_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.connection.UNREAD_PATIENCE", 0.3)
    async with served(tmp_path, unread=4096) as made:
        deaf = await made.line(limit=1)
        try:
            await flooded(deaf, 5.0)
        except (ConnectionResetError, BrokenPipeError):
            pass
        await until(lambda: made.source.status()["connections"] == 0)
        assert made.lost == {"unread": 1}


async def test_a_peer_that_reads_its_last_replies_and_stops_halfway_is_closed_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read enough to be no longer deaf, and then leaves the rest: that has an end too."""
    async with served(tmp_path) as made:
        with socket.socket(socket.AF_UNIX) as slow:
            slow.setblocking(False)
            slow.connect(str(made.path))
            await until(lambda: len(made.source._connections) == 1)
            (connection,) = made.source._connections
            stream = connection._stream
            assert stream is not None
            asked = b"{}\n" * 40_000  # at once: megabytes of answers to one read
            assert slow.send(asked) == len(asked)
            slow.shutdown(socket.SHUT_WR)
            await until(lambda: stream.closing)
            assert stream.waiting > 1 << 20
            monkeypatch.setattr("collector.sources.connection.UNREAD_PATIENCE", 0.1)
            while stream.waiting > 1 << 18:  # a quarter of what may wait
                assert slow.recv(1 << 16)
                await asyncio.sleep(0)
            assert stream.waiting
            await until(lambda: made.lost["unread"] == 1)
            await until(lambda: made.source.status()["connections"] == 0)


async def test_more_than_can_be_committed_is_not_read_bounded(tmp_path: Path) -> None:
    """While a commit hangs, the sockets fill and not the daemon's memory."""
    async with served(tmp_path) as made:
        flush, made.intake._flush_group = made.intake._flush_group, lambda: None  # type: ignore[method-assign]
        lines = [await made.line() for _ in range(4)]
        event = encoded({**GOOD, "message": "x" * 900})
        for line in lines:
            line.raw(event * 10_000)
        await until(lambda: made.intake.congested)
        for _ in range(100):
            await asyncio.sleep(0)
        assert made.intake.backlog <= BACKLOG_BYTES + len(lines) * 256 * 1024
        made.intake._flush_group = flush  # type: ignore[method-assign]
        for line in lines:
            assert all(answer["ok"] for answer in await line.replies(10_000))


async def test_whoever_was_stopped_reads_on_though_others_fill_the_backlog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer whose last reply came while others still waited has no further reply to wake it."""
    monkeypatch.setattr("collector.intake.intake.BACKLOG_BYTES", 50_000)
    monkeypatch.setattr("collector.intake.submissions.GROUP_EVENTS", 50)
    async with served(tmp_path) as made:
        lines = [await made.line() for _ in range(12)]
        event = encoded({**GOOD, "message": "x" * 900})
        for line in lines:
            line.raw(event * 600)
        for line in lines:
            assert all(answer["ok"] for answer in await line.replies(600))
        assert made.intake.backlog == 0


async def test_what_a_limit_refuses_counts_as_waiting_too(tmp_path: Path) -> None:
    """Refusals are handed in as requests, not as bytes: without end they would pile up unseen."""
    async with served(tmp_path, rate=1.0) as made:
        flush, made.intake._flush_group = made.intake._flush_group, lambda: None  # type: ignore[method-assign]
        line = await made.line()
        line.raw(encoded(GOOD) * 40_000)
        try:
            await until(lambda: made.intake.congested)
        finally:
            made.intake._flush_group = flush  # type: ignore[method-assign]
        codes = {answer.get("code") for answer in await line.replies(40_000)}
        assert codes == {None, "rate_limited"}
        assert made.intake.backlog == 0


# ── commands ────────────────────────────────────────────────────────────────────────────────────


async def test_what_comes_after_a_command_waits_for_its_reply(tmp_path: Path) -> None:
    async with served(tmp_path) as made:
        line, other = await made.line(), await made.line()
        made.orders.gate.clear()
        line.send(GOOD, {"op": "prune", "max_entries": 7}, GOOD)
        assert (await line.reply())["seq"] == 1
        await until(lambda: len(made.orders.asked) == 1)
        line.send(GOOD)
        assert (await other.ask(GOOD))["seq"] == 2  # nobody else waits
        made.orders.gate.set()
        pruned, *later = await line.replies(3)
        assert pruned["count"] == 7
        assert [answer["seq"] for answer in later] == [3, 4]


async def test_a_command_that_fails_for_our_fault_leaves_the_connection_alive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as made:
        line = await made.line()
        failed = await line.ask({"op": "prune", "max_entries": 666})
        assert (failed["ok"], failed["code"]) == (False, "failed")
        assert (await line.ask(GOOD))["ok"]
        assert "the command 'prune' failed" in caplog.text


async def test_a_peer_that_leaves_during_its_command_disturbs_nobody(tmp_path: Path) -> None:
    async with served(tmp_path) as made:
        line, other = await made.line(), await made.line()
        made.orders.gate.clear()
        line.send({"op": "prune"}, GOOD)
        await until(lambda: len(made.orders.asked) == 1)
        line.writer.transport.abort()
        made.orders.gate.set()
        await until(lambda: made.source.status()["connections"] == 1)
        assert (await other.ask({"op": "ping"}))["pong"]


async def test_arguments_that_no_command_knows_are_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as made:
        line = await made.line()
        answer = await line.ask({"op": "prune", "max_day": 3})
        assert (answer["ok"], answer["code"]) == (False, "invalid_event")
        assert "max_day" in answer["error"]
        assert made.orders.asked == []


async def test_a_connection_that_is_gone_leaves_nothing_for_the_garbage_collector(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as made:
        line = await made.line()
        assert (await line.ask(GOOD))["ok"]
        (connection,) = made.source._connections
        left = weakref.ref(connection)
        del connection
        gc.disable()
        try:
            line.writer.close()
            await until(lambda: left() is None)
        finally:
            gc.enable()
