"""The filter studio: draft levels, replay them over stored ticks, look at what changes, propose them as a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, timedelta
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from backoffice.core.access import holds
from backoffice.kernel import clock
from backoffice.kernel.errors import DomainError
from backoffice.ui.columns import money_html, object_link
from backoffice.ui.forms import desk_widgets
from backoffice.ui.views import DeskPage, register_desk_page
from platform_ops.admin.price_charts import Mark, tick_chart
from platform_ops.models import PriceSource, Symbol
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.price_changes import LABELS, impact_of, levels_in_force
from platform_ops.rules.price_filter import FLAGS, FilterLevels
from platform_ops.services.prices.replay import Replay, replay_filter
from platform_ops.services.prices.settings import filters_at, request_filter

HOURS = ((1, "The last hour"), (4, "The last 4 hours"), (24, "The last day"), (48, "The last two days"))
TRADES_SHOWN = 50
GROUPS = (
    ("Levels, points", ("soft_points", "soft_ticks", "hard_points", "hard_ticks", "discard_points")),
    ("Spread, points", ("spread_minimum", "spread_maximum", "spike_multiple", "allows_locked")),
    ("Slips", ("big_figure_points", "catches_ten_fold")),
    ("Time", ("break_seconds", "ahead_milliseconds")),
    (
        "Against itself and the others",
        (
            "frozen_ticks", "stale_seconds", "stale_points", "cross_source_spreads", "cross_source_deviations",
            "consensus_seconds",
        ),
    ),
)  # fmt: skip


class ChoiceForm(forms.Form):
    """Whose filter, over which time."""

    symbol = forms.ModelChoiceField(Symbol.objects.order_by("code"), required=False, empty_label="Choose a symbol")
    source = forms.ModelChoiceField(PriceSource.objects.all(), required=False, empty_label="All sources")
    hours = forms.TypedChoiceField(choices=HOURS, coerce=int, required=False, initial=24, label="Ticks of")


class LevelsForm(forms.Form):
    """The levels of a draft."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in fields(FilterLevels):
            label = LABELS[field.name].removesuffix(", points")
            if field.name in FLAGS:
                self.fields[field.name] = forms.BooleanField(required=False, label=label)
            else:
                self.fields[field.name] = forms.IntegerField(min_value=0, max_value=10**9, label=label)

    def levels(self) -> FilterLevels:
        """The draft."""
        return FilterLevels(**{field.name: self.cleaned_data[field.name] for field in fields(FilterLevels)})


class ProposalForm(forms.Form):
    """From when, and why; asked only of a proposal."""

    valid_from = forms.DateTimeField(
        label="From (UTC)",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M"],
    )
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), max_length=400, required=False)


