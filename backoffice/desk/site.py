"""The staff site. Nobody enters without a staff role and a second factor in this very session."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.http import urlencode
from unfold.dataclasses import SearchResult
from unfold.sites import UnfoldAdminSite

from backoffice.core.actors import actor_of
from backoffice.core.identity.second_factor import second_factor_url, session_passed_second_factor
from backoffice.core.models import User
from backoffice.desk.context import work_and_switches
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import viewing_actor
from backoffice.ui.dashboards import cards_for
from backoffice.ui.navigation import address_of, heading_of, menu_for
from backoffice.ui.views import desk_page_urls

# A longer menu opens only the section that the viewer is in.
OPEN_MENU_LIMIT = 18
SEARCH_RESULTS_PER_MODEL = 5
SEARCH_RESULT_LIMIT = 40
SEARCH_MINIMUM_LETTERS = 2


class DeskSite(UnfoldAdminSite):
    """The desk: Django's admin with our door, our menu and our first page."""

    site_title = "Back office"
    site_header = "Broker back office"
    index_title = "Today"
    index_template = "desk/index.html"
    enable_nav_sidebar = True

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Takes pages of the desk's own kind only: what libraries register by themselves knows no door and is left out."""
        if admin_class is None or not issubclass(admin_class, DeskModelAdmin):
            return
        super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        """Active staff, and the session has passed the second factor. A password alone opens nothing."""
        user = request.user
        return isinstance(user, User) and user.is_staff and session_passed_second_factor(request)

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """Every view of the desk: the door first, then the view, drawn for the person who asks."""
        guarded = super().admin_view(view, cacheable)

        @wraps(view)
        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            viewing_actor.set(actor_of(request))
            return guarded(request, *args, **kwargs)  # type: ignore[no-any-return]

        return inner

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """There is one login for everybody; who is logged in and still not let in is told why."""
        user = request.user
        target = request.GET.get(REDIRECT_FIELD_NAME) or reverse(f"{self.name}:index")
        if isinstance(user, User) and user.is_authenticated:
            if not user.is_staff:
                raise PermissionDenied
            if not session_passed_second_factor(request):
                return HttpResponseRedirect(second_factor_url(request, next_url=target))
            return HttpResponseRedirect(reverse(f"{self.name}:index"))
        return HttpResponseRedirect(f"{reverse('account_login')}?{urlencode({REDIRECT_FIELD_NAME: target})}")

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """As for everybody."""
        return HttpResponseRedirect(reverse("account_logout"))

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """As for everybody."""
        return HttpResponseRedirect(reverse("account_change_password"))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """What the frame of every page shows: unfold's, and the inbox's figure and the stopped flows."""
        return super().each_context(request) | work_and_switches(request)

    def refuse(self, request: HttpRequest) -> HttpResponseBase:
        """Says no to who is inside the desk but not allowed this."""
        raise PermissionDenied

    def get_urls(self) -> list[URLPattern]:
        """The pages that desks registered, then the admin's own."""
        return desk_page_urls(self.admin_view) + super().get_urls()

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The menu of the person who asks, in unfold's shape."""
        groups: list[dict[str, Any]] = [{"title": None, "items": [self._menu_item(request, "Today", "admin:index")]}]
        menu = menu_for(actor_of(request))
        is_long = sum(len(pages) for _, pages in menu) > OPEN_MENU_LIMIT
        for section, pages in menu:
            items = [
                self._menu_item(request, page.title, page.url_name, page.badge) | {"heading": heading_of(page)}
                for page in pages
            ]
            self._mark_page_without_entry(request, section.desk, items)
            groups.append({"title": section.title, "icon": section.icon, "items": items, "collapsible": is_long})
        return groups

    def _mark_page_without_entry(self, request: HttpRequest, desk: str, items: list[dict[str, Any]]) -> None:
        """A page that has no entry of its own keeps the section of its desk open."""
        if items and request.path.startswith((f"/desk/{desk}/", f"/desk/pages/{desk}/")):
            items[0]["is_within"] = not any(item["active"] for item in items)

    def _menu_item(self, request: HttpRequest, title: str, url_name: str, badge: Any = None) -> dict[str, Any]:
        url = address_of(url_name)
        is_index = url_name == f"{self.name}:index"
        active = request.path == url if is_index else request.path.startswith(url)
        waiting = badge(actor_of(request)) if badge is not None else None
        item = {"title": title, "link": url, "active": active, "has_permission": True}
        return item | {"badge": str(waiting)} if waiting else item

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """What Django lists by app: drawn on the page of one app only. Elsewhere our menu stands, and nothing is put together."""
        return super().get_app_list(request, app_label) if app_label else []

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The cards of the person's roles."""
        actor = actor_of(request)
        context = {"cards": cards_for(actor), "menu": menu_for(actor), "actor": actor, "is_fullwidth": "1"}
        return super().index(request, context | (extra_context or {}))

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Pages of the menu and objects the person may see, by name. Nothing is cached: rights may change any moment."""
        started = time.perf_counter()
        term = (request.GET.get("s") or "").strip()
        if len(term) < SEARCH_MINIMUM_LETTERS:
            return HttpResponse()
        results = (self._find_pages(request, term) + self._find_objects(request, term))[:SEARCH_RESULT_LIMIT]
        pages = Paginator(results, SEARCH_RESULT_LIMIT)
        context = {
            "page_obj": pages,
            "results": pages.page(1),
            "page_counter": 0,
            "execution_time": time.perf_counter() - started,
            "command_show_history": False,
        }
        template = "unfold/helpers/command_results.html"
        return TemplateResponse(request, template, context, headers={"HX-Trigger": "search"})

    def _find_pages(self, request: HttpRequest, term: str) -> list[SearchResult]:
        wanted = term.lower()
        return [
            SearchResult(title=page.title, description=section.title, link=page.url, icon=page.icon or section.icon)
            for section, pages in menu_for(actor_of(request))
            for page in pages
            if wanted in page.title.lower() or wanted in section.title.lower()
        ]

    def _find_objects(self, request: HttpRequest, term: str) -> list[SearchResult]:
        results = []
        for model, model_admin in self._registry.items():
            if not isinstance(model_admin, DeskModelAdmin) or not model_admin.get_search_fields(request):
                continue
            if not model_admin.has_view_permission(request):
                continue
            rows, _ = model_admin.get_search_results(request, model_admin.get_queryset(request), term)
            opts = model._meta
            results += [
                SearchResult(
                    title=str(row),
                    description=str(opts.verbose_name).capitalize(),
                    link=reverse(f"{self.name}:{opts.app_label}_{opts.model_name}_change", args=[row.pk]),
                    icon="article",
                )
                for row in rows.distinct()[:SEARCH_RESULTS_PER_MODEL]
            ]
        return results
