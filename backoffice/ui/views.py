"""Pages of the desk beside lists: `DeskPage` (anything), `DeskTablePage` (a table with filter, pages, export) and
`DeskActionView` (a form that calls one use case).

    @register_desk_page
    class ExposurePage(DeskTablePage):
        desk, slug, title, capability = "risk", "exposure", "Net exposure", "risk.view_exposure"   # admin:risk_exposure
        columns = (text("key", title="Symbol"), number("net_lots", title="Net lots", digits=2, is_signed=True))

        def rows(self, actor, filters):
            return selectors.exposure_rows(actor=actor)

    class RetryEvent(DeskActionView):                       # listed in DeskModelAdmin.object_actions
        slug, title, capability = "retry", "Retry delivery", "organisation.retry_event"

        def describe(self, actor, data):
            return [("Event", str(self.target)), ("What happens", "It is delivered again at once.")]

        def perform(self, actor, data, idempotency_key):
            return outbox.retry_event(event_id=self.target.pk, actor=actor)

Views are thin: they call one selector or one use case, outside any transaction of the admin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.generic import View

from backoffice.core.access import holds
from backoffice.core.actors import actor_of
from backoffice.core.types import Actor
from backoffice.kernel.errors import Denied, DomainError, InvalidInput, Misconfigured, NotFound
from backoffice.kernel.ids import uuid7
from backoffice.ui.columns import Column
from backoffice.ui.exports import FETCH_SIZE, export_response
from backoffice.ui.formats import label_words
from backoffice.ui.forms import DASHES, desk_widgets

PAGE_SIZE = 50
PAGE_ROW_LIMIT = 10_000
ABOUT_FACTS = 12


class DeskPage(View):
    """A page of the desk. Subclasses give `context(actor)`, or override `get`; the capability is checked before both."""

    desk: ClassVar[str] = ""
    slug: ClassVar[str] = ""
    title: ClassVar[str] = ""
    subtitle: ClassVar[str] = ""
    capability: ClassVar[str] = ""
    # The URL below pages/<desk>/; may hold converters, e.g. "exposure/<int:run_id>/". Defaults to the slug.
    route: ClassVar[str] = ""
    template_name: ClassVar[str] = "desk/page.html"
    # DeskActionViews with a page of their own, offered as buttons.
    actions: ClassVar[Sequence[type[DeskActionView]]] = ()

    # Set where the page is mounted by a DeskModelAdmin.
    model_admin: Any = None

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Finds out who asks."""
        super().setup(request, *args, **kwargs)
        self.actor: Actor = actor_of(request)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Refuses who does not hold the capability; turns a refusal of the domain into 403 or 404."""
        if not self.capability:
            raise Misconfigured(f"{type(self).__name__} names no capability.", page=type(self).__name__)
        if not holds(self.actor, self.capability):
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

    def context(self, actor: Actor) -> dict[str, Any]:
        """What the template shows."""
        return {}

    def page(self, context: Mapping[str, Any], *, template: str = "", status: int = 200) -> TemplateResponse:
        """A response with the desk around it: title, breadcrumbs, buttons and *context*."""
        site = admin.site
        self.request.current_app = site.name  # type: ignore[attr-defined]
        around = {
            **site.each_context(self.request),
            "title": self.title,
            "subtitle": self.subtitle,
            "content_title": self.title,
            "breadcrumbs": self.breadcrumbs(),
            "buttons": [
                {"title": view.label(), "url": view.url(), "tone": view.tone}
                for view in self.actions
                if holds(self.actor, view.capability)
            ],
            "is_fullwidth": "1",
        }
        return TemplateResponse(self.request, template or self.template_name, {**around, **context}, status=status)

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Pairs of title and URL that lead here."""
        return [("Desk", reverse("admin:index"))]

    @classmethod
    def url_name(cls) -> str:
        """The name of the page's URL, e.g. `admin:risk_exposure`."""
        return f"{admin.site.name}:{cls.desk}_{cls.slug}"

    @classmethod
    def url(cls, **kwargs: Any) -> str:
        """Where the page stands."""
        return reverse(cls.url_name(), kwargs=kwargs or None)


