"""Bases and registry of the portal, where traders and introducing brokers see their own.

    class CommissionsPage(PortalTablePage):
        roles, title = ("ib",), "Commissions"
        columns = (moment("day", title="Day"), money("amount", currency="currency", title="Amount"))

        def rows(self, actor):
            return selectors.own_commission_lines(actor=actor)

    register_portal_page("ib.commissions", "Commissions", "portal:ib_commissions", ("ib",), 20,
                         route="commissions/", view=CommissionsPage)
    register_home_panel("ib.balance", ("ib",), render_balance, order=10)

Every page demands a login and one of its roles; rows come through selectors with the actor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.generic import View

from backoffice.core.actors import actor_of
from backoffice.core.types import Actor
from backoffice.kernel.errors import Denied, Misconfigured, NotFound
from backoffice.ui.columns import Column, viewing_actor

NAMESPACE = "portal"
PAGE_SIZE = 25
PAGE_ROW_LIMIT = 5_000


@dataclass(frozen=True, slots=True)
class PortalPage:
    """An entry of the portal's menu."""

    key: str
    title: str
    url_name: str
    roles: frozenset[str]
    order: int
    route: str
    view: type[PortalView] | None

    @property
    def url(self) -> str:
        """Where the entry leads."""
        return reverse(self.url_name)


@dataclass(frozen=True, slots=True)
class HomePanel:
    """A part of the portal's first page. `render(actor)` returns a `Panel` or None."""

    key: str
    roles: frozenset[str]
    render: Callable[[Actor], Panel | None]
    order: int


@dataclass(frozen=True, slots=True)
class Panel:
    """What a home panel shows: a figure, or rows under headings, or safe HTML, or several of them."""

    title: str
    figure: str = ""
    note: str = ""
    url: str = ""
    url_label: str = "See all"
    body: str = ""
    columns: Sequence[Column] = ()
    rows: Sequence[Any] = ()
    empty_text: str = ""
    is_wide: bool = False

    @property
    def cells(self) -> list[list[tuple[Column, str]]]:
        """The rows as columns with their HTML."""
        return [[(column, column.html(row)) for column in self.columns] for row in self.rows]


_pages: dict[str, PortalPage] = {}
_panels: dict[str, HomePanel] = {}
_notices: dict[str, Callable[[Actor], str]] = {}


def register_portal_page(
    key: str,
    title: str,
    url_name: str,
    roles: Sequence[str],
    order: int = 100,
    *,
    route: str = "",
    view: type[PortalView] | None = None,
) -> None:
    """Adds a page to the menu of the roles; with `route` and `view` the page is also mounted (name `portal:<name>`)."""
    page = PortalPage(key, title, url_name, frozenset(str(role) for role in roles), order, route, view)
    if _pages.setdefault(key, page) != page:
        raise Misconfigured(f"The portal page {key} is registered twice.", key=key)


def register_home_panel(
    key: str, roles: Sequence[str], render: Callable[[Actor], Panel | None], order: int = 100
) -> None:
    """Adds a panel to the first page of the roles."""
    panel = HomePanel(key, frozenset(str(role) for role in roles), render, order)
    if _panels.setdefault(key, panel) != panel:
        raise Misconfigured(f"The home panel {key} is registered twice.", key=key)


def register_portal_notice(key: str, render: Callable[[Actor], str]) -> None:
    """Adds a plain sentence that stands above every page of the portal while `render(actor)` returns one (else "")."""
    if _notices.setdefault(key, render) is not render:
        raise Misconfigured(f"The portal notice {key} is registered twice.", key=key)


def notices_for(actor: Actor) -> list[str]:
    """The sentences that stand above the actor's pages now."""
    return [said for said in (render(actor) for render in _notices.values()) if said]


def pages_for(actor: Actor) -> list[PortalPage]:
    """The menu of an actor."""
    return sorted((page for page in _pages.values() if page.roles & actor.roles), key=lambda page: page.order)


def home_panels_for(actor: Actor) -> list[Panel]:
    """The panels of an actor's first page that have something to show."""
    ordered = sorted((panel for panel in _panels.values() if panel.roles & actor.roles), key=lambda item: item.order)
    return [shown for shown in (panel.render(actor) for panel in ordered) if shown is not None]


def portal_page_urls() -> list[URLPattern]:
    """The URL patterns of the mounted pages, for the portal's URL configuration."""
    return [
        path(page.route, page.view.as_view(), name=page.url_name.removeprefix(f"{NAMESPACE}:"))
        for page in _pages.values()
        if page.view is not None
    ]


class PortalView(LoginRequiredMixin, View):
    """A page of the portal: demands a login and one of `roles`, draws `template_name` with `context(actor)`."""

    roles: ClassVar[Sequence[str]] = ()
    title: ClassVar[str] = ""
    template_name: ClassVar[str] = "portal/page.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Lets in who is logged in and holds one of the roles; a page without roles lets nobody in."""
        if not request.user.is_authenticated:
            return self.handle_no_permission()
        self.actor = actor_of(request)
        viewing_actor.set(self.actor)
        if not self.actor.has_role(*self.roles):
            raise PermissionDenied
        try:
            return super().dispatch(request, *args, **kwargs)
        except Denied as error:
            raise PermissionDenied(error.message) from error
        except NotFound as error:
            raise Http404(error.message) from error

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Shows the page."""
        return self.page(self.context(self.actor))

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """What the template shows."""
        return {}

    def page(self, context: Mapping[str, Any], *, status: int = 200) -> TemplateResponse:
        """A response with the portal around it."""
        around = {
            "title": self.title,
            "menu": [(page, page.url == self.request.path) for page in pages_for(self.actor)],
            "notices": notices_for(self.actor),
        }
        return TemplateResponse(self.request, self.template_name, {**around, **context}, status=status)


class PortalTablePage(PortalView):
    """A portal page with one table."""

    template_name = "portal/table_page.html"
    columns: ClassVar[Sequence[Column]] = ()
    empty_text: ClassVar[str] = "Nothing here yet."
    intro: ClassVar[str] = ""

    def rows(self, actor: Actor) -> QuerySet[Any] | Sequence[Any]:
        """The rows of the actor; a subclass says which."""
        raise Misconfigured(f"{type(self).__name__} names no rows.", page=type(self).__name__)

    def summary(self, actor: Actor) -> Sequence[tuple[str, str]]:
        """Pairs of label and safe HTML above the table."""
        return ()

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """The rows of the asked page."""
        pages = Paginator(self.rows(actor)[:PAGE_ROW_LIMIT], PAGE_SIZE)
        page = pages.get_page(self.request.GET.get("page"))
        return {
            "columns": self.columns,
            "table_rows": [[(column, column.html(row)) for column in self.columns] for row in page.object_list],
            "page_obj": page,
            "summary": self.summary(actor),
            "empty_text": self.empty_text,
            "intro": self.intro,
        }
