"""Rows about recording: rates, acknowledgements, bytes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
from typing import Any

from tests.benchmarks import raw
from tests.benchmarks.bench import Bench, Line, ratio
from tests.benchmarks.servers import Daemon, Load, Redis


def burst(bench: Bench) -> list[Line]:
    """A burst of varied events from one pipelining client."""
    ours, theirs = bench.once("burst", lambda: _burst(bench)), _redis(bench, "burst")
    for _ in range(bench.sizes.rounds - 1):
        again = _burst(bench, settle=False)
        for better, name in ((max, "rate"), (min, "processor")):
            ours[name] = better(ours[name], again[name])
        bench.forget("redis.burst")
        theirs = max(theirs or 0.0, _redis(bench, "burst") or 0.0)
    return [
        Line(
            "burst, one pipelining client / Redis always",
            ratio(ours["rate"], theirs),
            "≥ 1.0",
            _rates(ours["rate"], theirs) + f"; {ours['processor']:.1f} µs of processor an event",
        )
    ]


def sustained(bench: Bench) -> list[Line]:
    """The same for as long as a flag says, with followers."""
    ours, theirs = (
        bench.once("sustained", lambda: _sustained(bench, False)),
        _redis(bench, "sustained"),
    )
    indexed = bench.once(
        "indexed",
        lambda: raw.indexed_batches(bench.directory(), bench.sizes.rows, bench.sizes.sustained),
    )
    seconds = f"{bench.sizes.sustained:g} s"
    lag = f"postings {ours['lag']['postings']:,} behind at the end"
    return [
        Line(
            f"sustained {seconds} / Redis always",
            ratio(ours["rate"], theirs),
            "≥ 0.75",
            f"{_rates(ours['rate'], theirs)}; {lag}",
        ),
        Line(
            f"sustained {seconds} / executemany, four indexes",
            ratio(ours["rate"], indexed),
            "≥ 2.5",
            _rates(ours["rate"], indexed),
        ),
    ]


def ids(bench: Bench) -> list[Line]:
    """Sustained, with a random UUIDv4 from the producer in each event, between two rounds without."""
    before = bench.once("sustained", lambda: _sustained(bench, False))["rate"]
    with_ids = _sustained(bench, True)["rate"]
    without = (before + _sustained(bench, False)["rate"]) / 2
    return [
        Line(
            "sustained with UUIDv4 ids / without",
            ratio(with_ids, without),
            "≥ 0.7",
            _rates(with_ids, without),
        )
    ]


def connections(bench: Bench) -> list[Line]:
    """One event at a time from 1 and from 64 connections; ours and Redis's in turn, the best of each."""
    one = many = 0.0
    theirs: float | None = None
    for _ in range(bench.sizes.rounds):
        with Daemon(bench.directory()) as daemon:
            one = max(one, _turns(bench, daemon, 1))
            many = max(many, _turns(bench, daemon, 64))
        if bench.redis:
            with Redis(bench.directory()) as redis:
                theirs = max(theirs or 0.0, _turns(bench, redis, 64))
    return [
        Line("64 connections / 1, an event at a time", ratio(many, one), "≥ 5", _rates(many, one)),
        Line("64 connections / Redis always", ratio(many, theirs), "≥ 0.6", _rates(many, theirs)),
    ]


def written(bench: Bench) -> list[Line]:
    """Bytes that the daemon sends to the disk for each event, followers and checkpoints included."""
    fast = bench.once("burst", lambda: _burst(bench))
    with Daemon(bench.directory()) as daemon:
        bench.load(daemon, "stream", make=min(20_000, bench.sizes.make))  # the dictionaries
        bench.settle(daemon)
        before = daemon.written()
        events = bench.load(daemon, "latency", seconds=bench.sizes.latency)["events"]
        bench.settle(daemon)
        slow = (daemon.written() - before) / events
    return [
        Line("bytes written an event, full speed", fast["written"], "≤ 1,500"),
        Line("bytes written an event, one a commit", slow, "≤ 16,000"),
    ]


