"""What changes a night of swaps on the desk: dividends, swap-free policies, and swaps applied again after abuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    badge_column,
    computed_column,
    moment_column,
    money_column,
    number_column,
    text_column,
)
from backoffice.ui.forms import ReasonForm
from backoffice.ui.views import DeskActionView
from platform_ops.models import (
    AccountGroup,
    AccountType,
    DividendEvent,
    SwapFreePolicy,
    SwapFreeRevocation,
    SwapLine,
    Symbol,
    SymbolGroup,
    TradingAccount,
)
from platform_ops.permissions import (
    APPROVE_DIVIDENDS,
    MANAGE_SWAPS,
    VIEW_PLATFORM,
)
from platform_ops.rules.swaps import dividend_day
from platform_ops.services.swaps import dividends, policies
from platform_ops.services.swaps.holidays import holidays_of

DIVIDEND_TONES = {"proposed": "warn", "approved": "good", "rejected": "quiet"}
_DATE = forms.DateInput(attrs={"type": "date"})

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


def _midnight(day: Any) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
