"""The reading loop: whatever peers and listeners do, bytes arrive whole, in order, and none spins."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import random
import resource
import select
import signal
import socket
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.sources.streams import LOOKS, RECEIVE, Stream, Streams

pytestmark = pytest.mark.anyio

UNREAD = 1 << 20
NOISE = random.Random(5).randbytes(4 << 20)
"""What is sent: bytes that were doubled, dropped or swapped would show."""


class Counted(Streams):
    """Counts how often the loop has called it."""

    calls = 0

    def _ready(self) -> None:
        self.calls += 1
        super()._ready()


@dataclass
class Heard:
    """A listener that writes down what it hears, and then does as it is told."""

    pieces: list[bytes] = field(default_factory=list)
    """What came, as it was handed over: it must not change any more."""
    told: list[str] = field(default_factory=list)
    error: Exception | None = None
    acts: dict[str, Callable[[], object]] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        """All that came."""
        return b"".join(self.pieces)

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self._hear("data")

    def eof_received(self) -> None:
        self._hear("eof")

    def pause_writing(self) -> None:
        self._hear("pause")

    def resume_writing(self) -> None:
        self._hear("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self._hear("lost")

    def _hear(self, what: str) -> None:
        self.told.append(what)
        self.acts.get(what, int)()


@dataclass
class House:
    """Streams that are served, and the peers at their other ends."""

    streams: Counted
    looks: Callable[[], bool] = bool
    peers: list[socket.socket] = field(default_factory=list)

    def open(self, unread: int = UNREAD) -> tuple[Stream, Heard, socket.socket]:
        """A connection: this end, its listener, and the peer, which does not block."""
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        peer.setblocking(False)
        self.peers.append(peer)
        heard = Heard()
        return self.streams.open(ours, heard, unread), heard, peer


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[House]:
    """Serve until the block ends; by then every stream's end has been told, once, and last."""
    house = House(Counted(lambda: house.looks()))
    try:
        yield house
    finally:
        for peer in house.peers:
            peer.close()
        house.streams.close()
        await turns(3)


async def turns(count: int) -> None:
    """Let the loop turn, and ask its sockets, so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Let the loop turn until it is so, under a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


def received(peer: socket.socket, most: int = 1 << 20) -> bytes | None:
    """What a peer can read now, empty at the end; None where there is nothing yet.

    The system tells the end as a reset, behind all data, where something of the peer's was not read.
    """
    try:
        return peer.recv(most)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""


async def everything(peer: socket.socket, most: int = 1 << 20) -> bytes:
    """What a peer reads until the end, at most so much each turn."""
    got = bytearray()
    deadline = time.monotonic() + 20
    while (piece := received(peer, most)) != b"":
        got += piece or b""
        assert time.monotonic() < deadline
        await asyncio.sleep(0)
    return bytes(got)


def fill(peer: socket.socket) -> int:
    """Send until nothing more fits; how much that was."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += peer.send(NOISE[: 1 << 16])
    return sent


# ── bytes ───────────────────────────────────────────────────────────────────────────────────────

SIZES = st.sampled_from([0, 1, 50, 5000, 70_000, 250_000, 600_000])
"""Some are more than a socket of this system takes."""
STEPS = st.one_of(
    st.tuples(st.sampled_from(["write", "send", "read"]), SIZES),
    st.tuples(st.sampled_from(["pause", "resume", "turn"]), st.just(0)),
)


@settings(max_examples=150)
@given(steps=st.lists(STEPS, max_size=30), unread=st.sampled_from([0, 1, 4096, 300_000]))
def test_bytes_arrive_whole_and_in_order_in_both_directions_whatever_is_paused(
    steps: list[tuple[str, int]], unread: int
) -> None:
    asyncio.run(exchanged(steps, unread))