class DeskTablePage(DeskPage):
    """A page with one table: columns, an optional filter form, pages, CSV and XLSX export.

    `rows(actor, filters)` returns a queryset or a list, already limited to what the actor may see; `filters` are the
    cleaned values of `filter_form` (all its fields must be optional). `totals(actor, filters)` may return a last row.
    """

    template_name = "desk/table_page.html"
    columns: ClassVar[Sequence[Column]] = ()
    filter_form: ClassVar[type[forms.Form] | None] = None
    empty_text: ClassVar[str] = "Nothing here yet."
    export_capability: ClassVar[str] = ""
    page_size: ClassVar[int] = PAGE_SIZE

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> QuerySet[Any] | Sequence[Any]:
        """The rows; a subclass says which."""
        raise Misconfigured(f"{type(self).__name__} names no rows.", page=type(self).__name__)

    def totals(self, actor: Actor, filters: Mapping[str, Any]) -> Any | None:
        """One more row that sums up, drawn by the same columns; None for none."""
        return None

    def above(self, actor: Actor, filters: Mapping[str, Any]) -> dict[str, Any]:
        """More context: `summary` (pairs of label and safe HTML) and `chart` (safe SVG) are drawn above the table."""
        return {}

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, or the file when `?export=csv|xlsx` asks for it."""
        form = self._filter()
        filters = form.cleaned_data if form is not None and form.is_valid() else {}
        rows = self.rows(self.actor, filters)
        may_export = holds(self.actor, self.export_capability or self.capability)
        query = request.GET.copy()
        if kind := query.pop("export", [""])[-1]:
            if not may_export:
                raise PermissionDenied
            try:
                return self._export(rows, kind)
            except InvalidInput as error:
                messages.error(request, error.message)
                return HttpResponseRedirect(f"{request.path}?{query.urlencode()}")
        query.pop("page", None)
        bounded = rows[: PAGE_ROW_LIMIT + 1]
        pages = Paginator(bounded, self.page_size)
        page = pages.get_page(request.GET.get("page"))
        totals = self.totals(self.actor, filters)
        context = {
            "columns": self.columns,
            "table_rows": [[column.html(row) for column in self.columns] for row in page.object_list],
            "total_cells": [column.html(totals) for column in self.columns] if totals is not None else [],
            "page_obj": page,
            "row_limit": PAGE_ROW_LIMIT,
            "filter_form": form,
            "query": query.urlencode(),
            "empty_text": self.empty_text,
            "export_urls": {
                kind.upper(): f"{request.path}?{_with(query, export=kind)}" for kind in ("csv", "xlsx") if may_export
            },
            **self.above(self.actor, filters),
        }
        return self.page(context)

    def _filter(self) -> forms.Form | None:
        return desk_widgets(_filter_choices(self.filter_form(self.request.GET or None))) if self.filter_form else None

    def _export(self, rows: QuerySet[Any] | Sequence[Any], file_format: str) -> HttpResponseBase:
        is_query = isinstance(rows, QuerySet)
        return export_response(
            self.request,
            name=f"{self.desk}-{self.slug}",
            columns=self.columns,
            rows=rows.iterator(chunk_size=FETCH_SIZE) if isinstance(rows, QuerySet) else rows,
            count=rows.order_by().count() if is_query and isinstance(rows, QuerySet) else len(rows),
            file_format=file_format,
        )


class DeskActionView(DeskPage):
    """A form that calls one use case: fill in → see what will happen → confirm → done.

    `perform` is called once per confirmed submission with a key that stays the same when the button is pressed twice;
    hand it to the use case. A `DomainError` becomes an error of the form (of its field, if the error names one) and
    nothing is changed. With `needs_confirmation = False` (uploads, harmless acts) the form is sent at once.

    The view is mounted by a `DeskModelAdmin` (`object_actions`, `list_actions`) or, with `desk` and `slug`, by
    `register_desk_page`. `self.target` is the object of the page, read through the door; None on list actions.
    """

    template_name = "desk/action.html"
    form_class: ClassVar[type[forms.Form]] = forms.Form
    button: ClassVar[str] = ""
    tone: ClassVar[str] = "default"  # "default" or "danger"
    explanation: ClassVar[str] = ""
    success_message: ClassVar[str] = "Done."
    needs_confirmation: ClassVar[bool] = True

    target: Any = None

    @classmethod
    def label(cls) -> str:
        """What the button says."""
        return cls.button or cls.title

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Whether the button is shown for the object in its present state; the use case itself decides."""
        return True

    def initial(self, actor: Actor) -> dict[str, Any]:
        """First values of the form."""
        return {}

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """The form. Override to limit choices to what the actor may see."""
        return self.form_class(data, files, initial=self.initial(actor))

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What will happen, as pairs of label and text, shown before the confirmation. May raise DomainError."""
        return [("What happens", self.explanation or self.title)]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Calls the use case with the form's cleaned values."""
        raise Misconfigured(f"{type(self).__name__} performs nothing.", page=type(self).__name__)

    def success_url(self, result: Any) -> str:
        """Where to go afterwards: the object, else the list, else the desk."""
        if self.model_admin is None:
            return reverse("admin:index")
        opts = self.model_admin.opts
        name = f"{self.model_admin.admin_site.name}:{opts.app_label}_{opts.model_name}"
        if self.target is not None:
            return reverse(f"{name}_change", args=[self.target.pk])
        return reverse(f"{name}_changelist")

    def success_text(self, result: Any) -> str:
        """What is said afterwards."""
        return self.success_message

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Finds the target through the door first: what is not visible does not exist."""
        if self.model_admin is not None and "object_id" in kwargs:
            if not self.model_admin.has_view_permission(request):
                raise PermissionDenied
            self.target = self.model_admin.get_object(request, kwargs["object_id"])
            if self.target is None:
                raise Http404
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The empty form; an act that asks nothing is put to the confirmation at once."""
        form = self._guarded(None)
        if form.fields or not self.needs_confirmation:
            return self._show(form, key=str(uuid7()))
        try:
            return self._show(form, key=str(uuid7()), steps=self.describe(self.actor, {}))
        except DomainError as error:
            return self._refused(self._guarded({}), str(uuid7()), error)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Checks the form, asks for confirmation where needed, then performs."""
        form = self._guarded(request.POST)
        key = _valid_key(request.POST.get("idempotency_key", ""))
        if not form.is_valid():
            return self._show(form, key=key, status=400)
        try:
            if self.needs_confirmation and request.POST.get("confirmed") != "yes":
                return self._show(form, key=key, steps=self.describe(self.actor, form.cleaned_data))
            result = self.perform(self.actor, form.cleaned_data, key)
        except DomainError as error:
            return self._refused(form, key, error)
        messages.success(request, self.success_text(result))
        return HttpResponseRedirect(self.success_url(result))

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the list and the object, where there are such."""
        trail = super().breadcrumbs()
        if self.model_admin is not None:
            opts = self.model_admin.opts
            name = f"{self.model_admin.admin_site.name}:{opts.app_label}_{opts.model_name}"
            trail.append((self.model_admin.page_title(), reverse(f"{name}_changelist")))
            if self.target is not None:
                trail.append((str(self.target), reverse(f"{name}_change", args=[self.target.pk])))
        return trail

    def about(self) -> list[tuple[str, str]]:
        """What the object is, above the form: the columns of its list, so that nobody acts on a name alone."""
        if self.target is None or self.model_admin is None:
            return []
        columns = self.model_admin.export_columns(self.request)
        return [(label_words(column.title), column.html(self.target)) for column in columns[:ABOUT_FACTS]]

    def _guarded(self, data: Any) -> forms.Form:
        return desk_widgets(self.make_form(self.actor, data, self.request.FILES if data is not None else None))

    def _refused(self, form: forms.Form, key: str, error: DomainError) -> HttpResponseBase:
        field = str(error.details.get("field", ""))
        form.add_error(field if field in form.fields else None, error.message)
        # A new attempt is a new intent: only a repetition of the same one keeps its key.
        return self._show(form, key=str(uuid7()), status=error.http_status, code=error.code)

    def _show(
        self, form: forms.Form, *, key: str, steps: Sequence[tuple[str, str]] = (), status: int = 200, code: str = ""
    ) -> HttpResponse:
        context = {
            "form": form,
            "idempotency_key": key,
            "steps": steps,
            "is_confirming": bool(steps) and not form.errors,
            "about": self.about(),
            "has_fields": bool(form.fields),
            "explanation": self.explanation,
            "button": self.label(),
            "tone": self.tone,
            "code": code,
            "back_url": self.breadcrumbs()[-1][1],
            "is_fullwidth": "",
        }
        return self.page(context, status=status)


