"""The load generator that reads: asks for pages and follows streams over HTTP.

`python -m tests.benchmarks.browsing JSON` is run as `load` is: it says `ready`, waits for a line on
stdin, and prints one JSON object.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import sys
import time
from typing import Any, Final

from tests.benchmarks.events import line, varied
from tests.benchmarks.load import Peer, connected, goes_on, wait_for_word

PAGE: Final = "/api/v1/events?limit=50"
STREAM: Final = b"GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
DATA: Final = b"event: activity_logged"


def pages(job: dict[str, Any]) -> dict[str, Any]:
    """The newest page again and again on one connection, `pause` seconds apart."""
    client = http.client.HTTPConnection(job["page"], timeout=30)
    client.connect()
    wait_for_word()
    times = list[float]()
    start = time.perf_counter()
    while goes_on(job, start):
        asked = time.perf_counter()
        client.request("GET", PAGE)
        answer = client.getresponse()
        body = answer.read()
        times.append((time.perf_counter() - asked) * 1e3)
        if answer.status != 200:
            sys.exit(f"no page: {body[:300]!r}")
        time.sleep(job["pause"])
    return quantiles(times, time.perf_counter() - start)


def streams(job: dict[str, Any]) -> dict[str, Any]:
    """Events one at a time, `pause` apart: from each acknowledgement to the event on every stream.

    What is reported is when the last of the streams has it.
    """
    followers = [following(job["page"]) for _ in range(job["streams"])]
    peer = Peer(job["address"], "collector")
    lines = [line(event) for event in varied(job["make"])]
    poll = select.epoll()
    for follower in followers:
        poll.register(follower, select.EPOLLIN)
    by_number = {follower.fileno(): follower for follower in followers}
    wait_for_word()
    times, at = list[float](), 0
    start = time.perf_counter()
    while goes_on(job, start):
        peer.socket.sendall(lines[at % len(lines)])
        while not peer.acknowledged():
            pass
        acknowledged, waiting = time.perf_counter(), set(by_number)
        while waiting:
            for number, _ in poll.poll(30):
                if DATA in by_number[number].recv(1 << 16):
                    waiting.discard(number)
        times.append((time.perf_counter() - acknowledged) * 1e3)
        at += 1
        time.sleep(job["pause"])
    return quantiles(times, time.perf_counter() - start)


def following(page: str) -> socket.socket:
    """A stream that has begun."""
    peer = connected(page)
    peer.sendall(STREAM)
    head = b""
    while b"event: journal" not in head:
        head += peer.recv(1 << 16)
    if b" 200 " not in head.partition(b"\r\n")[0]:
        sys.exit(f"no stream: {head[:300]!r}")
    return peer


def quantiles(times: list[float], took: float) -> dict[str, Any]:
    """What `load` prints of times, in ms."""
    times.sort()
    return {
        "events": len(times),
        "seconds": took,
        "p50": times[len(times) // 2],
        "p99": times[len(times) * 99 // 100],
        "most": times[-1],
    }


def main() -> None:
    """Do the job that stands in the first argument."""
    job = json.loads(sys.argv[1])
    print(json.dumps({"pages": pages, "streams": streams}[job["do"]](job)), flush=True)


if __name__ == "__main__":
    main()
