"""Avahi, the responder of most Linux machines, as another host across a cable."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requirements import need_root, need_tool
from tests.sources.ledger import until
from tests.sources.world import Health, Mdns, inside, two_hosts, world

pytestmark = pytest.mark.anyio

CONFIG = """[server]
host-name=avahibox
enable-dbus=no
allow-interfaces=lan0
[publish]
publish-workstation=yes
"""


@contextlib.contextmanager
def avahi(namespace: str, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """avahi-daemon in a network namespace, with a /run of its own so that none other is touched."""
    config.write_text(CONFIG)
    script = (
        "mount --make-rprivate / && mount -t tmpfs none /run && mkdir /run/avahi-daemon && "
        f"exec avahi-daemon --no-drop-root --no-rlimits --no-chroot -f {config}"
    )
    command = ["ip", "netns", "exec", namespace, "unshare", "--mount", "sh", "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def test_avahi_is_found_resolves_dies_silently_and_returns(tmp_path: Path) -> None:
    """It offers no TCP port, so it is alive while its name resolves, and only so long."""
    need_root()
    for tool, package in (("ip", "iproute2"), ("avahi-daemon", None), ("unshare", "util-linux")):
        need_tool(tool, package)
    config = Health(timeout=1.5, interval=1.5)
    with two_hosts() as (home, away), inside(home):
        async with world(Mdns(interfaces=(), ip_version="v4"), config) as here:

            def told() -> list[str]:
                names = [one.name for one in here.registry.devices.values()]
                return here.ledger.told(names[0]) if names else []

            with avahi(away, tmp_path / "avahi.conf") as process:
                await until(lambda: "health_changed:online" in told(), 20, "avahi online")
                (device,) = here.registry.devices.values()
                assert device.types == ["_workstation._tcp"]
                assert device.addresses[0] == "10.99.0.2"
                assert device.check == "resolve"
                process.send_signal(signal.SIGKILL)
                await until(lambda: device.state == "offline", 20, "avahi offline")
                assert device.reason == "does not resolve"
            with avahi(away, tmp_path / "avahi.conf") as process:
                await until(lambda: device.state == "online", 20, "avahi online again")
                process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(process.wait, 10)
                await until(lambda: told()[-1] == "lost", 20, "avahi said goodbye")
