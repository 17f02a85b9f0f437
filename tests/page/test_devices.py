"""The Devices tab in a real browser: what is listed, what one device shows, what an admin may do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.page.conftest import WATCH, Visitor
from tests.requirements import need_tool
from tests.web.running import Running

PEER = [sys.executable, "-m", "tests.sources.peer", "127.0.0.1", "_ipp._tcp.local.", "Laser", "0"]
TXT = ["ty=Laser 9000", "note=<b>2nd floor</b>"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon that has found a printer, by mDNS on loopback alone."""
    need_tool("chromium")
    path: Path = tmp_path_factory.mktemp("found")
    daemon = Running(path)
    settings = path / "config.toml"
    on_loopback = '[sources.mdns]\ninterfaces = ["127.0.0.1"]'
    settings.write_text(
        settings.read_text().replace("[sources.mdns]\nenabled = false", on_loopback)
    )
    daemon.start()
    try:
        with subprocess.Popen(
            [*PEER, *TXT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as peer:
            assert peer.stdout is not None
            assert peer.stdin is not None
            assert peer.stdout.readline().startswith("ready")
            yield daemon
            peer.stdin.write("quit\n")
            peer.stdin.close()
    finally:
        daemon.stop()


def test_a_device_that_announces_itself_shows_its_properties(
    browser: Browser, found: Running
) -> None:
    context = browser.new_context(locale="en-GB")
    context.add_init_script(WATCH)
    visitor = Visitor(context, found.url)
    page = visitor.open("/devices")
    row = page.locator("tbody tr", has_text="Laser")
    expect(row).to_be_visible()
    expect(row.locator(".col-addresses")).to_have_text("127.0.0.1")
    expect(row.locator(".col-types")).to_have_text("ipp")
    row.get_by_role("link").click()
    page.locator("summary", has_text="_ipp._tcp").click()
    expect(page.locator("details .facts")).to_contain_text("Laser 9000")
    expect(page.locator("details .facts")).to_contain_text("<b>2nd floor</b>")
    expect(page.locator(".lines")).to_contain_text("Laser")
    visitor.check()
    context.close()


def test_the_list_shows_states_bars_and_what_was_chosen(visit: Any) -> None:
    page = visit().open("/devices")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    lamp = rows.filter(has_text="lamp")
    expect(lamp.locator(".col-uptime")).to_contain_text("%")
    expect(lamp.locator("rect.beat-offline")).to_be_attached()
    expect(lamp.locator(".heartbeat")).to_have_attribute("aria-label", "lamp: Uptime 75%")
    page.get_by_label("Find a device").fill("print")
    expect(rows).to_have_count(1)
    page.wait_for_url("**q=print")
    page.get_by_label("Find a device").fill("nothing of the kind")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.get_by_label("Find a device").fill("")
    page.get_by_role("link", name="Unknown").click()
    page.wait_for_url("**state=unknown")
    expect(rows).to_have_count(2)


def test_a_device_is_renamed_and_put_into_maintenance(visit: Any, daemon: Running) -> None:
    visitor = visit()
    visitor.log_in(daemon.admin)
    page = visitor.open("/devices")
    page.get_by_role("link", name="Printer").click()
    page.get_by_label("Name", exact=True).fill("Office printer")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Office printer")
    expect(page.locator(".facts")).to_contain_text("Printer")
    page.get_by_label("Maintenance").select_option("+8")
    expect(page.locator(".device-head")).to_contain_text("Maintenance")
    page.get_by_role("button", name="End maintenance").click()
    page.get_by_role("button", name="Ignore").click()
    expect(page.locator(".state-ignored")).to_be_visible()
    page.get_by_role("button", name="Watch again").click()
    expect(page.locator(".changes-table")).to_contain_text("Office printer")
    page.get_by_label("Name", exact=True).fill("")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Printer")


def test_a_device_has_its_history(visit: Any) -> None:
    page = visit().open("/devices/config-lamp")
    expect(page.locator(".heartbeat.tall rect.beat-offline")).to_be_attached()
    expect(page.locator(".figures")).to_contain_text("%")
    expect(page.locator(".lines")).to_contain_text("went offline")
    expect(page.get_by_role("button", name="Rename")).to_have_count(0)
    page.get_by_role("link", name="7 days").click()
    page.wait_for_url("**span=7d")
    expect(page.locator(".segment[aria-current]")).to_have_text("7 days")
    page.locator(".lines .line").first.click()
    expect(page.locator(".drawer-title")).to_contain_text("went offline")
    page.locator(".drawer").get_by_role("link", name="Device: Lamp").click()
    page.wait_for_url("**/devices/config-lamp")
