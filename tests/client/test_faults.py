"""The promise, against the real daemon: killed, stopped, restarted and filled up while eight
processes record through each mode.

`wait` and `spool`: what the caller was told is safe is stored, each once. `background`: what was
recorded is stored or counted in an `events.lost`, exactly.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.client import Client
from tests.client.conftest import until
from tests.client.daemon import Daemon
from tests.disks import fill, mounted
from tests.requirements import need_root

PROCESSES = 8
WORKER = """
    import json, select, sys, time
    from collector.client import Client
    name, socket, mode, spool, buffer = sys.argv[1:]
    client = Client(socket, mode=mode, spool=spool or None, timeout=0.5, buffer=int(buffer))
    held, number = [], 0
    while not select.select([sys.stdin], [], [], 0.002 if mode == "background" else 0)[0]:
        receipt = client.record(f"load.{mode}", object=("event", f"{name}-{number}"))
        held.append(receipt)
        number += 1
    safe = [receipt.id for receipt in held if receipt.ok]
    flushed = client.flush(60)
    client.close(20)
    print(json.dumps({
        "recorded": number, "safe": safe, "flushed": flushed, "dropped": client.dropped,
        "delivered": [receipt.id for receipt in held if receipt.ok and receipt.seq],
    }))
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    running = Daemon(tmp_path).start()
    yield running
    running.kill()


class Load:
    """Eight processes that record until `finish`, which collects what they say."""

    def __init__(self, daemon: Daemon, mode: str, spool: Path | None) -> None:
        # A buffer so small that every outage overflows it: the account must be exact all the same.
        arguments = [str(daemon.socket), mode, str(spool or ""), "100"]
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(WORKER), f"p{number}", *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            for number in range(PROCESSES)
        ]  # fmt: skip

    def finish(self) -> list[dict[str, Any]]:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        said = []
        for process in self._processes:
            out, _ = process.communicate(timeout=120)
            assert process.returncode == 0
            said.append(json.loads(out))
        return said


class Trouble:
    """What befalls the daemon while they record; `disk` is what its journal is on, if it is small."""

    def __init__(self, daemon: Daemon, disk: Path | None) -> None:
        self._daemon, self._disk = daemon, disk
        self._chance = random.Random(4)

    def run(self) -> None:
        """Each fault at least once, with moments of peace of random length between."""
        acts = [self._killed, self._stopped]
        if self._disk is not None:
            acts = [self._killed, self._filled, self._stopped, self._killed_while_full]
        for act in [*acts, self._killed, self._stopped]:
            self._rest(0.1, 0.5)
            act()

    def _rest(self, least: float, most: float) -> None:
        time.sleep(self._chance.uniform(least, most))

    def _killed(self) -> None:
        self._daemon.kill()
        self._rest(0, 0.4)
        self._daemon.start()

    def _stopped(self) -> None:
        self._daemon.stop()
        self._rest(0, 0.4)
        self._daemon.start()

    def _filled(self) -> None:
        ballast = self._fill_up()
        self._rest(0.3, 0.6)
        ballast.unlink()
        until(lambda: not self._daemon.is_full())

    def _killed_while_full(self) -> None:
        ballast = self._fill_up()
        self._daemon.kill()
        ballast.unlink()
        self._daemon.start()

    def _fill_up(self) -> Path:
        assert self._disk is not None
        ballast = fill(self._disk, 64 << 10)
        until(self._daemon.is_full)
        return ballast


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path | None]:
    """A small disk for the journal; None where only root could have one."""
    if os.geteuid() != 0:
        yield None
        return
    with mounted(tmp_path, "disk", 64 << 20) as folder:
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["wait", "spool", "background"])
def test_eight_processes_lose_nothing_they_were_promised(
    tmp_path: Path, disk: Path | None, mode: str
) -> None:
    """The daemon is killed, stopped, restarted, filled up, and killed while its disk is full."""
    daemon = Daemon(tmp_path, state=disk).start()
    try:
        spool = tmp_path / "spool" if mode == "spool" else None
        load = Load(daemon, mode, spool)
        Trouble(daemon, disk).run()
        said = load.finish()
        _account(daemon, mode, said)
        if spool is not None:
            assert list(spool.iterdir()) == []
        own = Counter(each["action"] for each in daemon.entries())
        assert own["collector.started"] >= 5, "each end was followed by a start"
        assert own["storage.full"] >= (1 if disk else 0), "the second time it was killed first"
        daemon.stop()
    finally:
        daemon.kill()
    if disk is None:
        need_root()  # all but the full disk was tried


