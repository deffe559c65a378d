"""Rates in force, their history by symbol, and what was pushed to which server, with what a person may do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import get_visible, holds, visible_to
from backoffice.core.models import ChangeRequest
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.columns import badge, badge_html, computed, link, moment, number, text
from backoffice.ui.exports import export_response
from backoffice.ui.formats import format_time
from backoffice.ui.views import DeskActionView, DeskPage, DeskTablePage, register_desk_page
from platform_ops.admin.swap_links import change_link, history_link
from platform_ops.gateways.types import SwapMode
from platform_ops.models import SwapPush, SwapRate, Symbol, SymbolGroup, TradingServer
from platform_ops.permissions import MANAGE_SWAPS, VIEW_SWAP_DESK
from platform_ops.rules.swap_desk import mode_words
from platform_ops.rules.swap_sheets import plain
from platform_ops.services.swap_desk import pushes

DESK = "platform_ops"
HISTORY_ROWS = 300
PANEL_ROWS = 60
PUSH_TONES = {
    "queued": "info", "sending": "info", "uncertain": "warn", "unreachable": "warn", "verified": "good", "differs": "bad",
    "refused": "bad", "by_hand": "warn", "done_by_hand": "good", "superseded": "quiet",
}  # fmt: skip
WIDTH, HEIGHT, LEFT, BOTTOM = 900, 240, 70, 24


class RateFilter(forms.Form):
    """Which rates."""

    symbol = forms.CharField(required=False, max_length=32, label="Symbol")
    symbol_group = forms.ModelChoiceField(
        SymbolGroup.objects.order_by("name"), required=False, label="Symbol group", empty_label="All"
    )
    day = forms.DateField(required=False, label="In force on", widget=forms.DateInput(attrs={"type": "date"}))


@register_desk_page
class SwapRatesPage(DeskTablePage):
    """Every rate in force, now or at the end of a day."""

    desk, slug, title, capability = DESK, "swap_rates", "Swap rates", VIEW_SWAP_DESK
    subtitle = "Negative is paid by the client. A rate of an account group goes before the symbol's own."
    template_name = "platform_ops/swap_table.html"
    filter_form = RateFilter
    empty_text = "No dated rate is in force. Take a provider's sheet in at the swap desk."
    columns = (
        computed(lambda rate: history_link(rate.symbol), title="Symbol"),
        computed(lambda rate: rate.group.name if rate.group else "everybody", title="Account group"),
        number("long", title="Long"),
        number("short", title="Short"),
        computed(lambda rate: mode_words(SwapMode(rate.mode)), title="Stated in"),
        number("lp_long", title="Provider long"),
        number("lp_short", title="Provider short"),
        computed(lambda rate: nights_words(rate.multipliers), title="Nights"),
        computed(lambda rate: format_time(rate.validity.lower) if rate.validity.lower else "ever", title="Since"),
        text("source", title="Source"),
        computed(lambda rate: change_link(rate.change), title="Approved by"),
    )

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Any:
        """Those in force."""
        at = clock.now()
        if filters.get("day"):
            at = datetime.combine(filters["day"], datetime.max.time(), tzinfo=at.tzinfo)
        found = visible_to(SwapRate.objects.select_related("symbol", "group", "change"), actor)
        found = found.filter(validity__contains=at)
        if filters.get("symbol"):
            found = found.filter(symbol__code__icontains=filters["symbol"])
        if filters.get("symbol_group"):
            found = found.filter(symbol__group=filters["symbol_group"])
        return found.order_by("symbol__code", "group__name")


def nights_words(multipliers: Sequence[Decimal]) -> str:
    """Which weekday counts more than one night."""
    names = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
    usual = {"Sun": 0, "Sat": 0}
    odd = [
        f"{name} ×{plain(nights)}"
        for name, nights in zip(names, multipliers, strict=True)
        if nights != usual.get(name, 1)
    ]
    return ", ".join(odd) or "one each day"


@register_desk_page
class SwapHistoryPage(DeskPage):
    """What a symbol's swap was, as a chart and version by version with what changed."""

    desk, slug, title, capability = DESK, "swap_history", "Swap history", VIEW_SWAP_DESK
    route = "swap-history/<int:symbol_id>/"
    template_name = "platform_ops/swap_history.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Everybody's rate, or that of the account group which the address names."""
        symbol = get_visible(Symbol.objects.all(), self.actor, pk=kwargs["symbol_id"])
        rates = visible_to(SwapRate.objects.select_related("group", "change"), self.actor).filter(symbol=symbol)
        groups = {rate.group.pk: rate.group for rate in rates if rate.group is not None}
        wanted = request.GET.get("group", "")
        group_id = int(wanted) if wanted.isdigit() and int(wanted) in groups else None
        versions = list(rates.filter(group_id=group_id).order_by("-validity")[:HISTORY_ROWS])
        if kind := request.GET.get("export"):
            return export_response(
                request,
                name=f"swap-history-{symbol.code}",
                columns=HISTORY_COLUMNS,
                rows=versions,
                count=len(versions),
                file_format=kind,
            )
        return self.page(
            {
                "content_title": f"Swap history of {symbol.code}",
                "subtitle": groups[group_id].name if group_id is not None else "For everybody",
                "chart": step_chart(versions[::-1], title=f"Swap of {symbol.code}"),
                "versions": _with_differences(versions),
                "groups": [("", "Everybody"), *((str(pk), group.name) for pk, group in sorted(groups.items()))],
                "group": str(group_id or ""),
                "export_urls": {
                    "CSV": f"?export=csv&group={group_id or ''}",
                    "XLSX": f"?export=xlsx&group={group_id or ''}",
                }
                if versions
                else {},
            }
        )

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the rates."""
        return [*super().breadcrumbs(), ("Swap rates", SwapRatesPage.url())]


HISTORY_COLUMNS = (
    computed(lambda rate: rate.validity.lower, title="From"),
    computed(lambda rate: rate.validity.upper, title="To"),
    number("long", title="Long"),
    number("short", title="Short"),
    computed(lambda rate: mode_words(SwapMode(rate.mode)), title="Stated in"),
    number("lp_long", title="Provider long"),
    number("lp_short", title="Provider short"),
    text("source", title="Source"),
    computed(lambda rate: rate.change.reference if rate.change else "", title="Change request"),
)


def _with_differences(versions: Sequence[SwapRate]) -> list[dict[str, Any]]:
    rows = []
    for place, rate in enumerate(versions):
        before = versions[place + 1] if place + 1 < len(versions) else None
        rows.append(
            {
                "since": format_time(rate.validity.lower) if rate.validity.lower else "ever",
                "until": format_time(rate.validity.upper) if rate.validity.upper else "further notice",
                "long": plain(rate.long),
                "short": plain(rate.short),
                "moves_long": _moved(rate.long, before.long if before else None),
                "moves_short": _moved(rate.short, before.short if before else None),
                "mode": mode_words(SwapMode(rate.mode))
                + ("" if before is None or before.mode == rate.mode else " (new)"),
                "provider": ""
                if rate.lp_long is None or rate.lp_short is None
                else f"{plain(rate.lp_long)} / {plain(rate.lp_short)}",
                "source": rate.source,
                "change": change_link(rate.change),
            }
        )
    return rows


def _moved(now: Decimal, before: Decimal | None) -> str:
    if before is None or now == before:
        return ""
    return f"{'+' if now > before else '−'}{plain(abs(now - before))}"


def step_chart(versions: Sequence[SwapRate], *, title: str) -> SafeString | str:
    """Long and short as steps over real time, with a zero line; the table below tells the same in figures."""
    dated = [(rate.validity.lower, rate.validity.upper, rate) for rate in versions if rate.validity.lower is not None]
    if not dated:
        return ""
    start = dated[0][0]
    end = max(clock.now(), dated[-1][0])
    span = max(Decimal((end - start) // timedelta(seconds=1)), Decimal(1))
    values = [value for _, _, rate in dated for value in (rate.long, rate.short)]
    low, high = min(Decimal(0), *values), max(Decimal(0), *values)
    reach = (high - low) or Decimal(1)

    def across(moment: datetime) -> str:
        gone = Decimal((moment - start) // timedelta(seconds=1))
        return f"{LEFT + (WIDTH - LEFT - 10) * gone / span:.1f}"

    def up(value: Decimal) -> str:
        return f"{10 + (high - value) / reach * (HEIGHT - BOTTOM - 20):.1f}"

    lines = []
    for side in ("long", "short"):
        parts: list[str] = []
        for since, until, rate in dated:
            level = up(getattr(rate, side))
            last = min(until, end) if until is not None else end
            parts.append(f"{'L' if parts else 'M'}{across(since)},{level} L{across(last)},{level}")
        lines.append((side, " ".join(parts)))
    return format_html(
        '<svg class="bo-chart" viewBox="0 0 {w} {h}" role="img" aria-label="{title}, long and short over time"><line class="bo-axis" stroke="#8796a6" x1="{l}" x2="{r}" y1="{z}" y2="{z}"></line>'
        '{paths}<text class="bo-chart-figure" font-size="12" x="{t}" y="16" text-anchor="end">{high}</text><text class="bo-chart-figure" font-size="12" x="{t}" y="{b}" text-anchor="end">{low}</text>'
        '<text class="bo-chart-label" font-size="12" x="{l}" y="{base}">{first}</text><text class="bo-chart-label" font-size="12" x="{r}" y="{base}" text-anchor="end">{last}</text></svg>',
        w=WIDTH, h=HEIGHT, title=title, l=LEFT, r=WIDTH - 10, z=up(Decimal(0)), t=LEFT - 8, high=plain(high), low=plain(low),
        b=HEIGHT - BOTTOM - 8, base=HEIGHT - 6, first=f"{start:%Y-%m-%d}", last=f"{end:%Y-%m-%d}",
        paths=format_html_join("", '<path class="sw-step sw-step-{}" d="{}"></path>', lines),
    )  # fmt: skip


class PushFilter(forms.Form):
    """Which pushes."""

    change = forms.IntegerField(required=False, min_value=1, label="Change request", widget=forms.HiddenInput)
    server = forms.ModelChoiceField(TradingServer.objects.none(), required=False, label="Server", empty_label="All")
    state = forms.ChoiceField(required=False, choices=[("", "Any state"), *SwapPush.State.choices], label="State")
    symbol = forms.CharField(required=False, max_length=40, label="Symbol")


def _rates_words(push: SwapPush, prefix: str) -> str:
    mode, long, short = (getattr(push, f"{prefix}{name}") for name in ("mode", "long", "short"))
    return "" if mode is None else f"{plain(long)} / {plain(short)} {mode_words(SwapMode(mode))}"


def _name_words(push: SwapPush) -> str:
    return f"{push.server_symbol.name} for {push.group.name}" if push.group else push.server_symbol.name


@register_desk_page
class SwapPushesPage(DeskTablePage):
    """What each server was told, symbol by symbol."""

    desk, slug, title, capability = DESK, "swap_pushes", "Swaps on the servers", VIEW_SWAP_DESK
    subtitle = "What each server was told about each of its symbols, and what it says when it is read back."
    template_name = "platform_ops/swap_table.html"
    filter_form = PushFilter
    empty_text = "Nothing was pushed yet: approved rates go to the servers by themselves."
    columns = (
        link("change", label="reference", title="Request"),
        text("server", title="Server"),
        computed(_name_words, title="Symbol"),
        badge("direction", title="What", tones={"revert": "warn"}),
        computed(lambda push: _rates_words(push, ""), title="Wanted"),
        computed(lambda push: _rates_words(push, "before_"), title="Had before"),
        computed(lambda push: _rates_words(push, "read_"), title="Read back"),
        badge("state", title="State", tones=PUSH_TONES),
        number("attempts", title="Sent"),
        moment("verified_at", title="Verified"),
        text("message", title="Message"),
    )

    def _filter(self) -> forms.Form | None:
        form = super()._filter()
        if form is not None:
            form.fields["server"].queryset = visible_to(TradingServer.objects.all(), self.actor)  # type: ignore[attr-defined]
        return form

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Any:
        """Those of servers that the actor sees."""
        found = visible_to(SwapPush.objects.select_related("change", "server", "server_symbol", "group"), actor)
        for name, path in (("change", "change_id"), ("server", "server"), ("state", "state")):
            if filters.get(name):
                found = found.filter(**{path: filters[name]})
        if filters.get("symbol"):
            found = found.filter(server_symbol__name__icontains=filters["symbol"])
        return found.order_by("-pk")


class _PushView(DeskActionView):
    """An act on the pushes of the change that the address names."""

    desk = DESK

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Remembers which change."""
        super().setup(request, *args, **kwargs)
        self.change_id: int = kwargs["change_id"]

    def change(self) -> ChangeRequest:
        """The change, through the door."""
        return get_visible(ChangeRequest.objects.all(), self.actor, pk=self.change_id)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The form, for a change that is there."""
        self.change()
        return super().get(request, *args, **kwargs)

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the change."""
        return [*super().breadcrumbs(), (self.change().reference, self.success_url(None))]

    def success_url(self, result: Any) -> str:
        """The change."""
        return reverse("admin:core_changerequest_change", args=[self.change_id])


