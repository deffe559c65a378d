"""A real browser on the live server, and what it complained about.

`Visitor` is one person with a window: it signs in, opens pages, and keeps every error that the console shows, every
broken content security rule, every exception of a script and every request that would leave this machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import psutil
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, Route
from playwright.sync_api import Error as BrowserError

from backoffice.core.identity import one_time_codes
from backoffice.core.models import User
from tests.logins import log_in

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
BROWSER_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# Rules of WCAG 2.2 A and AA, and the advice of the testing engine itself.
BAD_IMPACTS = frozenset({"serious", "critical"})
# What depends on the colours of a theme; everything else axe says is the same in both.
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
PAGE_TIMEOUT_MS = 15_000
CLOSING_SECONDS = 30.0
CODE_SECONDS = 30


@contextmanager
def closing_in_time(seconds: float = CLOSING_SECONDS) -> Iterator[None]:
    """Kills a browser that does not close: closing one has no time-out of its own, and a run would wait for ever."""
    is_killed = threading.Event()

    def kill() -> None:
        is_killed.set()
        for process in psutil.Process().children(recursive=True):
            if any(name in " ".join(process.cmdline()) for name in ("playwright", "chrom")):
                process.kill()

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield
    except BrowserError:
        if not is_killed.is_set():
            raise
    finally:
        timer.cancel()


def code_of(user: User, *, seconds_left: float = 15.0) -> str:
    """The one-time code of a person, which stays right for so long at least: typing it takes a browser a while."""
    left = CODE_SECONDS - time.time() % CODE_SECONDS
    if left < seconds_left:
        time.sleep(left)
    return one_time_codes.current_code(user)


@dataclass
class Visitor:
    """One window on the live server."""

    address: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def arrive(cls, browser: Browser, address: str, *, phone: bool = False, dark: bool = False) -> Visitor:
        """Opens a window of its own: no cookie is shared with any other."""
        context = browser.new_context(
            viewport=PHONE if phone else DESKTOP,
            is_mobile=phone,
            has_touch=phone,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            accept_downloads=True,
        )
        context.set_default_timeout(PAGE_TIMEOUT_MS)
        visitor = cls(address=address, context=context, page=context.new_page())
        context.route("**/*", visitor._stay_here)
        visitor.page.on("console", visitor._heard)
        visitor.page.on("pageerror", lambda error: visitor.complaints.append(f"script error: {error}"))
        visitor.page.on("requestfailed", visitor._failed)
        return visitor

    def _stay_here(self, route: Route) -> None:
        if urlsplit(route.request.url).netloc in {urlsplit(self.address).netloc, ""}:
            route.continue_()
            return
        self.complaints.append(f"request to another machine: {route.request.url}")
        route.abort()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "assert"}:
            self.complaints.append(f"console at {self.page.url}: {message.text}")

    def _failed(self, request: Request) -> None:
        # Leaving a page, or starting a download, ends requests that were under way.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"request failed: {request.url}: {request.failure}")

    def open(self, path: str, *, status: int = 200) -> Response:
        """Goes to a page and expects the given status."""
        heard = len(self.complaints)
        response = self.page.goto(path if path.startswith("http") else f"{self.address}{path}")
        assert response is not None
        assert response.status == status, f"{path} answered {response.status}, not {status}"
        if status >= 400:
            # The browser's own line about the expected status is no complaint.
            self.complaints[heard:] = [c for c in self.complaints[heard:] if f"status of {status}" not in c]
        return response

    def sign_in_as(self, user: User) -> None:
        """Gives the window a session that has shown password and, for staff, second factor, as after the login form."""
        session = log_in(Client(), user, second_factor=user.is_staff).session
        name = settings.SESSION_COOKIE_NAME
        self.context.add_cookies([{"name": name, "value": session.session_key or "", "url": self.address}])

    def choose(self, section: str, title: str) -> None:
        """Opens a page by the desk's menu."""
        menu = self.page.locator("#nav-sidebar-apps")
        group = menu.locator("details").filter(has=self.page.locator("summary", has_text=section))
        if group.get_attribute("open") is None:
            group.locator("summary").click()
        group.get_by_role("link", name=title).click()

    def barriers(self, rules: list[str] | None = None) -> list[str]:
        """The serious and critical findings of axe on the page as it stands; of the named rules only, where some are."""
        options: dict[str, object] = {"resultTypes": ["violations"]}
        if rules is not None:
            options["runOnly"] = {"type": "rule", "values": rules}
        results = Axe().run(self.page, options=options)
        found = []
        for violation in results.response["violations"]:
            if violation["impact"] in BAD_IMPACTS:
                places = "; ".join(
                    f"{' '.join(str(part) for part in node['target'])} ({' '.join(node['failureSummary'].split())[:160]})"
                    for node in violation["nodes"][:4]
                )
                found.append(f"{violation['impact']} {violation['id']} ×{len(violation['nodes'])}: {places}")
        return found

    def barriers_by_day_and_night(self) -> list[str]:
        """What axe finds on the page as it stands in its light theme, and with its colours in the dark one."""
        found = self.barriers()
        ground = self._ground()
        self._set_theme("dark")
        assert self._ground() != ground, f"{self.page.url} has no dark theme"
        found += [f"dark: {barrier}" for barrier in self.barriers(COLOUR_RULES)]
        self._set_theme("light")
        return found

    def _set_theme(self, theme: Literal["light", "dark"]) -> None:
        """The portal follows the system's theme at once; the desk's own switch, which read it on loading, is set as well."""
        self.page.emulate_media(color_scheme=theme)
        self.page.evaluate(
            "dark => { const page = document.documentElement;"
            " if (page.getAttribute('x-bind') === 'themeBindings') page.classList.toggle('dark', dark); }",
            theme == "dark",
        )

    def _ground(self) -> str:
        return str(
            self.page.evaluate(
                "() => [document.documentElement, document.body]"
                ".map(part => getComputedStyle(part).backgroundColor).join(' ')"
            )
        )

    def leave(self) -> None:
        """Closes the window."""
        self.context.close()
