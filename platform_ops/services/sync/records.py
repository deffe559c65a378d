"""A server's deals as ingest records, in bounded portions, and the accounts that they are the first to name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.db import transaction

from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import DomainError, InvalidInput
from platform_ops.gateways.errors import GatewayGarbled
from platform_ops.gateways.types import Ability, GatewayAccount, GatewayDeal, GatewayGroup, ReadingGateway
from platform_ops.models import AccountGroup, TradingAccount, TradingServer
from platform_ops.services.ingest import ingest_records
from platform_ops.services.staging import IngestRecord
from platform_ops.types import DealKind

SOURCE = "gateway"
PORTION = 20_000
MAX_REFUSED = 20
"""So many bad records of one portion are set aside; more than that, and the portion is refused whole."""


def portions(deals: Iterable[GatewayDeal]) -> Iterator[list[GatewayDeal]]:
    """The deals in order, at most so many at a time; a deal that is told twice is taken as it is told last."""
    portion: dict[tuple[int, int], GatewayDeal] = {}
    for deal in deals:
        portion[deal.ticket, deal.leg] = deal
        if len(portion) >= PORTION:
            yield list(portion.values())
            portion = {}
    if portion:
        yield list(portion.values())


class Booked:
    """What a portion brought: new and corrected deals, and the complaint about each record that was refused."""

    def __init__(self) -> None:
        self.new = 0
        self.corrected = 0
        self.refused: list[tuple[GatewayDeal, str]] = []


def book_deals(*, server: TradingServer, gateway: ReadingGateway, deals: list[GatewayDeal], as_of: datetime) -> Booked:
    """Ingests the deals. One that cannot be booked is set aside and named; the others are booked all the same.

    Raises InvalidInput when the complaint is about no single record, or about too many.
    """
    booked = Booked()
    currencies = _currencies(server=server, gateway=gateway, deals=deals)
    remaining = list(deals)
    for _ in range(MAX_REFUSED + 1):
        if not remaining:
            return booked
        try:
            batch = ingest_records(
                server_id=server.pk,
                source=SOURCE,
                records=[record_of(deal, currencies.get(deal.login, deal.currency)) for deal in remaining],
                as_of=as_of,
            )
        except InvalidInput as error:
            index = _row_of(error, remaining)
            if index is None:
                raise
            refused = remaining.pop(index)
            booked.refused.append((refused, _complaint(server, refused, error)))
            continue
        booked.new, booked.corrected = batch.new_deals, batch.corrected_deals
        return booked
    raise InvalidInput(
        f"{server.code} tells more than {MAX_REFUSED} deals that cannot be booked. {booked.refused[0][1]}",
        server=server.code,
    )


def record_of(deal: GatewayDeal, currency: str) -> IngestRecord:
    """The deal as ingest takes it."""
    is_trade = deal.kind.is_trade or deal.kind in (DealKind.BUY_CANCELED, DealKind.SELL_CANCELED)
    return IngestRecord(
        ticket=deal.ticket,
        leg=deal.leg,
        login=deal.login,
        currency=currency,
        kind=int(deal.kind),
        entry=None if deal.entry is None or not is_trade else int(deal.entry),
        at=deal.at,
        position_ticket=deal.position_ticket if is_trade else 0,
        order_ticket=deal.order_ticket,
        symbol=deal.symbol if is_trade else "",
        volume_lots=deal.volume_lots if is_trade else deal.volume_lots * 0,
        price=deal.price if is_trade else None,
        open_price=deal.open_price if deal.entry is not None and deal.entry.closes else None,
        opened_at=deal.opened_at if deal.entry is not None and deal.entry.closes else None,
        profit=deal.profit,
        swap=deal.swap,
        commission=deal.commission,
        fee=deal.fee,
        comment=deal.comment,
        market_bid=deal.market_bid if is_trade else None,
        market_ask=deal.market_ask if is_trade else None,
        gateway_price=deal.gateway_price if is_trade else None,
    )


def _row_of(error: InvalidInput, deals: list[GatewayDeal]) -> int | None:
    """Which of the records the complaint is about."""
    row, ticket = error.details.get("row"), error.details.get("ticket")
    if isinstance(row, int) and 1 <= row <= len(deals):
        return row - 1
    if ticket is not None:
        return next((index for index, deal in enumerate(deals) if deal.ticket == ticket), None)
    return None


def _complaint(server: TradingServer, deal: GatewayDeal, error: InvalidInput) -> str:
    of = f" of {deal.symbol}" if deal.symbol else ""
    field = error.details.get("field")
    about = f", field {field}" if field else ""
    return f"{server.code}: deal {deal.ticket}{of} on login {deal.login}{about}: {error.message}"


def _currencies(*, server: TradingServer, gateway: ReadingGateway, deals: list[GatewayDeal]) -> dict[str, str]:
    """The currency of each login: as we keep it, else as the server tells it, which also tells us the account."""
    logins = sorted({deal.login for deal in deals})
    known = dict(TradingAccount.objects.filter(server=server, login__in=logins).values_list("login", "currency"))
    unknown = [login for login in logins if login not in known]
    if unknown and Ability.ACCOUNTS in gateway.abilities:
        told = {account.login: account for account in gateway.accounts(logins=unknown)}
        groups = {group.name: group for group in gateway.groups()} if Ability.GROUPS in gateway.abilities else {}
        adopt_accounts(server=server, accounts=list(told.values()), groups=groups)
        known.update({login: account.currency for login, account in told.items()})
    return known


@transaction.atomic
def adopt_accounts(*, server: TradingServer, accounts: list[GatewayAccount], groups: dict[str, GatewayGroup]) -> int:
    """Registers accounts that a server names for the first time, with their group; those that we know stay as they are."""
    from platform_ops.services.work import note_unassigned_accounts

    made = 0
    for account in accounts:
        try:
            currency = Currency.of(account.currency).code
        except DomainError as error:
            raise GatewayGarbled(
                f"{server.code} tells a currency of login {account.login} that there is none of: {account.currency!r}.",
                server=server.code,
                field="currency",
                value=account.currency,
            ) from error
        told = groups.get(account.group)
        group = _group(server, account, currency, told)
        _, created = TradingAccount.objects.get_or_create(
            server=server,
            login=account.login,
            defaults={
                "currency": currency,
                "group": group,
                "account_type": group.account_type,
                "name": account.name[:160],
                "leverage": account.leverage or None,
                "position_mode": group.position_mode,
                "is_demo": group.is_demo,
                "status": _status(account),
                **({"opened_at": account.registered_at} if account.registered_at else {}),
            },
        )
        made += created
    if made:
        note_unassigned_accounts(server_id=server.pk)
    return made


def _group(server: TradingServer, account: GatewayAccount, currency: str, told: GatewayGroup | None) -> AccountGroup:
    is_hedging = True if told is None else told.is_hedging
    group, _ = AccountGroup.objects.get_or_create(
        server=server,
        name=account.group[:120],
        defaults={
            "currency": currency,
            "is_demo": account.group.lower().startswith("demo"),
            "position_mode": "hedging" if is_hedging else "netting",
        },
    )
    return group


def _status(account: GatewayAccount) -> str:
    if not account.is_enabled:
        return TradingAccount.Status.CLOSED
    return TradingAccount.Status.ACTIVE if account.is_trading_allowed else TradingAccount.Status.READ_ONLY