@register_desk_page
class RetryPushes(_PushView):
    """Tries again what did not arrive."""

    slug, title, capability = "swap_push_retry", "Try the servers again", MANAGE_SWAPS
    route = "swap-pushes/<int:change_id>/retry/"
    button = "Try again"
    explanation = "What each server has is read first; only what it lacks is sent."
    needs_confirmation = False
    success_message = "It is tried again now."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Queues it."""
        return pushes.retry_pushes(change_id=self.change_id, actor=actor)


class ByHandForm(forms.Form):
    """On which server, and how that was seen."""

    server = forms.ModelChoiceField(TradingServer.objects.none(), label="Server")
    reason = forms.CharField(
        max_length=300, label="How it was seen", help_text="Such as: read in the server's terminal."
    )


@register_desk_page
class ConfirmByHand(_PushView):
    """A person says that a server has the figures."""

    slug, title, capability = "swap_push_by_hand", "Set by hand", MANAGE_SWAPS
    route = "swap-pushes/<int:change_id>/by-hand/"
    explanation = "For servers that take no changes from here, and for groups of accounts: say that it was set there."
    success_message = "Written down."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only servers that wait for a hand."""
        form = ByHandForm(data)
        waiting = SwapPush.objects.filter(
            change_id=self.change_id, state__in=[SwapPush.State.BY_HAND, *SwapPush.FAILED_STATES]
        )
        servers = visible_to(TradingServer.objects.filter(pk__in=waiting.values("server_id")), actor)
        form.fields["server"].queryset = servers  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which figures."""
        waiting = SwapPush.objects.filter(
            change_id=self.change_id, server=data["server"], state__in=[SwapPush.State.BY_HAND, *SwapPush.FAILED_STATES]
        ).select_related("server_symbol")
        return [(push.server_symbol.name, _rates_words(push, "")) for push in waiting[:PANEL_ROWS]]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Writes it down."""
        return pushes.confirm_by_hand(
            change_id=self.change_id, server_id=data["server"].pk, actor=actor, reason=data["reason"]
        )


