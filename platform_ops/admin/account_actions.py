"""What the desk does with a trading account on its server: money, group, leverage, access, password; and opening one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.apps import apps
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from backoffice.core.access import visible_to
from backoffice.core.models import ChangeRequest
from backoffice.core.types import Actor
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.views import DeskActionView
from platform_ops.account_permissions import CHANGE_ACCOUNTS, MOVE_MONEY, OPEN_ACCOUNTS
from platform_ops.models import AccountGroup, AccountOffer, ServerOperation, TradingAccount
from platform_ops.rules.operations import check_money
from platform_ops.selectors.account_catalogue import class_of_client, leverage_allowed
from platform_ops.services import account_operations as operations
from platform_ops.services.account_operations import Outcome
from platform_ops.services.account_operations.bulk import MAX_BULK_LINES, read_lines, run_bulk
from platform_ops.types import DealKind

MONEY_CHOICES = [
    ("balance_in", "Deposit to the balance"),
    ("balance_out", "Withdrawal from the balance"),
    ("credit_in", "Credit given"),
    ("credit_out", "Credit taken back"),
    ("correction", "Correction (with its sign)"),
    ("charge_out", "Charge"),
    ("bonus_in", "Bonus"),
]
_KINDS = {
    "balance_in": (DealKind.BALANCE, 1), "balance_out": (DealKind.BALANCE, -1), "credit_in": (DealKind.CREDIT, 1),
    "credit_out": (DealKind.CREDIT, -1), "correction": (DealKind.CORRECTION, 0), "charge_out": (DealKind.CHARGE, -1),
    "bonus_in": (DealKind.BONUS, 1),
}  # fmt: skip


def reason_field() -> forms.CharField:
    """Why it is done."""
    return forms.CharField(max_length=400, widget=forms.Textarea(attrs={"rows": 2}), label="Reason")


def signed(amount: Decimal, digits: int) -> str:
    """An amount with its sign."""
    return f"{amount:+,.{digits}f}"


def kind_and_amount(choice: str, amount: Decimal) -> tuple[DealKind, Decimal]:
    """What a choice of the form means. Raises InvalidInput for a sign that the choice gives by itself."""
    kind, sign = _KINDS[choice]
    if sign and amount <= 0:
        raise InvalidInput("Give the amount without a sign; the operation says which way it goes.", field="amount")
    return kind, amount * sign if sign else amount


class AccountAction(DeskActionView):
    """An operation on the account of the page: written down, sent at once, and looked up if its answer is lost."""

    capability = CHANGE_ACCOUNTS

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Not for closed accounts, but for opening them again."""
        return target.status != TradingAccount.Status.CLOSED

    def success_url(self, result: Any) -> str:
        """The operation, or the request that waits for another person."""
        if isinstance(result, ChangeRequest):
            return reverse("admin:core_changerequest_change", args=[result.pk])
        return reverse("admin:platform_ops_serveroperation_change", args=[result.operation.pk])

    def success_text(self, result: Any) -> str:
        """Where it stands."""
        if isinstance(result, ChangeRequest):
            return f"{result.reference} waits for another person. Nothing was sent."
        return str(result.text)

    def carry_out(self, operation: ServerOperation) -> Outcome:
        """Sends it now; what cannot be sent waits for the next sweep."""
        return operations.carry_out(operation_id=operation.pk, actor=self.actor)

    def key(self, idempotency_key: str) -> str:
        """The key of the request: the same for two presses of one button."""
        return f"desk:{self.slug}:{idempotency_key}"


class ShowsCredentials(AccountAction):
    """An action whose answer is a page with passwords that nobody keeps."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page instead of going on, where passwords were made."""
        self.outcome: Outcome | None = None
        response = super().post(request, *args, **kwargs)
        if self.outcome is None or self.outcome.credentials is None:
            return response
        page = self.page(
            {
                "credentials": self.outcome.credentials,
                "outcome": self.outcome.text,
                "back_url": self.success_url(self.outcome),
            },
            template="platform_ops/credentials_once.html",
        )
        page.headers["Cache-Control"] = "no-store"
        return page


