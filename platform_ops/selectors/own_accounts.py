"""What the holder of trading accounts sees of them: balances, open positions, closed trades. All through the access door."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Count, Exists, F, OuterRef, QuerySet, Sum

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from platform_ops.models import BalanceOperation, CurrentDeal, Position, Trade, TradeCancellation, TradingAccount
from platform_ops.types import DealKind

ACCOUNT_LIMIT = 100
ZERO = Decimal(0)
_TRADING = [kind.value for kind in DealKind if kind.is_trade]
_CREDIT = [kind.value for kind in DealKind if kind.is_credit]


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account as its holder reads it. `balance` is realised money without credit, in the account's currency."""

    account_id: int
    login: str
    server: str
    type: str
    currency: str
    leverage: int | None
    status: str
    balance: Decimal
    credit: Decimal
    open_positions: int


def account_states(*, actor: Actor) -> list[AccountState]:
    """The actor's accounts with their money, by login; at most ACCOUNT_LIMIT. Four statements, however many there are."""
    accounts = list(
        visible_to(TradingAccount.objects.select_related("server", "account_type"), actor).order_by("login", "id")[
            :ACCOUNT_LIMIT
        ]
    )
    ids = [account.pk for account in accounts]
    # A trade that was taken back is left out like the correction that undid it.
    taken_back = TradeCancellation.objects.filter(
        server_id=OuterRef("server_id"), ticket=OuterRef("ticket"), leg=OuterRef("leg")
    )
    deals = CurrentDeal.objects.filter(~Exists(taken_back), account_id__in=ids, kind__in=_TRADING)
    results = dict(
        deals.order_by()
        .values_list("account_id")
        .annotate(total=Sum(F("profit") + F("swap") + F("commission") + F("fee")))
    )
    operations = BalanceOperation.objects.filter(account_id__in=ids, is_cancelled=False).order_by()
    paid = dict(operations.exclude(kind__in=_CREDIT).values_list("account_id").annotate(Sum("amount")))
    credit = dict(operations.filter(kind__in=_CREDIT).values_list("account_id").annotate(Sum("amount")))
    positions = dict(
        Position.objects.filter(account_id__in=ids).order_by().values_list("account_id").annotate(Count("id"))
    )
    return [
        AccountState(
            account_id=account.pk,
            login=account.login,
            server=account.server.name,
            type=account.account_type.name if account.account_type else "",
            currency=account.currency,
            leverage=account.leverage,
            status=account.get_status_display(),
            balance=results.get(account.pk, ZERO) + paid.get(account.pk, ZERO),
            credit=credit.get(account.pk, ZERO),
            open_positions=positions.get(account.pk, 0),
        )
        for account in accounts
    ]


def closed_trades(*, actor: Actor) -> QuerySet[Trade]:
    """The actor's closed trades, the newest first, cancelled ones left out."""
    trades = visible_to(Trade.objects.select_related("account", "server_symbol"), actor)
    return trades.filter(is_cancelled=False).order_by("-closed_at", "-id")


def open_positions(*, actor: Actor) -> QuerySet[Position]:
    """The actor's open positions, the newest first."""
    positions = visible_to(Position.objects.select_related("account", "server_symbol"), actor)
    return positions.order_by("-opened_at", "-id")
