"""The switches: what flows, what is stopped since when by whom and why, and the buttons that change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils.http import urlencode

from backoffice.core.models import LegalEntity, Switch, SwitchStop
from backoffice.core.organisation.scope import stands_for
from backoffice.core.services import switches
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import NotFound
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import computed_column, moment_column, state_column
from backoffice.ui.formats import format_age, format_time
from backoffice.ui.navigation import register_page
from backoffice.ui.views import DeskActionView, DeskPage, register_desk_page

VIEW = "core.view_switches"
WHOLE_BROKER = "all"
MEANING = {
    Switch.WITHDRAWALS: "No withdrawal is paid and no client money is set aside for one.",
    Switch.PAYOUTS: "No commission is paid out to partners.",
    Switch.HEDGES: "No order is sent to a liquidity provider.",
    Switch.SENDS: "No mail but security notices leaves the house; messages wait and go out afterwards.",
    Switch.SERVER_PUSHES: "Nothing is changed on a trading server.",
}


class StopForm(forms.Form):
    """What to stop, where, and why."""

    switch = forms.ChoiceField(label="What")
    entity = forms.ChoiceField(label="Where")
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}), max_length=500, help_text="Everybody on the desk reads it."
    )


class ResumeForm(forms.Form):
    """What may flow again, and why."""

    stop = forms.ModelChoiceField(queryset=SwitchStop.objects.none(), label="Stop")
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), max_length=500, help_text="Kept in the audit.")


def _entity_id(text: str) -> int | None:
    return None if text == WHOLE_BROKER else int(text)


@register_desk_page
class StopSwitch(DeskActionView):
    """Stops a flow at once."""

    desk, slug, title, button, capability, tone = "work", "stop", "Stop a flow", "Stop", VIEW, "danger"
    form_class = StopForm
    explanation = "It takes effect at once, for everybody, and a banner says so on every screen."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """What the link said."""
        return {name: self.request.GET[name] for name in ("switch", "entity") if name in self.request.GET}

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only flows that the viewer may stop, only where they stand for it."""
        form = StopForm(data, files, initial=self.initial(actor))
        entities = LegalEntity.objects.filter(pk__in=actor.entity_ids)
        where = [(WHOLE_BROKER, "The whole broker")] if stands_for(actor, None) else []
        where += [(str(entity.pk), entity.name) for entity in entities]
        may = [switch for switch in Switch if any(_may(actor, switch, value) for value, _ in where)]
        form.fields["switch"].choices = [(switch.value, switch.label) for switch in may]  # type: ignore[attr-defined]
        form.fields["entity"].choices = where  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What stops, and who may let it go on."""
        switch = Switch(data["switch"])
        where = dict(self.make_form(actor).fields["entity"].choices)[data["entity"]]  # type: ignore[attr-defined]
        steps = [
            ("What", switch.label),
            ("Where", where),
            ("What happens", MEANING[switch]),
            ("Reason", data["reason"]),
        ]
        if switch.value in switches.NEEDS_SECOND_PERSON:
            steps.append(("Afterwards", "Another person than you lets it go on."))
        return steps

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Stops it."""
        return switches.stop(
            switch=Switch(data["switch"]), entity_id=_entity_id(data["entity"]), actor=actor, reason=data["reason"]
        )

    def success_text(self, result: switches.Stopped) -> str:
        """Whether something is still under way."""
        what = result.stop.get_switch_display()
        if not result.is_new:
            return f"{what} were stopped already, by {result.stop.stopped_by}."
        return f"{what} are stopped." if result.is_drained else f"{what} are stopped; one is still under way."

    def success_url(self, result: Any) -> str:
        """Back to the switches."""
        return SwitchesPage.url()


def _may(actor: Actor, switch: Switch, where: str) -> bool:
    return switches.may_stop(actor, switch, entity_id=_entity_id(where))


