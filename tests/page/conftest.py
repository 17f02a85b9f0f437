"""A real daemon with real events, and Debian's Chromium on its page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.page.world import CONFIG, fill
from tests.requirements import CHROMIUM_FLAGS, need_tool
from tests.web.running import Running, running

WATCH = """
window.violations = [];
addEventListener('securitypolicyviolation', event =>
  violations.push(event.violatedDirective + ' ' + event.blockedURI));
"""
expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a module; closed after it, since its loop would be in the way of others."""
    path = need_tool("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon with a little of everything; `admin` and `viewer` are keys of those roles."""
    need_tool("chromium")
    path: Path = tmp_path_factory.mktemp("page")
    with running(path, CONFIG) as started:
        fill(started)
        yield started


@dataclass
class Visitor:
    """Somebody with a browser. What the page may not do is collected, and fails the test."""

    context: BrowserContext
    url: str
    wrong: list[str] = field(default_factory=list)

    def open(self, address: str) -> Page:
        """A new tab at an address of the page."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))
        page.goto(self.url + address)
        return page

    def _asked(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.wrong.append(f"asked another host: {url}")

    def log_in(self, secret: str) -> None:
        """Exchange a key for the cookie."""
        answer = self.context.request.post(
            f"{self.url}/api/v1/session", data={"key": secret}, headers={"Origin": self.url}
        )
        assert answer.ok, answer.text()

    def check(self) -> None:
        """Nothing was thrown, refused by the content security policy, or asked of another host."""
        for page in self.context.pages:
            violations: list[Any] = page.evaluate("window.violations")
            assert violations == []
        assert self.wrong == []


@pytest.fixture
def visit(browser: Browser, daemon: Running) -> Iterator[Any]:
    """`visit(width=…, scheme=…, lang=…)` is a new `Visitor`; checked when the test ends."""
    made: list[Visitor] = []

    def visit(
        width: int = 1280,
        height: int = 800,
        scheme: Any = "light",
        lang: str = "en-GB",
        **more: Any,
    ) -> Visitor:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, locale=lang, **more
        )
        context.add_init_script(WATCH)
        made.append(Visitor(context, daemon.url))
        return made[-1]

    yield visit
    for visitor in made:
        visitor.check()
        visitor.context.close()
