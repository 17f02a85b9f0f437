"""Rows about the Python library: what recording costs the program that records."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from collector.client import Client, Connection, NullSink, Trail
from collector.client.ids import new_id
from tests.benchmarks.bench import Bench, Line, ratio
from tests.benchmarks.servers import Daemon

ROOM: Final = 1 << 30
"""Bytes of buffer: what is measured here is never an overflow."""
WINDOW: Final = 4_000
PAUSE: Final = 0.0002
"""Seconds between two calls: 5,000 events/s at most, each from a cold processor cache."""
ACTION: Final = "settings.updated"
IMPORT: Final = """
import time
begun = time.process_time()
import msgspec
between = time.process_time()
from collector.client import Client, record, audit, audited, actor_context
print(between - begun, time.process_time() - between)
"""


def varied(count: int) -> Iterator[dict[str, Any]]:
    """The arguments of `count` calls: hundreds of actors, thousands of objects."""
    for number in range(count):
        yield {
            "object": ("setting", f"key-{number * 7919 % 5000}"),
            "actor": ("user", str(number % 300), f"User {number % 300}"),
            "channel": "settings",
            "metadata": {"path": f"ui.field{number % 40}", "from": number, "to": number + 1},
        }


def calls(bench: Bench) -> list[Line]:
    """`record()` as its caller sees it, in each mode."""
    count = bench.sizes.calls
    with Daemon(bench.directory()) as daemon:
        socket = daemon.address
        with Client(socket, buffer=count + 1, buffer_bytes=ROOM, timeout=60) as background:
            rounds = [_percentiles(background, count) for _ in range(bench.sizes.rounds)]
            p50, p99 = min(rounds)
            rested, rested_99 = _percentiles(background, count // 4, PAUSE)
        with Client(socket, mode="wait", timeout=60) as waiting:
            wait, wait_99 = _percentiles(waiting, count // 4)
        spool = bench.directory()
        with Client(socket, mode="spool", spool=spool, timeout=60) as spooling:
            disk, disk_99 = _percentiles(spooling, count // 4)
    nothing = f"into a NullSink {_percentiles(NullSink(), count // 4, PAUSE)[0]:.1f} µs"
    return [
        Line("background record() p50 in the caller, µs", p50, "≤ 10", f"p99 {p99:.1f} µs"),
        Line(
            "the same, each after a rest, µs", rested, "none", f"p99 {rested_99:.1f} µs; {nothing}"
        ),
        Line("wait record() p50, µs", wait, "none", f"p99 {wait_99:.0f} µs"),
        Line("spool record() p50, µs", disk, "none", f"p99 {disk_99:.0f} µs"),
    ]


def delivery(bench: Bench) -> list[Line]:
    """What one Python process delivers, as a share of what the daemon accepts of finished lines."""
    count = bench.sizes.delivered
    finished = background = together = 0.0
    with Daemon(bench.directory()) as daemon:
        for _ in range(bench.sizes.rounds):
            finished = max(finished, _finished_lines(daemon.address, count))
            background = max(background, _background(daemon.address, count))
            together = max(together, _together(daemon.address, count))
    beside = f"/ {finished:,.0f}/s"
    return [
        Line(
            "delivered in the background / finished lines",
            ratio(background, finished),
            "none",
            f"{background:,.0f}/s {beside}",
        ),
        Line(
            "wait, record_many / finished lines",
            ratio(together, finished),
            "none",
            f"{together:,.0f}/s {beside}",
        ),
    ]


def blocks(bench: Bench) -> list[Line]:
    """`audited` around an empty function, into a sink that records nothing."""
    trail = NullSink()

    def empty() -> None:
        pass

    audited = trail.audited("nothing.done")(empty)
    count = bench.sizes.calls
    bare, _ = _timed(lambda fields: empty(), count)
    recorded, _ = _timed(lambda fields: trail.record("nothing.done"), count)
    around, p99 = _timed(lambda fields: audited(), count)
    detail = f"p99 {p99:.1f} µs; the recording call {recorded - bare:.1f} µs of it"
    return [Line("audited around an empty function p50, µs", around - bare, "none", detail)]


def imports(bench: Bench) -> list[Line]:
    """Processor time of the import beyond msgspec's own, bytecode at hand as after an install."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        told = []
        for _ in range(bench.sizes.emits + 1):
            command = [sys.executable, "-c", IMPORT]
            done = subprocess.run(command, capture_output=True, check=True, env=environment)
            told.append([float(word) * 1e3 for word in done.stdout.split()])
    theirs, ours = (min(column) for column in zip(*told[1:], strict=True))
    return [Line("import collector.client, ms", ours, "≤ 15", f"msgspec's own {theirs:.1f} ms")]


def _percentiles(client: Trail, count: int, pause: float = 0) -> tuple[float, float]:
    return _timed(lambda fields: client.record(ACTION, **fields), count, pause)


def _timed(
    call: Callable[[dict[str, Any]], object], count: int, pause: float = 0
) -> tuple[float, float]:
    """p50 and p99 of one call in µs; `pause` (s) between calls lets a delivering thread work."""
    spent = []
    for fields in varied(count):
        begun = time.perf_counter_ns()
        call(fields)
        spent.append(time.perf_counter_ns() - begun)
        if pause:
            time.sleep(pause)
    spent.sort()
    return spent[count // 2] / 1000, spent[count * 99 // 100] / 1000


def _finished_lines(socket: str, count: int) -> float:
    """Events/s that the daemon accepts of one client that sends finished lines."""
    lines = [_line(fields) for fields in varied(count)]
    chunks = [b"".join(lines[start : start + WINDOW]) for start in range(0, count, WINDOW)]
    begun = time.perf_counter()
    with Connection(socket, 60) as connection:
        left = 0
        for chunk in chunks:
            connection.send(chunk)
            left += chunk.count(b"\n")
            while left > WINDOW:
                left -= len(connection.receive_some())
        while left > 0:
            left -= len(connection.receive_some())
    return count / (time.perf_counter() - begun)


def _line(fields: dict[str, Any]) -> bytes:
    event = {
        "action": ACTION,
        "id": new_id(),
        "object_type": fields["object"][0],
        "object_id": fields["object"][1],
        "actor": dict(zip(("type", "id", "name"), fields["actor"], strict=True)),
        "channel": "settings",
        "metadata": fields["metadata"],
    }
    return msgspec.json.encode(event) + b"\n"


def _background(socket: str, count: int) -> float:
    client = Client(socket, buffer=count, buffer_bytes=ROOM, timeout=120)
    begun = time.perf_counter()
    for fields in varied(count):
        client.record(ACTION, **fields)
    delivered = client.flush()
    spent = time.perf_counter() - begun
    client.close()
    _all_of_it(delivered and not client.dropped)
    return count / spent


def _together(socket: str, count: int) -> float:
    with Client(socket, mode="wait", timeout=120) as client:
        begun = time.perf_counter()
        receipts = client.record_many({"action": ACTION, **fields} for fields in varied(count))
        spent = time.perf_counter() - begun
    _all_of_it(all(receipt.ok for receipt in receipts))
    return count / spent


def _all_of_it(delivered: bool) -> None:
    if not delivered:
        raise RuntimeError("not everything was delivered: this is no figure")
