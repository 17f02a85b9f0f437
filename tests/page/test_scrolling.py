"""A hundred thousand entries in a real browser: how long a frame takes, and what it costs."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.page.world import record
from tests.web.running import Running

MANY, REAL = 100_000, 200
NODES, HEAP = 90, 250e6
"""Lines in the document, bytes of the page's heap, with a hundred thousand entries loaded."""


@pytest.mark.alone
@pytest.mark.slow
def test_a_hundred_thousand_lines_scroll_smoothly_bounded(visit: Any, daemon: Running) -> None:
    """What is proved is the page's part: its entries are copies of stored ones, made in the browser
    in longer pages than the API answers, for 500 real ones take longer than all the rest."""
    record(daemon, [{"action": "many.sent", "channel": "many"}] * REAL)
    much = visit()
    much.context.add_init_script(COPIES % {"many": MANY, "length": 2_000})
    page = much.open("/activity?channel=many")
    expect(page.locator(".feed .line").first).to_contain_text(str(MANY))
    page.evaluate(LOAD_ALL)
    assert page.evaluate("document.querySelector('.row').ariaSetSize") == str(MANY + 1)
    frames = page.evaluate(SCROLL)
    assert frames["nodes"] < NODES
    assert frames["blank"] == 0
    little = visit()
    little.context.add_init_script(COPIES % {"many": MANY, "length": 200})
    few = little.open("/activity?channel=many")
    expect(few.locator(".feed .line").first).to_be_visible()
    # What a frame takes does not depend on how much is loaded.
    usual = statistics.median(few.evaluate(SCROLL)["gaps"])
    assert statistics.median(frames["gaps"]) < 1.5 * usual + 10
    heap = page.context.new_cdp_session(page).send("Runtime.getHeapUsage")["usedSize"]
    assert heap < HEAP
    page.keyboard.press("j")
    expect(page.locator(".line:focus")).to_be_visible()


COPIES = """
const ask = window.fetch;
let real;
window.fetch = async (url, how) => {
  const {pathname, searchParams: asked} = new URL(url, location.href);
  if (pathname !== '/api/v1/events' || asked.has('total')) return ask(url, how);
  real ??= (await (await ask('/api/v1/events?channel=many&limit=200')).json()).entries;
  const next = Number(asked.get('before_seq') ?? %(many)d + 1), entries = [];
  for (let seq = next - 1; seq > 0 && entries.length < %(length)d; seq -= 1) {
    const copied = real[seq %% real.length];
    entries.push({...copied, seq, id: copied.id.slice(0, -6) + String(seq).padStart(6, '0'),
                  object_type: 'number', object_id: String(seq)});
  }
  const last = entries.at(-1).seq;
  const page = {entries, has_more: last > 1, next_before_seq: last};
  return new Response(JSON.stringify(page), {headers: {'Content-Type': 'application/json'}});
};
"""
LOAD_ALL = """async () => {
  const end = () => [...document.querySelectorAll('.feed-more')].some(
    each => each.textContent.includes('where the log begins'));
  while (!end()) {
    scrollTo(0, document.documentElement.scrollHeight);
    await new Promise(requestAnimationFrame);
  }
}"""
SCROLL = """async () => {
  const gaps = [], height = document.documentElement.scrollHeight;
  let nodes = 0, blank = 0, last = performance.now();
  for (let frame = 0; frame < 120; frame += 1) {
    scrollTo(0, height / 3 + frame * 20);
    const now = await new Promise(requestAnimationFrame);
    if (frame > 1) gaps.push(now - last);
    last = now;
    await new Promise(each => setTimeout(each));
    nodes = Math.max(nodes, document.querySelectorAll('.row').length);
    if (!document.elementFromPoint(innerWidth / 2, innerHeight / 2)?.closest('.row')) blank += 1;
  }
  return {gaps, nodes, blank};
}"""