class MoneyForm(forms.Form):
    """What is moved."""

    operation = forms.ChoiceField(choices=MONEY_CHOICES, label="Operation")
    amount = forms.DecimalField(max_digits=16, decimal_places=8, label="Amount", help_text="In the account's currency.")
    comment = forms.CharField(
        max_length=16, required=False, label="Comment", help_text="Stands after the reference on the server."
    )
    reason = reason_field()


class MoveMoney(AccountAction):
    """Moves money on the account."""

    slug, title, button, capability = "money", "Move money on the account", "Move money", MOVE_MONEY
    form_class = MoneyForm

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Closed accounts too: what is left on them is paid out."""
        return True

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """How much goes where, and who must agree."""
        account = self.target
        kind, amount = kind_and_amount(data["operation"], data["amount"])
        digits = Currency.of(account.currency).digits
        check_money(kind, amount, digits)
        needed = operations.why_approval_is_needed(account=account, amount=amount, actor=actor)
        steps = [
            ("Account", f"{account} on {account.server}"),
            ("Client", str(account.client or "none yet")),
            ("Operation", dict(self.form_class.base_fields["operation"].choices)[data["operation"]]),  # type: ignore[attr-defined]
            ("Amount", f"{signed(amount, digits)} {account.currency}{_in_parent(amount, account)}"),
            ("Reason", data["reason"]),
        ]
        if needed:
            return [*steps, ("Second person", f"Another person must agree: {needed[0]}.")]
        return [*steps, ("What happens", "It is booked on the server now, once, under a reference of its own.")]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Proposed where a second person must agree, else done."""
        kind, amount = kind_and_amount(data["operation"], data["amount"])
        given = {
            "account_id": self.target.pk, "kind": kind, "amount": amount, "actor": actor, "reason": data["reason"],
            "idempotency_key": self.key(idempotency_key), "comment": data["comment"],
        }  # fmt: skip
        is_repeated = ServerOperation.objects.filter(idempotency_key=given["idempotency_key"]).exists()
        if not is_repeated and operations.why_approval_is_needed(account=self.target, amount=amount, actor=actor):
            return operations.propose_balance_operation(**given)
        return self.carry_out(operations.request_balance_operation(**given))


def _in_parent(amount: Decimal, account: TradingAccount) -> str:
    """What an amount of cents is in their own currency."""
    currency = Currency.of(account.currency)
    if currency.per_parent == 1:
        return ""
    return f" ({signed(amount / currency.per_parent, 2)} {currency.parent.code})"


class GroupForm(forms.Form):
    """Where to."""

    group = forms.ModelChoiceField(AccountGroup.objects.none(), label="Group")
    reason = reason_field()


