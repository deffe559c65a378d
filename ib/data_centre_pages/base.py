"""What every page of the data centre has: a viewpoint, filters in the address, tabs, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from backoffice.core.access import visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Misconfigured, NotFound
from backoffice.ui.columns import Column
from backoffice.ui.exports import FORMATS, export_response
from ib.selectors.data_centre.figures import Choices, choices
from ib.selectors.data_centre.viewpoint import (
    DEFAULT_DAYS,
    LONGEST_DAYS,
    Filters,
    Viewpoint,
    last_days,
    own_viewpoint,
    staff_viewpoint,
)

FILTER_NAMES = ("from_day", "to_day", "level", "country", "campaign", "symbol_group", "partner", "entity")
TABS = (
    ("centre", "Overview"),
    ("funnel", "Funnel and cohorts"),
    ("clients", "Clients"),
    ("trades", "Trades"),
    ("payments", "Payments"),
    ("league", "Sub-partners"),
    ("tree", "Tree"),
    ("expected", "Expected"),
)


class FilterForm(forms.Form):
    """Which days, and which part of the clients."""

    from_day = forms.DateField(label="From", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    to_day = forms.DateField(label="To", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    level = forms.TypedChoiceField(label="Level", required=False, coerce=int, empty_value=None)
    country = forms.ChoiceField(label="Country", required=False)
    campaign = forms.ChoiceField(label="Campaign", required=False)
    symbol_group = forms.TypedChoiceField(label="Symbols", required=False, coerce=int, empty_value=None)

    def offer(self, known: Choices) -> None:
        """Puts in what can be chosen."""
        self.fields["level"].choices = [("", "All"), *((n, f"Level {n}") for n in range(1, known.levels + 1))]  # type: ignore[attr-defined]
        self.fields["country"].choices = [("", "All"), *((code, code) for code in known.countries)]  # type: ignore[attr-defined]
        self.fields["campaign"].choices = [("", "All"), *((code, code) for code in known.campaigns)]  # type: ignore[attr-defined]
        self.fields["symbol_group"].choices = [("", "All"), *known.symbol_groups]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """The last thirty days unless it says otherwise; a span that is too long names its field."""
        data: dict[str, Any] = super().clean() or {}
        last = data.get("to_day") or clock.today_business_day()
        first = data.get("from_day") or last_days(DEFAULT_DAYS, until=last)[0]
        if not 0 <= (last - first).days <= LONGEST_DAYS:
            self.add_error("to_day", f"From the first day to a later one, at most {LONGEST_DAYS} days on.")
        return {**data, "from_day": first, "to_day": last}


class StaffFilterForm(FilterForm):
    """With whose viewpoint it is."""

    partner = forms.CharField(label="Partner", required=False, max_length=20)
    entity = forms.TypedChoiceField(label="Legal entity", required=False, coerce=int, empty_value=None)

    field_order = ("from_day", "to_day", "partner", "entity")


class DataCentrePage:
    """A page of the data centre. A front (portal or desk) gives the viewpoint, the name space of addresses and the frame."""

    namespace: ClassVar[str] = ""
    form_class: ClassVar[type[FilterForm]] = FilterForm
    tab: ClassVar[str] = "centre"
    body: ClassVar[str] = ""
    export_name: ClassVar[str] = ""
    # Fields of the filter that mean something on the page; None for all.
    filter_fields: ClassVar[Sequence[str] | None] = None

    request: HttpRequest
    actor: Actor
    kwargs: dict[str, Any]

    view: Viewpoint
    filters: Filters
    form: FilterForm

    def viewpoint(self) -> Viewpoint:
        """From where it is looked."""
        raise Misconfigured(f"{type(self).__name__} names no viewpoint.", page=type(self).__name__)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, or the file of the same figures."""
        self.view = self.viewpoint()
        self.filters, self.form = self._read_filters()
        kind = request.GET.get("export", "")
        if kind in FORMATS and self.export_name:
            rows = self.export_rows()
            return export_response(
                request,
                name=self.export_name,
                columns=self.export_columns(),
                rows=rows,
                count=len(rows),
                file_format=kind,
            )
        return self.page({**self._around(), **self.content()})  # type: ignore[attr-defined,no-any-return]

    def content(self) -> Mapping[str, Any]:
        """What the body of the page shows."""
        return {}

    def export_columns(self) -> Sequence[Column]:
        """Columns of the file."""
        return ()

    def export_rows(self) -> Sequence[Any]:
        """Rows of the file: those of the page, all of them."""
        return ()

    def link(self, page: str, *args: Any, **changes: Any) -> str:
        """The address of a page with the same days and filters, changed where it says so; None takes one out."""
        kept = {name: self.request.GET[name] for name in FILTER_NAMES if self.request.GET.get(name)}
        given = {name: value for name, value in {**kept, **changes}.items() if value not in (None, "")}
        address = reverse(f"{self.namespace}:ib_data_{page}", args=args)
        return f"{address}?{urlencode(given)}" if given else address

    def _read_filters(self) -> tuple[Filters, FilterForm]:
        first, last = last_days()
        given = self.request.GET.copy()
        form = self.form_class(given)
        form.offer(choices(self.view, Filters(first, last)))
        self._offer_more(form)
        if form.is_valid():
            data = form.cleaned_data
            filters = Filters(
                from_day=data["from_day"],
                to_day=data["to_day"],
                level=data["level"],
                country=data["country"],
                campaign=data["campaign"],
                symbol_group_id=data["symbol_group"],
            )
        else:
            filters = Filters(first, last)
        for name, day in (("from_day", filters.from_day), ("to_day", filters.to_day)):
            if not given.get(name):
                form.data[name] = day.isoformat()  # type: ignore[index]
        return filters, form

    def _offer_more(self, form: FilterForm) -> None:
        """For further fields of a front."""

    def _around(self) -> dict[str, Any]:
        exports = {kind.upper(): self.link_here(export=kind) for kind in FORMATS} if self.export_name else {}
        return {
            "title": "Data centre" if self.tab == "centre" else dict(TABS)[self.tab],
            "body_template": self.body,
            "tabs": [(self.link(page), label, page == self.tab) for page, label in TABS],
            "filter_form": self.form,
            "filter_shown": [
                field
                for field in self.form.visible_fields()
                if self.filter_fields is None or field.name in self.filter_fields
            ],
            "hidden_filters": [
                (name, self.request.GET[name]) for name in self.kept_names() if self.request.GET.get(name)
            ],
            "data_exports": exports,
            "view": self.view,
            "filters": self.filters,
            "reset_url": self.request.path,
        }

    def kept_names(self) -> Sequence[str]:
        """Names of the address that are no filters and stay when the filters change."""
        return ()

    def link_here(self, **changes: Any) -> str:
        """This page with everything as it is, and a change."""
        query = self.request.GET.copy()
        for name, value in changes.items():
            query[name] = value
        return f"{self.request.path}?{query.urlencode()}"


