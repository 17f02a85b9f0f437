"""The Unix source: who is let in, who is turned away with which word, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.config import UnixLimits
from collector.sources.unix import SPARE_FOR_ADMINS
from tests.requirements import need_root
from tests.sources.ledger import until
from tests.sources.served import GOOD, Line, Served, encoded, served

pytestmark = pytest.mark.anyio

NOBODY = 65534
AS_NOBODY = """
import contextlib, os, socket, sys
path, count = sys.argv[1], int(sys.argv[2])
os.setgroups([]); os.setgid(65534); os.setuid(65534)
lines = [socket.socket(socket.AF_UNIX) for _ in range(count)]
for line in lines:
    line.settimeout(20); line.connect(path)
    with contextlib.suppress(BrokenPipeError):  # turned away already
        line.sendall(b'{"op":"ping"}\\n')
print(sum(b'"pong"' in line.recv(4096) for line in lines), flush=True)
sys.stdin.read()
"""
"""Opens so many connections as another user, says how many are answered, and holds them."""


@pytest.fixture
def reachable(tmp_path: Path) -> Path:
    """A folder whose socket another user can reach."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == tmp_path.owner() and folder.as_posix().startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    return tmp_path


class Nobody:
    """`count` connections of another user; `answered` of them were let in."""

    def __init__(self, path: Path, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", AS_NOBODY, str(path), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    async def answered(self) -> int:
        assert self._process.stdout is not None
        return int(await asyncio.to_thread(self._process.stdout.readline))

    def end(self) -> None:
        self._process.communicate(b"")
        assert self._process.returncode == 0


async def connected(made: Served, count: int) -> list[Line]:
    """So many connections, each let in."""
    lines = [await made.line() for _ in range(count)]
    for line in lines:
        assert (await line.ask({"op": "ping"}))["ok"]
    return lines


async def turned_away(made: Served) -> bool:
    """Whether one more hears `busy`, and to try again, and is closed."""
    answers = await (await made.line()).rest()
    return [(a["ok"], a["code"], a["retry"]) for a in answers] == [(False, "busy", True)]


# ── how many ────────────────────────────────────────────────────────────────────────────────────


async def test_a_user_has_64_connections_bounded_and_root_still_gets_in(reachable: Path) -> None:
    need_root()
    async with served(reachable) as made:
        nobody = Nobody(made.path, 66)
        try:
            assert await nobody.answered() == 64
            assert made.lost == {"busy": 2}
            (line,) = await connected(made, 1)
            assert (await line.ask({"op": "status"}))["status"] == {"state": "recording"}
        finally:
            nobody.end()
        await until(lambda: made.source.status()["connections"] == 1)
        again = Nobody(made.path, 1)  # what was let go is free again
        try:
            assert await again.answered() == 1
        finally:
            again.end()


async def test_all_users_together_are_bounded_and_four_more_are_kept_for_admins(
    reachable: Path,
) -> None:
    need_root()
    async with served(reachable, connections=6, connections_per_uid=6) as made:
        nobody = Nobody(made.path, 7)
        try:
            assert await nobody.answered() == 6
            await connected(made, SPARE_FOR_ADMINS)
            assert await turned_away(made)
        finally:
            nobody.end()


async def test_those_turned_away_are_said_in_the_log_at_most_once_in_ten_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, connections_per_uid=1) as made:
        await connected(made, 1 + SPARE_FOR_ADMINS)
        for _ in range(5):
            assert await turned_away(made)
        (said,) = caplog.messages
        assert said == "turned away: 1; connections open: 5 (see sources.unix.limits)"
        monkeypatch.setattr("collector.sources.unix.LINE_EVERY", 0.0)  # so much time has gone by
        assert await turned_away(made)
        assert caplog.messages[1].startswith("turned away: 5;")
        assert made.lost == {"busy": 6}