@register_desk_page
class ResumeSwitch(DeskActionView):
    """Lets a flow go on."""

    desk, slug, title, button, capability = "work", "resume", "Let a flow go on", "Let it go on", VIEW
    form_class = ResumeForm

    def initial(self, actor: Actor) -> dict[str, Any]:
        """What the link said."""
        text = self.request.GET.get("stop", "")
        return {"stop": int(text)} if text.isascii() and text.isdigit() else {}

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only stops that the viewer may end."""
        form = ResumeForm(data, files, initial=self.initial(actor))
        able = [stop.pk for stop in switches.standing_stops(actor=actor) if switches.may_resume(actor, stop)]
        form.fields["stop"].queryset = SwitchStop.objects.filter(pk__in=able)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What was stopped why."""
        stop = data["stop"]
        return [
            ("What", str(stop)),
            ("Stopped", f"{format_time(stop.stopped_at)} UTC by {stop.stopped_by}: {stop.reason}"),
            ("What happens", "It flows again at once, unless another stop covers it."),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Lets it go on."""
        stop = data["stop"]
        if stop.resumed_at is not None:
            raise NotFound("This stop has ended already.")
        return switches.resume(switch=Switch(stop.switch), entity_id=stop.entity_id, actor=actor, reason=data["reason"])

    def success_text(self, result: SwitchStop) -> str:
        """What flows."""
        return f"{result.get_switch_display()} go on."

    def success_url(self, result: Any) -> str:
        """Back to the switches."""
        return SwitchesPage.url()


@register_desk_page
class SwitchesPage(DeskPage):
    """Each flow, and where it is stopped."""

    desk, slug, title, capability = "work", "switches", "Switches", VIEW
    subtitle = (
        "One person stops a flow at once, for a legal entity or the whole broker. "
        "Withdrawals and payouts are let go on by another person than the one who stopped them."
    )
    template_name = "desk/work/switches.html"

    def context(self, actor: Actor) -> dict[str, Any]:
        """A card for each switch."""
        standing = switches.standing_stops(actor=actor)
        entities = list(LegalEntity.objects.filter(pk__in=actor.entity_ids))
        guards = switches.guarded_use_cases()
        return {
            "switches": [
                {
                    "switch": switch,
                    "meaning": MEANING[switch],
                    "stops": [_shown(stop, actor) for stop in standing if stop.switch == switch.value],
                    "stop_url": self._stop_url(actor, switch, entities, standing),
                    "guards": sum(guard.switch == switch for guard in guards),
                }
                for switch in Switch
            ],
            "history_url": reverse("admin:core_switchstop_changelist"),
        }

    def _stop_url(self, actor: Actor, switch: Switch, entities: list[LegalEntity], standing: list[SwitchStop]) -> str:
        """Where the flow is stopped, if the viewer may stop it anywhere that it is not stopped yet."""
        stopped = {stop.entity_id for stop in standing if stop.switch == switch.value}
        scopes: list[int | None] = [None, *(entity.pk for entity in entities)]
        if None in stopped or stopped.issuperset(scopes[1:]):
            return ""
        for scope in scopes:
            if scope not in stopped and switches.may_stop(actor, switch, entity_id=scope):
                where = WHOLE_BROKER if scope is None else str(scope)
                return f"{StopSwitch.url()}?{urlencode({'switch': switch.value, 'entity': where})}"
        return ""


def _shown(stop: SwitchStop, actor: Actor) -> dict[str, Any]:
    may = switches.may_resume(actor, stop)
    return {
        "stop": stop,
        "where": str(stop.entity or "The whole broker"),
        "since": format_time(stop.stopped_at),
        "age": format_age(int((clock.now() - stop.stopped_at).total_seconds())),
        "resume_url": f"{ResumeSwitch.url()}?stop={stop.pk}" if may else "",
    }


@admin.register(SwitchStop)
class SwitchStopAdmin(DeskModelAdmin):
    """Every stop there ever was."""

    view_capability = VIEW
    list_display = (
        "switch_shown",
        "entity_shown",
        "state_shown",
        "stopped_shown",
        "stopped_by",
        "reason",
        "resumed_shown",
        "resumed_by",
    )
    list_filter = ("switch",)
    list_select_related = ("entity",)
    fieldsets = (
        (None, {"fields": (("switch_shown", "entity_shown", "state_shown"),)}),
        ("Stopped", {"fields": (("stopped_shown", "stopped_by"), "reason")}),
        ("Let go on", {"fields": (("resumed_shown", "resumed_by"), "resume_reason")}),
    )
    empty_text = "Nothing was ever stopped."

    switch_shown = computed_column(lambda stop: stop.get_switch_display(), title="What", order="switch")
    entity_shown = computed_column(lambda stop: str(stop.entity or "The whole broker"), title="Where")
    state_shown = state_column(
        lambda stop: "Over" if stop.resumed_at else "Stopped", title="State", tones={"Stopped": "bad", "Over": "quiet"}
    )
    stopped_shown = moment_column("stopped_at", title="Since (UTC)", order="stopped_at")
    resumed_shown = moment_column("resumed_at", title="Until (UTC)", order="resumed_at")


def register() -> None:
    """Adds the pages to the menu; called once when the application starts."""
    register_page("work", "Switches", SwitchesPage.url_name(), VIEW, 40, icon="toggle_off")
    register_page("work", "History of switches", "admin:core_switchstop_changelist", VIEW, 50, icon="history")