class OwnSide:
    """The portal: partners look at themselves."""

    namespace = "portal"
    actor: Actor

    def viewpoint(self) -> Viewpoint:
        """The place of the login's own partner."""
        return own_viewpoint(actor=self.actor)


class StaffSide:
    """The desk: managers look from any partner of their legal entities, or from the whole house."""

    namespace = "admin"
    form_class: ClassVar[type[FilterForm]] = StaffFilterForm
    request: HttpRequest
    actor: Actor
    problem: str = ""

    def viewpoint(self) -> Viewpoint:
        """The named partner's place, else the house's."""
        entity = self.request.GET.get("entity", "")
        entity_id = int(entity) if entity.isdigit() and entity.isascii() and len(entity) < 10 else None
        partner = self.request.GET.get("partner", "")
        try:
            return staff_viewpoint(actor=self.actor, partner=partner, entity_id=entity_id)
        except NotFound as error:
            if not partner:
                raise
            self.problem = error.message
            return staff_viewpoint(actor=self.actor, entity_id=entity_id)

    def _offer_more(self, form: FilterForm) -> None:
        houses = visible_to(LegalEntity.objects.all(), self.actor).order_by("pk").values_list("pk", "name")
        form.fields["entity"].choices = [("", "First"), *houses]  # type: ignore[attr-defined]
        if len(houses) < 2:
            del form.fields["entity"]
        if self.problem:
            form.is_valid()
            form.add_error("partner", "No such partner.")


def month_bounds(month: str) -> tuple[date, date]:
    """First and last day of a month such as `2026-03`."""
    first = date.fromisoformat(f"{month}-01")
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