async def exchanged(steps: list[tuple[str, int]], unread: int) -> None:
    async with serving() as house:
        stream, heard, peer = house.open(unread)
        written = sent = 0
        got = bytearray()
        held: int | None = None
        """What had been heard when reading was paused."""
        for verb, size in steps:
            if verb == "write":
                stream.write(NOISE[written : written + size])
                written += len(NOISE[written : written + size])
            elif verb == "send":
                with contextlib.suppress(BlockingIOError):
                    sent += peer.send(NOISE[-1 - sent : -1 - sent - size : -1])
            elif verb == "read":
                got += (received(peer, size) or b"") if size else b""
            elif verb == "pause":
                stream.pause_reading()
                held = len(heard.data)
            elif verb == "resume":
                stream.resume_reading()
                held = None
            await turns(verb == "turn")
            assert held is None or len(heard.data) == held
            assert ("pause" in heard.told[-1:]) <= (stream.waiting > unread // 4)
        stream.resume_reading()
        heard.acts["eof"] = stream.close
        peer.shutdown(socket.SHUT_WR)
        got += await everything(peer)
        await until(lambda: "lost" in heard.told)
        assert heard.data == NOISE[-1 : -1 - sent : -1]
        assert got == NOISE[:written]
        order = [what for what in heard.told if what in ("pause", "resume")]
        assert order == (["pause", "resume"] * len(order))[: len(order)]
        assert heard.told.count("eof") == heard.told.count("lost") == 1
        assert (heard.told[-1], heard.error) == ("lost", None)


async def test_a_peer_that_half_closes_reads_all_its_replies_as_slowly_as_it_likes() -> None:
    async with serving() as house:
        stream, heard, peer = house.open()
        heard.acts["data"] = lambda: stream.write(NOISE)
        heard.acts["eof"] = stream.close
        peer.send(b"all of it, please")
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: "eof" in heard.told)
        assert stream.waiting > len(NOISE) // 2
        calls = house.streams.calls
        await turns(100)
        assert house.streams.calls == calls  # it waits for the peer, and not for the processor
        assert await everything(peer, 5000) == NOISE
        await until(lambda: "lost" in heard.told)
        assert heard.told == ["data", "pause", "eof", "resume", "lost"]
        assert heard.error is None


async def test_what_waits_at_the_close_is_sent_and_nothing_more_is_read() -> None:
    async with serving() as house:
        stream, heard, peer = house.open()
        stream.write(NOISE)
        stream.close()
        assert stream.closing
        peer.send(b"too late")
        assert await everything(peer) == NOISE
        await until(lambda: "lost" in heard.told)
        assert heard.told == ["pause", "resume", "lost"]
        assert heard.data == b""


async def test_unread_bytes_pause_above_the_limit_and_resume_at_its_quarter_bounded() -> None:
    """The quarter is reached in steps, which the system chooses: the first that reaches it counts."""
    async with serving() as house:
        stream, heard, peer = house.open(UNREAD)
        at: dict[str, int] = {}
        heard.acts["pause"] = lambda: at.setdefault("pause", stream.waiting)
        heard.acts["resume"] = lambda: at.setdefault("resume", stream.waiting)
        while not stream.waiting:
            stream.write(NOISE[:1000])
        stream.write(bytes(UNREAD - stream.waiting))
        assert heard.told == []  # as much as the limit is not more
        stream.write(b"!")
        stream.write(b"!")
        assert (heard.told, at["pause"]) == (["pause"], UNREAD + 1)
        last = stream.waiting
        while "resume" not in heard.told:
            assert stream.waiting > UNREAD // 4
            last = stream.waiting
            assert received(peer, 4096) is not None
            await turns(2)
        assert 0 < at["resume"] <= UNREAD // 4 < last
        assert heard.told == ["pause", "resume"]


async def test_what_was_handed_over_stays_as_it_was_when_more_is_received() -> None:
    async with serving() as house:
        made = [house.open() for _ in range(2)]
        for piece in (b"one", b"two"):
            for number, (_, heard, peer) in enumerate(made):
                peer.send(piece + b"%d" % number)
                await until(lambda h=heard, p=piece: p in h.data)  # type: ignore[misc]
        assert [heard.pieces for _, heard, _ in made] == [[b"one0", b"two0"], [b"one1", b"two1"]]


async def test_a_stream_that_has_sent_what_waited_is_not_told_of_room_any_more() -> None:
    """There always is room then: the loop would turn for nothing."""
    async with serving() as house:
        stream, heard, peer = house.open()
        stream.write(NOISE)
        while stream.waiting:
            received(peer)
            await turns(1)
        calls = house.streams.calls
        await turns(200)
        assert house.streams.calls - calls <= 1
        peer.send(b"still heard")
        await until(lambda: heard.data == b"still heard")


