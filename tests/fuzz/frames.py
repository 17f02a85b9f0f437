"""Mutated lines at the socket of the real daemon, from peers that behave as badly as they can.

Held against what the socket promises: one reply a line, in order; a refusal that says what is wrong;
an end that is announced; and whatever was acknowledged is stored, under the id and with the action
that were sent, or was removed by a prune that says so. The daemon lives on and answers a ping.
"""

from __future__ import annotations

import json
import random
import socket
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from collector.errors import CODES
from tests.daemon.harness import PATIENCE, Line, RunningDaemon
from tests.fuzz.mutation import Mutator

FRAME: Final = 16 * 1024
"""Bytes of a line that the daemon under test takes."""
FRAME_TIMEOUT: Final = 0.5
LIMITS: Final = f"frame = {FRAME}\nframe_timeout = '{FRAME_TIMEOUT}s'\nconnections = 64"

_EVENTS: Final = (
    {"action": "backup.completed", "object_type": "backup", "object_id": "nightly"},
    {"action": "door.opened", "metadata": {"zone": "cellar", "times": [1, 2.5, None, True]}},
    {"action": "settings.updated", "actor": {"type": "user", "id": "7", "name": "Ada"}},
    {
        "action": "login.failed",
        "outcome": "denied",
        "ip": "fe80::1",
        "message": "no\tsuch\u202euser",
    },
    {"action": "a.b", "occurred_at": "2026-11-20T10:00:00.5+01:00", "severity": "error"},
    {"action": "thing.changed", "object_type": "thing", "record": {"n": 1, "s": {"deep": [[]]}}},
    {"action": "x.y", "id": "0192f1c4-0000-7000-8000-00000000abcd", "actor": "user:7"},
    {"action": "mail.sent", "metadata": {"to": "ada@example.org", "password": "hunter2"}},
    {"action": "z.z", "target": {"type": "group", "id": "g"}, "tenant_id": "t", "org_id": "o"},
)
_COMMANDS: Final = (
    {"op": "ping"},
    {"op": "status"},
    {"op": "devices"},
    {"op": "reload"},
    {"op": "prune", "max_days": 3650, "dry_run": True},
    {"op": "keys"},
    {"op": "nonsense", "more": [1, 2, 3]},
)
CORPUS: Final = tuple(
    json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode()
    for one in (*_EVENTS, *_EVENTS, *_EVENTS, *_COMMANDS)
)
TOKENS: Final = tuple(
    b'" \\ { } [ ] , : null true false NaN Infinity -0 1e999 9223372036854775808 "" {} [] \\u0000'
    b' \\ud800 \xff \xc0\x80 \x00 \r \xe2\x80\xae {"op": "op" "id" "record" "metadata" "action"'
    b" -1 0.1 =1+1 <script> '' %00 ${x} ../ 2026-13-40".split(b" ")
) + (b"\n", b"\n\n", b" ", b"[" * 40, b'{"a":' * 20, b"9" * 400, b"x" * 3000)


OF_COMMANDS: Final = frozenset({"config.reloaded", "config.rejected", "events.pruned"})
"""Actions that the daemon records of a command, with the command's source."""


class Reply(msgspec.Struct):
    """A reply line, as far as it is the same for all."""

    ok: bool
    seq: int | None = None
    id: str | None = None
    duplicate: bool = False
    code: str | None = None
    error: str | None = None
    retry: bool | None = None


_reply: Final = msgspec.json.Decoder(Reply)


class Finding(AssertionError):
    """What the daemon did that it must not."""


