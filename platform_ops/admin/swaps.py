"""Swaps on the desk: rollovers, their lines with the formula, breaks, dividends, swap-free policies, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
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
from backoffice.kernel.errors import InvalidInput
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
from backoffice.ui.navigation import register_page
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskTablePage, register_desk_page
from platform_ops.models import (
    AccountGroup,
    AccountType,
    DividendEvent,
    SwapBreak,
    SwapCharge,
    SwapFreePolicy,
    SwapFreeRevocation,
    SwapLine,
    SwapRun,
    SwapSetting,
    Symbol,
    SymbolGroup,
    TradingAccount,
    TradingServer,
)
from platform_ops.permissions import (
    ACCEPT_SWAP_BREAKS,
    APPROVE_DIVIDENDS,
    MANAGE_SWAPS,
    RUN_ROLLOVER,
    VIEW_PLATFORM,
)
from platform_ops.rules.swap_words import CAUSE_WORDS, explain
from platform_ops.rules.swaps import Cause, dividend_day
from platform_ops.services.swaps import dividends, policies
from platform_ops.services.swaps.charges import charge_day
from platform_ops.services.swaps.checks import term_of_row
from platform_ops.services.swaps.holidays import holidays_of
from platform_ops.services.swaps.proof import accept_swap_break, reconcile_swaps
from platform_ops.services.swaps.rollover import run_rollover
from platform_ops.services.swaps.settings import set_swap_setting

CAUSE_TONES = {
    Cause.SWAP: "good", Cause.FEE: "good", Cause.CORRECTION: "warn", Cause.NO_RATE: "bad", Cause.UNMAPPED: "bad",
    Cause.CLOSE_DUE: "bad",
}  # fmt: skip
BREAK_TONES = {"open": "bad", "accepted": "warn", "cleared": "good"}
CHARGE_TONES = {"due": "warn", "sending": "warn", "done": "good", "refused": "bad"}
DIVIDEND_TONES = {"proposed": "warn", "approved": "good", "rejected": "quiet"}
_DATE = forms.DateInput(attrs={"type": "date"})


class ReasonForm(forms.Form):
    """Why."""

    reason = forms.CharField(max_length=400, widget=forms.Textarea(attrs={"rows": 3}), label="Reason")


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

    server = forms.ModelChoiceField(TradingServer.objects.order_by("code"), required=False, label="Server")
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
    list_display = ("reference", "account_shown", "day", "kind_shown", "amount_shown", "state_shown", "deal_ticket")
    list_select_related = ("account",)
    list_filter = ("state", "kind")
    search_fields = ("reference", "account__login")
    date_hierarchy = "day"
    empty_text = (
        "Nothing has been charged by us. Fees of swap-free accounts, and swaps where we charge them, appear here."
    )

    account_shown = text_column("account", title="Account", order="account__login")
    kind_shown = computed_column(lambda row: row.get_kind_display().capitalize(), title="Kind")
    amount_shown = money_column("amount", currency="currency", title="Amount")
    state_shown = badge_column("state", title="State", tones=CHARGE_TONES)


# Dividends


class DividendForm(forms.Form):
    """A dividend."""

    symbol = forms.ModelChoiceField(Symbol.objects.order_by("code"), label="Symbol")
    ex_date = forms.DateField(widget=_DATE, label="Ex-date")
    unit = forms.ChoiceField(choices=DividendEvent.Unit.choices, label="Stated as")
    amount_long = forms.DecimalField(max_digits=20, decimal_places=8, label="What a long position gains")
    amount_short = forms.DecimalField(
        max_digits=20, decimal_places=8, required=False, label="What a short position gains",
        help_text="Negative: it pays. Empty: exactly what a long one gains, the other way round.",
    )  # fmt: skip
    note = forms.CharField(max_length=200, required=False, label="Note")


class ProposeDividend(DeskActionView):
    """Writes a dividend down for another person."""

    slug, title, capability = "propose", "Add a dividend", MANAGE_SWAPS
    form_class = DividendForm
    success_message = "Written down. It counts once another person has approved it."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """When it is adjusted."""
        short = data["amount_short"] if data["amount_short"] is not None else -data["amount_long"]
        return [
            ("Dividend", f"{data['symbol']} ex {data['ex_date']}"),
            ("Adjusted at the cut of", f"{adjusted_on(data['symbol'].pk, data['ex_date']):%A %Y-%m-%d}"),
            ("Long and short", f"{data['amount_long']} and {short}"),
            ("What happens", "It waits for another person. Once approved, the rollover of that day carries it."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Proposes it."""
        values = {name: value for name, value in data.items() if name != "symbol"}
        return dividends.propose_dividend(symbol_id=data["symbol"].pk, actor=actor, **values)


