"""The load generator: a process of its own, so that what is measured has its core to itself.

`python -m tests.benchmarks.load JSON` makes its events first, says `ready`, waits for a line on
stdin, then sends and counts acknowledgements, and prints one JSON object. An answer that is not an
acknowledgement ends it with an error: a rate of refusals is worth nothing.
"""

from __future__ import annotations

import json
import os
import random
import select
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from tests.benchmarks.events import PLACEHOLDER, line, varied, xadd

WIRES: Final = {"collector": (line, b'"ok":true', b'"ok":false'), "redis": (xadd, b"$", b"-ERR")}
"""For each server how an event is written, what an acknowledgement holds, and what a refusal does."""
CHUNK: Final = 500
"""Events handed to the kernel at once."""
IN_FLIGHT: Final = 50_000
"""Events sent and not acknowledged, at most."""


class Ids:
    """Fresh random UUIDs for lines that were made beforehand: new ones for each time around."""

    def __init__(self, lines: list[bytes]) -> None:
        mark = PLACEHOLDER.encode()
        self._chunks = []
        for start in range(0, len(lines), CHUNK):
            part = lines[start : start + CHUNK]
            places, at = [], 0
            for one in part:
                places.append(at + one.index(mark))
                at += len(one)
            self._chunks.append((bytearray(b"".join(part)), places))

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        for chunk, places in self._chunks:
            fresh = os.urandom(16 * len(places)).hex().encode()
            for index, at in enumerate(places):
                digits = fresh[32 * index : 32 * index + 32]
                chunk[at : at + 13] = digits[:8] + b"-" + digits[8:12]
                chunk[at + 15 : at + 18] = digits[12:15]
                chunk[at + 20 : at + 23] = digits[15:18]
                chunk[at + 24 : at + 36] = digits[18:30]
            yield bytes(chunk), len(places)


def chunks(lines: list[bytes]) -> list[tuple[bytes, int]]:
    """Lines in pieces of `CHUNK`, each with its count."""
    parts = [lines[start : start + CHUNK] for start in range(0, len(lines), CHUNK)]
    return [(b"".join(part), len(part)) for part in parts]


def posts(lines: list[bytes], batch: int, key: str) -> list[tuple[bytes, int]]:
    """Lines as HTTP requests that record `batch` of them each, with the count of each."""
    head = (
        "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/x-ndjson\r\nContent-Length: "
    )
    parts = [lines[start : start + batch] for start in range(0, len(lines), batch)]
    bodies = [(b"".join(part), len(part)) for part in parts]
    return [(f"{head}{len(body)}\r\n\r\n".encode() + body, count) for body, count in bodies]


def connected(address: str) -> socket.socket:
    """A connection to a path, or to `host:port`."""
    if address.startswith("/"):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(address)
        return peer
    host, _, port = address.partition(":")
    peer = socket.create_connection((host, int(port)))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


class Peer:
    """One connection, and what came back on it."""

    def __init__(self, address: str, wire: str) -> None:
        _, self._good, self._bad = WIRES[wire]
        self.socket = connected(address)
        self._tail = b""

    def acknowledged(self) -> int:
        """Acknowledgements that have arrived since the last call; waits for at least a byte."""
        data = self.socket.recv(1 << 18)
        if not data or self._bad in data:
            sys.exit(f"not acknowledged: {data[:300]!r}")
        keep = len(self._good) - 1
        joined = self._tail + data
        self._tail = joined[len(joined) - keep :] if keep else b""
        return joined.count(self._good)


