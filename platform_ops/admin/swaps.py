"""Swaps on the desk: rollovers, their lines with the formula, breaks, charges, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    badge_column,
    computed,
    computed_column,
    moment_column,
    money,
    money_column,
    money_html,
    number,
    number_column,
    state,
    text,
    text_column,
)
from backoffice.ui.formats import format_decimal
from backoffice.ui.forms import ReasonForm
from backoffice.ui.navigation import register_page
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskTablePage, register_desk_page
from platform_ops.models import (
    SwapBreak,
    SwapCharge,
    SwapLine,
    SwapRun,
    SwapSetting,
    TradingServer,
)
from platform_ops.permissions import (
    ACCEPT_SWAP_BREAKS,
    MANAGE_SWAPS,
    RUN_ROLLOVER,
    VIEW_PLATFORM,
)
from platform_ops.rules.swap_words import CAUSE_WORDS, explain
from platform_ops.rules.swaps import Cause
from platform_ops.services.swaps.charges import charge_day
from platform_ops.services.swaps.checks import term_of_row
from platform_ops.services.swaps.proof import accept_swap_break, reconcile_swaps
from platform_ops.services.swaps.rollover import run_rollover
from platform_ops.services.swaps.settings import set_swap_setting

CAUSE_TONES = {
    Cause.SWAP: "good", Cause.FEE: "good", Cause.CORRECTION: "warn", Cause.NO_RATE: "bad", Cause.UNMAPPED: "bad",
    Cause.CLOSE_DUE: "bad",
}  # fmt: skip
BREAK_TONES = {"open": "bad", "accepted": "warn", "cleared": "good"}
CHARGE_TONES = {"due": "warn", "sending": "warn", "done": "good", "refused": "bad"}
_DATE = forms.DateInput(attrs={"type": "date"})


# Rollovers


class RunRolloverForm(forms.Form):
    """Which day of which server."""

    server = forms.ModelChoiceField(TradingServer.objects.none(), label="Trading server")
    day = forms.DateField(widget=_DATE, label="Day of the server", help_text="The day that ended at its midnight.")


class RunRollover(DeskActionView):
    """Computes a server's day, or what has changed since."""

    slug, title, button, capability = "run-rollover", "Run a rollover", "Run a rollover", RUN_ROLLOVER
    form_class = RunRolloverForm

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only servers that the actor sees; yesterday by default."""
        form = RunRolloverForm(data, initial={"day": (clock.now() - timedelta(days=1)).date()})
        form.fields["server"].queryset = visible_to(TradingServer.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """First run or difference."""
        ran = SwapRun.objects.filter(server=data["server"], day=data["day"]).count()
        setting = SwapSetting.objects.filter(server=data["server"]).first()
        return [
            ("Day", f"{data['day']} on {data['server']}"),
            ("Done so far", f"{ran} run{'' if ran == 1 else 's'} of this day" if ran else "Not computed yet"),
            (
                "What happens",
                "Only what has changed since is booked, as differences."
                if ran
                else "Every position open at the cut gets its line.",
            ),
            ("Afterwards", setting.get_mode_display() if setting else "Nothing is charged: the server has no setting."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Computes, charges where the setting says so, proves."""
        server, day = data["server"], data["day"]
        run = run_rollover(server_id=server.pk, day=day, actor=actor)
        if SwapSetting.objects.filter(server=server).exists():
            charge_day(run=run, actor=actor)
            reconcile_swaps(server_id=server.pk, day=day, actor=actor)
        return run

    def success_text(self, result: SwapRun) -> str:
        """What was written."""
        return f"Rollover {result.number} of {result.day}: {result.lines:,} lines over {result.positions:,} positions."


@admin.register(SwapRun)
class SwapRunAdmin(DeskModelAdmin):
    """Every pass over a server's day."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "day", "server_shown", "number", "mode_shown", "positions_shown", "lines_shown", "money_shown", "seconds_shown",
        "made_shown",
    )  # fmt: skip
    list_select_related = ("server",)
    list_filter = ("mode", "server")
    search_fields = ("server__code",)
    date_hierarchy = "day"
    list_actions = (RunRollover,)
    empty_text = "No rollover has run yet. It runs with the business day of each server that has a swap setting."
    fields = ("day", "server", "number", "cut_at", "mode", "positions", "lines", "seconds", "actor", "created_at")

    server_shown = text_column("server", title="Server", order="server__code")
    mode_shown = computed_column(lambda row: row.get_mode_display(), title="Mode")
    positions_shown = number_column("positions", title="Positions", digits=0)
    lines_shown = number_column("lines", title="Lines", digits=0)
    money_shown = computed_column(lambda row: _money_of_run(row), title="Swap, clients' view")
    seconds_shown = number_column("seconds", title="Seconds", digits=3)
    made_shown = moment_column("created_at", title="Run at", order="created_at")


def _money_of_run(run: SwapRun) -> str:
    rows = list(run.figures.get("money", {}).items())
    shown = [
        f"{format_decimal(Decimal(parts.get('swap', '0')), Currency.of(code).digits)} {code}" for code, parts in rows
    ]
    return " · ".join(shown[:4]) + (f" and {len(rows) - 4} more" if len(rows) > 4 else "")


def _amount(value: str, currency: str) -> SafeString:
    digits = Currency.of(currency).digits
    return money_html(Decimal(value).quantize(Decimal(1).scaleb(-digits)), currency)


def run_panel(run: SwapRun, actor: Actor) -> SafeString | str:
    """What the run wrote: money by currency, lines by cause."""
    money_rows = format_html_join(
        "",
        '<tr><td>{}</td><td class="bo-num">{}</td><td class="bo-num">{}</td><td class="bo-num">{}</td>'
        '<td class="bo-num">{}</td><td class="bo-num">{}</td></tr>',
        (_money_row(code, parts) for code, parts in run.figures.get("money", {}).items()),
    )
    causes = format_html_join(
        "",
        '<tr><td>{}</td><td class="bo-num">{}</td></tr>',
        (
            (CAUSE_WORDS.get(Cause(cause), cause), f"{count:,}")
            for cause, count in run.figures.get("causes", {}).items()
        ),
    )
    link = f"{SwapLinesPage.url()}?server={run.server_id}&day={run.day}"
    return format_html(
        '<table class="bo-table"><thead><tr><th scope="col">Currency</th><th scope="col" class="bo-num">Swap</th>'
        '<th scope="col" class="bo-num">Dividends</th><th scope="col" class="bo-num">Fees</th>'
        '<th scope="col" class="bo-num">Provider’s swap</th><th scope="col" class="bo-num">Broker keeps</th></tr></thead>'
        '<tbody>{}</tbody></table><table class="bo-table"><thead><tr><th scope="col">Lines</th>'
        '<th scope="col" class="bo-num">Count</th></tr></thead><tbody>{}</tbody></table>'
        '<p><a class="bo-link" href="{}">All lines of the day, each with its formula</a></p>',
        money_rows,
        causes,
        link,
    )


def _money_row(code: str, parts: Mapping[str, str]) -> tuple[Any, ...]:
    provider = parts.get("provider")
    kept = "" if provider is None else _amount(str(Decimal(provider) - Decimal(parts["swap"])), code)
    return (
        code,
        *(_amount(parts.get(name, "0"), code) for name in ("swap", "dividend", "fee")),
        "unknown" if provider is None else _amount(provider, code),
        kept,
    )


class LineFilterForm(forms.Form):
    """Which lines."""

    server = forms.ModelChoiceField(TradingServer.objects.none(), required=False, label="Server")
    day = forms.DateField(required=False, widget=_DATE, label="Day")
    login = forms.CharField(required=False, max_length=32, label="Account")
    position = forms.IntegerField(required=False, label="Position", min_value=0)
    cause = forms.ChoiceField(
        required=False,
        label="Why",
        choices=[("", "Any"), *((cause.value, words) for cause, words in CAUSE_WORDS.items())],
    )


@register_desk_page
class SwapLinesPage(DeskTablePage):
    """The lines of a day, each with its formula."""

    desk, slug, title, capability = "platform_ops", "swap_lines", "Swap lines", VIEW_PLATFORM
    subtitle = "One line per position and day; R rounds half away from zero to the digits of the account's currency."
    filter_form = LineFilterForm
    empty_text = "No lines here. Choose another day or server; lines are written by the rollover of each business day."
    columns = (
        text("day", title="Day"),
        text("account__login", title="Account"),
        text("position_ticket", title="Position"),
        text("term__server_symbol__name", title="Symbol"),
        computed(lambda row: "Buy" if row.term.side > 0 else "Sell", title="Side"),
        number("volume_lots", title="Lots", digits=2),
        computed(lambda row: f"{row.term.nights.normalize():f}", title="Nights", is_numeric=True),
        money("swap", currency="term__currency", title="Swap"),
        money("dividend", currency="term__currency", title="Dividend"),
        money("fee", currency="term__currency", title="Fee"),
        state(
            lambda row: row.cause_words,
            title="Why",
            tones={CAUSE_WORDS[cause]: tone for cause, tone in CAUSE_TONES.items()},
        ),
        computed(lambda row: formula_of(row), title="Formula"),
    )

    def _filter(self) -> forms.Form | None:
        form = super()._filter()
        if form is not None:
            servers = visible_to(TradingServer.objects.all(), self.actor).order_by("code")
            form.fields["server"].queryset = servers  # type: ignore[attr-defined]
        return form

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> QuerySet[Any] | Sequence[Any]:
        """Of the latest day unless one is named."""
        lines = visible_to(SwapLine.objects.all(), actor).select_related("account", "term__server_symbol")
        if server := filters.get("server"):
            lines = lines.filter(account__server=server)
        if login := filters.get("login"):
            lines = lines.filter(account__login=login)
        if ticket := filters.get("position"):
            lines = lines.filter(position_ticket=ticket)
        if cause := filters.get("cause"):
            lines = lines.filter(cause=cause)
        day = filters.get("day")
        if day is None and not filters.get("login") and not filters.get("position"):
            day = visible_to(SwapRun.objects.order_by("-day"), actor).values_list("day", flat=True).first()
        return lines.filter(day=day) if day is not None else lines


def formula_of(line: SwapLine) -> str:
    """The formula with the numbers put in."""
    return explain(term_of_row(line.term), lots=line.volume_lots, open_price=line.open_price, cause=line.cause)


# Breaks and charges


class AcceptBreak(DeskActionView):
    """Leaves a difference as it is."""

    slug, title, capability = "accept", "Accept the difference", ACCEPT_SWAP_BREAKS
    form_class = ReasonForm
    success_message = "Accepted. Should the difference change, it opens again."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While it is open."""
        return bool(target.state == SwapBreak.State.OPEN)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What differs."""
        found = self.target
        return [
            ("Position", f"{found.position_ticket} of {found.account}"),
            ("Charged by the server", f"{found.theirs.normalize():f} {found.currency}"),
            ("Due by our lines", f"{found.ours.normalize():f} {found.currency}"),
            ("What happens", "The difference counts as explained. Nothing is booked."),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Accepts it."""
        return accept_swap_break(break_id=self.target.pk, actor=actor, reason=data["reason"])