class ApproveDividend(DeskActionView):
    """Lets a dividend count."""

    slug, title, capability = "approve", "Approve the dividend", APPROVE_DIVIDENDS
    form_class = ReasonForm
    success_message = "Approved."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While it waits for another person than the one who asks."""
        return bool(target.state == DividendEvent.State.PROPOSED and target.proposed_by_id != actor.user_id)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What will be adjusted."""
        return [
            ("Dividend", str(self.target)),
            ("Long and short", f"{self.target.amount_long.normalize():f} and {self.target.amount_short.normalize():f}"),
            ("Proposed by", self.target.proposed_by),
            ("What happens", "Every position open at that cut is adjusted; a day computed already is corrected."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Approves it."""
        return dividends.approve_dividend(event_id=self.target.pk, actor=actor, reason=data["reason"])


class RejectDividend(ApproveDividend):
    """Lets it not count, or no longer."""

    slug, title, capability, tone = "reject", "Reject the dividend", APPROVE_DIVIDENDS, "danger"
    success_message = "Rejected."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Unless it is rejected already, or one's own."""
        return bool(target.state != DividendEvent.State.REJECTED and target.proposed_by_id != actor.user_id)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Rejects it."""
        return dividends.reject_dividend(event_id=self.target.pk, actor=actor, reason=data["reason"])


def adjusted_on(symbol_id: int, ex_date: Any) -> Any:
    """The day at whose cut a dividend is adjusted."""
    known = holidays_of(symbol_ids=[symbol_id], from_day=ex_date - timedelta(days=21), to_day=ex_date)
    return dividend_day(ex_date, known.get(symbol_id, frozenset()))


@admin.register(DividendEvent)
class DividendAdmin(DeskModelAdmin):
    """The calendar of dividends, the next ones first."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "ex_date", "symbol_shown", "adjusted_shown", "unit_shown", "long_shown", "short_shown", "state_shown",
        "proposed_by", "decided_by",
    )  # fmt: skip
    list_select_related = ("symbol",)
    list_filter = ("state", "unit")
    search_fields = ("symbol__code", "note")
    date_hierarchy = "ex_date"
    list_actions = (ProposeDividend,)
    object_actions = (ApproveDividend, RejectDividend)
    empty_text = "No dividends yet. Add one with the button above; another person approves it."

    symbol_shown = text_column("symbol__code", title="Symbol", order="symbol__code")
    adjusted_shown = computed_column(
        lambda row: f"{adjusted_on(row.symbol_id, row.ex_date):%a %Y-%m-%d}", title="Adjusted at the cut of"
    )
    unit_shown = computed_column(lambda row: row.get_unit_display(), title="Stated as")
    long_shown = number_column("amount_long", title="Long gains", is_signed=True)
    short_shown = number_column("amount_short", title="Short gains", is_signed=True)
    state_shown = badge_column("state", title="State", tones=DIVIDEND_TONES)


# Swap-free


class PolicyForm(forms.Form):
    """A swap-free policy."""

    name = forms.CharField(max_length=120, label="Name")
    account_type = forms.ModelChoiceField(AccountType.objects.none(), required=False, label="Account type")
    group = forms.ModelChoiceField(AccountGroup.objects.none(), required=False, label="or group of accounts")
    login = forms.CharField(max_length=32, required=False, label="or one account")
    symbol_group = forms.ModelChoiceField(
        SymbolGroup.objects.order_by("name"), required=False, label="Symbols", empty_label="All symbols"
    )
    valid_from = forms.DateField(widget=_DATE, label="From (UTC midnight)")
    valid_until = forms.DateField(widget=_DATE, label="Until", required=False, help_text="Empty: until further notice.")
    grace_nights = forms.IntegerField(min_value=0, max_value=policies.MAXIMUM_GRACE, label="Free nights", initial=5)
    after_grace = forms.ChoiceField(choices=SwapFreePolicy.AfterGrace.choices, label="Afterwards")
    fee_per_lot = forms.DecimalField(
        min_value=0, max_digits=20, decimal_places=8, initial=0, label="Fee per lot and night"
    )
    fee_currency = forms.CharField(max_length=5, initial="USD", label="Currency of the fee")
    reason = forms.CharField(max_length=400, widget=forms.Textarea(attrs={"rows": 2}), label="Reason")


class AddPolicy(DeskActionView):
    """A new policy."""

    slug, title, capability = "add-policy", "Add a swap-free policy", MANAGE_SWAPS
    form_class = PolicyForm
    success_message = "The policy stands."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only what the actor sees."""
        form = PolicyForm(data, initial={"valid_from": clock.now().date()})
        form.fields["account_type"].queryset = visible_to(AccountType.objects.all(), actor)  # type: ignore[attr-defined]
        form.fields["group"].queryset = visible_to(AccountGroup.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whom it concerns."""
        subject = data["account_type"] or data["group"] or data["login"] or "nobody yet"
        after = dict(SwapFreePolicy.AfterGrace.choices)[data["after_grace"]]
        return [
            ("Who", str(subject)),
            ("Symbols", str(data["symbol_group"] or "all")),
            ("Free nights", f"{data['grace_nights']}, counted by the calendar from the opening"),
            ("Afterwards", f"{after}, {data['fee_per_lot']} {data['fee_currency']} per lot and night"
             if data["after_grace"] == "fee" else after),
        ]  # fmt: skip

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Writes it."""
        account = None
        if data["login"]:
            account = visible_to(TradingAccount.objects.filter(login=data["login"]), actor).first()
            if account is None:
                raise InvalidInput("No such account.", field="login", value=data["login"])
        return policies.set_swap_free_policy(
            name=data["name"],
            valid_from=_midnight(data["valid_from"]),
            valid_until=_midnight(data["valid_until"]) if data["valid_until"] else None,
            account_id=account.pk if account else None,
            group_id=data["group"].pk if data["group"] else None,
            account_type_id=data["account_type"].pk if data["account_type"] else None,
            symbol_group_id=data["symbol_group"].pk if data["symbol_group"] else None,
            grace_nights=data["grace_nights"],
            after_grace=data["after_grace"],
            fee_per_lot=data["fee_per_lot"],
            fee_currency=data["fee_currency"],
            actor=actor,
            reason=data["reason"],
        )


class EndPolicy(DeskActionView):
    """Ends a policy now."""

    slug, title, capability, tone = "end", "End the policy", MANAGE_SWAPS, "danger"
    form_class = ReasonForm
    success_message = "The policy ends now."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While it lasts."""
        return target.validity.upper is None or target.validity.upper > clock.now()

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """From the next rollover on."""
        return [("Policy", str(self.target)), ("What happens", "From the next rollover on usual swaps apply.")]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Ends it."""
        return policies.end_swap_free_policy(
            policy_id=self.target.pk, at=clock.now(), actor=actor, reason=data["reason"]
        )


@admin.register(SwapFreePolicy)
class SwapFreePolicyAdmin(DeskModelAdmin):
    """Who pays no swap."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "name", "subject_shown", "symbols_shown", "grace_shown", "after_shown", "fee_shown", "from_shown", "state_shown",
    )  # fmt: skip
    list_select_related = ("account", "group", "account_type", "symbol_group")
    list_filter = ("after_grace",)
    search_fields = ("name", "account__login")
    list_actions = (AddPolicy,)
    object_actions = (EndPolicy,)
    empty_text = "No swap-free policies: every account pays and gets swaps."

    subject_shown = computed_column(
        lambda row: f"account {row.account.login}" if row.account else str(row.group or row.account_type), title="Who"
    )
    symbols_shown = computed_column(lambda row: str(row.symbol_group or "All"), title="Symbols")
    grace_shown = number_column("grace_nights", title="Free nights", digits=0)
    after_shown = computed_column(lambda row: row.get_after_grace_display(), title="Afterwards")
    fee_shown = money_column("fee_per_lot", currency="fee_currency", title="Fee per lot and night")
    from_shown = computed_column(
        lambda row: f"{row.validity.lower:%Y-%m-%d}" if row.validity.lower else "", title="From"
    )
    state_shown = computed_column(lambda row: _lasts(row), title="State")