def pushes_panel(change: ChangeRequest, actor: Actor) -> SafeString | str:
    """On the page of a change request: where its rates are by now, and what can be done about the rest."""
    found = visible_to(SwapPush.objects.select_related("server", "server_symbol", "group"), actor).filter(change=change)
    shown = list(found.order_by("-direction", "server__code", "server_symbol__name")[:PANEL_ROWS])
    if not shown:
        return ""
    rows = format_html_join(
        "",
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        (
            (
                push.server.code,
                push.server_symbol.name + (f" for {push.group.name}" if push.group else ""),
                push.get_direction_display(),
                _rates_words(push, ""),
                _rates_words(push, "read_"),
                badge_html(push.get_state_display(), PUSH_TONES[push.state]),
                push.message,
            )
            for push in shown
        ),
    )
    states = set(found.order_by().values_list("state", flat=True).distinct())
    links = []
    if holds(actor, MANAGE_SWAPS):
        if states & {*SwapPush.FAILED_STATES, "unreachable", "uncertain"}:
            links.append((RetryPushes.url(change_id=change.pk), "Try the servers again"))
        if states & {"by_hand", *SwapPush.FAILED_STATES}:
            links.append((ConfirmByHand.url(change_id=change.pk), "Set by hand"))
    links.append((f"{SwapPushesPage.url()}?change={change.pk}", "All of them"))
    return format_html(
        '<div class="bo-table-wrap" tabindex="0" role="region" aria-label="Swaps on the servers"><table class="bo-table"><thead><tr><th scope="col">Server</th><th scope="col">Symbol</th><th scope="col">What</th><th scope="col">Wanted</th>'
        '<th scope="col">Read back</th><th scope="col">State</th><th scope="col">Message</th></tr></thead><tbody>{}</tbody></table></div><p class="bo-note">{}</p>',
        rows,
        format_html_join(" · ", '<a class="bo-link" href="{}">{}</a>', links),
    )
