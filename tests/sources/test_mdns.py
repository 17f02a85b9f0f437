"""Real zeroconf: services come, change, go and come back; strangers send what they like."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from collector.core.grouping import SERVICES_MAX
from tests.requirements import need_root, need_tool
from tests.sources.ledger import until
from tests.sources.world import (
    Health,
    Mdns,
    encode,
    fresh_type,
    inside,
    peer,
    record,
    response,
    service,
    shout,
    two_hosts,
    world,
)

pytestmark = pytest.mark.anyio
LONG = 60.0
"""Seconds of grace within which a new process is up on any machine."""


async def test_a_service_appears_changes_says_goodbye_and_is_back_soon_on_loopback() -> None:
    type_ = fresh_type()
    async with world(Mdns(types=(type_,)), grace=LONG) as here:
        with peer(type_, "Lamp", "fw=1") as lamp:
            await lamp.ready()
            await here.told("Lamp", "discovered")
            device = here.device("Lamp")
            assert device.addresses == ["127.0.0.1"]
            assert device.check == f"tcp://127.0.0.1:{lamp.port}"
            await lamp.do("txt", "fw=2")
            await here.told("Lamp", "discovered", "updated")
            assert here.ledger.drafts[-1].record is not None
            assert here.ledger.drafts[-1].record["firmware"] == "2"
            await lamp.quit()
            await until(lambda: not device.present, what="gone at once")
        with peer(type_, "Lamp", "fw=2", port=lamp.port) as lamp:
            await lamp.ready()
            await here.told("Lamp", "discovered", "updated", "restarted")


async def test_a_service_that_said_goodbye_is_lost_after_the_grace_and_may_return() -> None:
    type_ = fresh_type()
    async with world(Mdns(types=(type_,)), grace=0.5) as here:
        with peer(type_, "Lamp", "fw=2") as lamp:
            await lamp.ready()
            await here.told("Lamp", "discovered")
            await lamp.quit()
        await here.told("Lamp", "discovered", "lost")
        assert not here.ledger.rows["host-lamp"]["present"]
        with peer(type_, "Lamp", "fw=3") as lamp:
            await lamp.ready()
            await here.told("Lamp", "discovered", "lost", "discovered", "updated")
            returned = here.ledger.drafts[-2].metadata
            assert returned is not None
            assert returned["returned"] is True


async def test_any_type_is_found_also_one_that_appears_later() -> None:
    type_ = fresh_type()
    async with world(Mdns()) as here:
        await asyncio.sleep(0)
        with peer(type_, "Later") as later:
            await later.ready()
            await until(lambda: here.knows("Later"), 15, "the new type")
            assert type_ in here.mdns._types


async def test_a_control_character_in_a_name_does_not_end_discovery() -> None:
    type_ = fresh_type()
    async with world(Mdns(types=(type_,))) as here:
        shout(service(type_, b"Bad\x1b[31m\x07\x00", host="bad.local."))
        await until(lambda: here.knows("Bad\\x1b[31m\\x07\\x00"), what="shown escaped")
        with peer(type_, "Good") as good:
            await good.ready()
            await here.told("Good", "discovered")
        assert here.mdns.status()["browser_restarts"] == 0


async def test_a_name_that_cannot_be_written_again_does_not_break_the_browser() -> None:
    """63 bytes that are not UTF-8 become 189: as a known answer they would end every query."""
    type_ = fresh_type()
    async with world(Mdns(types=(type_,)), ask_every=0.5) as here:
        shout(service(type_, b"\xff" * 63, host="bad.local."))
        await until(lambda: here.mdns.status()["unusable_names"] > 0, what="poison counted")
        shout(service(type_, b"ok\xff\xfe", host="fine.local."))
        await until(lambda: here.knows("ok��"), what="a short one is a device")
        await asyncio.sleep(1.5)  # the browsers' second and third question
        with peer(type_, "Good") as good:
            await good.ready()
            await here.told("Good", "discovered")
        assert here.mdns.status()["errors"] == 0
        assert here.mdns.status()["browser_restarts"] == 0


async def test_hostile_packets_bounded() -> None:
    """Thousands of services, huge TXT, garbage, lying addresses: capped, counted, and life goes on."""
    type_ = fresh_type()
    async with world(Mdns(types=(type_,))) as here:
        huge = b"".join(b"\xff" + b"k%02d=" % n + b"\xfe" * 251 for n in range(20))
        shout(service(type_, b"Huge", host="huge.local.", txt=huge))
        lies = tuple(f"8.8.{n // 250}.{n % 250}" for n in range(400)) + ("255.255.255.255",)
        shout(service(type_, b"Liar", host="liar.local.", addresses=lies))
        shout(*(os.urandom(n % 1400 + 1) for n in range(200)))
        shout(response(record(type_, 12, 4500, encode([b"\xc0" * 3, b"x"]))))
        for start in range(0, 4_000, 100):
            shout(
                *(
                    service(type_, b"s%d" % n, host=f"h{n}.local.")
                    for n in range(start, start + 100)
                )
            )
            await asyncio.sleep(0.005)
        shout(*(service(type_, b"m%d" % n, host="many.local.") for n in range(200)))
        await until(lambda: len(here.registry.devices) > 500, what="many were heard")
        await asyncio.sleep(0.5)
        assert len(here.registry.devices) <= 1_000
        assert all(len(d.services) <= SERVICES_MAX for d in here.registry.devices.values())
        liar = here.device("Liar") if here.knows("Liar") else None
        assert liar is None or (len(liar.addresses) <= 16 and liar.check == "resolve")
        assert here.mdns.status()["state"] == "listening"
        assert here.mdns.status()["errors"] == 0
        assert not here.tasks[0].done()


async def test_a_browser_that_died_is_started_again() -> None:
    type_ = fresh_type()
    async with world(Mdns(types=(type_,))) as here:
        here.mdns._engine.soon(here.mdns._browsers[0]._async_cancel)
        await until(lambda: here.mdns.restarts == 1, what="started again")
        assert not here.mdns._browsers[0].done
        with peer(type_, "Good") as good:
            await good.ready()
            await here.told("Good", "discovered")


async def test_an_error_on_zeroconfs_loop_restarts_the_browsers() -> None:
    async with world(Mdns(types=(fresh_type(),))) as here:
        here.mdns._engine.soon(lambda: 1 / 0)
        await until(lambda: here.mdns.restarts == 1, what="started again")


async def test_what_is_to_be_ignored_is_not_heard() -> None:
    type_ = fresh_type()
    async with world(Mdns(types=(type_,), ignore=("secret*",))) as here:
        shout(
            service(type_, b"SECRET lamp", host="a.local."),
            service(type_, b"Other", host="b.local."),
        )
        await until(lambda: here.knows("Other"), what="the other one")
        assert not here.knows("SECRET lamp")
        assert here.mdns.ignored > 0


async def test_without_a_network_it_waits_and_says_so() -> None:
    from tests.sources.world import Ledger, MdnsSource, Registry, random, time

    registry = Registry(Ledger(), wall=time.time, mono=time.monotonic)
    source = MdnsSource(
        Mdns(), registry, mono=time.monotonic, random=random.Random(1), lister=list, poll=0.05
    )
    task = asyncio.create_task(source.run())
    await until(lambda: source.state.startswith("waiting for"), what="waiting")
    assert registry.discovery.blind
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    assert source.state == "stopped"


async def test_two_hosts_a_service_lives_and_dies_silently() -> None:
    """Across a cable: announced, changed, gone, back, kill -9 (which health finds), reborn."""
    need_root()
    need_tool("ip", "iproute2")
    with two_hosts() as (home, away), inside(home):
        type_ = "_http._tcp.local."
        options = {"address": "10.99.0.2", "namespace": away}
        async with world(Mdns(interfaces=(), ip_version="all"), Health()) as here:
            with peer(type_, "Box", "fw=1", **options) as box:
                await box.ready()
                await until(lambda: "health_changed:online" in here.ledger.told("Box"), 15)
                await here.told("Box", "discovered", "health_changed:online")
                await box.do("txt", "fw=2")
                await until(lambda: "updated" in here.ledger.told("Box"), what="updated")
                here.ledger.drafts.clear()
                box.process.send_signal(signal.SIGKILL)
                await here.told("Box", "health_changed:suspect", "health_changed:offline")
                assert here.device("Box").present, "mDNS still believes in it"
            with peer(type_, "Box", "fw=2", port=box.port, **options) as box:
                await box.ready()
                await until(lambda: here.device("Box").state == "online", 15)
                await here.told(
                    "Box",
                    "health_changed:suspect",
                    "health_changed:offline",
                    "health_changed:online",
                )
                await box.do("close")
                await until(lambda: here.device("Box").state == "offline", 15, "the port closed")
                await box.do("listen")
                await until(lambda: here.device("Box").state == "online", 15, "the port opened")
                here.ledger.drafts.clear()
                await box.quit()
                await here.told("Box", "lost")
                assert here.device("Box").state == "offline"


async def test_a_named_interface_that_is_missing_is_said_once_and_used_when_it_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    need_root()
    need_tool("ip", "iproute2")
    from tests.sources.world import ip

    with two_hosts() as (home, away), inside(home):
        async with world(Mdns(interfaces=("lan0", "late0"), ip_version="v4")) as here:
            assert here.mdns.status()["missing"] == ["late0"]
            for _ in range(3):  # further looks around
                here.mdns._watch.look()
            (said,) = (one.message for one in caplog.records if one.levelname == "WARNING")
            assert "there is no 'late0' (there are: lo, lan0)" in said
            ip("-n", home, "link", "add", "late0", "type", "veth", "peer", "name", "late1",
               "netns", away)  # fmt: skip
            for host, end, address in ((home, "late0", "10.98.0.1"), (away, "late1", "10.98.0.2")):
                ip("-n", host, "addr", "add", f"{address}/24", "dev", end)
                ip("-n", host, "link", "set", end, "up")
            await until(lambda: "10.98.0.1" in here.mdns.status()["interfaces"], what="used")
            assert here.mdns.status()["missing"] == []
            with peer("_http._tcp.local.", "Late", address="10.98.0.2", namespace=away) as late:
                await late.ready()
                await here.told("Late", "discovered")


async def test_an_interface_that_comes_later_is_used() -> None:
    need_root()
    need_tool("ip", "iproute2")
    from tests.sources.world import ip

    with two_hosts() as (home, away), inside(home):
        async with world(Mdns(interfaces=(), ip_version="v4")) as here:
            ip("-n", home, "link", "add", "late0", "type", "veth", "peer", "name", "late1",
               "netns", away)  # fmt: skip
            ip("-n", home, "addr", "add", "10.98.0.1/24", "dev", "late0")
            ip("-n", away, "addr", "add", "10.98.0.2/24", "dev", "late1")
            ip("-n", home, "link", "set", "late0", "up")
            ip("-n", away, "link", "set", "late1", "up")
            await until(lambda: "10.98.0.1" in here.mdns.status()["interfaces"], what="used")
            with peer("_http._tcp.local.", "Late", address="10.98.0.2", namespace=away) as late:
                await late.ready()
                await here.told("Late", "discovered")
            ip("-n", home, "link", "set", "lan0", "down")
            ip("-n", home, "link", "del", "late0")
            await until(lambda: here.mdns.state.startswith("waiting"), what="waits")
            ip("-n", home, "link", "set", "lan0", "up")
            await until(lambda: here.mdns.state == "listening", what="listens again")