class Fuzzer:
    """Visits of hostile peers to one daemon, by several threads; what they learnt is checked."""

    def __init__(self, daemon: RunningDaemon, seed: int) -> None:
        self.daemon, self.seed = daemon, seed
        self.sent = 0
        """Lines sent."""
        self.acknowledged: dict[int, tuple[str, str]] = {}
        """By seq: the id of the reply, and the action that was sent."""
        self.unanswered: set[str] = set()
        """Actions of lines whose replies nobody read."""
        self._duplicates: dict[int, str] = {}
        self._lock = threading.Lock()
        self._findings: list[BaseException] = []

    def run(self, frames: int, peers: int = 4) -> None:
        """Send so many lines more. Raises `Finding`."""
        end = self.sent + frames
        threads = [
            threading.Thread(target=self._peer, args=(self.seed * 1_000 + number, end))
            for number in range(peers)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self._ping()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        self.seed += 1
        if self._findings:
            raise self._findings[0]
        self.check_stored()

    def _ping(self) -> None:
        try:
            with Line(self.daemon.socket) as line:
                if not line.ask({"op": "ping"}).get("ok"):
                    raise Finding("a ping is not answered")
        except (OSError, EOFError) as error:
            self._findings.append(Finding(f"a ping is not answered: {error!r}"))

    # ── peers ───────────────────────────────────────────────────────────────────────────────────

    def _peer(self, seed: int, end: int) -> None:
        rng, mutator = random.Random(seed), Mutator(seed, CORPUS, TOKENS)
        visits = (
            self._visit, self._visit, self._visit, self._visit, self._in_pieces, self._half_closed,
            self._leaves, self._slow_reader, self._overlong, self._never_ends,
        )  # fmt: skip
        try:
            while self.sent < end and not self._findings:
                # The slow ones are rare, or the time goes by while they wait.
                visit = visits[int(rng.random() ** 2 * len(visits))]
                lines = [mutator.sample() for _ in range(rng.choice((1, 20, 300, 1500)))]
                try:
                    visit(rng, lines)
                except OSError as error:
                    raise Finding(f"{visit.__name__}: {error!r}") from error
        except BaseException as finding:
            self._findings.append(finding)

    def _visit(self, rng: random.Random, lines: list[bytes]) -> None:
        """Everything at once, and every reply read."""
        with self._connected() as peer:
            data = b"\n".join(lines) + b"\n"
            self._answered(data, _exchange(peer, data))

    def _in_pieces(self, rng: random.Random, lines: list[bytes]) -> None:
        """The same in pieces that end anywhere."""
        with self._connected() as peer:
            data = b"\n".join(lines[:50]) + b"\n"
            pieces = [data[at : at + 97] for at in range(0, len(data), 97)]
            self._answered(data, _exchange(peer, *pieces))

    def _half_closed(self, rng: random.Random, lines: list[bytes]) -> None:
        """Half a frame at the end, which counts as nothing."""
        half = b'{"action":"half.frame","me'
        with self._connected() as peer:
            data = b"\n".join(lines) + b"\n"
            self._answered(data, _exchange(peer, data + half))

    def _leaves(self, rng: random.Random, lines: list[bytes]) -> None:
        """Sends and is gone: whatever is stored of it was sent."""
        data = b"\n".join(lines) + b"\n"
        with self._lock:
            self.unanswered.update(filter(None, map(_action_of, _requests(data))))
            self.sent += len(lines)
        with self._connected() as peer:
            try:
                peer.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused something for good before the end

    def _slow_reader(self, rng: random.Random, lines: list[bytes]) -> None:
        """Reads nothing until everything is sent, and then slowly."""
        with self._connected() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            data = b"\n".join(lines) + b"\n"
            self._answered(data, _exchange(peer, data, gulp=2048))

    def _overlong(self, rng: random.Random, lines: list[bytes]) -> None:
        """A line over the limit: what came before is answered, then it is refused, then the end."""
        with self._connected() as peer:
            data = b"\n".join(lines[:20]) + b"\n"
            replies = _exchange(peer, data + b'{"action":"' + b"x" * (2 * FRAME))
            self._ended_with(data, replies, "too_large")

    def _never_ends(self, rng: random.Random, lines: list[bytes]) -> None:
        """A frame that is begun and not finished."""
        with self._connected() as peer:
            data = b"\n".join(lines[:20]) + b"\n"
            replies = _exchange(peer, data + b'{"action":"x', shut=False)
            self._ended_with(data, replies, "timeout")

    def _connected(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        peer.settimeout(PATIENCE)
        peer.connect(str(self.daemon.socket))
        return peer

    # ── replies ─────────────────────────────────────────────────────────────────────────────────

    def _ended_with(self, data: bytes, replies: list[Reply], code: str) -> None:
        if not replies:
            raise Finding(f"closed without a word where {code} was due")
        if replies[-1].code != code and not any(_final(one) for one in replies):
            raise Finding(f"{replies[-1]} where {code} was due")
        self._answered(data, [one for one in replies if one.code != code or not _final(one)])

    def _answered(self, data: bytes, replies: list[Reply]) -> None:
        requests = _requests(data)
        ends = [number for number, one in enumerate(replies) if _final(one)]
        if ends and ends[0] != len(replies) - 1:
            raise Finding("a reply after the last")
        if not ends and len(replies) != len(requests):
            raise Finding(f"{len(requests)} lines, {len(replies)} replies: {data!r:.2000}")
        accepted = {}
        for request, reply in zip(requests, replies, strict=False):
            if reply.ok and reply.seq is not None:
                accepted[reply.seq] = self._accepted(request, reply)
            elif not reply.ok:
                _refused(request, reply)
        with self._lock:
            self.sent += len(requests)
            self.acknowledged.update(
                (seq, known) for seq, known in accepted.items() if known is not None
            )

    def _accepted(self, request: bytes, reply: Reply) -> tuple[str, str] | None:
        action = _action_of(request)
        if action is None or not reply.id:
            raise Finding(f"{request!r:.300} was acknowledged: {reply}")
        if reply.duplicate:
            assert reply.seq is not None
            with self._lock:
                self._duplicates[reply.seq] = reply.id
            return None
        return reply.id, action

    # ── what is stored ──────────────────────────────────────────────────────────────────────────

    def check_stored(self) -> None:
        """Whatever was acknowledged is stored as it was sent, and nothing else is. Raises `Finding`."""
        with sqlite3.connect(f"file:{self.daemon.database}?mode=ro", uri=True) as connection:
            rows = connection.execute(
                "SELECT seq, id, action, source FROM entries WHERE seq >= ?",
                (min(self.acknowledged, default=0),),
            ).fetchall()
            pruned = [
                (facts["from_seq"], facts["to_seq"])
                for (facts,) in map(_decoded, connection.execute(
                    "SELECT metadata FROM entries WHERE action = 'events.pruned'"
                    " AND source = 'collector'"
                ))
            ]  # fmt: skip
        connection.close()
        stored = {seq: (id_, action) for seq, id_, action, source in rows if source == "unix"}
        for seq, known in self.acknowledged.items():
            if stored.get(seq) == known:
                continue
            if seq in stored or not any(low <= seq <= high for low, high in pruned):
                raise Finding(
                    f"entry {seq} was acknowledged as {known}: {stored.get(seq)} is stored"
                )
        for seq, id_ in self._duplicates.items():
            if seq in stored and stored[seq][0] != id_:
                raise Finding(f"{id_} is called a repeat of entry {seq}, which is {stored[seq]}")
        for seq, (_id, action) in stored.items():
            if seq not in self.acknowledged and action not in self.unanswered | OF_COMMANDS:
                raise Finding(f"entry {seq} ({action}) is stored and was never sent")
        self.acknowledged.clear()
        self._duplicates.clear()


def _exchange(
    peer: socket.socket, *pieces: bytes, gulp: int = 1 << 18, shut: bool = True
) -> list[Reply]:
    """Send everything while another thread's worth of reading goes on, then read to the end."""
    received: list[bytes] = []
    reader = threading.Thread(target=_read_all, args=(peer, received, gulp))
    reader.start()
    try:
        for piece in pieces:
            peer.sendall(piece)
        if shut:
            peer.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError, OSError):
        pass  # the daemon has closed: the replies say why
    reader.join(PATIENCE)
    if reader.is_alive():
        raise Finding(f"no end within {PATIENCE:g} s")
    data = b"".join(received)
    if data and not data.endswith(b"\n"):
        raise Finding(f"half a reply: {data[-200:]!r}")
    return [_reply.decode(line) for line in data.splitlines()]


def _read_all(peer: socket.socket, received: list[bytes], gulp: int) -> None:
    try:
        while data := peer.recv(gulp):
            received.append(data)
    except OSError:
        pass


def _requests(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\n") if line.strip()]


def _final(reply: Reply) -> bool:
    return reply.code in ("too_large", "timeout", "denied", "busy")


def _refused(request: bytes, reply: Reply) -> None:
    if reply.code not in CODES or not reply.error or reply.retry is None:
        raise Finding(f"{request!r:.300} is refused with {reply}")


def _action_of(line: bytes) -> str | None:
    """The action of a line that another parser of JSON takes for an event too."""
    try:
        value: Any = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    action = value.get("action") if isinstance(value, dict) else None
    return action if isinstance(action, str) else None


def _no_constant(text: str) -> None:
    raise ValueError(text)


def _decoded(row: tuple[str]) -> tuple[dict[str, Any]]:
    return (json.loads(row[0]),)


def daemon_in(folder: Path) -> RunningDaemon:
    """A daemon that keeps everything, with short limits."""
    return RunningDaemon(
        folder, limits=LIMITS, retention="max_entries = 0\nmax_bytes = 0\nmax_days = 0"
    )
