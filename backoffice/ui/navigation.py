"""The desk's menu: sections (one per desk) and the pages in them. Each desk registers its own in `AppConfig.ready()`.

A page names the capability that opens it; who does not hold it does not see it in the menu, in the dashboard or in the
search. The registry decides nothing about data: what a page shows is the access door's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import structlog
from django.conf import settings
from django.core.checks import CheckMessage, register
from django.core.checks import Warning as CheckWarning
from django.urls import NoReverseMatch, get_script_prefix, reverse

from backoffice.core.access import holds
from backoffice.core.types import Actor
from backoffice.kernel.errors import Misconfigured

DEFAULT_ORDER = 500


def address_of(url_name: str) -> str:
    """The address of a page without arguments. Raises NoReverseMatch where there is none.

    Every page of the desk draws the whole menu, and addresses never change while a process lives: each is worked out once.
    """
    return _address(url_name, settings.ROOT_URLCONF, get_script_prefix())


@cache
def _address(url_name: str, _url_configuration: str, _script_prefix: str) -> str:
    return reverse(url_name)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of the menu. `icon` is a Material Symbols name."""

    desk: str
    title: str
    icon: str
    order: int


@dataclass(frozen=True, slots=True)
class Page:
    """An entry of the menu. `badge` may count what waits there for the actor (None or 0 shows nothing)."""

    desk: str
    title: str
    url_name: str
    capability: str
    order: int
    icon: str
    badge: Callable[[Actor], int | None] | None

    @property
    def url(self) -> str:
        """Where the entry leads."""
        return address_of(self.url_name)


_sections: dict[str, Section] = {}
_pages: dict[str, Page] = {}
_places: dict[str, tuple[int, int, str]] = {}


def register_section(desk: str, title: str, icon: str, order: int = DEFAULT_ORDER) -> None:
    """Adds a heading. The same again is no mistake; another one under the same desk is."""
    section = Section(desk, title, icon, order)
    if _sections.setdefault(desk, section) != section:
        raise Misconfigured(f"The desk section {desk} is registered twice.", desk=desk)


def register_page(
    desk: str,
    title: str,
    url_name: str,
    capability: str,
    order: int = DEFAULT_ORDER,
    *,
    icon: str = "",
    badge: Callable[[Actor], int | None] | None = None,
) -> None:
    """Adds an entry under a heading, e.g. `("crm", "Clients", "admin:crm_client_changelist", "crm.view_client", 10)`."""
    page = Page(desk, title, url_name, capability, order, icon, badge)
    if _pages.setdefault(url_name, page) != page:
        raise Misconfigured(f"The desk page {url_name} is registered twice.", url_name=url_name)


def arrange(groups: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Gives a long section of the menu headings of its own: pairs of a heading and the URL names below it, in order.

    A page that no group names stands above the first heading. Raises Misconfigured for a page that is named twice.
    """
    for number, (heading, url_names) in enumerate(groups):
        for place, url_name in enumerate(url_names):
            if _places.setdefault(url_name, (number, place, heading)) != (number, place, heading):
                raise Misconfigured(f"The menu arranges {url_name} twice.", url_name=url_name)


def heading_of(page: Page) -> str:
    """The heading inside its section under which a page stands; "" for none."""
    return _places[page.url_name][2] if page.url_name in _places else ""


def title_of(url_name: str) -> str:
    """What the menu calls the page; "" where it is not in the menu."""
    return _pages[url_name].title if url_name in _pages else ""


def pages() -> list[Page]:
    """Every registered page in menu order."""
    return sorted(_pages.values(), key=_place)


def _place(page: Page) -> tuple[int, str, int, int, int, str]:
    group, place, _ = _places.get(page.url_name, (-1, page.order, ""))
    return _section(page.desk).order, page.desk, group, place, page.order, page.title


def menu_for(actor: Actor) -> list[tuple[Section, list[Page]]]:
    """The headings and pages that the actor may open; headings without a page are left out.

    An entry that leads nowhere is left out too, and logged: one desk's mistake must not close the others. The system
    check names it before it is deployed.
    """
    menu: list[tuple[Section, list[Page]]] = []
    for page in pages():
        if not holds(actor, page.capability):
            continue
        if not _leads_somewhere(page):
            structlog.get_logger(__name__).error("menu_entry_leads_nowhere", url_name=page.url_name)
            continue
        section = _section(page.desk)
        if not menu or menu[-1][0] != section:
            menu.append((section, []))
        menu[-1][1].append(page)
    return menu


def _section(desk: str) -> Section:
    return _sections.get(desk) or Section(desk, desk.replace("_", " ").capitalize(), "folder", DEFAULT_ORDER)


def _leads_somewhere(page: Page) -> bool:
    try:
        return bool(page.url)
    except NoReverseMatch:
        return False


@register("urls")
def every_entry_leads_somewhere(**_: Any) -> list[CheckMessage]:
    """A warning for each registered page that has no URL."""
    return [
        CheckWarning(
            f"The desk's menu entry {page.title!r} leads nowhere.", hint=f"No URL {page.url_name}.", id="ui.W001"
        )
        for page in pages()
        if not _leads_somewhere(page)
    ]