def stream(job: dict[str, Any], lines: list[bytes]) -> dict[str, Any]:
    """One connection, pipelined, for `count` events or `seconds`; with a `batch`, as HTTP requests."""
    peer = Peer(job["address"], job["wire"])
    ready = Ids(lines) if job.get("ids") else chunks(lines)
    if "batch" in job:
        ready = posts(lines, job["batch"], job["key"])
    wait_for_word()
    seconds, sent, done = job.get("seconds"), 0, 0
    peer.socket.setblocking(False)
    start = time.perf_counter()
    pending, source, last = memoryview(b""), iter(ready), False
    marks = []
    while not last or pending or done < sent:
        if not pending and not last and sent - done < IN_FLIGHT:
            item = next(source, None)
            if item is None and seconds:
                source = iter(ready)
                item = next(source)
            if item is None or (seconds and time.perf_counter() - start > seconds):
                last = True
            else:
                pending, sent = memoryview(item[0]), sent + item[1]
        readable, writable, _ = select.select([peer.socket], [peer.socket] if pending else [], [])
        if writable:
            pending = pending[peer.socket.send(pending) :]
        if readable:
            done += peer.acknowledged()
            marks.append((time.perf_counter() - start, done))
    took = time.perf_counter() - start
    half = next((n for t, n in marks if t >= took / 2), done)
    return {"events": done, "seconds": took, "second_half": (done - half) / (took / 2)}


def turns(job: dict[str, Any], lines: list[bytes]) -> dict[str, Any]:
    """`connections`, each with one event under way, for `seconds`."""
    made = [Peer(job["address"], job["wire"]) for _ in range(job["connections"])]
    if "key" in job:
        lines = [request for request, _ in posts(lines, 1, job["key"])]
    peers = {peer.socket.fileno(): peer for peer in made}
    poll = select.epoll()
    for number in peers:
        poll.register(number, select.EPOLLIN)
    wait_for_word()
    done, at = 0, len(lines)
    start = time.perf_counter()
    end = start + job["seconds"]
    for peer in peers.values():
        at -= 1
        peer.socket.sendall(lines[at])
    while time.perf_counter() < end:
        for number, _ in poll.poll():
            peer = peers[number]
            if peer.acknowledged():
                done += 1
                at = at - 1 if at else len(lines) - 1
                peer.socket.sendall(lines[at])
    took = time.perf_counter() - start
    return {"events": done, "seconds": took}


def latency(job: dict[str, Any], lines: list[bytes]) -> dict[str, Any]:
    """One connection, one event at a time, `pause` seconds apart; every time in ms."""
    peer = Peer(job["address"], job["wire"])
    pause = job.get("pause", 0.0)
    wait_for_word()
    times, at = list[float](), 0
    start = time.perf_counter()
    while goes_on(job, start):
        sent = time.perf_counter()
        peer.socket.sendall(lines[at % len(lines)])
        while not peer.acknowledged():
            pass
        times.append((time.perf_counter() - sent) * 1e3)
        at += 1
        if pause:
            time.sleep(pause * random.uniform(0.5, 1.5))
    took = time.perf_counter() - start
    times.sort()
    return {
        "events": at,
        "seconds": took,
        "p50": times[len(times) // 2],
        "p99": times[len(times) * 99 // 100],
        "most": times[-1],
    }


def trickle(job: dict[str, Any], lines: list[bytes]) -> dict[str, Any]:
    """Small batches at an even pace, so that followers have work: `batch` events, `rate` a second."""
    peer = Peer(job["address"], job["wire"])
    batch, done = job["batch"], 0
    wait_for_word()
    start = time.perf_counter()
    while goes_on(job, start):
        now = time.perf_counter() - start
        if done > now * job["rate"]:
            time.sleep(done / job["rate"] - now)
        at = done % (len(lines) - batch)
        peer.socket.sendall(b"".join(lines[at : at + batch]))
        due = done + batch
        while done < due:
            done += peer.acknowledged()
    return {"events": done, "seconds": time.perf_counter() - start}


def goes_on(job: dict[str, Any], start: float) -> bool:
    """Whether the time is not over, or the file not there that ends a job without a time."""
    if "until" in job:
        return not os.path.exists(job["until"])
    seconds: float = job["seconds"]
    return time.perf_counter() - start < seconds


def wait_for_word() -> None:
    """Say that everything is prepared, and begin when told."""
    print("ready", flush=True)
    sys.stdin.readline()


def main() -> None:
    """Do the job that stands in the first argument."""
    job = json.loads(sys.argv[1])
    write = WIRES[job["wire"]][0]
    id_ = PLACEHOLDER if job.get("ids") else ""
    lines = [write(event, id_) for event in varied(job["make"], job.get("seed", 1))]
    print(json.dumps(globals()[job["do"]](job, lines)), flush=True)


if __name__ == "__main__":
    main()