@admin.register(SwapBreak)
class SwapBreakAdmin(DeskModelAdmin):
    """Positions whose swap on the server is not what is due."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "account_shown", "position_ticket", "symbol_shown", "nights_shown", "theirs_shown", "ours_shown", "gap_shown",
        "state_shown", "first_day", "day",
    )  # fmt: skip
    list_select_related = ("account__server", "server_symbol")
    list_filter = ("state", "account__server")
    search_fields = ("account__login", "position_ticket")
    object_actions = (AcceptBreak,)
    empty_text = "No differences: what the servers charged is what our lines say."

    account_shown = text_column("account", title="Account", order="account__login")
    symbol_shown = text_column("server_symbol__name", title="Symbol")
    nights_shown = number_column("nights", title="Nights", digits=0)
    theirs_shown = money_column("theirs", currency="currency", title="Charged")
    ours_shown = money_column("ours", currency="currency", title="Due")
    gap_shown = money_column("difference", currency="currency", title="Difference")
    state_shown = badge_column("state", title="State", tones=BREAK_TONES)


@admin.register(SwapCharge)
class SwapChargeAdmin(DeskModelAdmin):
    """What we charge accounts ourselves."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "reference", "account_shown", "day", "kind_shown", "amount_shown", "state_shown", "operation_shown", "deal_ticket",
        "problem",
    )  # fmt: skip
    list_select_related = ("account", "operation")
    list_filter = ("state", "kind", "account__server")
    search_fields = ("reference", "account__login", "operation__reference")
    date_hierarchy = "day"
    empty_text = (
        "Nothing has been charged by us. Fees of swap-free accounts, and swaps where we charge them, appear here."
    )

    account_shown = text_column("account", title="Account", order="account__login")
    kind_shown = computed_column(lambda row: row.get_kind_display().capitalize(), title="Kind")
    amount_shown = money_column("amount", currency="currency", title="Amount")
    state_shown = badge_column("state", title="State", tones=CHARGE_TONES)
    operation_shown = text_column("operation", title="Operation on the server")


