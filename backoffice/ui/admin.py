"""The base of every list and detail page of the desk.

    @admin.register(Deal)
    class DealAdmin(DeskModelAdmin):
        view_capability = "platform_ops.view_deal"
        visible_through = "account"                  # or entity_path / is_reference_data; default: the model's own scopes
        list_display = ("ticket", "account_shown", "profit_shown")
        list_select_related = ("account",)
        search_fields = ("ticket", "account__login")
        account_shown = link_column("account", title="Account")
        profit_shown = money_column("profit", currency="account__currency", title="Profit")

Read-only unless the class names a capability for a verb. Rows come through the access door alone; permissions are
capabilities, never Django's model permissions. Money never changes here: it changes by `DeskActionView`s that the class
names in `object_actions` and `list_actions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets, get_fields_from_path, label_for_field
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.paginator import Paginator
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import conditional_escape
from unfold.admin import ModelAdmin, TabularInline

from backoffice.core.access import holds, visible_to
from backoffice.core.actors import actor_of
from backoffice.core.models import AuditRecord
from backoffice.core.services.audit import record
from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError, Misconfigured
from backoffice.ui.columns import Column, number, text
from backoffice.ui.exports import FETCH_SIZE, export_response
from backoffice.ui.formats import EMPTY, format_plain, label_words
from backoffice.ui.navigation import title_of
from backoffice.ui.panels import panels_for
from backoffice.ui.views import DeskActionView

LIST_COUNT_LIMIT = 10_000
HISTORY_LIMIT = 200
FILTER_CHOICE_LIMIT = 500
# The admin's own pages have these names: an action that took one of them would take the page's address too.
RESERVED_SLUGS = frozenset({"add", "change", "changelist", "delete", "export", "history"})


class BoundedPaginator(Paginator):
    """Counts no further than LIST_COUNT_LIMIT, so that a list of millions opens as fast as one of hundreds."""

    limit = LIST_COUNT_LIMIT

    @cached_property
    def count(self) -> int:
        """The number of rows, or one more than the limit where there are more."""
        rows: Any = self.object_list
        return int(rows.order_by()[: LIST_COUNT_LIMIT + 1].count()) if isinstance(rows, QuerySet) else len(rows)


class ScopedRelatedFilter(admin.RelatedFieldListFilter):
    """A filter by a related object that offers only objects which the viewer may see on their own page."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        """Those of the related model's desk page, in its order."""
        rows = choices_of(field.remote_field.model, actor_of(request), model_admin.admin_site)
        ordering = self.field_admin_ordering(field, request, model_admin)
        rows = rows.order_by(*ordering) if ordering else rows
        return [(row.pk, str(row)) for row in rows[:FILTER_CHOICE_LIMIT]]