def _lasts(policy: SwapFreePolicy) -> str:
    now = clock.now()
    if policy.validity.upper is not None and policy.validity.upper <= now:
        return f"Ended {policy.validity.upper:%Y-%m-%d}"
    if policy.validity.lower is not None and policy.validity.lower > now:
        return "Planned"
    return f"In force until {policy.validity.upper:%Y-%m-%d}" if policy.validity.upper else "In force"


class ReapplyForm(forms.Form):
    """Which account, which days."""

    login = forms.CharField(max_length=32, label="Account")
    from_day = forms.DateField(widget=_DATE, label="First day")
    to_day = forms.DateField(widget=_DATE, required=False, label="Last day", help_text="Empty: until further notice.")
    reason = forms.CharField(max_length=400, widget=forms.Textarea(attrs={"rows": 3}), label="What was found")


class ReapplySwaps(DeskActionView):
    """Takes an account's freedom back."""

    slug, title, capability, tone = "reapply", "Re-apply swaps to an account", MANAGE_SWAPS, "danger"
    form_class = ReapplyForm
    success_message = "The swaps of those days are due after all; the next rollover books the difference."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What becomes due."""
        account = self._account(actor, data["login"])
        lines = SwapLine.objects.filter(account=account, day__gte=data["from_day"], cause__in=["swap_free", "fee"])
        return [
            ("Account", str(account)),
            ("Days", f"{data['from_day']} to {data['to_day'] or 'further notice'}"),
            ("Lines that were free", f"{lines.count():,}"),
            ("What happens", "Each day's next rollover charges the swap that was not charged and gives the fee back."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Re-applies."""
        return policies.reapply_swaps(
            account_id=self._account(actor, data["login"]).pk, from_day=data["from_day"], to_day=data["to_day"],
            actor=actor, reason=data["reason"],
        )  # fmt: skip

    @staticmethod
    def _account(actor: Actor, login: str) -> TradingAccount:
        account = visible_to(TradingAccount.objects.filter(login=login), actor).first()
        if account is None:
            raise InvalidInput("No such account.", field="login", value=login)
        return account