# ── peers that go ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("unread_by_peer", [False, True], ids=["read", "unread"])
async def test_a_peer_that_goes_while_paused_costs_nothing_and_is_noticed_after(
    unread_by_peer: bool,
) -> None:
    """A hang-up is told whether it is asked for or not: a paused socket must not be polled at all."""
    async with serving() as house:
        stream, heard, peer = house.open()
        if unread_by_peer:
            stream.write(b"not read")  # then the peer's end is an error: connection reset
        peer.send(b"last words")
        stream.pause_reading()
        peer.close()
        calls = house.streams.calls
        await turns(200)
        assert house.streams.calls == calls
        assert heard.told == []
        heard.acts["eof"] = stream.close
        stream.resume_reading()
        await until(lambda: "lost" in heard.told)
        assert heard.data == b"last words"
        assert heard.told == (["data", "lost"] if unread_by_peer else ["data", "eof", "lost"])
        assert isinstance(heard.error, ConnectionResetError) == unread_by_peer


async def test_a_peer_that_goes_in_the_middle_of_a_reply_ends_the_stream_once() -> None:
    async with serving() as house:
        stream, heard, peer = house.open()
        stream.write(NOISE)
        stream.pause_reading()
        peer.recv(1000)
        peer.close()
        await until(lambda: "lost" in heard.told)
        assert heard.told == ["pause", "lost"]
        assert isinstance(heard.error, OSError)
        assert (stream.waiting, stream.closing) == (0, True)
        calls = house.streams.calls
        await turns(100)
        assert house.streams.calls == calls


async def test_a_reply_to_a_peer_that_is_gone_breaks_that_stream_alone() -> None:
    async with serving() as house:
        streams = [house.open() for _ in range(3)]
        _, _, gone = streams[1]
        gone.close()
        for stream, _, _ in streams:
            stream.write(b"reply")
        assert [peer.recv(10) for _, _, peer in (streams[0], streams[2])] == [b"reply"] * 2
        await turns(3)
        assert [heard.told for _, heard, _ in streams] == [[], ["lost"], []]
        assert isinstance(streams[1][1].error, BrokenPipeError)


async def test_a_peer_that_stops_sending_is_told_once_and_not_polled_for_it_again() -> None:
    async with serving() as house:
        stream, heard, peer = house.open()
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: "eof" in heard.told)
        calls = house.streams.calls
        stream.resume_reading()
        await turns(100)
        assert (heard.told, house.streams.calls) == (["eof"], calls)
        stream.write(b"still read")
        assert peer.recv(100) == b"still read"


async def test_urgent_bytes_do_not_make_the_loop_turn_for_nothing() -> None:
    async with serving() as house:
        _, heard, peer = house.open()
        try:
            peer.send(b"!", socket.MSG_OOB)
        except OSError:
            pytest.skip("this system knows no urgent bytes on Unix sockets")
        await turns(200)
        assert house.streams.calls < 10
        peer.send(b"and on")
        await until(lambda: heard.data.endswith(b"and on"))


# ── the end of a stream ─────────────────────────────────────────────────────────────────────────


async def test_the_end_is_told_once_and_last_whatever_else_is_asked_of_the_stream() -> None:
    async with serving() as house:
        stream, heard, peer = house.open(0)
        peer.send(b"never read")
        stream.abort()
        for ask in (stream.abort, stream.close, stream.resume_reading, stream.pause_reading):
            ask()
        stream.write(NOISE)
        stream.lose(OSError("late"))
        assert heard.told == []  # in a turn of its own: whoever aborts is not called back within
        await turns(5)
        assert (heard.told, heard.error) == (["lost"], None)
        stream.write(NOISE)
        stream.resume_reading()
        stream.abort()
        await turns(5)
        assert heard.told == ["lost"]
        with pytest.raises(ConnectionResetError):
            peer.recv(100)  # the system's word for it: what was sent has not been read


async def test_a_stream_that_has_ended_is_held_by_nobody() -> None:
    """Nor does it wait for the garbage collector, which a daemon seldom calls."""
    async with serving() as house:
        stream, heard, _ = house.open()
        stream.abort()
        await turns(2)
        assert heard.told == ["lost"]
        left = weakref.ref(stream)
        gc.disable()
        try:
            del stream
            assert left() is None
        finally:
            gc.enable()


