"""Producers that go on through every crash: they send, are cut off, connect again and send again.

With ids of their own (v4, v7) they send everything unanswered once more. Without ids they cannot
know what became of an unanswered event, so they leave it open and go on with new ones. Each event
has a name, so that what is stored can be laid beside what was sent and what was acknowledged.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any, Final, Literal

Ids = Literal["v4", "v7", "none"]
WINDOW: Final = 32
"""Events under way at once on one connection."""


class Producer(threading.Thread):
    """One producer. `acknowledged` maps the name of an event to the seq and id it was told."""

    def __init__(self, path: Path, name: str, ids: Ids, pause: float = 0.03) -> None:
        super().__init__(name=name, daemon=True)
        self.sent: set[str] = set()
        self.acknowledged: dict[str, tuple[int, str]] = {}
        self.wrong: list[str] = []
        """Replies that should not have been; a thread cannot fail a test by itself."""
        self._path, self._ids, self._pause = path, ids, pause
        self._open: deque[tuple[str, str | None]] = deque()
        self._number = 0
        self._over = threading.Event()

    def finish(self) -> None:
        """Send nothing new, see that everything with an id is answered, and end."""
        self._over.set()
        self.join(60)
        if self.is_alive():
            self.wrong.append(f"{self.name} did not end, {len(self._open)} events are open")

    def run(self) -> None:
        while not (self._over.is_set() and not self._open):
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.settimeout(20)
                    connection.connect(str(self._path))
                    self._talk(connection)
            except OSError:
                time.sleep(0.01)
            if self._ids == "none":
                self._open.clear()

    def _talk(self, connection: socket.socket) -> None:
        replies = connection.makefile("rb")
        again = True
        while not (self._over.is_set() and not self._open):
            if not self._over.is_set():
                self._draw()
            lines = self._open if again else list(self._open)[-self._fresh :]
            self.sent.update(name for name, _ in lines)
            connection.sendall(b"".join(line(*event) for event in lines))
            again = False
            while self._open:
                reply = replies.readline()
                if not reply.endswith(b"\n"):
                    return
                self._take(json.loads(reply))
            time.sleep(self._pause)

    def _draw(self) -> None:
        self._fresh = WINDOW
        for _ in range(WINDOW):
            self._number += 1
            self._open.append((f"{self.name}-{self._number}", self._id()))

    def _id(self) -> str | None:
        if self._ids == "v4":
            return str(uuid.uuid4())
        if self._ids == "v7":
            stamp = time.time_ns() // 1_000_000
            number = stamp << 80 | 0x7 << 76 | int.from_bytes(os.urandom(9)) >> 2 & ~(0xF << 76)
            return str(uuid.UUID(int=number & ~(0b11 << 62) | 0b10 << 62))
        return None

    def _take(self, reply: dict[str, Any]) -> None:
        name, id_ = self._open.popleft()
        if not reply["ok"]:
            if reply["code"] != "draining":
                self.wrong.append(f"{name}: {reply}")
            return
        if id_ is not None and reply["id"] != id_:
            self.wrong.append(f"{name}: sent as {id_}, answered as {reply}")
        self.acknowledged[name] = (reply["seq"], reply["id"])


def line(name: str, id_: str | None) -> bytes:
    """The event of a name, as its line."""
    event: dict[str, Any] = {"action": "load.sent", "object_type": "event", "object_id": name}
    if id_ is not None:
        event["id"] = id_
    return json.dumps(event).encode() + b"\n"
