"""Rows about HTTP: pages, batches, single events and streams beside what the socket does."""

from __future__ import annotations

from typing import Any, Final

from tests.benchmarks.bench import Bench, Line, ratio
from tests.benchmarks.servers import Daemon, Load

BATCH: Final = 2_000
"""Lines of one request."""
PAUSE: Final = 0.01
"""Seconds between two pages, or two events for streams: a busy person, not a flood."""


def feed(bench: Bench) -> list[Line]:
    """The newest page, idle and while one client records as fast as it can."""
    with Daemon(bench.directory(), web=True) as daemon:
        bench.load(daemon, "stream", make=bench.sizes.make)
        bench.settle(daemon)
        idle = _pages(bench, daemon).go().result()
        asking = _pages(bench, daemon)
        recording = Load(daemon, "stream", make=bench.sizes.make, seconds=bench.sizes.latency)
        recording.go()
        busy = asking.go().result()
        rate = recording.result()["rate"]
    return [
        Line("feed page p99 idle, ms", idle["p99"], "none", f"median {idle['p50']:.1f} ms"),
        Line(
            "feed page p99 while recording at full speed, ms",
            busy["p99"],
            "none",
            f"median {busy['p50']:.1f} ms; {rate:,.0f}/s recorded meanwhile",
        ),
    ]


def post(bench: Bench) -> list[Line]:
    """NDJSON batches on one connection beside the socket, in turn; the best of each."""
    socket = batches = 0.0
    with Daemon(bench.directory(), web=True) as daemon:
        asked: dict[str, Any] = {"address": daemon.page, "key": daemon.key(), "batch": BATCH}
        for _ in range(bench.sizes.rounds):
            socket = max(socket, bench.load(daemon, "stream")["rate"])
            batches = max(batches, bench.load(daemon, "stream", **asked)["rate"])
    detail = f"{batches:,.0f}/s / {socket:,.0f}/s"
    what = f"POST of {BATCH:,} lines a request / socket"
    return [Line(what, ratio(batches, socket), "≥ 0.5", detail)]


def single(bench: Bench) -> list[Line]:
    """One event a request on a connection that stays, beside one event a line on the socket."""
    turn: dict[str, Any] = {"connections": 1, "seconds": bench.sizes.turns, "make": 20_000}
    with Daemon(bench.directory(), web=True) as daemon:
        line = bench.load(daemon, "turns", **turn)["rate"]
        asked = {"address": daemon.page, "key": daemon.key()}
        request = bench.load(daemon, "turns", **turn, **asked)["rate"]
    detail = f"{request:,.0f}/s / {line:,.0f}/s"
    return [Line("one event a POST / one a line", ratio(request, line), "none", detail)]


def streams(bench: Bench) -> list[Line]:
    """From the acknowledgement to the event on a stream, for one stream and for many; their memory."""
    many = bench.sizes.streams
    with Daemon(bench.directory(), web=True) as daemon:
        _follow(bench, daemon, 1).go().result()
        one = _follow(bench, daemon, 1).go().result()
        before = daemon.resident()
        following = _follow(bench, daemon, many)
        grown = daemon.resident() - before
        all_ = following.go().result()
    return [
        Line("commit to event on a stream, p99, ms", one["p99"], "none", _median(one)),
        Line(f"commit to event on the last of {many}, p99, ms", all_["p99"], "none", _median(all_)),
        Line(f"memory of {many} streams, MB", max(grown, 0.01), "≤ 10"),
    ]


def _pages(bench: Bench, daemon: Daemon) -> Load:
    seconds = bench.sizes.latency
    job: dict[str, Any] = {"page": daemon.page, "seconds": seconds, "pause": PAUSE}
    return Load(daemon, "pages", program="browsing", **job)


def _follow(bench: Bench, daemon: Daemon, count: int) -> Load:
    job: dict[str, Any] = {"page": daemon.page, "streams": count, "make": 5_000}
    job |= {"seconds": bench.sizes.latency, "pause": PAUSE}
    return Load(daemon, "streams", program="browsing", **job)


def _median(result: dict[str, Any]) -> str:
    return f"median {result['p50']:.2f} ms"