async def test_a_stream_that_another_one_aborts_in_the_same_poll_hears_only_its_end() -> None:
    async with serving() as house:
        pair = [house.open(), house.open()]
        (one, heard_one, peer_one), (other, heard_other, peer_other) = pair
        heard_one.acts["data"] = other.abort
        heard_other.acts["data"] = one.abort
        peer_one.send(b"x")
        peer_other.send(b"x")
        await turns(5)
        assert sorted([heard_one.told, heard_other.told]) == [["data"], ["lost"]]


async def test_a_number_is_not_used_again_while_its_events_are_still_to_be_served() -> None:
    """A stream opened in the middle of a poll must not be served what another one's peer caused."""
    async with serving() as house:
        first = [house.open(), house.open()]
        later: list[tuple[Stream, Heard, socket.socket]] = []

        def replace(victim: Stream) -> None:
            victim.abort()
            later.extend(house.open() for _ in range(3))
            for stream, _, _ in later:  # an event that is not its own would look for this
                stream._read = lambda: pytest.fail("served without an event")  # type: ignore[method-assign]

        for (_, heard, peer), (victim, _, _) in zip(first, reversed(first), strict=True):
            heard.acts["data"] = lambda victim=victim: replace(victim)  # type: ignore[misc]
            peer.send(b"x")
        await turns(5)
        assert sorted(heard.told for _, heard, _ in first) == [["data"], ["lost"]]
        assert [heard.told for _, heard, _ in later] == [[], [], []]


async def test_a_number_that_is_used_again_is_the_new_streams_alone() -> None:
    async with serving() as house:
        old, heard_old, _ = house.open()
        number = old._number
        old.abort()
        await turns(2)
        made = [house.open() for _ in range(3)]
        assert number in [stream._number for stream, _, _ in made]
        old.pause_reading()
        old.resume_reading()
        old.abort()
        for _, _, peer in made:
            peer.send(b"x")
        await turns(3)
        assert [heard.told for _, heard, _ in made] == [["data"]] * 3
        assert heard_old.told == ["lost"]


async def test_closing_leaves_no_descriptor_and_tells_every_stream_that_is_left() -> None:
    before = os.listdir("/proc/self/fd")
    async with serving() as house:
        made = [house.open() for _ in range(3)]
        waiting, paused, _ = made
        waiting[0].write(NOISE)
        paused[0].pause_reading()
        house.streams.close()
        house.streams.close()
        for stream, _, peer in made:
            stream.write(b"late")
            stream.resume_reading()
            with contextlib.suppress(BrokenPipeError):
                peer.send(b"late")
        await turns(3)
        assert [heard.told for _, heard, _ in made] == [["pause", "lost"], ["lost"], ["lost"]]
    assert os.listdir("/proc/self/fd") == before


# ── listeners that fail ─────────────────────────────────────────────────────────────────────────


def fault() -> None:
    raise ZeroDivisionError("a fault of ours")


