"""The business day on the desk: what each server's days wait for, run by hand, held and released by finance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.schedule import register_periodic
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of, previous_business_day
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    badge_column,
    badge_html,
    computed_column,
    moment_column,
    text_column,
)
from backoffice.ui.dashboards import Card, register_card
from backoffice.ui.formats import EMPTY, format_time
from backoffice.ui.forms import ReasonForm
from backoffice.ui.navigation import register_page
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from platform_ops.models import BusinessDay, BusinessDayStep, TradingServer
from platform_ops.permissions import HOLD_BUSINESS_DAY, RUN_BUSINESS_DAY, VIEW_PLATFORM
from platform_ops.services import day_steps
from platform_ops.services.business_day import (
    hold_day,
    register_step,
    release_day,
    run_business_day,
    step_definitions,
)

STEP_TONES = {"waiting": "quiet", "done": "good", "failed": "bad"}
DAY_TONES = {"open": "quiet", "closed": "good"}
CARD_DAYS = 6
SECONDS_BETWEEN_RUNS = 60


class RunDayForm(forms.Form):
    """Which day of which server."""

    server = forms.ModelChoiceField(TradingServer.objects.none(), label="Trading server")
    day = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}), label="Business day")


class HoldDay(DeskActionView):
    """Finance stops a day before its next step."""

    slug, title, capability, tone = "hold", "Hold the day", HOLD_BUSINESS_DAY, "danger"
    form_class = ReasonForm
    success_message = "The day is held."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While the day is open and not held."""
        return target.state == BusinessDay.State.OPEN and not target.is_held

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """No further step starts."""
        return [
            ("Day", f"{self.target.day} on {self.target.server}"),
            ("What happens", "No further step starts until somebody releases the day. Finished steps stay."),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Holds it."""
        return hold_day(business_day_id=self.target.pk, reason=data["reason"], actor=actor)


class ReleaseDay(DeskActionView):
    """Finance lets a held day go on."""

    slug, title, capability = "release", "Release the day", HOLD_BUSINESS_DAY
    form_class = ReasonForm
    success_message = "The day is released; it goes on at its next run."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While the day is held."""
        return target.state == BusinessDay.State.OPEN and target.is_held

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """The steps go on."""
        return [
            ("Day", f"{self.target.day} on {self.target.server}"),
            ("It was held because", self.target.hold_reason),
            ("What happens", "The next run goes on with the first step that is not done."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Releases it."""
        return release_day(business_day_id=self.target.pk, reason=data["reason"], actor=actor)


class ContinueDay(DeskActionView):
    """Runs the steps of this day that are due."""

    slug, title, capability = "run", "Run the day now", RUN_BUSINESS_DAY

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While the day is open."""
        return target.state == BusinessDay.State.OPEN and not target.is_held

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """The steps that are not done."""
        waiting = self.target.steps.exclude(state=BusinessDayStep.State.DONE)
        titles = {step.name: step.title for step in step_definitions()}
        return [
            ("Day", f"{self.target.day} on {self.target.server}"),
            ("Steps to run", ", ".join(titles.get(step.step, step.step) for step in waiting) or "none"),
            ("What happens", "They run in order; the first that cannot be proved stops the day and says why."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Runs them."""
        return run_business_day(server_id=self.target.server_id, day=self.target.day, actor=actor)

    def success_text(self, result: BusinessDay) -> str:
        """Whether the day closed or waits."""
        return "The day is closed." if result.state == BusinessDay.State.CLOSED else "The day waits; see its steps."


class RunDay(DeskActionView):
    """Runs any finished day of a server, making its record if there is none."""

    slug, title, capability = "run-day", "Run a business day", RUN_BUSINESS_DAY
    form_class = RunDayForm

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only servers that the actor sees; yesterday by default."""
        last = previous_business_day(business_day_of(clock.now()))
        form = RunDayForm(data, initial={"day": last})
        form.fields["server"].queryset = visible_to(TradingServer.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """All steps."""
        return [
            ("Day", f"{data['day']} on {data['server']}"),
            ("Steps", ", ".join(step.title for step in step_definitions())),
            ("What happens", "Finished steps are left as they are; the first that cannot be proved stops the day."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Runs it."""
        return run_business_day(server_id=data["server"].pk, day=data["day"], actor=actor)

    def success_text(self, result: BusinessDay) -> str:
        """Whether the day closed or waits."""
        closed = result.state == BusinessDay.State.CLOSED
        return f"{result.day} is closed." if closed else f"{result.day} waits; see its steps."


@admin.register(BusinessDay)
class BusinessDayAdmin(DeskModelAdmin):
    """The days of every server, the newest first."""

    view_capability = VIEW_PLATFORM
    list_display = ("day", "server_shown", "state_shown", "progress", "problem", "closed_shown")
    list_select_related = ("server", "entity")
    list_prefetch_related = ("steps",)
    list_filter = ("state", "is_held", "server")
    search_fields = ("server__code",)
    date_hierarchy = "day"
    object_actions = (ContinueDay, HoldDay, ReleaseDay)
    list_actions = (RunDay,)
    empty_text = "No business day has been run yet. Run one with the button above, or wait for the schedule."
    fields = ("day", "server", "entity", "state", "is_held", "hold_reason", "held_by", "closed_at")

    server_shown = text_column("server", title="Server", order="server__code")
    state_shown = badge_column("state", title="State", tones=DAY_TONES)
    closed_shown = moment_column("closed_at", title="Closed")
    progress = computed_column(lambda day: _progress(day), title="Steps")
    problem = computed_column(lambda day: _waits_for(day), title="Waits for")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Everything."""
        return self.fields


def steps_table(day: BusinessDay) -> SafeString:
    """The steps of a day as a table."""
    titles = {step.name: step.title for step in step_definitions()}
    rows = format_html_join(
        "",
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        (
            (
                titles.get(step.step, step.step),
                badge_html(step.get_state_display(), STEP_TONES[step.state]),
                format_time(step.finished_at) if step.finished_at else EMPTY,
                step.problem or _figures(step.outcome),
            )
            for step in day.steps.all()
        ),
    )
    return format_html(
        '<table class="bo-table"><thead><tr><th scope="col">Step</th><th scope="col">State</th>'
        '<th scope="col">Finished</th><th scope="col">Figures</th></tr></thead><tbody>{}</tbody></table>',
        rows,
    )


def business_day_card(actor: Actor) -> Card | None:
    """The last days of the actor's servers and what they wait for."""
    days = list(
        visible_to(BusinessDay.objects.select_related("server"), actor)
        .prefetch_related("steps")
        .order_by("-day", "server__code")[:CARD_DAYS]
    )
    if not days:
        return None
    waiting = [day for day in days if day.state == BusinessDay.State.OPEN]
    return Card(
        title="Business days",
        figure=str(days[0].day),
        note=f"{len(waiting)} of the last {len(days)} wait" if waiting else "All closed",
        url=reverse("admin:platform_ops_businessday_changelist"),
        tone="warn" if waiting else "good",
    )


def _progress(day: BusinessDay) -> str:
    steps = list(day.steps.all())
    return f"{sum(step.state == BusinessDayStep.State.DONE for step in steps)} of {len(steps)}"


def _waits_for(day: BusinessDay) -> str:
    if day.is_held:
        return f"held: {day.hold_reason}"
    return next((step.problem for step in day.steps.all() if step.state == BusinessDayStep.State.FAILED), "")


def _figures(outcome: Mapping[str, Any]) -> str:
    """The figures of a step in one line; amounts by currency stand behind their currency."""
    return " · ".join(f"{name.replace('_', ' ')} {_flat(value)}" for name, value in outcome.items() if value != {})


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_flat(inner)}" for key, inner in value.items())
    return str(value)


def register() -> None:
    """Registers the desk's own steps of the day, its schedule, menu entry and card; called when the application starts."""
    register_step("deals_complete", 10, day_steps.prove_deals_complete, title="Deals complete")
    register_step("prices_fixed", 20, day_steps.fix_prices, title="Prices fixed")
    register_step("swaps", 30, day_steps.collect_swaps, title="Swaps")
    register_periodic("platform.business_day", "platform_ops.tasks.run_due_business_days", SECONDS_BETWEEN_RUNS)
    register_page(
        "platform_ops", "Business days", "admin:platform_ops_businessday_changelist", VIEW_PLATFORM, 15, icon="today"
    )
    register_panel("platform_ops.BusinessDay", "steps", "Steps", lambda day, actor: steps_table(day), order=10)
    register_card("platform.business_day", (Role.FINANCE, Role.PLATFORM_OPERATIONS), business_day_card, order=15)