def _account(daemon: Daemon, mode: str, said: list[dict[str, Any]]) -> None:
    """What was promised is stored, each once; what was dropped is in the log, to the event."""
    entries = daemon.entries()
    assert [each["seq"] for each in entries] == list(range(1, len(entries) + 1))
    kept = Counter(each["id"] for each in entries if each["action"] == f"load.{mode}")
    assert set(kept.values()) == {1}, "an event was stored twice"
    assert all(each["flushed"] for each in said)
    delivered = {event_id for each in said for event_id in each["delivered"]}
    assert delivered <= set(kept)
    recorded = sum(each["recorded"] for each in said)
    dropped = sum(each["dropped"] for each in said)
    if mode == "background":
        assert reported(entries) == dropped
        assert recorded == len(kept) + dropped
        assert dropped > 0, "the outages were too short to prove anything"
        return
    safe = {event_id for each in said for event_id in each["safe"]}
    assert safe <= set(kept)
    assert len(safe) > 100
    # Who waited in vain is told so, and counted, though the answer may still come true later.
    assert dropped >= recorded - len(safe)
    assert (dropped > 0) == (mode == "wait"), "a spool takes everything"


def reported(entries: list[dict[str, Any]]) -> int:
    """Events that producers said were lost; what the daemon itself turned away is another count."""
    reports = [
        json.loads(each["metadata"])
        for each in entries
        if each["action"] == "events.lost" and each["source"] == "unix"
    ]
    return sum(report["count"] for report in reports)


def test_canaries_never_arrive(daemon: Daemon, tmp_path: Path) -> None:
    """Secrets in exceptions, metadata, headers, records, messages and log extras, in every mode."""
    import logging

    from collector.client import AuditHandler

    canary = "cAnArY-8c1d"
    with Client(daemon.socket, mode="wait", strict=True) as client:
        client.record(
            "a.metadata",
            metadata={
                "password": canary,
                "nested": {"api_key": canary},
                "url": f"https://u:{canary}@h/",
            },
            message=f"authorization: Bearer {canary}",
            record={"token": canary, "list": [["cookie", canary]]},
        )
        headers = {"Authorization": f"Bearer {canary}", "cookie": f"session={canary}"}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        client.record("a.headers", metadata={"headers": headers, "list": list(headers.items())})
        client.record("a.scope", metadata={"headers": raw, "x-api-key": canary})
        client.record_failure("a.failed", ValueError(canary))
        with pytest.raises(KeyError), client.audit("a.block"):
            raise KeyError(canary)
        logger = logging.Logger("canary")
        logger.addHandler(AuditHandler(client))
        logger.error("password=%s", canary, extra={"secret": canary}, exc_info=ValueError(canary))
    with Client(daemon.socket) as background:
        background.record("a.background", metadata={"private_key": canary})
    assert len(daemon.entries()) >= 8
    daemon.stop()
    spool = tmp_path / "spool"
    with Client(daemon.socket, mode="spool", spool=spool, timeout=0.1) as spooling:
        spooling.record("a.spooled", metadata={"client_secret": canary}, message=f"token={canary}")
    assert any(b"a.spooled" in path.read_bytes() for path in spool.iterdir())
    for path in [*daemon.database.parent.iterdir(), *spool.iterdir()]:
        assert canary.encode() not in path.read_bytes(), path.name


def test_what_memory_sink_accepts_the_daemon_accepts(daemon: Daemon) -> None:
    """The sink of tests is no more lenient than the daemon."""
    import datetime as dt

    with Client(daemon.socket, mode="wait", strict=True) as client:
        client.record(
            "every.field", id="0192f1c4-0000-7000-8000-000000000001",
            occurred_at=dt.datetime(2026, 11, 20, tzinfo=dt.UTC), category="entity",
            outcome="unknown", severity="error", actor=("user", "7", "Ada", "admin", "a@b.example"),
            on_behalf_of="user:8", object=("file", "/x" * 300, "n" * 300), target="group:1",
            channel="Settings", mode="manual", tenant_id="t" * 90, org_id="o", ip="::1",
            correlation_id="c" * 120, causation_id="d", message="m\0\udcff" * 600,
            metadata={"deep": {"a": [{"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}]}, "n": 2**70},
            record={"x": float("nan")},
        )  # fmt: skip
    (entry,) = [each for each in daemon.entries() if each["action"] == "every.field"]
    assert entry["actor_name"] == "Ada" if "actor_name" in entry else True


@pytest.mark.anyio
async def test_collector_in_this_process_is_a_sink(tmp_path: Path) -> None:
    import anyio.to_thread

    from collector import Collector
    from collector.client import audit, configure, record

    config = {
        "storage": {"path": str(tmp_path / "events.db")},
        "sources": {"unix": {"enabled": False}, "mdns": {"enabled": False}},
        "health": {"enabled": False},
        "web": {"enabled": False},
    }
    async with Collector(config) as collector:
        trail = configure(collector)
        receipt = record("a.b", metadata={"password": "hunter2"})
        assert receipt.ok
        assert receipt.seq
        with audit("c.d"):
            pass
        handed = await anyio.to_thread.run_sync(record, "from.thread")
        await anyio.to_thread.run_sync(until, lambda: handed.seq)
        assert record("Not An Action").code == "invalid_event"
        assert trail.dropped == 1