class DeskModelAdmin(ModelAdmin):
    """See the module. Exactly one of the four ways says whose rows are seen:

    - nothing named: the scopes registered for the model (none registered: nothing is visible);
    - `entity_path = "entity"`: rows of the actor's legal entities (path to the LegalEntity);
    - `visible_through = "account"`: rows whose related object (a path) is visible by its own scopes;
    - `is_reference_data = True`: all rows, for data that belongs to no client and no entity.
    """

    view_capability: ClassVar[str] = ""
    add_capability: ClassVar[str] = ""
    change_capability: ClassVar[str] = ""
    delete_capability: ClassVar[str] = ""
    export_capability: ClassVar[str] = ""  # defaults to view_capability

    entity_path: ClassVar[str] = ""
    visible_through: ClassVar[str] = ""
    is_reference_data: ClassVar[bool] = False

    # DeskActionViews about one object (buttons on its page) and about the list (buttons above it).
    object_actions: ClassVar[Sequence[type[DeskActionView]]] = ()
    list_actions: ClassVar[Sequence[type[DeskActionView]]] = ()

    empty_text: ClassVar[str] = "Nothing here yet."
    exports: ClassVar[bool] = True

    list_per_page = 50
    list_max_show_all = 0
    list_fullwidth = True
    list_filter_sheet = True
    list_select_related: Sequence[str] = ()
    list_prefetch_related: ClassVar[Sequence[str]] = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    actions = None
    compressed_fields = True
    warn_unsaved_form = True
    empty_value_display = EMPTY
    change_list_template = "desk/change_list.html"
    change_form_template = "desk/change_form.html"
    object_history_template = "desk/object_history.html"
    delete_confirmation_template = "admin/delete_confirmation.html"

    def __init__(self, model: type[models.Model], admin_site: admin.AdminSite) -> None:
        if not self.view_capability:
            raise Misconfigured(f"{type(self).__name__} names no view_capability.", admin=type(self).__name__)
        if sum((bool(self.entity_path), bool(self.visible_through), self.is_reference_data)) > 1:
            raise Misconfigured(f"{type(self).__name__} names more than one scope.", admin=type(self).__name__)
        taken = {view.slug for view in (*self.object_actions, *self.list_actions)} & RESERVED_SLUGS
        if taken:
            raise Misconfigured(
                f"{type(self).__name__} names an action as a page: {sorted(taken)}.", slugs=sorted(taken)
            )
        super().__init__(model, admin_site)

    # --- who and whose -------------------------------------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """By capability; which rows is `get_queryset`'s business."""
        return holds(actor_of(request), self.view_capability)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """As viewing."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only where the class names a capability."""
        return bool(self.add_capability) and holds(actor_of(request), self.add_capability)

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Only where the class names a capability."""
        return bool(self.change_capability) and holds(actor_of(request), self.change_capability)

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Only where the class names a capability."""
        return bool(self.delete_capability) and holds(actor_of(request), self.delete_capability)

    def visible_rows(self, actor: Actor) -> QuerySet[Any]:
        """The rows of the model that the actor may see; also what searches, exports and choices of fields use."""
        rows = self.model._default_manager.all()
        if not holds(actor, self.view_capability):
            return rows.none()
        if self.is_reference_data or actor.is_system:
            return rows
        if self.entity_path:
            return rows.filter(**{f"{self.entity_path}__in": actor.entity_ids}) if actor.entity_ids else rows.none()
        if self.visible_through:
            related = _model_at(self.model, self.visible_through)
            return rows.filter(**{f"{self.visible_through}__in": visible_to(related._default_manager.all(), actor)})
        return visible_to(rows, actor)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Through the access door, in the class's order."""
        rows = self.visible_rows(actor_of(request))
        if self.list_prefetch_related:
            rows = rows.prefetch_related(*self.list_prefetch_related)
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The class's columns; figures that it names as plain fields are drawn as figures (to the right,
        without idle zeros), yes and no in words."""
        return [self._figure_column(name) for name in super().get_list_display(request)]

    def _figure_column(self, name: Any) -> Any:
        if not isinstance(name, str) or hasattr(self, name):
            return name
        field = {item.name: item for item in self.model._meta.concrete_fields}.get(name)
        if field is None or field.primary_key or field.choices or name.endswith(("ticket", "login")):
            return name
        title = label_words(str(label_for_field(name, self.model, self)))
        if isinstance(field, models.BooleanField):
            return _display(text(name, title=title, order=name), name)
        is_figure = isinstance(field, models.IntegerField | models.DecimalField)
        return _display(number(name, title=title, order=name), name) if is_figure else name

    def get_list_filter(self, request: HttpRequest) -> Sequence[Any]:
        """A filter by a related object offers only what the viewer may see: names alone would tell of other entities."""
        return [
            (item, ScopedRelatedFilter)
            if isinstance(item, str) and get_fields_from_path(self.model, item)[-1].is_relation
            else item
            for item in super().get_list_filter(request)
        ]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Choices of a field are limited to what the actor may see on that object's own page."""
        if "queryset" not in kwargs:
            kwargs["queryset"] = choices_of(db_field.remote_field.model, actor_of(request), self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """As for foreign keys."""
        if "queryset" not in kwargs:
            kwargs["queryset"] = choices_of(db_field.remote_field.model, actor_of(request), self.admin_site)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Without the buttons that add or change the related object in a window of its own."""
        return _without_related_buttons(super().formfield_for_dbfield(db_field, request, **kwargs))

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Sequence[Any]:
        """What the class names, and every shown name that is no editable field of the model."""
        named = list(super().get_readonly_fields(request, obj))
        if not self.fieldsets:
            return named
        editable = {field.name for field in self.model._meta.get_fields() if getattr(field, "editable", False)}
        shown = flatten_fieldsets(self.fieldsets)
        return named + [name for name in shown if name not in editable and name not in named]

    # --- pages ---------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The list, with its action buttons and export links."""
        actor = actor_of(request)
        context = {
            "title": self.page_title(),
            "breadcrumbs": self._trail(),
            "empty_text": self.empty_text,
            "count_limit": LIST_COUNT_LIMIT,
            "list_buttons": [
                {"title": view.label(), "url": reverse(self._url_name(view.slug)), "tone": view.tone}
                for view in self.list_actions
                if holds(actor, view.capability)
            ],
            "export_urls": self._export_urls(request) if self._may_export(actor) else {},
        }
        return super().changelist_view(request, context | (extra_context or {}))

    def page_title(self) -> str:
        """What the list is called: as in the menu, else the model's own name."""
        name = self._url_name("changelist")
        return title_of(name) or _capitalised(str(self.model._meta.verbose_name_plural))

    def _trail(self) -> list[tuple[str, str]]:
        return [("Desk", reverse(f"{self.admin_site.name}:index"))]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """The page of an object, with its action buttons and the panels that desks registered for it."""
        actor = actor_of(request)
        context: dict[str, Any] = {}
        obj = self.get_object(request, object_id) if object_id and request.method == "GET" else None
        if obj is not None and self.has_view_permission(request, obj):
            context = {
                "title": _capitalised(str(obj)),
                "breadcrumbs": [*self._trail(), (self.page_title(), reverse(self._url_name("changelist")))],
                "object_buttons": [
                    {"title": view.label(), "url": reverse(self._url_name(view.slug), args=[obj.pk]), "tone": view.tone}
                    for view in self.object_actions
                    if holds(actor, view.capability) and view.is_offered(obj, actor)
                ],
                "panels": panels_for(self.model._meta.label, obj, actor),
            }
        return super().changeform_view(request, object_id, form_url, context | (extra_context or {}))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What was done to the object, by whom and why, from the audit."""
        obj = self.get_object(request, object_id)
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {obj}",
            "opts": self.opts,
            "object": obj,
            "original": obj,
            "limit": HISTORY_LIMIT,
            "records": AuditRecord.objects.filter(
                object_type=self.model._meta.label_lower, object_id=str(obj.pk)
            ).order_by("-id")[:HISTORY_LIMIT],
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.object_history_template, context)

    def get_urls(self) -> list[URLPattern]:
        """The pages of actions and exports, before Django's own."""
        site_view = self.admin_site.admin_view
        urls = [
            path("export/<str:file_format>/", site_view(self.export_view), name=self._url_name("export", full=False))
        ]
        for view in self.list_actions:
            handler = site_view(view.as_view(model_admin=self))
            urls.append(path(f"do/{view.slug}/", handler, name=self._url_name(view.slug, full=False)))
        for view in self.object_actions:
            handler = site_view(view.as_view(model_admin=self))
            urls.append(path(f"<path:object_id>/do/{view.slug}/", handler, name=self._url_name(view.slug, full=False)))
        return urls + super().get_urls()

    def export_view(self, request: HttpRequest, file_format: str) -> HttpResponseBase:
        """The filtered and sorted list as a file."""
        actor = actor_of(request)
        back = reverse(self._url_name("changelist"))
        if not self._may_export(actor):
            return self.admin_site.refuse(request)  # type: ignore[attr-defined, no-any-return]
        rows = self.get_changelist_instance(request).get_queryset(request)
        try:
            return export_response(
                request,
                name=f"{self.opts.app_label}-{self.opts.model_name}",
                columns=self.export_columns(request),
                rows=rows.iterator(chunk_size=FETCH_SIZE),
                count=rows.order_by().count(),
                file_format=file_format,
            )
        except DomainError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(f"{back}?{request.GET.urlencode()}")

    def export_columns(self, request: HttpRequest) -> list[Column]:
        """The columns of an export: those of the list, with values instead of what they look like."""
        columns = []
        for name in self.get_list_display(request):
            if name == "action_checkbox":
                continue
            method = getattr(self, name, None) if isinstance(name, str) else name
            column = getattr(method, "column", None)
            title = str(label_for_field(name, self.model, self)).capitalize()
            if column is not None:
                columns.append(column)
            elif callable(method):
                columns.append(Column(title, method, _shown_by(method)))
            else:
                columns.append(text(str(name), title=title))
        return columns

    # --- what the admin itself writes ----------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: models.Model, form: Any, change: Any) -> None:
        """Saves reference data and records the change in the audit, in the admin's own transaction."""
        super().save_model(request, obj, form, change)
        changes = {name: str(form.cleaned_data.get(name, "")) for name in form.changed_data}
        self._record(request, obj, "changed" if change else "added", changes)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: Any) -> None:
        """Saves the rows of an inline and records what became of them under their parent."""
        super().save_formset(request, form, formset, change)
        changes = {
            "added": [str(row) for row in formset.new_objects],
            "changed": [f"{row}: {', '.join(names)}" for row, names in formset.changed_objects],
            "deleted": [str(row) for row in formset.deleted_objects],
        }
        if any(changes.values()):
            name = formset.model._meta.verbose_name_plural
            self._record(request, form.instance, "rows_changed", {"of": str(name)} | changes)

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        """Deletes reference data and records it in the audit."""
        self._record(request, obj, "deleted", {"was": str(obj)})
        super().delete_model(request, obj)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit is the record; Django's admin log is not written."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit is the record; Django's admin log is not written."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """The audit is the record; Django's admin log is not written."""

    def _record(self, request: HttpRequest, obj: models.Model, verb: str, changes: dict[str, Any]) -> None:
        action = f"{self.opts.app_label}.{self.opts.model_name}_{verb}"
        record(actor=actor_of(request), action=action, target=obj, changes=changes)

    def _may_export(self, actor: Actor) -> bool:
        return self.exports and holds(actor, self.export_capability or self.view_capability)

    def _export_urls(self, request: HttpRequest) -> dict[str, str]:
        query = request.GET.urlencode()
        name = self._url_name("export")
        return {kind.upper(): f"{reverse(name, args=[kind])}?{query}" for kind in ("csv", "xlsx")}

    def _url_name(self, page: str, *, full: bool = True) -> str:
        name = f"{self.opts.app_label}_{self.opts.model_name}_{page}"
        return f"{self.admin_site.name}:{name}" if full else name