def _filter_choices(form: forms.Form) -> forms.Form:
    """Choices of a filter that are left open say that they leave nothing out."""
    for field in form.fields.values():
        if isinstance(field, forms.ModelChoiceField) and field.empty_label == DASHES:
            field.empty_label = "All"
    return form


_desk_pages: dict[str, type[DeskPage]] = {}


def register_desk_page(view: type[DeskPage]) -> type[DeskPage]:
    """Class decorator that mounts a page under the desk, at pages/<desk>/<route or slug>/."""
    if not (view.desk and view.slug and view.capability):
        raise Misconfigured(f"{view.__name__} needs desk, slug and capability.", page=view.__name__)
    name = f"{view.desk}_{view.slug}"
    if _desk_pages.setdefault(name, view) is not view:
        raise Misconfigured(f"The desk page {name} is registered twice.", name=name)
    return view


def desk_page_urls(admin_view: Callable[..., Any]) -> list[URLPattern]:
    """The URL patterns of all registered pages, for the desk's site."""
    return [
        path(f"pages/{view.desk}/{view.route or view.slug + '/'}", admin_view(view.as_view()), name=name)
        for name, view in _desk_pages.items()
    ]


def desk_pages() -> list[type[DeskPage]]:
    """Every registered page."""
    return list(_desk_pages.values())


def _valid_key(text: str) -> str:
    """The submitted key if it looks like one of ours, else a new one."""
    is_key = 0 < len(text) <= 64 and all(character.isalnum() or character == "-" for character in text)
    return text if is_key else str(uuid7())


def _with(query: Any, **more: str) -> str:
    changed = query.copy()
    for name, value in more.items():
        changed[name] = value
    return str(changed.urlencode())