def acknowledgement(bench: Bench) -> list[Line]:
    """One event at a time: beside a bare commit, and while everything else goes on."""
    commit, idle, idle_99 = _single(bench)
    busy = bench.once("busy", lambda: _busy(bench))
    return [
        Line(
            "acknowledgement p50 / one-row commit",
            ratio(idle, commit),
            "≤ 1.5",
            f"{idle:.2f} ms / {commit:.2f} ms",
        ),
        Line(
            "acknowledgement p99, pruning, followers, 8 readers / idle",
            ratio(busy["p99"], idle_99),
            "≤ 10",
            f"{busy['p99']:.2f} ms / {idle_99:.2f} ms; most {busy['most']:.1f} ms; "
            f"{busy['pruned']:,} pruned in {busy['seconds']:.1f} s",
        ),
    ]


def _single(bench: Bench) -> tuple[float, float, float]:
    """Medians of bare commits, and of acknowledgements and their 99th percentile, in ms.

    Measured in turn: within a minute a disk may take half as long again.
    """
    commits, loads = [], []
    with Daemon(bench.directory()) as daemon:
        for _ in range(bench.sizes.turnabouts):
            count = bench.sizes.commits // bench.sizes.turnabouts
            commits.append(raw.one_row_commits(bench.directory(), count)[1])
            seconds = bench.sizes.latency / bench.sizes.turnabouts
            loads.append(bench.load(daemon, "latency", seconds=seconds, make=5_000))
    middle = statistics.median
    return middle(commits), middle(r["p50"] for r in loads), middle(r["p99"] for r in loads)


def growth(bench: Bench) -> list[Line]:
    """Whether a large journal records as fast as a small one."""
    count = bench.sizes.make
    daemon = bench.filled()
    large = bench.load(daemon, "stream", make=count, seed=3)["rate"]
    with Daemon(bench.directory()) as fresh:
        bench.load(fresh, "stream", make=min(100_000, count), seed=4)
        small = bench.load(fresh, "stream", make=count, seed=3)["rate"]
    return [
        Line(
            f"recording at {bench.sizes.filled:,} / at 100,000",
            ratio(large, small),
            "≥ 0.9",
            _rates(large, small),
        )
    ]


def _burst(bench: Bench, *, settle: bool = True) -> dict[str, Any]:
    with Daemon(bench.directory()) as daemon:
        load = Load(daemon, "stream", make=bench.sizes.burst)
        before, spent = daemon.written(), daemon.processor()
        result = load.go().result()
        result["processor"] = (daemon.processor() - spent) / result["events"] * 1e6
        if settle:
            bench.settle(daemon)
            result["written"] = (daemon.written() - before) / result["events"]
    return result


def _sustained(bench: Bench, with_ids: bool) -> dict[str, Any]:
    with Daemon(bench.directory()) as daemon:
        result = bench.load(daemon, "stream", seconds=bench.sizes.sustained, ids=with_ids)
        result["lag"] = daemon.journal()["lag"]
    return result


def _redis(bench: Bench, name: str) -> float | None:
    """Redis's rate for the same load; None where there is no Redis."""
    if not bench.redis:
        return None

    def measure() -> float:
        with Redis(bench.directory()) as redis:
            if name == "burst":
                result = bench.load(redis, "stream", make=bench.sizes.burst)
            else:
                result = bench.load(redis, "stream", seconds=bench.sizes.sustained)
        rate: float = result["rate"]
        return rate

    rate: float = bench.once(f"redis.{name}", measure)
    return rate


def _turns(bench: Bench, server: Daemon | Redis, count: int) -> float:
    result = bench.load(server, "turns", connections=count, seconds=bench.sizes.turns, make=20_000)
    rate: float = result["rate"]
    return rate


def _busy(bench: Bench) -> dict[str, Any]:
    """Latency for as long as a prune takes, beside a trickle that feeds followers, and readers."""
    daemon, sizes = bench.filled(), bench.sizes
    stop = bench.directory() / "stop"
    load = Load(daemon, "latency", make=20_000, until=str(stop), pause=0.001)
    trickle = Load(daemon, "trickle", make=20_000, batch=50, rate=2_000, until=str(stop))
    readers = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.reading", str(daemon.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert readers.stdout is not None
    readers.stdout.readline()
    keep = daemon.journal()["entries"] - sizes.prune
    prune = threading.Thread(target=daemon.ask, kwargs={"op": "prune", "max_entries": keep})
    load.go()
    trickle.go()
    prune.start()
    prune.join()
    stop.touch()
    result = load.result()
    trickle.result()
    readers.communicate(timeout=60)
    result["pruned"] = sizes.prune
    return result


def _rates(one: float, other: float | None) -> str:
    return f"{one:,.0f}/s" + (f" / {other:,.0f}/s" if other else "")
