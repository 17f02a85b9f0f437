"""The Activity tab in a real browser: sentences, filters, live entries, folds, the drawer."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from tests.page.world import MARKUP, ago, record
from tests.web.running import Running

MANY = 450


def rows(page: Any) -> Any:
    return page.locator(".feed .line")


def test_entries_are_sentences_under_their_day(visit: Any) -> None:
    page = visit().open("/activity")
    for told in (
        "Lamp went offline after 3 failed checks",
        "Ada changed retention: 90 → 30",
        "bob was not allowed to delete person Eve (needs admin)",
        "Ada logged in",
    ):
        expect(rows(page).filter(has_text=told).first).to_be_visible()
    expect(page.locator(".day").first).to_contain_text("Today")
    denied = rows(page).filter(has_text="was not allowed")
    expect(denied.locator(".marks")).to_have_text("Denied")
    expect(rows(page).first.locator("time")).to_have_attribute("title", re.compile(r"20\d\d"))


def test_filters_presets_and_search_stand_in_the_address(visit: Any) -> None:
    page = visit().open("/activity")
    page.locator(".presets").get_by_role("link", name="Sign-in").click()
    expect(rows(page)).to_have_count(4)
    assert "category=auth" in page.url
    page.go_back()
    expect(rows(page).filter(has_text="Eve")).to_be_visible()
    page.get_by_role("button", name="Outcome").click()
    choice = page.locator(".facet-value", has_text="Denied")
    expect(choice.locator(".count")).to_have_text("1")
    choice.click()
    expect(rows(page)).to_have_count(1)
    assert "outcome=denied" in page.url
    page.get_by_role("link", name="Remove Outcome Denied").click()
    page.keyboard.press("/")
    page.keyboard.type("disk sd")
    expect(rows(page)).to_have_count(1)
    page.wait_for_url("**q=disk+sd*")
    page.reload()
    expect(page.locator("#search")).to_have_value("disk sd")
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Search").fill("nothinglikethis")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()


def test_a_view_is_saved_found_again_and_removed(visit: Any) -> None:
    page = visit().open("/activity?category=auth&actor=Ada")
    page.get_by_role("button", name="Save view").click()
    page.get_by_label("Name").fill("Ada signs in")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="All", exact=True).click()
    page.get_by_role("link", name="Ada signs in").click()
    page.wait_for_url("**actor=Ada*")
    page.get_by_role("button", name="Remove Ada signs in").click()
    expect(page.get_by_role("link", name="Ada signs in")).to_have_count(0)


def test_a_drag_over_the_histogram_chooses_a_span(visit: Any) -> None:
    page = visit().open("/activity")
    expect(page.locator(".plot rect").first).to_be_attached()
    box = page.locator(".plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.85, box["y"] + 20, steps=4)
    page.mouse.up()
    page.wait_for_url("**since=*until=*")
    expect(rows(page).filter(has_text="backup")).to_have_count(2)
    expect(rows(page)).to_have_count(2)


def test_a_flapping_device_is_one_line_that_opens(visit: Any) -> None:
    page = visit().open("/activity?object_id=fridge")
    fold = page.locator(".row-fold button")
    expect(fold).to_contain_text("Fridge changed its state 5 times")
    expect(rows(page)).to_have_count(1)
    fold.click()
    expect(rows(page)).to_have_count(6)
    expect(fold).to_have_attribute("aria-expanded", "true")


def test_new_entries_arrive_without_moving_what_is_read(visit: Any, daemon: Running) -> None:
    page = visit().open("/activity?channel=live")
    expect(page.locator(".pulse-live")).to_be_visible()
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    record(daemon, [{"action": "live.first", "channel": "live"}, {"action": "live.other"}])
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("live first")
    page.keyboard.press("j")
    expect(rows(page).first).to_be_focused()
    before = rows(page).first.bounding_box()
    record(daemon, [{"action": "live.second", "channel": "live"}])
    expect(page.get_by_role("button", name="1 new entry")).to_be_visible()
    assert rows(page).first.bounding_box() == before
    page.get_by_role("button", name="1 new entry").click()
    expect(rows(page).first).to_contain_text("live second")


def test_scrolling_loads_all_and_keeps_few_nodes(visit: Any, daemon: Running) -> None:
    drafts = [{"action": "bulk.sent", "channel": "bulk", "object_id": str(n)} for n in range(MANY)]
    record(daemon, drafts)
    page = visit().open("/activity?channel=bulk")
    expect(page.locator(".total")).to_have_text(f"{MANY} entries")
    end = page.get_by_text("This is where the log begins.")
    for _ in range(40):
        page.mouse.wheel(0, 4000)
        if end.is_visible():
            break
        page.wait_for_timeout(50)
    expect(end).to_be_visible()
    expect(page.locator(".row").last).to_have_attribute("aria-setsize", str(MANY + 1))
    assert page.locator(".row").count() < 80


def test_the_drawer_tells_everything_and_is_a_permalink(visit: Any) -> None:
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open("/activity?correlation_id=night-1")
    expect(rows(page)).to_have_count(2)
    page.keyboard.press("j")
    expect(rows(page).first).to_be_focused()
    page.keyboard.press("Enter")
    drawer = page.locator(".drawer")
    expect(drawer).to_contain_text("The kernel attests who sent it")
    expect(drawer.locator(".lines li")).to_have_count(2)
    drawer.get_by_text("Raw JSON").click()
    drawer.get_by_role("button", name="Copy", exact=True).click()
    assert '"action": "backup.verified"' in page.evaluate("navigator.clipboard.readText()")
    drawer.get_by_role("button", name="Copy URL").click()
    link = page.evaluate("navigator.clipboard.readText()")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    assert "entry=" not in page.url
    other = visitor.context.new_page()
    other.goto(link)
    expect(other.locator(".drawer-title")).to_contain_text("backup nightly")


def test_markup_in_every_field_is_text(visit: Any) -> None:
    page = visit().open("/activity?category=capture")
    expect(rows(page)).to_have_count(2)
    for at in (0, 1):
        rows(page).nth(at).click()
        expect(page.locator(".drawer-title")).to_contain_text("<img src=x")
        page.get_by_text("Raw JSON").click()
    expect(page.locator(".drawer-title")).to_contain_text("\\u202e\\x1b[31m")
    page.goto(page.url.partition("/activity")[0] + "/changes/categories")
    expect(page.locator(".changes-table")).to_contain_text(MARKUP)
    page.locator(".col-when a").first.click()
    expect(page.locator(".drawer .difference")).to_contain_text(MARKUP)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src='x'], main script, .drawer script").count() == 0


def test_the_drawer_shows_what_led_to_an_entry_and_what_it_led_to(
    visit: Any, daemon: Running
) -> None:
    cause = "0192f1c4-1a2b-4abc-9f3e-00000000c001"
    one, *_ = record(daemon, [
        {"action": "switch.pressed", "id": cause, "object_type": "switch", "object_id": "hall"},
        {"action": "light.started", "causation_id": cause, "object_type": "light",
         "object_id": "hall"},
    ])  # fmt: skip
    page = visit().open(f"/activity?entry={one}")
    effects = page.locator(".drawer section", has_text="Led to")
    expect(effects.locator(".line")).to_have_count(1)
    effects.locator(".line").click()
    caused = page.locator(".drawer section", has_text="Caused by").filter(has=page.locator(".line"))
    expect(caused.locator(".line")).to_contain_text("pressed switch hall")


def test_late_entries_stay_under_the_day_they_came_in(visit: Any, daemon: Running) -> None:
    def sent(count: int, **more: Any) -> list[dict[str, Any]]:
        return [{"action": "late.sent", "channel": "late", **more} for _ in range(count)]

    record(daemon, [*sent(2), *sent(1, occurred_at=ago(days=3)), *sent(2)])
    page = visit().open("/activity?channel=late")
    expect(rows(page)).to_have_count(5)
    expect(page.locator(".day")).to_have_count(1)
    expect(rows(page).nth(2).locator("time")).to_have_text(re.compile(r"^\d+ \w+, \d\d:\d\d$"))
    record(daemon, [*sent(8, occurred_at=ago(days=3)), *sent(1)])
    expect(rows(page)).to_have_count(14)
    headings = page.locator(".day")
    expect(headings).to_have_count(3)
    expect(headings.nth(1)).to_contain_text("recorded later")
    expect(headings.nth(0)).not_to_contain_text("recorded later")


def test_where_counting_takes_too_long_a_filter_can_still_be_chosen(visit: Any) -> None:
    page = visit().open("/activity")
    slow = {"status": 504, "title": "Gateway Timeout", "detail": "the query took over 5 s"}
    page.route("**/events/facets*", lambda route: route.fulfill(status=504, json=slow))
    page.get_by_role("button", name="Outcome").click()
    popover = page.locator(".popover")
    expect(popover).to_contain_text("the query took over 5 s")
    popover.locator(".facet-value", has_text="Denied").click()
    page.wait_for_url("**outcome=denied**")
    expect(rows(page).filter(has_text="Eve").first).to_be_visible()
    page.get_by_role("button", name="Actor").click()
    expect(popover).to_contain_text("the query took over 5 s")
    popover.get_by_label("Another value").fill("bob")
    popover.get_by_label("Another value").press("Enter")
    page.wait_for_url("**actor=bob**")


def test_an_export_takes_the_filters_of_the_view(visit: Any, daemon: Running) -> None:
    visitor = visit()
    visitor.log_in(daemon.viewer)
    page = visitor.open("/activity?outcome=denied")
    page.get_by_role("link", name="Export").click()
    page.wait_for_url("**/settings?outcome=denied")
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON", exact=True).click()
    told = download.value.path().read_text()
    assert '"denied"' in told
    assert '"success"' not in told
    page.get_by_role("link", name="Remove Outcome Denied").click()
    page.wait_for_url("**/settings")
    expect(page.locator(".chosen-chip")).to_have_count(0)
