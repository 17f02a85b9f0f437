"""The page in Debian's Chromium, on a copy of the large journal."""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from typing import Any, Final

from tests.benchmarks.bench import Bench, Line, Sizes
from tests.benchmarks.servers import Daemon
from tests.requirements import CHROMIUM_FLAGS

CHROMIUM: Final = shutil.which("chromium")
RATE: Final = 100
"""Events a second that arrive while somebody looks."""
OBSERVE: Final = """
window.shifted = 0;
new PerformanceObserver(list => {
  for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shifted += shift.value;
}).observe({type: 'layout-shift', buffered: true});
"""
PAINTED: Final = """() => performance.getEntriesByName('first-contentful-paint')[0].startTime"""
SHOWN: Final = """() => performance.now()"""
FRAMES: Final = """async seconds => {
  const start = performance.now();
  let frames = 0, longest = 0, last = start;
  while (last - start < seconds * 1000) {
    const now = await new Promise(requestAnimationFrame);
    longest = Math.max(longest, now - last);
    last = now;
    frames += 1;
  }
  return {frames, longest, seconds: (last - start) / 1000};
}"""


def page(bench: Bench) -> list[Line]:
    """What somebody waits for, and what moves under their eyes."""
    size = f"at {bench.sizes.filled:,}"
    figures: dict[str, Any] = bench.once("page", lambda: _measured(bench)) if CHROMIUM else {}
    paint, shown, live = figures.get("paint"), figures.get("shown"), figures.get("live")
    worst = f"longest gap {live['longest']:.0f} ms, idle {live['idle']:.2f}" if live else ""
    return [
        Line(f"first paint of the dashboard, ms, {size}", paint, "≤ 1000"),
        Line(f"first lines of the feed, ms, {size}", shown, "none"),
        Line(
            f"frames lost while {RATE} events/s arrive, share",
            live and live["lost"],
            "≤ 0.05",
            worst,
        ),
        Line("layout shift of the dashboard and the feed, sum", figures.get("shift"), "≤ 0.1"),
    ]


def _measured(bench: Bench) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    place = bench.directory()
    command = [sys.executable, "-m", "collector", "backup", str(place / "events.db")]
    subprocess.run([*command, "--db", bench.filled().database], check=True, capture_output=True)
    with Daemon(place, web=True) as daemon, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        try:
            visits = [_visit(browser, daemon) for _ in range(bench.sizes.visits)]
            return {**_medians(visits), "live": _live(browser, daemon, bench.sizes)}
        finally:
            browser.close()


def _medians(visits: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(each[name] for each in visits) for name in visits[0]}


def _visit(browser: Any, daemon: Daemon) -> dict[str, float]:
    """A first visit, with nothing cached: the dashboard, then the feed."""
    context = browser.new_context()
    context.add_init_script(OBSERVE)
    tab = context.new_page()
    tab.goto(f"http://{daemon.page}/")
    tab.locator(".counts").first.wait_for()
    paint, shift = tab.evaluate(PAINTED), tab.evaluate("window.shifted")
    tab.goto(f"http://{daemon.page}/activity")
    tab.locator(".feed .line").first.wait_for()
    shown, moved = tab.evaluate(SHOWN), tab.evaluate("window.shifted")
    context.close()
    return {"paint": paint, "shown": shown, "shift": shift + moved}


def _live(browser: Any, daemon: Daemon, sizes: Sizes) -> dict[str, float]:
    """Frames of the feed while events arrive, against those of the feed at rest."""
    tab = browser.new_page()
    tab.goto(f"http://{daemon.page}/activity")
    tab.locator(".pulse-live").wait_for()
    tab.locator(".feed .line").first.wait_for()
    tab.wait_for_timeout(sizes.rest * 1000)
    idle = tab.evaluate(FRAMES, sizes.latency)
    ended = threading.Event()
    sender = threading.Thread(target=_send, args=(daemon.address, ended))
    sender.start()
    try:
        busy = tab.evaluate(FRAMES, sizes.latency)
    finally:
        ended.set()
        sender.join()
    rate, usual = busy["frames"] / busy["seconds"], idle["frames"] / idle["seconds"]
    return {
        "lost": max(0.0, 1 - rate / 60),
        "idle": max(0.0, 1 - usual / 60),
        "longest": busy["longest"],
    }


def _send(address: str, ended: threading.Event) -> None:
    """`RATE` events a second, until told to end."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(address)
        replies, start, sent = peer.makefile("rb"), time.monotonic(), 0
        while not ended.wait(max(0.0, start + sent / RATE - time.monotonic())):
            peer.sendall(
                b'{"action":"lamp.switched","object_type":"lamp","object_id":"%d"}\n' % sent
            )
            replies.readline()
            sent += 1
