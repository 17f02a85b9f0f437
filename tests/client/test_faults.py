"""The promise, against the real daemon: killed, stopped, restarted and filled up while eight
processes record through each mode.

`wait` and `spool`: what the caller was told is safe is stored, each once. `background`: what was
recorded is stored or counted in an `events.lost`, exactly.
"""

from __future__ import annotations

import json
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
from tests.requirements import need_root, need_tool

PROCESSES = 8
WORKER = """
    import json, sys, time
    from collector.client import Client
    socket, mode, spool, name, seconds, buffer = sys.argv[1:]
    client = Client(
        socket, mode=mode, spool=spool or None, timeout=20, buffer=int(buffer),
    )
    held, told, number = [], [], 0
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        receipt = client.record(f"load.{mode}", object=("event", f"{name}-{number}"))
        held.append(receipt)
        number += 1
        time.sleep(0.002 if mode == "background" else 0)
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
    """Eight processes that record for a while; `finish` collects what they say."""

    def __init__(
        self, daemon: Daemon, mode: str, spool: Path | None, seconds: float, buffer: int
    ) -> None:
        self._processes = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    textwrap.dedent(WORKER),
                    str(daemon.socket),
                    mode,
                    str(spool or ""),
                    f"p{number}",
                    str(seconds),
                    str(buffer),
                ],
                stdout=subprocess.PIPE,
            )
            for number in range(PROCESSES)
        ]

    def finish(self) -> list[dict[str, Any]]:
        said = []
        for process in self._processes:
            out, _ = process.communicate(timeout=120)
            assert process.returncode == 0
            said.append(json.loads(out))
        return said


def trouble(daemon: Daemon, seconds: float) -> None:
    """Kills and clean stops at random moments, each followed by a restart."""
    end = time.monotonic() + seconds
    chance = random.Random(4)
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.1, 0.6))
        if chance.random() < 0.6:
            daemon.kill()
        else:
            daemon.stop()
        time.sleep(chance.uniform(0, 0.4))
        daemon.start()


def stored(daemon: Daemon, mode: str) -> Counter[str]:
    return Counter(each["id"] for each in daemon.entries() if each["action"] == f"load.{mode}")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["wait", "spool", "background"])
def test_eight_processes_lose_nothing_they_were_promised(
    daemon: Daemon, tmp_path: Path, mode: str
) -> None:
    spool = tmp_path / "spool" if mode == "spool" else None
    # A buffer so small that every outage overflows it: the account must be exact all the same.
    load = Load(daemon, mode, spool, 6, 100)
    trouble(daemon, 6)
    said = load.finish()
    entries = daemon.entries()
    kept = stored(daemon, mode)
    assert set(kept.values()) == {1}, "an event was stored twice"
    assert [each["seq"] for each in entries] == list(range(1, len(entries) + 1))
    recorded = sum(each["recorded"] for each in said)
    dropped = sum(each["dropped"] for each in said)
    assert all(each["flushed"] for each in said)
    delivered = {event_id for each in said for event_id in each["delivered"]}
    assert delivered <= set(kept)
    if mode == "background":
        reports = [
            json.loads(each["metadata"]) for each in entries if each["action"] == "events.lost"
        ]
        assert sum(report["count"] for report in reports) == dropped
        assert recorded == len(kept) + dropped
        assert dropped > 0, "the outages were too short to prove anything"
    else:
        safe = {event_id for each in said for event_id in each["safe"]}
        assert safe <= set(kept)
        assert len(safe) > 500
    if spool is not None:
        assert dropped == 0
        assert list(spool.iterdir()) == []


@pytest.mark.slow
def test_full_disk_loses_nothing_that_was_promised(tmp_path: Path) -> None:
    need_root()
    mount = need_tool("mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run([mount, "-t", "tmpfs", "-o", "size=24m", "none", str(disk)], check=True)
    daemon = Daemon(disk)
    try:
        daemon.start()
        with Client(daemon.socket, mode="wait", timeout=1) as waiting:
            fill = disk / "fill"
            subprocess.run(["dd", "if=/dev/zero", f"of={fill}", "bs=64k"], capture_output=True)
            behind = Client(daemon.socket, spool=tmp_path / "spool", mode="spool")
            until(lambda: not waiting.record("disk.full", message="x" * 900).ok, 60)
            refused = waiting.record("disk.full")
            assert (refused.ok, refused.retry) == (False, True)
            promised = [behind.record(f"disk.n{number}") for number in range(50)]
            assert all(receipt.ok for receipt in promised)
            assert not behind.flush(0.5)
            fill.unlink()
            assert behind.flush(60)
            assert all(receipt.seq for receipt in promised)
            behind.close()
            assert waiting.record("disk.free").ok
        actions = [each["action"] for each in daemon.entries()]
        assert {f"disk.n{number}" for number in range(50)} <= set(actions)
        daemon.stop()
    finally:
        daemon.kill()
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_canaries_never_arrive(daemon: Daemon) -> None:
    """Secrets in exceptions, metadata, records, messages and log extras, in every mode."""
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
        client.record_failure("a.failed", ValueError(canary))
        with pytest.raises(KeyError), client.audit("a.block"):
            raise KeyError(canary)
        logger = logging.Logger("canary")
        logger.addHandler(AuditHandler(client))
        logger.error("password=%s", canary, extra={"secret": canary}, exc_info=ValueError(canary))
    with Client(daemon.socket) as background:
        background.record("a.background", metadata={"private_key": canary})
    assert len(daemon.entries()) >= 6
    daemon.stop()
    for path in daemon.database.parent.iterdir():
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