class ChangeGroup(AccountAction):
    """Moves the account to another group."""

    slug, title, button = "group", "Move to another group", "Change group"
    form_class = GroupForm

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """The groups of the account's server, in its currency."""
        form = GroupForm(data, files)
        groups = AccountGroup.objects.filter(
            server=self.target.server_id, currency=self.target.currency, is_demo=self.target.is_demo
        ).exclude(pk=self.target.group_id)
        form.fields["group"].queryset = visible_to(groups, actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """From where to where."""
        return [
            ("Account", str(self.target)),
            ("Group", f"{self.target.group or 'none'} → {data['group']}"),
            ("Account type", f"{self.target.account_type or 'none'} → {data['group'].account_type or 'none'}"),
            ("What happens", "Prices, commissions and swaps follow the new group from now on."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Sent."""
        return self.carry_out(
            operations.request_group_change(
                account_id=self.target.pk,
                group_id=data["group"].pk,
                actor=actor,
                reason=data["reason"],
                idempotency_key=self.key(idempotency_key),
            )
        )


class LeverageForm(forms.Form):
    """How much."""

    leverage = forms.IntegerField(min_value=1, max_value=3000, label="Leverage, 1 to")
    reason = reason_field()


class ChangeLeverage(AccountAction):
    """Changes the account's leverage."""

    slug, title, button = "leverage", "Change the leverage", "Change leverage"
    form_class = LeverageForm

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Of a catalogued account the choices that its client may have."""
        form = LeverageForm(data, files)
        account_type = self.target.account_type
        if account_type is not None and account_type.leverage_choices:
            client_class = class_of_client(client_id=self.target.client_id) if self.target.client_id else "retail"
            choices = [(str(value), f"1:{value}") for value in leverage_allowed(account_type, client_class)]
            form.fields["leverage"] = forms.TypedChoiceField(choices=choices, coerce=int, label="Leverage")
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """From what to what."""
        return [
            ("Account", str(self.target)),
            ("Leverage", f"1:{self.target.leverage or '?'} → 1:{data['leverage']}"),
            ("What happens", "The margin of what is open follows at once; a higher one may close positions."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Sent."""
        return self.carry_out(
            operations.request_leverage_change(
                account_id=self.target.pk,
                leverage=data["leverage"],
                actor=actor,
                reason=data["reason"],
                idempotency_key=self.key(idempotency_key),
            )
        )


ACCESS_WORDS = {
    "active": "Active: logs in and trades",
    "read_only": "Read only: logs in, does not trade",
    "closed": "Closed: neither",
}


class AccessForm(forms.Form):
    """What the account may do."""

    access = forms.ChoiceField(choices=list(ACCESS_WORDS.items()), label="Access")
    reason = reason_field()


class ChangeAccess(AccountAction):
    """Disables the account, makes it read-only, or lets it trade again."""

    slug, title, button, tone = "access", "Change what the account may do", "Change access", "danger"
    form_class = AccessForm

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Always: a closed account may be opened again."""
        return True

    def initial(self, actor: Actor) -> dict[str, Any]:
        """As it stands."""
        return {"access": self.target.status}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """From what to what."""
        return [
            ("Account", str(self.target)),
            (
                "Access",
                f"{self.target.get_status_display()} → {ACCESS_WORDS[data['access']]}",
            ),  # type: ignore[attr-defined]
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Sent."""
        return self.carry_out(
            operations.request_access_change(
                account_id=self.target.pk,
                access=data["access"],
                actor=actor,
                reason=data["reason"],
                idempotency_key=self.key(idempotency_key),
            )
        )


class PasswordForm(forms.Form):
    """Which of the two."""

    which = forms.ChoiceField(choices=[("main", "Main password"), ("investor", "Investor password")], label="Password")
    reason = reason_field()


class NewPassword(ShowsCredentials):
    """Has a new password made."""

    slug, title, button = "password", "Make a new password", "New password"
    form_class = PasswordForm

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What follows."""
        return [
            ("Account", str(self.target)),
            (
                "What happens",
                f"The {data['which']} password is replaced now. The new one is shown once, on the next page.",
            ),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Set on the server; in memory until the page is drawn."""
        self.outcome = self.carry_out(
            operations.request_new_password(
                account_id=self.target.pk,
                is_investor=data["which"] == "investor",
                actor=actor,
                reason=data["reason"],
                idempotency_key=self.key(idempotency_key),
            )
        )
        return self.outcome


class OpeningForm(forms.Form):
    """For whom, of what type."""

    client_reference = forms.CharField(
        max_length=20, label="Client", help_text="The client's reference, such as C-000123."
    )
    offer = forms.ModelChoiceField(AccountOffer.objects.none(), label="Account type and currency")
    is_demo = forms.ChoiceField(choices=[("live", "Live"), ("demo", "Demo")], label="Account")
    leverage = forms.IntegerField(min_value=1, max_value=3000, initial=30, label="Leverage, 1 to")
    reason = reason_field()


class OpenAccount(ShowsCredentials):
    """Opens an account on a server for a client."""

    slug, title, button, capability = "open", "Open a trading account", "Open an account", OPEN_ACCOUNTS
    form_class = OpeningForm

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """What is offered."""
        form = OpeningForm(data, files)
        offers = AccountOffer.objects.filter(account_type__is_offered=True).select_related("account_type")
        form.fields["offer"].queryset = visible_to(offers, actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """For whom, where, and with what."""
        client, offer = self._client(actor, data), data["offer"]
        group = offer.demo_group if data["is_demo"] == "demo" else offer.live_group
        if group is None:
            raise InvalidInput("This is not offered so.", field="is_demo")
        allowed = leverage_allowed(offer.account_type, class_of_client(client_id=client.pk))
        if data["leverage"] not in allowed:
            raise InvalidInput(
                f"For this client leverage is one of {', '.join(f'1:{value}' for value in allowed)}.", field="leverage"
            )
        return [
            ("Client", str(client)),
            ("Account", f"{offer}, {data['is_demo']}, 1:{data['leverage']}"),
            ("Group", f"{group} on {group.server}"),
            ("What happens", "It is opened on the server now. Both passwords are shown once, on the next page."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Opened on the server."""
        self.outcome = self.carry_out(
            operations.request_account_opening(
                client_id=self._client(actor, data).pk,
                offer_id=data["offer"].pk,
                is_demo=data["is_demo"] == "demo",
                leverage=data["leverage"],
                actor=actor,
                reason=data["reason"],
                idempotency_key=self.key(idempotency_key),
            )
        )
        return self.outcome

    def _client(self, actor: Actor, data: Mapping[str, Any]) -> Any:
        clients = apps.get_model("crm", "Client")._default_manager.all()
        client = visible_to(clients, actor).filter(reference__iexact=data["client_reference"].strip()).first()
        if client is None:
            raise InvalidInput("No client that you see has this reference.", field="client_reference")
        return client


class BulkForm(forms.Form):
    """Many at once."""

    server = forms.CharField(max_length=40, label="Server", help_text="Its code.")
    operation = forms.ChoiceField(choices=MONEY_CHOICES, label="Operation")
    lines = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 10, "class": "bo-mono"}), label="Logins and amounts",
        help_text=f"One account a line: login, amount. At most {MAX_BULK_LINES} lines.",
    )  # fmt: skip
    reason = reason_field()


class BulkMoney(AccountAction):
    """The same operation on many accounts; each stands and falls by itself."""

    slug, title, button, capability = "bulk", "Move money on many accounts", "Bulk operation", MOVE_MONEY
    form_class = BulkForm

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """How many, how much by currency, and how many wait for a second person."""
        lines = read_lines(server_code=data["server"], text=data["lines"], actor=actor)
        totals: dict[str, Decimal] = {}
        approvals = 0
        for line in lines:
            _, amount = kind_and_amount(data["operation"], line.amount)
            totals[line.account.currency] = totals.get(line.account.currency, Decimal(0)) + amount
            approvals += bool(operations.why_approval_is_needed(account=line.account, amount=amount, actor=actor))
        steps = [("Accounts", f"{len(lines):,}")]
        steps += [
            (f"Total, {currency}", signed(total, Currency.of(currency).digits))
            for currency, total in sorted(totals.items())
        ]
        steps.append(
            ("Second person", f"{approvals:,} of them wait for another person." if approvals else "Not needed.")
        )
        return steps

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Written down and sent, one by one."""
        lines = read_lines(server_code=data["server"], text=data["lines"], actor=actor)
        moves = [(line.account, *kind_and_amount(data["operation"], line.amount)) for line in lines]
        return run_bulk(moves=moves, actor=actor, reason=data["reason"], idempotency_key=self.key(idempotency_key))

    def success_url(self, result: Any) -> str:
        """The queue."""
        return reverse("admin:platform_ops_serveroperation_changelist") + "?is_bulk__exact=1"

    def success_text(self, result: Any) -> str:
        """What became of them."""
        return str(result.text)


ACCOUNT_ACTIONS = (MoveMoney, ChangeGroup, ChangeLeverage, ChangeAccess, NewPassword)
LIST_ACTIONS = (OpenAccount, BulkMoney)
