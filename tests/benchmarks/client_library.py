"""What recording costs the program that records: `python -m tests.benchmarks.client_library`.

| row | target |
|---|---|
| `background` record(), p50 and p99 in the caller | p50 ≤ 10 µs |
| the same while the daemon takes what is recorded | – |
| delivery of one Python process, as a share of what the daemon accepts of finished lines | – |
| `audit` around an empty function, beside the call itself | – |
| import, in CPU time, beside msgspec's own | 15 ms |

Everything runs against a real daemon in a process of its own, on a journal in a temporary directory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from collector.client import Client, Connection, NullSink
from collector.client.ids import new_id
from tests.client.daemon import Daemon

CALLS = 20_000
EVENTS = 200_000
WINDOW = 4_000


def varied(count: int) -> Iterator[dict[str, Any]]:
    """Hundreds of actors, thousands of objects: constant events flatter every cache."""
    for number in range(count):
        yield {
            "object": ("setting", f"key-{number * 7919 % 5000}"),
            "actor": ("user", str(number % 300), f"User {number % 300}"),
            "channel": "settings",
            "metadata": {"path": f"ui.field{number % 40}", "from": number, "to": number + 1},
        }


def percentiles(call: Callable[[dict[str, Any]], object], pause: float = 0) -> tuple[float, float]:
    """p50 and p99 of one call in µs; `pause` (s) between calls lets a delivering thread work."""
    spent = []
    for fields in varied(CALLS):
        begun = time.perf_counter_ns()
        call(fields)
        spent.append(time.perf_counter_ns() - begun)
        if pause:
            time.sleep(pause)
    spent.sort()
    return spent[CALLS // 2] / 1000, spent[CALLS * 99 // 100] / 1000


def calls(daemon: Daemon, folder: Path) -> None:
    away = Client(folder / "nobody.sock", buffer=CALLS + 1, buffer_bytes=1 << 30)
    p50, p99 = percentiles(lambda fields: away.record("settings.updated", **fields))
    print(f"background record(), daemon away        p50 {p50:7.1f} µs   p99 {p99:7.1f} µs")
    away.close(0.01)
    with Client(daemon.socket, buffer=CALLS + 1, buffer_bytes=1 << 30, timeout=30) as there:
        p50, p99 = percentiles(lambda fields: there.record("settings.updated", **fields), 0.0002)
        print(f"background record(), 5,000/s delivered  p50 {p50:7.1f} µs   p99 {p99:7.1f} µs")
    with Client(daemon.socket, mode="wait", timeout=30) as waiting:
        p50, p99 = percentiles(lambda fields: waiting.record("settings.updated", **fields))
        print(f"wait record()                           p50 {p50:7.1f} µs   p99 {p99:7.1f} µs")
    with Client(daemon.socket, mode="spool", spool=folder / "spool", timeout=60) as spooling:
        p50, p99 = percentiles(lambda fields: spooling.record("settings.updated", **fields))
        print(f"spool record()                          p50 {p50:7.1f} µs   p99 {p99:7.1f} µs")


def ready_made(socket: Path) -> float:
    """Events/s that the daemon accepts of one client that sends finished lines."""
    lines = [
        msgspec.json.encode(
            {
                "action": "settings.updated",
                "id": new_id(),
                "object_type": fields["object"][0],
                "object_id": fields["object"][1],
                "actor": dict(zip(("type", "id", "name"), fields["actor"], strict=True)),
                "channel": "settings",
                "metadata": fields["metadata"],
            }
        )
        for fields in varied(EVENTS)
    ]
    chunks = [
        b"\n".join(lines[start : start + WINDOW]) + b"\n" for start in range(0, EVENTS, WINDOW)
    ]
    begun = time.perf_counter()
    with Connection(str(socket), 60) as connection:
        open_ = 0
        for chunk in chunks:
            connection.send(chunk)
            open_ += WINDOW
            while open_ > WINDOW:
                open_ -= len(connection.receive_some())
        while open_ > 0:
            open_ -= len(connection.receive_some())
    return EVENTS / (time.perf_counter() - begun)


def delivery(daemon: Daemon) -> None:
    accepted = ready_made(daemon.socket)
    client = Client(daemon.socket, buffer=EVENTS, buffer_bytes=1 << 30, timeout=120)
    begun = time.perf_counter()
    for fields in varied(EVENTS):
        client.record("settings.updated", **fields)
    assert client.flush()
    rate = EVENTS / (time.perf_counter() - begun)
    assert client.dropped == 0
    client.close()
    begun = time.perf_counter()
    with Client(daemon.socket, mode="wait", timeout=120) as waiting:
        receipts = waiting.record_many(
            {"action": "settings.updated", **fields} for fields in varied(EVENTS)
        )
    many = EVENTS / (time.perf_counter() - begun)
    assert all(receipt.ok for receipt in receipts)
    print(f"finished lines, one pipelining client   {accepted:10,.0f} events/s")
    print(
        f"background, one Python process          {rate:10,.0f} events/s   {rate / accepted:.2f} ×"
    )
    print(
        f"wait, record_many                       {many:10,.0f} events/s   {many / accepted:.2f} ×"
    )


def blocks() -> None:
    trail = NullSink()

    def empty() -> None:
        pass

    audited = trail.audited("nothing.done")(empty)
    bare, _ = percentiles(lambda fields: empty())
    recorded, _ = percentiles(lambda fields: trail.record("nothing.done"))
    around, p99 = percentiles(lambda fields: audited())
    print(
        f"audited around an empty function        p50 {around - bare:7.1f} µs   p99 {p99:7.1f} µs"
    )
    print(f"  of which the recording call           p50 {recorded:7.1f} µs")


IMPORT = """
import time
begun = time.process_time()
import msgspec
between = time.process_time()
from collector.client import Client, record, audit, audited, actor_context
print(between - begun, time.process_time() - between)
"""


def imports() -> None:
    told = []
    for _ in range(10):
        done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=True)
        told.append([float(word) * 1000 for word in done.stdout.split()])
    theirs, ours = (min(column) for column in zip(*told, strict=True))
    print(
        f"import collector.client                 {ours:10.1f} ms of CPU (msgspec {theirs:.1f} ms)"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        daemon = Daemon(folder).start()
        try:
            calls(daemon, folder)
            delivery(daemon)
            daemon.stop()
        finally:
            daemon.kill()
    blocks()
    imports()


if __name__ == "__main__":
    main()