@pytest.mark.parametrize("when", ["data", "eof", "pause", "resume"])
async def test_a_listener_that_raises_ends_its_own_connection_and_no_other(
    when: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as house:
        others = [house.open() for _ in range(2)]
        stream, heard, peer = house.open(1000)
        others += [house.open() for _ in range(2)]
        heard.acts[when] = fault
        if when in ("pause", "resume"):
            stream.write(NOISE)
        else:
            peer.send(b"x")
        if when == "eof":
            peer.shutdown(socket.SHUT_WR)
        for _, _, other in others:
            other.send(b"x")
        await turns(3)
        if when == "resume":
            await everything(peer)
        await until(lambda: "lost" in heard.told)
        assert heard.told[-2:] == [when, "lost"]
        assert isinstance(heard.error, ZeroDivisionError)
        assert [other.told for _, other, _ in others] == [["data"]] * 4
        assert caplog.messages == ["a connection failed, and is closed"]


class Narrow:
    """An epoll that has no room for one more socket; a real one is the whole machine's matter."""

    def __init__(self, real: select.epoll) -> None:
        self._real = real

    def register(self, number: int, events: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


async def test_where_no_more_can_be_watched_a_socket_stays_the_callers() -> None:
    async with serving() as house:
        house.streams._epoll = Narrow(house.streams._epoll)  # type: ignore[assignment]
        ours, peer = socket.socketpair()
        with ours, peer:
            with pytest.raises(OSError, match="No space left"):
                house.streams.open(ours, Heard(), UNREAD)
            ours.send(b"busy")
            assert peer.recv(100) == b"busy"
        house.streams.close()  # and no stream is left that would be told of its end


async def test_a_stream_that_cannot_be_watched_again_is_lost_and_disturbs_nobody() -> None:
    async with serving() as house:
        stream, heard, _ = house.open()
        stream.pause_reading()
        stream._epoll = Narrow(stream._epoll)  # type: ignore[assignment]
        stream.write(NOISE)
        await turns(2)
        assert heard.told == ["lost"]
        assert isinstance(heard.error, OSError)


# ── many ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for thousands of descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4000:
        pytest.skip("this system allows no 4000 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_more_connections_than_one_poll_tells_of_are_all_heard(
    many_descriptors: None,
) -> None:
    """A poll tells of 1023 at most: those it left out come with the next, before any is told twice."""
    async with serving() as house:
        made = [house.open() for _ in range(1500)]
        for number, (_, _, peer) in enumerate(made):
            peer.send(b"%d" % number)
        calls = house.streams.calls
        await until(lambda: all(heard.told for _, heard, _ in made))
        assert house.streams.calls - calls <= 2
        assert [int(heard.data) for _, heard, _ in made] == list(range(1500))


async def test_a_flood_on_one_connection_takes_no_turn_from_the_others() -> None:
    """Whoever floods is read once a poll, as is whoever sends a single line."""
    async with serving() as house:
        _, flood, flooder = house.open()
        flood.acts["data"] = lambda: fill(flooder)
        fill(flooder)
        await until(lambda: len(flood.told) >= 3)
        singles = [house.open() for _ in range(50)]
        for _ in range(20):
            before, calls = len(flood.told), house.streams.calls
            marks = [len(heard.told) for _, heard, _ in singles]
            for _, _, peer in singles:
                peer.send(b"x")
            await until(lambda c=calls: house.streams.calls > c)  # type: ignore[misc]
            assert [len(heard.told) for _, heard, _ in singles] == [m + 1 for m in marks]
            assert len(flood.told) - before == house.streams.calls - calls
        flood.acts.clear()


async def test_a_read_takes_no_more_than_so_much_at_once_bounded() -> None:
    async with serving() as house:
        stream, heard, peer = house.open()
        stream._peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * RECEIVE)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * RECEIVE)
        sent = fill(peer)
        await until(lambda: len(heard.data) == sent)
        assert max(map(len, heard.pieces)) <= RECEIVE


async def test_who_asks_to_look_again_for_ever_leaves_the_loop_to_others_bounded() -> None:
    async with serving() as house:
        looked = 0

        def look() -> bool:
            nonlocal looked
            looked += 1
            assert looked <= LOOKS  # or the loop would never turn again
            return True

        house.looks = look
        _, heard, peer = house.open()
        peer.send(b"x")
        await until(lambda: heard.told)
        assert (looked, house.streams.calls) == (LOOKS, 1)


async def test_what_comes_while_others_are_answered_is_read_in_the_same_turn_where_that_is_asked() -> (
    None
):
    async with serving() as house:
        _, heard, peer = house.open()
        answers = iter([True, False])

        def look() -> bool:
            if more := next(answers):
                peer.send(b"second")
            return more

        house.looks = look
        peer.send(b"first")
        await until(lambda: heard.told)
        assert (heard.data, house.streams.calls) == (b"firstsecond", 1)


async def test_a_signal_in_the_middle_of_a_poll_waits_until_all_that_was_heard_is_answered() -> (
    None
):
    async with serving() as house:
        made = [house.open() for _ in range(20)]
        stopped = asyncio.Event()

        def stop() -> None:
            for stream, _, _ in made:
                stream.close()
            stopped.set()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop)
        try:
            for number, (stream, heard, peer) in enumerate(made):
                heard.acts["data"] = lambda s=stream: s.write(NOISE)  # type: ignore[misc]
                peer.send(b"%d" % number)
            first = made[0][1]
            answer = first.acts["data"]

            def interrupted() -> None:
                os.kill(os.getpid(), signal.SIGTERM)
                answer()

            first.acts["data"] = interrupted
            await asyncio.wait_for(stopped.wait(), 20)
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
        assert [int(heard.data) for _, heard, _ in made] == list(range(20))
        for _, _, peer in made:
            assert await everything(peer) == NOISE
        await turns(3)
        assert all(heard.told == ["data", "pause", "resume", "lost"] for _, heard, _ in made)
