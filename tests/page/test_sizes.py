"""Little and much: phone and 4K, a journal with nothing, with a little of everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import WATCH, Visitor
from tests.requirements import need_tool
from tests.web.running import Running, running

TABS = ["/", "/activity", "/devices", "/devices/config-lamp", "/changes", "/settings"]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon on its first day: nobody has sent it anything."""
    need_tool("chromium")
    path: Path = tmp_path_factory.mktemp("fresh")
    with running(path) as started:
        yield started


@pytest.fixture
def beginner(browser: Browser, fresh: Running) -> Iterator[Visitor]:
    """Somebody who opens the page of the `fresh` daemon."""
    context = browser.new_context(locale="en-GB")
    context.add_init_script(WATCH)
    visitor = Visitor(context, fresh.url)
    yield visitor
    visitor.check()
    context.close()


def wide(page: Page) -> int:
    """How wide the document is, in pixels."""
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width


@pytest.mark.parametrize("lang", ["en-GB", "de-DE", "ru-RU", "zh-CN"])
def test_no_tab_is_wider_than_a_phone(visit: Any, daemon: Running, lang: str) -> None:
    visitor = visit(width=360, height=740, lang=lang)
    visitor.log_in(daemon.admin)
    for tab in [*TABS, "/activity?entry=4"]:
        page = visitor.open(tab)
        expect(page.locator("main .view")).to_be_visible()
        page.wait_for_load_state("load")
        expect(page.locator(".pulse-live")).to_be_visible()
        expect(page.locator(".view.device:empty, .today:empty")).to_have_count(0)
        assert wide(page) <= 360, tab
        page.close()


def test_4k_is_filled_with_larger_type(visit: Any, daemon: Running) -> None:
    visitor = visit(width=3840, height=2160)
    visitor.log_in(daemon.admin)
    for tab in TABS:
        page = visitor.open(tab)
        expect(page.locator("main .view")).to_be_visible()
        expect(page.locator(".pulse-live")).to_be_visible()
        assert wide(page) <= 3840, tab
        box = page.locator("main .view").bounding_box()
        assert box is not None
        assert 1600 < box["width"] < 1900, tab
        size = page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
        assert size > 16
        page.close()


def test_who_has_no_entries_is_told_the_next_step(beginner: Visitor, fresh: Running) -> None:
    with fresh.api() as api:
        key = {"label": "tenant-key", "role": "viewer", "tenant_id": "t1"}
        secret = api.post("/api/v1/keys", json=key).json()["secret"]
    beginner.log_in(secret)
    for tab in ("/", "/activity"):
        page = beginner.open(tab)
        expect(page.get_by_text("Nothing has happened yet")).to_be_visible()
        expect(page.locator("main pre")).to_have_text("collector emit hello.said -m 'Hello'")
        expect(page.locator("main .line")).to_have_count(0)
    expect(beginner.open("/devices").get_by_text("This needs a key")).to_be_visible()


def test_the_first_day_shows_its_few_entries_and_what_to_do(beginner: Visitor) -> None:
    page = beginner.open("/activity")
    first = page.locator(".feed .line").last
    expect(first).to_contain_text("The collector started for the first time")
    expect(page.get_by_text("This is where the log begins.")).to_be_visible()
    page = beginner.open("/devices")
    expect(page.get_by_role("heading", name="No devices yet")).to_be_visible()
    expect(page.locator("pre")).to_contain_text("[[devices]]")
    expect(beginner.open("/changes").locator("pre").last).to_contain_text("[[resources]]")
    page = beginner.open("/")
    expect(page.locator(".calm")).to_contain_text("Nothing needs your attention.")
    expect(page.locator(".recent .line").last).to_contain_text("for the first time")


def test_nothing_jumps_while_the_page_loads(visit: Any) -> None:
    pages = {}
    for tab in TABS:
        visitor = visit()
        visitor.context.add_init_script(SHIFTS)
        pages[tab] = visitor.open(tab)
    for page in pages.values():
        expect(page.locator(".pulse-live")).to_be_visible()
        expect(page.locator(".view.device:empty, .today:empty")).to_have_count(0)
    page.wait_for_timeout(500)  # what jumps late does so in all of them at once
    for tab, page in pages.items():
        assert page.evaluate("window.shifted") < 0.1, tab


SHIFTS = """
window.shifted = 0;
new PerformanceObserver(list => {
  for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shifted += shift.value;
}).observe({type: 'layout-shift', buffered: true});
"""