# Settings


class SettingForm(forms.Form):
    """How a server's rollover is done."""

    server = forms.ModelChoiceField(TradingServer.objects.none(), label="Trading server")
    mode = forms.ChoiceField(choices=SwapSetting.Mode.choices, label="What we do")
    cut = forms.ChoiceField(choices=SwapSetting.Cut.choices, label="The day ends at")
    channel = forms.ChoiceField(choices=SwapSetting.Channel.choices, label="What we charge goes as")
    starts_on = forms.DateField(widget=_DATE, label="First day")
    tolerance = forms.DecimalField(
        min_value=0, max_digits=20, decimal_places=8, initial=0, label="Tolerance per position"
    )
    rounds_point_value_first = forms.BooleanField(
        required=False, initial=True, label="Round the value of a point first"
    )
    blocks_day = forms.BooleanField(required=False, label="The business day waits for unexplained breaks")
    reason = forms.CharField(max_length=400, widget=forms.Textarea(attrs={"rows": 2}), label="Reason")


_CHANNEL_WORDS = {
    SwapSetting.Channel.SERVER.value: "One operation on the server per account, day and kind; sent within a minute, "
    "held back while pushes to servers are stopped",
    SwapSetting.Channel.BOOKS.value: "A deal of our own in the books; the server is told nothing",
}


class ChangeSetting(DeskActionView):
    """Sets how a server's rollover is done."""

    slug, title, capability = "set", "Set up a server's rollover", MANAGE_SWAPS
    form_class = SettingForm
    success_message = "Set. The next business day goes by it."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only servers that the actor sees."""
        form = SettingForm(data, initial={"starts_on": clock.now().date()})
        form.fields["server"].queryset = visible_to(TradingServer.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """In words."""
        return [
            ("Server", str(data["server"])),
            ("What we do", dict(SwapSetting.Mode.choices)[data["mode"]]),
            ("The day ends at", dict(SwapSetting.Cut.choices)[data["cut"]]),
            ("What we charge goes as", _CHANNEL_WORDS[data["channel"]]),
            ("First day", str(data["starts_on"])),
            ("Tolerance", f"{data['tolerance']} in the account's currency"),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Sets it."""
        values = {name: value for name, value in data.items() if name != "server"}
        return set_swap_setting(server_id=data["server"].pk, actor=actor, **values)


@admin.register(SwapSetting)
class SwapSettingAdmin(DeskModelAdmin):
    """How each server's rollover is done."""

    view_capability = VIEW_PLATFORM
    list_display = ("server", "mode_shown", "cut_shown", "channel_shown", "starts_on", "tolerance_shown", "blocks_day")
    list_select_related = ("server",)
    list_actions = (ChangeSetting,)
    empty_text = "No server is set up: only what servers charged on closed trades is stated."

    mode_shown = computed_column(lambda row: row.get_mode_display(), title="What we do")
    cut_shown = computed_column(lambda row: row.get_cut_display(), title="The day ends at")
    channel_shown = computed_column(lambda row: row.get_channel_display(), title="Charges go as")
    tolerance_shown = number_column("tolerance", title="Tolerance")


def register() -> None:
    """Menu entries and panels; called when the application starts."""
    for title, name, order, icon in (
        ("Rollovers", "admin:platform_ops_swaprun_changelist", 82, "nights_stay"),
        ("Swap lines", SwapLinesPage.url_name(), 82, "receipt"),
        ("Swap breaks", "admin:platform_ops_swapbreak_changelist", 83, "difference"),
        ("Swap charges", "admin:platform_ops_swapcharge_changelist", 83, "request_quote"),
        ("Dividends", "admin:platform_ops_dividendevent_changelist", 84, "savings"),
        ("Swap-free policies", "admin:platform_ops_swapfreepolicy_changelist", 84, "event_busy"),
        ("Swaps re-applied", "admin:platform_ops_swapfreerevocation_changelist", 84, "undo"),
        ("Rollover settings", "admin:platform_ops_swapsetting_changelist", 84, "settings"),
    ):
        register_page("platform_ops", title, name, VIEW_PLATFORM, order, icon=icon)
    register_panel("platform_ops.SwapRun", "figures", "What it wrote", run_panel, order=10)
