"""A real browser, headless: Debian's or another Chromium of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM_ENV = "PHOTOVEIL_CHROMIUM"


def chromium() -> str:
    """Path of the browser, `$PHOTOVEIL_CHROMIUM` or what is installed; skips the test without."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get(CHROMIUM_ENV) or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no Chromium: install chromium, or set {CHROMIUM_ENV} to its path")
    return found


@contextmanager
def browser() -> Iterator[Any]:
    """Playwright's browser."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: make install")
    with api.sync_playwright() as playwright:
        # As root, as in a container, Chromium starts without its sandbox alone.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        found = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            yield found
        finally:
            found.close()


class Watched:
    """A page, and everything in it that went wrong or left the machine."""

    def __init__(self, browser: Any, page: Path, **context: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, **context}
        )
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("requestfailed", lambda request: self.problems.append(request.url))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(page.as_uri())
        self.page.wait_for_selector("#gallery li", state="attached")

    def view(self, name: str) -> None:
        """Go to a view by the navigation."""
        self.page.click(f"nav a[href='#{name}']")
        self.page.wait_for_selector(f"section#{name}:not([hidden])")

    def shown(self) -> list[str]:
        """The names of the photos in the gallery."""
        return self.page.locator("#gallery .name").all_inner_texts()

    def open_photo(self, number: int = 0) -> None:
        """Open the nth photo of the gallery and wait for both of its pictures."""
        self.page.locator("#gallery button").nth(number).click()
        self.until(
            "[...document.querySelectorAll('#stage img')].every(one => one.naturalWidth > 0)"
        )

    def until(self, condition: str) -> None:
        """Wait for a condition. Playwright's own way needs `eval`, which the page forbids."""
        for _ in range(200):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never: {condition}")