async def test_an_admin_too_has_an_end_bounded(tmp_path: Path) -> None:
    async with served(tmp_path, connections_per_uid=3) as made:
        await connected(made, 3 + SPARE_FOR_ADMINS)
        assert await turned_away(made)
        assert made.lost == {"busy": 1}
        assert made.source.status() == {"connections": 7, "accepted": 7}
        made.lines[0].writer.close()
        await until(lambda: made.source.status()["connections"] == 6)
        await connected(made, 1)


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """Room for hardly any more descriptors than this process has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 40, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_a_peer_hears_busy_and_those_inside_go_on(
    tmp_path: Path, few_descriptors: None
) -> None:
    async with served(tmp_path) as made:
        (line,) = await connected(made, 1)
        late = socket.socket(socket.AF_UNIX)
        held: list[int] = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            pass
        try:
            late.setblocking(False)
            late.connect(str(made.path))
            await until(lambda: made.lost["busy"] == 1)
            assert b'"busy"' in late.recv(4096)
            assert (await line.ask(GOOD))["ok"]
        finally:
            late.close()
            for descriptor in held:
                os.close(descriptor)
        await connected(made, 1)


async def test_where_no_more_sockets_can_be_watched_a_peer_hears_busy_and_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as made:
        (line,) = await connected(made, 1)
        with monkeypatch.context() as full:
            full.setattr(made.source._streams, "open", no_room)
            assert await turned_away(made)
        assert made.lost == {"busy": 1}
        assert made.source.status() == {"connections": 1, "accepted": 1}
        assert (await line.ask(GOOD))["ok"]
        await connected(made, 1)


def no_room(*_: object) -> None:
    """What `Streams.open` does at `fs.epoll.max_user_watches`, which is the whole machine's."""
    raise OSError(errno.ENOSPC, "No space left on device")


# ── how fast ────────────────────────────────────────────────────────────────────────────────────


async def test_the_rate_is_a_users_over_all_its_connections(tmp_path: Path) -> None:
    async with served(tmp_path, rate=20.0) as made:
        one, other = await connected(made, 2)
        one.send(*[GOOD] * 15)
        other_first = await one.replies(15)
        other.send(*[GOOD] * 15)
        answers = other_first + await other.replies(15)
        accepted = [answer for answer in answers if answer["ok"]]
        refused = [answer for answer in answers if not answer["ok"]]
        assert 20 <= len(accepted) <= 24  # a second's worth, and what the test itself has taken
        assert {(answer["code"], answer["retry"]) for answer in refused} == {("rate_limited", True)}
        assert made.lost == {"rate_limited": len(refused)}
        assert (await other.ask({"op": "ping"}))["ok"]


async def test_a_rate_that_a_reload_changes_counts_for_new_connections(tmp_path: Path) -> None:
    async with served(tmp_path) as made:
        (free,) = await connected(made, 1)
        made.source.limits = UnixLimits(rate=1.0)
        free.send(*[GOOD] * 5)
        assert all(answer["ok"] for answer in await free.replies(5))
        (slow,) = await connected(made, 1)
        slow.send(*[GOOD] * 5)
        assert sum(answer["ok"] for answer in await slow.replies(5)) == 1


# ── the end ─────────────────────────────────────────────────────────────────────────────────────


async def test_at_the_end_what_was_sent_is_answered_and_then_closed(tmp_path: Path) -> None:
    async with served(tmp_path) as made:
        lines = await connected(made, 3)
        for line in lines:
            line.send(*[GOOD] * 500)
            line.raw(b'{"action": "half')
        stopping = asyncio.create_task(made.source.stop())
        answers = [answer for line in lines for answer in await line.rest()]
        await stopping
        assert len(answers) == 1500
        assert made.stored() == sum(answer["ok"] for answer in answers)
        assert {answer["code"] for answer in answers if not answer["ok"]} <= {"draining"}


async def test_at_the_end_a_peer_that_never_reads_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.unix.FAREWELL", 0.3)
    async with served(tmp_path) as made:
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.setblocking(False)
            deaf.connect(str(made.path))
            await until(lambda: made.source.status()["connections"] == 1)
            await asyncio.get_running_loop().sock_sendall(deaf, encoded({"op": "status"}) * 20_000)
            async with asyncio.timeout(10):
                await made.source.stop()
            await until(lambda: made.source.status()["connections"] == 0)


async def test_the_listener_outlives_the_source_since_systemd_may_own_it(tmp_path: Path) -> None:
    async with served(tmp_path) as made:
        await connected(made, 1)
        await made.source.stop()
        late = await made.line()  # the kernel takes it, for whoever serves next
        late.send(GOOD)
        assert made.source.status()["accepted"] == 1