@admin.register(SwapFreeRevocation)
class SwapFreeRevocationAdmin(DeskModelAdmin):
    """Accounts that lost their freedom."""

    view_capability = VIEW_PLATFORM
    list_display = ("account_shown", "from_day", "to_day", "reason", "decided_by", "created_shown")
    list_select_related = ("account",)
    search_fields = ("account__login", "reason")
    list_actions = (ReapplySwaps,)
    empty_text = "No account has lost its freedom from swaps."

    account_shown = text_column("account", title="Account", order="account__login")
    created_shown = moment_column("created_at", title="Decided", order="created_at")


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


def _midnight(day: Any) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def register() -> None:
    """Menu entries and panels; called when the application starts."""
    for title, name, order, icon in (
        ("Rollovers", "admin:platform_ops_swaprun_changelist", 82, "nights_stay"),
        ("Swap lines", SwapLinesPage.url_name(), 82, "receipt"),
        ("Swap breaks", "admin:platform_ops_swapbreak_changelist", 83, "difference"),
        ("Swap charges", "admin:platform_ops_swapcharge_changelist", 83, "request_quote"),
        ("Dividends", "admin:platform_ops_dividendevent_changelist", 84, "savings"),
        ("Swap-free policies", "admin:platform_ops_swapfreepolicy_changelist", 84, "mosque"),
        ("Swaps re-applied", "admin:platform_ops_swapfreerevocation_changelist", 84, "undo"),
        ("Rollover settings", "admin:platform_ops_swapsetting_changelist", 84, "settings"),
    ):
        register_page("platform_ops", title, name, VIEW_PLATFORM, order, icon=icon)
    register_panel("platform_ops.SwapRun", "figures", "What it wrote", run_panel, order=10)
