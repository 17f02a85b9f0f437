"""What `status` says holds whatever the clock and the ports do."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.config import Config
from collector.daemon.daemon import Daemon
from collector.daemon.measuring import metrics, page_url, status
from collector.errors import AddressTaken
from collector.web.transport import bind
from tests.web.conftest import eventually, house_at

pytestmark = pytest.mark.anyio


@contextmanager
def port_taken(family: socket.AddressFamily, host: str) -> Iterator[int]:
    with socket.socket(family) as theirs:
        theirs.bind((host, 0))
        theirs.listen()
        yield theirs.getsockname()[1]


async def test_uptime_is_the_time_since_the_start_also_after_a_clock_step(tmp_path: Path) -> None:
    wall, boot = [1.7e9], [500.0]
    quiet: dict[str, Any] = {
        "storage": {"path": str(tmp_path / "events.db")},
        "sources": {"unix": {"enabled": False}, "mdns": {"enabled": False}},
        "health": {"enabled": False},
        "web": {"enabled": False},
    }
    config = Config.from_mapping(quiet, environ={})
    daemon = Daemon(config, wall=lambda: wall[0], boottime=lambda: boot[0])
    await daemon.start()
    try:
        for step in (-26_332 * 86_400.0, 2 * 26_332 * 86_400.0, 0.0):
            boot[0] += 60
            wall[0] += 60 + step
            assert status(daemon)["uptime"] == boot[0] - 500
            daemon.clock.stepped()
            # Prometheus takes it from its own time, which is right by then.
            assert wall[0] - metrics(daemon).start_time == pytest.approx(boot[0] - 500)
    finally:
        await daemon.stop()


async def test_real_port_of_port_0_is_in_the_log_and_in_status(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with house_at(tmp_path, web={"enabled": True, "port": 0}) as house:
        await eventually(lambda: house.daemon.web_port is not None, 20)
        page = status(house.daemon)["page"]
        assert page == f"http://127.0.0.1:{house.daemon.web_port}/"
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{page}healthz")).status_code == 200
        said = [record.getMessage() for record in caplog.records]
        assert [line.split() for line in said if line.startswith("page")] == [["page", page]]
    assert page_url(house.daemon) is None, "nobody listens there any more"


async def test_taken_port_is_named_with_its_address_and_key(tmp_path: Path) -> None:
    with port_taken(socket.AF_INET, "127.0.0.1") as port:
        async with house_at(tmp_path, web={"enabled": True, "port": port}) as house:
            web = house.daemon.parts["web"]
            await eventually(lambda: web.error is not None, 20)
            assert web.error is not None
            assert web.error == (
                "AddressTaken: web.host, web.port: cannot listen on"
                f" 127.0.0.1:{port}: Address already in use"
            )
            assert house.record().ok, "recording goes on"


def test_address_that_is_none_of_ours_is_named_too() -> None:
    with pytest.raises(AddressTaken, match=r"web\.host, web\.port: .* 192\.0\.2\.1:8477: Cannot"):
        bind("192.0.2.1", 8477)
    if socket.has_ipv6:
        with port_taken(socket.AF_INET6, "::1") as port, pytest.raises(AddressTaken) as raised:
            bind("::1", port)
        assert f"[::1]:{port}" in str(raised.value)
