"""Rows about size: bytes stored, memory, how long it takes to start."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from tests.benchmarks.bench import Bench, Line
from tests.benchmarks.servers import Daemon


def stored(bench: Bench) -> list[Line]:
    """Bytes of the file for each entry, everything derived included."""
    daemon = bench.filled()
    journal = daemon.journal()
    size = journal["bytes"] / journal["entries"]
    return [Line(f"bytes stored an event at {journal['entries']:,}", size, "≤ 180")]


def memory(bench: Bench) -> list[Line]:
    """Resident memory, idle and after work, in MB."""
    off, on = (_idle(bench, web=web) for web in (False, True))
    worked = bench.filled().resident()
    after = f"after {bench.sizes.filled:,} events, {bench.sizes.devices} devices"
    return [
        Line("resident memory idle, page off, MB", off, "≤ 38"),
        Line("resident memory idle, page on, MB", on, "≤ 52"),
        Line(f"more {after}, MB", worked - off, "≤ 20", f"{worked:.1f} MB"),
    ]


def emit(bench: Bench) -> list[Line]:
    """The whole process of `collector emit`, beside a Python that does nothing."""
    bare, whole = [], []
    with Daemon(bench.directory()) as daemon:
        ours = ["-m", "collector", "emit", "benchmark.emitted", "--socket", daemon.address]
        for _ in range(bench.sizes.emits):
            bare.append(_seconds([sys.executable, "-c", "pass"]))
            whole.append(_seconds([sys.executable, *ours]))
    one, other = statistics.median(whole) * 1e3, statistics.median(bare) * 1e3
    detail = f"{one:.0f} ms / {other:.0f} ms"
    return [Line("collector emit / bare Python", one / other, "≤ 6", detail)]


def start(bench: Bench) -> list[Line]:
    """From the start of the process to READY=1, with the large journal."""
    filled = bench.filled()
    filled.__exit__()
    filled.__enter__()
    what = f"start to READY at {bench.sizes.filled:,}, s"
    return [Line(what, filled.started_in, "≤ 1")]


def _idle(bench: Bench, *, web: bool) -> float:
    with Daemon(bench.directory(), web=web) as daemon:
        time.sleep(bench.sizes.idle)
        return daemon.resident()


def _seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin
