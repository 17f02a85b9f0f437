"""The other tabs, roles, languages, themes, sizes, keyboard and the lost connection."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.page.world import record
from tests.web.running import Running

STATIC = Path(__file__).parents[2] / "collector/web/static"
TABS = ["/", "/activity", "/devices", "/devices/config-lamp", "/changes", "/settings"]
NAMES = {"en-GB": "Devices", "de-DE": "Geräte", "ru-RU": "Устройства", "zh-CN": "设备"}
FIRST_VISIT = 150_000
"""Bytes: what the dashboard loads, uncompressed."""


def test_the_dashboard_shows_the_latest_five_live(visit: Any, daemon: Running) -> None:
    page = visit().open("/")
    expect(page.locator(".recent li")).to_have_count(5)
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(".attention")).to_contain_text("1 error today")
    expect(page.locator(".today")).to_contain_text("Denied")
    record(daemon, [{"action": "kettle.started", "object_type": "kettle", "object_id": "k"}])
    expect(page.locator(".recent li").first).to_contain_text("started kettle k")
    expect(page.locator(".recent li")).to_have_count(5)
    page.get_by_role("link", name="View all").first.click()
    page.wait_for_url("**/activity")


def test_changesets_come_from_the_document_with_their_labels(visit: Any) -> None:
    page = visit().open("/changes")
    row = page.locator(".changes-table tr", has_text="red")
    expect(row).to_contain_text("Colour red → blue")
    row.locator(".col-when a").click()
    cells = page.locator(".drawer .difference tbody tr").first
    expect(cells).to_contain_text("Colour")
    expect(cells.locator(".col-old")).to_have_text("red")
    expect(cells.locator(".col-new")).to_have_text("blue")
    page.locator(".drawer").get_by_role("link", name="Changes: Tools").click()
    page.wait_for_url("**/changes/categories?object_id=c1")
    expect(page.locator(".changes-table tbody tr")).to_have_count(2)


def test_settings_offer_what_the_role_may_do(visit: Any, daemon: Running) -> None:
    page = visit().open("/settings")
    expect(page.get_by_text("This needs a key: log in.").first).to_be_visible()
    expect(page.get_by_role("button", name="Remove every entry")).to_have_count(0)
    expect(page.get_by_role("heading", name="Keys")).to_have_count(0)
    expect(page.get_by_label("Days", exact=True)).to_be_disabled()
    expect(page.get_by_role("link", name="CSV")).to_have_count(0)
    viewer = visit()
    viewer.log_in(daemon.viewer)
    page = viewer.open("/settings")
    expect(page.get_by_role("link", name="CSV")).to_be_visible()
    expect(page.get_by_role("heading", name="Keys")).to_have_count(0)
    producer = visit()
    producer.log_in(daemon.producer)
    expect(producer.open("/").get_by_text("only send events")).to_be_visible()


def test_an_admin_logs_in_and_changes_retention_keys_and_export(
    visit: Any, daemon: Running
) -> None:
    page = visit().open("/settings")
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Key", exact=True).fill("wrong")
    page.get_by_role("dialog").get_by_role("button", name="Log in").click()
    expect(page.get_by_text("This key is not known.")).to_be_visible()
    page.get_by_label("Key", exact=True).fill(daemon.admin)
    page.get_by_role("dialog").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.get_by_label("Entries", exact=True).fill("3")
    expect(page.locator(".preview")).to_contain_text(re.compile(r"removes [\d,]+ entries now"))
    page.get_by_label("Entries", exact=True).fill("1000000")
    page.get_by_label("Days", exact=True).fill("30")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("overrides the configuration file")).to_be_visible()
    page.get_by_role("button", name="Back to the file").click()
    expect(page.get_by_label("Days", exact=True)).to_have_value("90")
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Add key").click()
    expect(page.get_by_text("shown once. Copy it now")).to_be_visible()
    page.get_by_role("button", name="Revoke laptop").click()
    page.get_by_role("button", name="Revoke laptop").click()
    expect(page.get_by_role("button", name="Revoke laptop")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "events.csv"


@pytest.mark.parametrize("lang", NAMES)
def test_the_browsers_language_is_spoken_and_can_be_changed(visit: Any, lang: str) -> None:
    page = visit(lang=lang).open("/settings")
    tabs = page.locator(".tabs")
    expect(tabs).to_contain_text(NAMES[lang])
    expect(page.locator("html")).to_have_attribute("lang", lang[:2])
    other = "de" if lang != "de-DE" else "en"
    page.locator("#language").select_option(other)
    expect(tabs).to_contain_text("Geräte" if other == "de" else "Devices")
    page.reload()
    expect(tabs).to_contain_text("Geräte" if other == "de" else "Devices")


def test_the_keyboard_does_it_all(visit: Any) -> None:
    page = visit().open("/")
    expect(page.locator(".recent li")).to_have_count(5)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("v")
    page.wait_for_url("**/devices")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()


def test_all_tabs_of_a_browser_share_one_stream(visit: Any, daemon: Running) -> None:
    visitor = visit()
    streams: list[str] = []
    visitor.context.on(
        "request", lambda each: streams.append(each.url) if "/events/stream" in each.url else None
    )
    tabs = [visitor.open("/activity?channel=shared") for _ in range(3)]
    for page in tabs:
        expect(page.locator(".pulse-live")).to_be_visible()
    record(daemon, [{"action": "shared.said", "channel": "shared"}])
    for page in tabs:
        expect(page.locator(".feed .line")).to_have_count(1)
    assert len(streams) == 1
    tabs[0].close()
    record(daemon, [{"action": "shared.again", "channel": "shared"}])
    for page in tabs[1:]:
        expect(page.locator(".feed .line")).to_have_count(2)
    assert len(streams) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit: Any, scheme: str) -> None:
    """Needs axe-core of npm: COLLECTOR_AXE names its axe.min.js, else node_modules is looked in."""
    beside = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
    axe = Path(os.environ.get("COLLECTOR_AXE", beside))
    if not axe.exists():
        pytest.skip("needs axe-core (npm install axe-core)")
    visitor = visit(scheme=scheme)
    for tab in [*TABS, "/activity?entry=1"]:
        page = visitor.open(tab)
        expect(page.locator("main .view")).to_be_visible()
        page.wait_for_timeout(500)
        page.evaluate(axe.read_text())
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
        found = page.evaluate("rules => axe.run(document, rules)", rules)["violations"]
        told = [(each["id"], [node["html"][:150] for node in each["nodes"][:3]]) for each in found]
        assert told == [], tab
        page.close()


def test_a_visit_loads_little(visit: Any) -> None:
    visitor = visit()
    page = visitor.context.new_page()
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url.rpartition("/static/")[2]))
    page.goto(f"{visitor.url}/")
    expect(page.locator(".recent li")).to_have_count(5)
    files = {name for name in asked if (STATIC / name).is_file()} | {"index.html"}
    assert len(files) > 10
    assert sum((STATIC / name).stat().st_size for name in files) < FIRST_VISIT


def test_a_lost_connection_is_told_and_resumed_without_a_gap(visit: Any, daemon: Running) -> None:
    page = visit().open("/activity?channel=gap")
    expect(page.locator(".pulse-live")).to_be_visible()
    daemon.stop()
    expect(page.locator(".banner")).to_contain_text("The connection is lost")
    daemon.start()
    record(daemon, [{"action": "gap.closed", "channel": "gap"}])
    expect(page.locator(".banner")).to_be_hidden()
    expect(page.locator(".feed .line")).to_have_count(1)


def test_a_tab_whose_code_did_not_arrive_is_fetched_again(visit: Any) -> None:
    """The daemon may go away between the page and the module of the tab that is opened."""
    page = visit().open("/")
    expect(page.locator(".recent li")).to_have_count(5)
    page.route("**/static/activity.js", lambda route: route.abort("connectionrefused"), times=1)
    page.get_by_role("link", name="Activity", exact=True).click()
    expect(page.locator(".feed .line").first).to_be_visible()


def test_after_a_restart_nobody_is_logged_in(visit: Any, daemon: Running) -> None:
    visitor = visit()
    visitor.log_in(daemon.admin)
    page = visitor.open("/settings")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    expect(page.locator(".pulse-live")).to_be_visible()
    daemon.stop()
    expect(page.locator(".banner")).to_be_visible()
    daemon.start()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    expect(page.get_by_role("heading", name="Keys")).to_have_count(0)


def test_clearing_needs_the_word(visit: Any, daemon: Running) -> None:
    visitor = visit()
    visitor.log_in(daemon.admin)
    page = visitor.open("/settings")
    button = page.get_by_role("button", name="Remove every entry")
    expect(button).to_be_disabled()
    page.get_by_label("Type clear to confirm").fill("clea")
    expect(button).to_be_disabled()
    page.get_by_label("Type clear to confirm").fill("clear")
    button.click()
    expect(page.get_by_text(re.compile(r"[\d,]+ entries removed"))).to_be_visible()
    page.goto(f"{visitor.url}/activity")
    expect(page.locator(".feed")).to_contain_text("admin-key cleared the journal")
    page.goto(f"{visitor.url}/settings")
    expect(page.get_by_role("heading", name="Removed")).to_be_visible()
    expect(page.locator(".facts").filter(has_text="Cleared")).to_contain_text(re.compile(r"\d · "))
