"""A small daemon that speaks the socket's protocol and does what a test tells it to.

The real one drives most tests of delivery; this one answers where a test needs a daemon that
misbehaves on purpose: refuses, hangs, closes in the middle of a batch.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

Answer = Callable[[dict[str, Any]], dict[str, Any] | None]


class Server:
    """Stores events by id in `stored` (each once, in order). `answer` may reply instead: a reply,
    or None to let the event through."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stored: dict[str, dict[str, Any]] = {}
        self.lines = 0
        self.connections = 0
        self.answer: Answer = lambda event: None
        self.close_after: int | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> Server:
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._spawn(self._accept, self._listener)
        return self

    def stop(self) -> None:
        """Close everything at once, as a killed process would."""
        self.gate.set()
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            peers, self._peers = self._peers, []
        for peer in peers:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(5)
        self._threads.clear()
        self.path.unlink(missing_ok=True)

    def actions(self) -> list[str]:
        return [event["action"] for event in self.stored.values()]

    def _spawn(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._peers.append(peer)
            self._spawn(self._serve, peer)

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            buffer = b""
            while True:
                try:
                    chunk = peer.recv(65536)
                except OSError:
                    return
                if not chunk:
                    return
                whole, newline, rest = (buffer + chunk).rpartition(b"\n")
                buffer = rest
                self.gate.wait()
                for line in whole.split(b"\n") if newline else ():
                    if not self._one(peer, line):
                        return

    def _one(self, peer: socket.socket, line: bytes) -> bool:
        event = msgspec.json.decode(line)
        with self._lock:
            self.lines += 1
            reply = self.answer(event) or self._store(event)
            if self.close_after is not None:
                self.close_after -= 1
        try:
            # Stored and then gone: the reply that never came.
            if self.close_after is not None and self.close_after <= 0:
                self.close_after = None
                peer.shutdown(socket.SHUT_RDWR)
                return False
            peer.sendall(msgspec.json.encode(reply) + b"\n")
        except OSError:
            return False
        return True

    def _store(self, event: dict[str, Any]) -> dict[str, Any]:
        known = event["id"] in self.stored
        self.stored.setdefault(event["id"], event)
        seq = list(self.stored).index(event["id"]) + 1 if known else len(self.stored)
        reply = {"ok": True, "seq": seq, "id": event["id"]}
        return {**reply, "duplicate": True} if known else reply


def refusal(event: dict[str, Any], code: str, *, retry: bool) -> dict[str, Any]:
    """A reply that says no."""
    return {"ok": False, "code": code, "error": code, "retry": retry, "id": event["id"]}
