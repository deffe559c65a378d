"""What-if studies at the desk: asking for one from a plan version, a partner or the list, its progress, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import F
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import get_visible, holds, visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    badge_column,
    computed,
    computed_column,
    moment_column,
    money,
    money_html,
    object_link,
    text,
)
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskPage, DeskTablePage, register_desk_page
from ib.admin.tables import table
from ib.models import Partner, PlanVersion, WhatIfRow, WhatIfStudy
from ib.rules.periods import period_of, previous_period
from ib.selectors.studies import gains_of
from ib.services import studies

VIEW = "ib.view_commissions"
STATE_TONES = {"waiting": "quiet", "running": "info", "done": "good", "failed": "bad"}
SHOWN_PARTNERS = 15
USUAL_MONTHS = 3


def _known_months() -> list[tuple[str, str]]:
    """The months that may be tried, the open one first."""
    month = period_of(clock.today_business_day())
    choices = []
    for number in range(studies.MAXIMUM_MONTHS):
        choices.append((month.isoformat(), f"{month:%B %Y}" + ("" if number else ", so far")))
        month = previous_period(month)
    return choices


class MonthsForm(forms.Form):
    """Which months: whole ones, and the open one as far as it is known."""

    from_period = forms.TypedChoiceField(label="From", coerce=date.fromisoformat)
    to_period = forms.TypedChoiceField(label="Through", coerce=date.fromisoformat)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        months = _known_months()
        for name, place in (("from_period", USUAL_MONTHS), ("to_period", 1)):
            field: Any = self.fields[name]
            field.choices = months
            field.initial = months[place][0]


class BooksForm(MonthsForm):
    """Whose books."""

    entity: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="Legal entity")
    field_order: Sequence[str] = ("entity", "from_period", "to_period")


class PlaceForm(MonthsForm):
    """Under whom."""

    parent: forms.ModelChoiceField[Any] = forms.ModelChoiceField(
        None, label="Stands under", required=False, empty_label="Nobody: at the top"
    )
    field_order: Sequence[str] = ("parent", "from_period", "to_period")


class VersionForm(MonthsForm):
    """Which version."""

    version: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="Plan version")
    field_order: Sequence[str] = ("version", "from_period", "to_period")


class PartnerForm(PlaceForm):
    """Who, under whom."""

    partner: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="Partner")
    field_order: Sequence[str] = ("partner", "parent", "from_period", "to_period")


class AskForStudy(DeskActionView):
    """What the acts that ask for a study share."""

    needs_confirmation = False
    success_message = "It is being computed; this page shows how far it is."

    def success_url(self, result: WhatIfStudy) -> str:
        """To the study."""
        return reverse("admin:ib_whatifstudy_change", args=[result.pk])


class StudyVersion(AskForStudy):
    """Tries a version on past months."""

    slug, title, capability = "what-if", "What if", studies.CAPABILITIES[WhatIfStudy.Kind.PLAN_VERSION]
    form_class = MonthsForm
    button = "Try it on past months"
    explanation = (
        "Values the months as if this version had been in force from the first day on, for every partner on the plan."
        " Nothing is booked."
    )

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> WhatIfStudy:
        """Asks."""
        return studies.study_version(version_id=self.target.pk, months=_months(data), actor=actor)


class StudyPlace(AskForStudy):
    """Tries another place in the tree on past months."""

    slug, title, capability = "what-if", "What if", studies.CAPABILITIES[WhatIfStudy.Kind.PLACE]
    button = "Try another place"
    explanation = (
        "Values the months as if the partner, with everybody below, had stood there from the first day on."
        " Nothing is moved or booked."
    )

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the partners of the same entity whom the actor sees."""
        form = PlaceForm(data)
        others = Partner.objects.filter(entity=self.target.entity_id).exclude(pk=self.target.pk)
        form.fields["parent"].queryset = visible_to(others, actor)  # type: ignore[attr-defined]
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> WhatIfStudy:
        """Asks."""
        parent = data["parent"]
        return studies.study_place(
            partner_id=self.target.pk, parent_id=parent.pk if parent else None, months=_months(data), actor=actor
        )