@register_desk_page
class FilterStudio(DeskPage):
    """Try levels on what really came in, before anybody proposes them."""

    desk, slug, title, capability = "platform_ops", "filter_studio", "Filter studio", VIEW_PLATFORM
    subtitle = (
        "Draft levels of the price filter, replay them over stored ticks, and propose them with what they would do."
    )
    route = "prices/studio/"
    template_name = "platform_ops/prices_studio.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The levels in force, ready to be changed."""
        return self._show(None, None)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Replays the draft, or proposes it."""
        draft, proposal = LevelsForm(request.POST), ProposalForm(request.POST)
        symbol, source, hours = self._chosen()
        if symbol is None or not draft.is_valid() or not proposal.is_valid():
            return self._show(draft, proposal, status=400)
        end = clock.now()
        start = end - timedelta(hours=hours)
        try:
            if request.POST.get("do") == "propose":
                moment = proposal.cleaned_data["valid_from"]
                change = request_filter(
                    symbol_id=symbol.pk,
                    source_id=source.pk if source else None,
                    levels=draft.levels(),
                    valid_from=moment.replace(tzinfo=UTC) if moment else end,
                    actor=self.actor,
                    reason=proposal.cleaned_data["reason"],
                    replay_from=start,
                    replay_to=end,
                )
                return HttpResponseRedirect(reverse("admin:core_changerequest_change", args=[change.pk]))
            replay = replay_filter(
                symbol_id=symbol.pk, source_id=source.pk if source else None, draft=draft.levels(), start=start, end=end,
                actor=self.actor,
            )  # fmt: skip
        except DomainError as error:
            return self._show(draft, proposal, refusal=error.message, status=400)
        return self._show(draft, proposal, replay=replay)

    def _chosen(self) -> tuple[Symbol | None, PriceSource | None, int]:
        form = ChoiceForm(self.request.GET)
        if not form.is_valid():
            return None, None, 24
        return form.cleaned_data["symbol"], form.cleaned_data["source"], form.cleaned_data["hours"] or 24

    def _show(
        self,
        draft: LevelsForm | None,
        proposal: ProposalForm | None,
        *,
        replay: Replay | None = None,
        refusal: str = "",
        status: int = 200,
    ) -> HttpResponseBase:
        symbol, source, _ = self._chosen()
        context: dict[str, Any] = {
            "choice": desk_widgets(ChoiceForm(self.request.GET or None)),
            "refusal": refusal,
            "may_propose": holds(self.actor, MANAGE_CATALOGUE),
        }
        if symbol is not None:
            standing = levels_in_force(symbol, source, clock.now())
            form = desk_widgets(draft or LevelsForm(initial=standing.as_dict()))
            later = clock.now().replace(second=0, microsecond=0) + timedelta(minutes=1)
            context |= {
                "draft": form,
                "origin": _origin(symbol, source),
                "groups": _groups(form, standing),
                "proposal": desk_widgets(proposal or ProposalForm(initial={"valid_from": later})),
            }
        if replay is not None:
            context |= self._result(replay)
        return self.page(context, status=status)

    def _result(self, replay: Replay) -> dict[str, Any]:
        codes = dict(PriceSource.objects.values_list("pk", "code"))
        marks = [
            Mark(at, bid, ask, codes.get(source, str(source)), _tone(before.is_rejected, after.is_rejected),
                 (after if after.is_rejected else before).words)
            for at, source, bid, ask, before, after in replay.rows
            if bid > 0 and ask > 0
        ]  # fmt: skip
        digits = max((-bid.as_tuple().exponent for _, _, bid, *_ in replay.rows[:1]), default=5)  # type: ignore[operator, type-var]
        return {
            "replay": replay,
            "impact": impact_of(replay),
            "chart": tick_chart(marks, title=f"{replay.symbol} with the draft", digits=max(int(digits), 0)),
            "reasons": [(verdict, before, after, after - before) for verdict, before, after in replay.reasons()],
            "trades": _trades(replay),
        }


def _origin(symbol: Symbol, source: PriceSource | None) -> str:
    """Where the levels in force come from, in words."""
    found = filters_at(symbol_ids=[symbol.pk], at=clock.now()).get(symbol.pk)
    if found is None:
        return "the symbol has no specification, so it has no points"
    return "set for this source" if source is not None and source.pk in found.by_source else found.origin.value


def _tone(before: bool, after: bool) -> str:
    if after:
        return "bad" if before else "new"
    return "back" if before else ""


def _groups(form: forms.Form, standing: FilterLevels) -> list[tuple[str, list[tuple[Any, Any]]]]:
    """The fields by group, each with the value in force where the draft differs from it."""
    shown = []
    for title, names in GROUPS:
        rows = []
        for name in names:
            value, was = form[name].value(), getattr(standing, name)
            differs = bool(value) != was if name in FLAGS else str(value) != str(was)
            rows.append((form[name], (("yes" if was else "no") if name in FLAGS else was) if differs else None))
        shown.append((title, rows))
    return shown


def _trades(replay: Replay) -> Sequence[dict[str, Any]]:
    return [
        {
            "at": f"{each.at:%Y-%m-%d %H:%M:%S}",
            "link": object_link(each.trade, each.trade.ticket),
            "account": f"{each.trade.account.login} on {each.trade.account.server.code}",
            "which": "Opening" if each.is_opening else "Closing",
            "price": f"{each.price.normalize():f}",
            "net": money_html(
                each.trade.profit + each.trade.swap + each.trade.commission + each.trade.fee, each.trade.currency
            ),
            "would": "dropped its tick" if each.would_be_dropped else "kept its tick",
        }
        for each in replay.trades[:TRADES_SHOWN]
    ]
