"""A browser for a file of tests, windows for a test, and the check that nothing went wrong in them unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
from pytest_django.live_server_helper import LiveServer

from backoffice.devstack.preflight import find_browser
from tests.e2e.browser import BROWSER_FLAGS, Visitor, closing_in_time
from tests.e2e.world import World, make_world

Arrive = Callable[..., Visitor]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """System Chromium without a screen. Skips only where there is none."""
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium on this machine: `make setup-tests` installs it or says how")
    with pytest.MonkeyPatch.context() as patch:
        # Playwright keeps an event loop in this thread while it runs; the tests' own database calls are not in it.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        playwright = sync_playwright().start()
        opened = playwright.chromium.launch(executable_path=path, args=list(BROWSER_FLAGS))
        yield opened
        with closing_in_time():
            opened.close()
        with closing_in_time():
            playwright.stop()


@pytest.fixture
def world(transactional_db: None) -> World:
    """The small broker, before any settlement."""
    return make_world()


@pytest.fixture
def arrive(browser: Browser, live_server: LiveServer, empty_cache: None) -> Iterator[Arrive]:
    """Opens windows; at the end none of them may have complained of anything."""
    visitors: list[Visitor] = []

    def open_window(*, phone: bool = False, dark: bool = False) -> Visitor:
        visitor = Visitor.arrive(browser, live_server.url, phone=phone, dark=dark)
        visitors.append(visitor)
        return visitor

    yield open_window
    with closing_in_time():
        for visitor in visitors:
            visitor.leave()
    complaints = [complaint for visitor in visitors for complaint in visitor.complaints]
    assert not complaints, "\n".join(complaints)