class ChooseVersion(StudyVersion):
    """The same from the list of studies."""

    slug, title, button = "version", "Try a plan version", "Try a plan version"

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the versions that the actor sees, drafts first."""
        form = VersionForm(data)
        versions = PlanVersion.objects.select_related("plan").order_by("state", "plan__name", "-number")
        form.fields["version"].queryset = visible_to(versions, actor)  # type: ignore[attr-defined]
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> WhatIfStudy:
        """Asks."""
        return studies.study_version(version_id=data["version"].pk, months=_months(data), actor=actor)


class ChoosePartner(StudyPlace):
    """The same from the list of studies."""

    slug, title, button = "place", "Try a place in the tree", "Try a place in the tree"

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the partners whom the actor sees."""
        form = PartnerForm(data)
        for name in ("partner", "parent"):
            form.fields[name].queryset = visible_to(Partner.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> WhatIfStudy:
        """Asks."""
        parent = data["parent"]
        return studies.study_place(
            partner_id=data["partner"].pk, parent_id=parent.pk if parent else None, months=_months(data), actor=actor
        )


class StudyBooks(AskForStudy):
    """Values the books anew."""

    slug, title, capability = "books", "Value the books anew", studies.CAPABILITIES[WhatIfStudy.Kind.AS_IT_IS]
    button = "Value the books anew"
    explanation = (
        "Values the months by the set-up as it is. Every partner must come to what is booked, to the cent; whatever differs"
        " is not settled yet, or a fault."
    )

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the legal entities that the actor sees."""
        entities = visible_to(LegalEntity.objects.all(), actor)
        form = BooksForm(data, initial={"entity": entities.first()})
        form.fields["entity"].queryset = entities  # type: ignore[attr-defined]
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> WhatIfStudy:
        """Asks."""
        return studies.study_books(entity_id=data["entity"].pk, months=_months(data), actor=actor)


class StudyAgain(AskForStudy):
    """The same study on what is known today."""

    slug, title, capability = "again", "Compute again", VIEW
    explanation = "A new study with the same question; this one stays as it was."

    @classmethod
    def is_offered(cls, target: WhatIfStudy, actor: Actor) -> bool:
        """When it is over, to whoever may ask that question."""
        return target.finished_at is not None and holds(actor, studies.CAPABILITIES[WhatIfStudy.Kind(target.kind)])

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> WhatIfStudy:
        """Asks."""
        return studies.study_again(study_id=self.target.pk, actor=actor)


def _months(data: Mapping[str, Any]) -> studies.Months:
    return studies.Months(data["from_period"], data["to_period"])


def _about(study: WhatIfStudy) -> str:
    match study.kind:
        case WhatIfStudy.Kind.PLAN_VERSION:
            return f"Plan {study.version}"
        case WhatIfStudy.Kind.PLACE:
            return f"{study.partner} under {study.parent or 'nobody'}"
        case _:
            return "The books valued anew"


def _months_shown(study: WhatIfStudy) -> str:
    if study.from_period == study.to_period:
        return f"{study.from_period:%Y-%m}"
    return f"{study.from_period:%Y-%m} to {study.to_period:%Y-%m}"


def _difference_shown(study: WhatIfStudy) -> Any:
    if study.state != WhatIfStudy.State.DONE:
        return ""
    shown = [(money_html(Decimal(amount), code),) for code, amount in study.difference.items() if Decimal(amount)]
    return format_html_join(", ", "{}", shown) or format_html('<span class="bo-num">{}</span>', "nothing")


@admin.register(WhatIfStudy)
class WhatIfStudyAdmin(DeskModelAdmin):
    """Every study that was asked for."""

    view_capability = VIEW
    list_display = (
        "id",
        "about_shown",
        "months_shown",
        "state_shown",
        "difference_shown",
        "asked_shown",
        "requested_by",
    )
    list_select_related = ("version__plan", "partner", "parent")
    list_filter = ("kind", "state", "entity")
    search_fields = ("partner__reference", "partner__name", "version__plan__name", "requested_by")
    fields = (
        "about_shown",
        "entity",
        "months_shown",
        "state_shown",
        "problem",
        "requested_by",
        "created_at",
        "finished_at",
    )
    list_actions = (ChooseVersion, ChoosePartner, StudyBooks)
    object_actions = (StudyAgain,)
    empty_text = "Nothing was tried yet. Try a plan version or a place in the tree on months that are known."

    about_shown = computed_column(_about, title="What is tried")
    months_shown = computed_column(_months_shown, title="Months", order="from_period")
    state_shown = badge_column("state", title="State", tones=STATE_TONES, order="state")
    difference_shown = computed_column(_difference_shown, title="Partners together")
    asked_shown = moment_column("created_at", title="Asked at", order="id")

    class Media:
        js = ("ib/study.js",)
        css = {"all": ("ib/studies.css",)}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Everything."""
        return self.fields


@register_desk_page
class StudyState(DeskPage):
    """How far a study is, as data for the page that waits for it."""

    desk, slug, title, route = "ib", "study_state", "State of a study", "studies/<int:study_id>/state/"
    capability = VIEW

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """State and percent."""
        study = get_visible(WhatIfStudy.objects.all(), self.actor, pk=kwargs["study_id"])
        return JsonResponse(
            {"state": study.get_state_display(), "percent": study.percent, "is_over": study.finished_at is not None}
        )


class RowsFilter(forms.Form):
    """Whose, and which month."""

    q = forms.CharField(label="Partner", required=False)
    period = forms.ChoiceField(label="Month", required=False)
    only_changed = forms.BooleanField(label="Only who gains or loses", required=False)


@register_desk_page
class StudyRows(DeskTablePage):
    """Every partner and month of a study."""

    desk, slug, title, route = "ib", "study_rows", "Partners of a study", "studies/<int:study_id>/partners/"
    capability = VIEW
    filter_form = RowsFilter
    columns = (
        computed(lambda row: object_link(row.partner), title="Partner"),
        computed(lambda row: f"{row.period:%Y-%m}", title="Month"),
        money("booked_by_trade", currency="currency", title="Booked by the trade"),
        money("then_by_trade", currency="currency", title="Then by the trade"),
        money("booked_by_period", currency="currency", title="Booked by the period"),
        money("then_by_period", currency="currency", title="Then by the period"),
        money("difference", currency="currency", title="Difference"),
        text("currency", title="Currency"),
    )
    empty_text = "Nobody was paid or would be."

    def _study(self) -> WhatIfStudy:
        rows = WhatIfStudy.objects.select_related("version__plan", "partner", "parent")
        return get_visible(rows, self.actor, pk=self.kwargs["study_id"])

    def _filter(self) -> forms.Form | None:
        form = super()._filter()
        study = self._study()
        months = studies.Months.between(study.from_period, study.to_period)
        if form is not None:
            field: Any = form.fields["period"]
            field.choices = [("", "All"), *((month.isoformat(), f"{month:%B %Y}") for month in months)]
        return form

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Any:
        """By partner and month."""
        found = visible_to(WhatIfRow.objects.filter(study=self._study()), actor).select_related("partner")
        if filters.get("q"):
            wanted = filters["q"].strip()
            found = found.filter(partner__name__icontains=wanted) | found.filter(partner__reference__icontains=wanted)
        if filters.get("period"):
            found = found.filter(period=filters["period"])
        if filters.get("only_changed"):
            found = found.exclude(
                then_by_trade=F("booked_by_trade") + F("booked_by_period") - F("then_by_period"),
            )
        return found.order_by("partner__reference", "currency", "period")

    def above(self, actor: Actor, filters: Mapping[str, Any]) -> dict[str, Any]:
        """Of which study."""
        study = self._study()
        return {
            "summary": [
                ("Study", object_link(study)),
                ("What is tried", _about(study)),
                ("Partners together", _difference_shown(study)),
            ]
        }


# ------------------------------------------------------------------------------------------------------------- panels


def register_panels() -> None:
    """What stands on a study's page."""
    model = "ib.WhatIfStudy"
    register_panel(model, "progress", "Progress", _progress, order=5)
    register_panel(model, "answer", "What it comes to", _answer, order=10)
    register_panel(model, "partners", "Who gains and who loses", _partners, order=20)
    register_panel(model, "tried", "What was tried", _tried, order=30)
    register_panel(model, "waiting", "What could not be valued", _waiting, order=40)


def _progress(study: WhatIfStudy, actor: Actor) -> SafeString | str:
    if study.finished_at is not None:
        return ""
    return format_html(
        '<p class="bo-study-progress" role="status" data-study="{}"><progress max="100" value="{}"'
        ' aria-label="Progress of the study"></progress> <span data-part="state">{}</span>.'
        " You may leave this page; it goes on.</p>",
        StudyState.url(study_id=study.pk),
        study.percent,
        study.get_state_display(),
    )


def _answer(study: WhatIfStudy, actor: Actor) -> SafeString | str:
    months = list(study.months.all())
    if not months:
        return ""
    rows = [
        [f"{month.period:%Y-%m}", *_sides(month.revenue, month.cost_booked, month.cost_then, month.currency)]
        for month in months
    ]
    if len(months) > 1:
        revenue = sum((month.revenue for month in months), Decimal(0))
        booked = sum((month.cost_booked for month in months), Decimal(0))
        then = sum((month.cost_then for month in months), Decimal(0))
        rows.append(["Together", *_sides(revenue, booked, then, months[0].currency)])
    headings = [
        "Month",
        "Clients brought in",
        "Partners cost",
        "They would cost",
        "Margin",
        "Margin then",
        "Margin changes by",
    ]
    unvalued = sum(month.unvalued for month in months)
    note = (
        "Spread, commission, swap mark-up and losses in the B-book of clients whom partners introduced, in the currency of"
        " the legal entity, at the rates of their days; what partners cost at the rates of the month's last day."
    )
    if unvalued:
        note += f" {unvalued:,} parts without a market price or a rate are not in it."
    return table(headings, rows, numeric_from=1) + format_html('<p class="bo-note">{}</p>', note)


def _sides(revenue: Decimal, booked: Decimal, then: Decimal, currency: str) -> list[SafeString]:
    figures = (revenue, booked, then, revenue - booked, revenue - then, booked - then)
    return [money_html(figure, currency) for figure in figures]


def _partners(study: WhatIfStudy, actor: Actor) -> SafeString | str:
    if study.state != WhatIfStudy.State.DONE:
        return ""
    gains = gains_of(study=study, actor=actor)
    changed = [gain for gain in gains if gain.difference]
    more = sum(1 for gain in changed if gain.difference > 0)
    lead = (
        f"{more:,} would have earned more, {len(changed) - more:,} less, {len(gains) - len(changed):,} the same."
        if study.kind != WhatIfStudy.Kind.AS_IT_IS
        else f"Of {len(gains):,}, {len(gains) - len(changed):,} come to what is booked, to the cent."
    )
    rows = [
        [
            object_link(gain.partner),
            money_html(gain.booked, gain.currency),
            money_html(gain.then, gain.currency),
            money_html(gain.difference, gain.currency),
        ]
        for gain in changed[:SHOWN_PARTNERS]
    ]
    return (
        format_html("<p>{}</p>", lead)
        + table(["Partner", "Booked", "Then", "Difference"], rows, numeric_from=1)
        + format_html(
            '<p><a class="bo-link" href="{}">Every partner and month</a></p>', StudyRows.url(study_id=study.pk)
        )
    )


def _tried(study: WhatIfStudy, actor: Actor) -> SafeString:
    return table(["", "As it was when it was asked for"], [[name, words] for name, words in study.described.items()])


def _waiting(study: WhatIfStudy, actor: Actor) -> SafeString | str:
    return table(["Partner and reason"], [[words] for words in study.waiting_for])