class DeskTabularInline(TabularInline):
    """Rows below their parent. They are seen and changed as the parent is, through its own desk page's capabilities."""

    extra = 0
    show_change_link = False
    hide_title = True

    def _parent(self) -> DeskModelAdmin:
        parent = self.admin_site._registry[self.parent_model]
        assert isinstance(parent, DeskModelAdmin), "desk inlines stand on desk pages"
        return parent

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """As the parent."""
        return self._parent().has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """As the parent."""
        return self._parent().has_change_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """As changing the parent."""
        return self._parent().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """As changing the parent."""
        return self._parent().has_change_permission(request)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Choices are limited to what the actor may see."""
        if "queryset" not in kwargs:
            kwargs["queryset"] = choices_of(db_field.remote_field.model, actor_of(request), self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Without the buttons that open a window of their own; named for who does not see the column's heading."""
        field = _without_related_buttons(super().formfield_for_dbfield(db_field, request, **kwargs))
        if field is not None:
            field.widget.attrs.setdefault("aria-label", str(field.label))
        return field


def _display(column: Column, name: str) -> Callable[[Any], str]:
    """A column as the admin takes one that is no method of its own."""

    def display(row: Any) -> str:
        return column.html(row)

    display.__name__ = name
    display.short_description = column.title  # type: ignore[attr-defined]
    display.column = column  # type: ignore[attr-defined]
    display.admin_order_field = column.order  # type: ignore[attr-defined]
    return display


def _shown_by(method: Callable[[Any], Any]) -> Callable[[Any], str]:
    """What a display method of an admin says, safe to be drawn."""
    return lambda row: conditional_escape(format_plain(value) if (value := method(row)) in (None, "") else value)


def _capitalised(words: str) -> str:
    """With a capital at the beginning; the rest keeps its own (FX, LP)."""
    return words[:1].upper() + words[1:]


def _without_related_buttons(field: Any) -> Any:
    if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
        field.widget = field.widget.widget
    return field


def choices_of(model: type[models.Model], actor: Actor, site: admin.AdminSite) -> QuerySet[Any]:
    """The rows of a model that an actor may choose from: those of its desk page, else those of its scopes."""
    model_admin = site._registry.get(model)
    if isinstance(model_admin, DeskModelAdmin):
        return model_admin.visible_rows(actor)
    return visible_to(model._default_manager.all(), actor)


def _model_at(model: type[models.Model], path_to_it: str) -> type[models.Model]:
    """The model at the end of a path of relations."""
    for step in path_to_it.split("__"):
        related = model._meta.get_field(step).related_model
        if not isinstance(related, type):
            raise Misconfigured(f"{step} is no relation of {model._meta.label}.", path=path_to_it)
        model = related
    return model
