"""The small brokerage of a scenario, set up through the services that a broker's own set-up goes through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import DataError
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.conformance import scenario as form
from backoffice.conformance.plans import publish_version
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import DomainError, InvalidInput
from crm.services.clients import register_client
from ib.services.partners import register_partner
from ib.services.plans import create_plan, sign_agreement
from ib.services.referrals import end_referral, refer_client
from ib.services.tree import place_partner
from ib.services.validity import cut_off, from_on
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.services.rates import continue_reference_rates
from platform_ops.types import DealEntry, DealKind

ACTOR = Actor.system("conformance")
FIXING = "scenario"
OPENING_TICKETS = 1_000_000_000
"""Tickets of opening deals: this much above the position that they open."""

_MODES = {"forex": 0, "metal": 2, "energy": 2, "index": 2, "share": 2, "crypto": 2}


@dataclass(slots=True)
class World:
    """What stands for each name of the scenario: primary keys by code."""

    scenario: form.Scenario
    entity: Any = None
    brand: Any = None
    server: Any = None
    symbols: dict[str, int] = field(default_factory=dict)
    symbol_groups: dict[str, int] = field(default_factory=dict)
    account_types: dict[str, int] = field(default_factory=dict)
    account_groups: dict[str, int] = field(default_factory=dict)
    plans: dict[str, int] = field(default_factory=dict)
    partners: dict[str, int] = field(default_factory=dict)
    clients: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, int] = field(default_factory=dict)
    trades: dict[int, form.Trade] = field(default_factory=dict)
    """The trades that have arrived, as they stand after corrections."""
    told_at: datetime = field(default_factory=clock.now)


def _model(name: str) -> Any:
    return apps.get_model(name)._default_manager


def build(scenario: form.Scenario) -> World:
    """Sets everything up that stands before the first step, without any trade."""
    world = World(scenario)
    world.entity = _model("core.LegalEntity").create(
        code="house", name="House", country="CY", base_currency=scenario.base_currency
    )
    world.brand = _model("core.Brand").create(entity=world.entity, code="house", name="House")
    world.server = _model("platform_ops.TradingServer").create(
        entity=world.entity, code="server", name="Server", platform="mt5", zone="UTC"
    )
    with told_at("rates"):
        load_rates(scenario.rates)
    with told_at("symbols"):
        _add_symbols(world)
    with told_at("account_groups"):
        _add_account_groups(world)
    for number, client in enumerate(scenario.clients):
        with told_at(f"clients[{number}]"):
            _add_client(world, client)
    for number, plan in enumerate(scenario.plans):
        with told_at(f"plans[{number}]"):
            _add_plan(world, plan)
    _add_partners(world)
    for number, account in enumerate(scenario.accounts):
        with told_at(f"accounts[{number}]"):
            _add_account(world, account)
    return world


@contextmanager
def told_at(place: str) -> Iterator[None]:
    """What is refused in the block says at which place of the file; so does what the database cannot hold."""
    try:
        yield
    except DomainError as error:
        error.details.setdefault("place", place)
        raise
    except DataError as error:
        raise InvalidInput(f"The database refuses it: {str(error).splitlines()[0]}.", place=place) from error


def load_rates(rates: dict[date, dict[str, Decimal]]) -> None:
    """Stores rates, in units for one euro."""
    if rates:
        continue_reference_rates(per_euro=rates, source=FIXING, actor=ACTOR)


def _add_symbols(world: World) -> None:
    for symbol in world.scenario.symbols:
        if symbol.group not in world.symbol_groups:
            group = _model("platform_ops.SymbolGroup").create(code=symbol.group, name=symbol.group.title())
            world.symbol_groups[symbol.group] = group.pk
        base = symbol.base_asset or symbol.code[:3]
        row = _model("platform_ops.Symbol").create(
            code=symbol.code,
            asset_class=symbol.asset_class,
            group_id=world.symbol_groups[symbol.group],
            base_asset=base,
            profit_currency=symbol.profit_currency,
        )
        world.symbols[symbol.code] = row.pk
        digits = int(symbol.specification.get("digits", 5))
        terms = {
            "digits": digits,
            "contract_size": Decimal(100_000),
            "pip_size": Decimal(1).scaleb(-digits + (digits in (3, 5))),
            "calculation_mode": _MODES[symbol.asset_class],
            "margin_currency": symbol.profit_currency,
        } | symbol.specification
        spec = apps.get_model("platform_ops.SymbolSpec")(
            symbol=row, validity=DateTimeTZRange(form.BEGINNING, None, "[)"), **terms
        )
        spec.full_clean(exclude=["profit_mode"])
        spec.save()
        _model("platform_ops.ServerSymbol").create(server=world.server, name=symbol.code, symbol=row)


def _add_account_groups(world: World) -> None:
    for name in world.scenario.account_types:
        row = _model("platform_ops.AccountType").create(entity=world.entity, code=name, name=name)
        world.account_types[name] = row.pk
    for group in world.scenario.account_groups:
        row = _model("platform_ops.AccountGroup").create(
            server=world.server,
            name=group.name,
            currency=group.currency,
            account_type_id=world.account_types.get(group.account_type),
            is_demo=group.is_demo,
        )
        world.account_groups[group.name] = row.pk


def _add_client(world: World, client: form.Client) -> None:
    row = register_client(
        entity_id=world.entity.pk,
        brand_id=world.brand.pk,
        full_name=client.code,
        email=f"{client.code}@client.example",
        country=client.country,
        language="en",
        registered_at=client.registered,
        actor=ACTOR,
    )
    world.clients[client.code] = row.pk


def _add_account(world: World, account: form.Account) -> None:
    row = _model("platform_ops.TradingAccount").create(
        server=world.server,
        login=account.login,
        client_id=world.clients.get(account.client),
        group_id=world.account_groups.get(account.group),
        account_type_id=world.account_types.get(account.account_type),
        currency=account.currency,
        is_demo=account.is_demo,
        opened_at=form.BEGINNING,
    )
    world.accounts[account.login] = row.pk
    for dimension in account.dimensions:
        # A value counts until the next one of the same dimension.
        later = [
            other.valid_from
            for other in account.dimensions
            if other.dimension == dimension.dimension and other.valid_from > dimension.valid_from
        ]
        _model("platform_ops.AccountDimension").create(
            account=row,
            dimension=dimension.dimension,
            value=dimension.value,
            validity=DateTimeTZRange(dimension.valid_from, min(later, default=None), "[)"),
        )


def _add_plan(world: World, plan: form.Plan) -> None:
    row = create_plan(entity_id=world.entity.pk, code=plan.code, name=plan.code, actor=ACTOR)
    world.plans[plan.code] = row.pk
    for version in plan.versions:
        publish(world, plan.code, version)


def publish(world: World, plan: str, version: form.Version) -> None:
    """Drafts a version of a plan with everything in it, and publishes it."""
    known = {
        "symbol": world.symbols,
        "symbol_group": world.symbol_groups,
        "account_group": world.account_groups,
        "account_type": world.account_types,
    }
    publish_version(plan_id=world.plans[plan], version=version, known=known, actor=ACTOR)


def _add_partners(world: World) -> None:
    """Partners first, then the places of all in the order of time, then whom they introduced."""
    scenario = world.scenario
    for number, partner in enumerate(scenario.partners):
        with told_at(f"partners[{number}]"):
            made = register_partner(
                entity_id=world.entity.pk,
                brand_id=world.brand.pk,
                name=partner.code,
                currency=Currency.of(partner.currency).code,
                actor=ACTOR,
            )
        world.partners[partner.code] = made.pk
        _model("ib.Partner").filter(pk=made.pk).update(kind=partner.kind, client_id=world.clients.get(partner.client))
    places = sorted(
        (
            (parent.valid_from, partner.code, parent.partner, f"partners[{number}].parents[{row}]")
            for number, partner in enumerate(scenario.partners)
            for row, parent in enumerate(partner.parents)
        ),
        key=lambda item: item[0],
    )
    for valid_from, code, above, at in places:
        with told_at(at):
            place(world, code, above, valid_from)
    for number, partner in enumerate(scenario.partners):
        with told_at(f"partners[{number}]"):
            for signed in partner.plans:
                sign(world, partner.code, signed.plan, signed.valid_from)
            for holding in partner.ranks:
                rank(world, partner.code, holding.rank, holding.valid_from)
            for agreed in partner.negotiated:
                negotiate(world, partner.code, agreed)
    for number, client in enumerate(scenario.clients):
        for row, introduced in enumerate(client.introduced_by):
            with told_at(f"clients[{number}].introduced_by[{row}]"):
                refer(world, client.code, introduced.partner, introduced.valid_from)


def place(world: World, partner: str, above: str, valid_from: datetime) -> None:
    """Puts a partner under another one, or at the top."""
    place_partner(
        partner_id=world.partners[partner], parent_id=world.partners.get(above), valid_from=valid_from, actor=ACTOR
    )


def sign(world: World, partner: str, plan: str, valid_from: datetime) -> None:
    """Binds a partner to a plan."""
    sign_agreement(partner_id=world.partners[partner], plan_id=world.plans[plan], valid_from=valid_from, actor=ACTOR)


def rank(world: World, partner: str, code: str, valid_from: datetime) -> None:
    """Gives a partner a rank from a moment on; the one before ends then."""
    held = _model("ib.PartnerRank").filter(partner_id=world.partners[partner])
    cut_off(held, valid_from)
    held.create(
        partner_id=world.partners[partner],
        rank=code,
        validity=from_on(valid_from),
        source="manual",
        reason="As the scenario says.",
    )


def negotiate(world: World, partner: str, item: form.Negotiated | form.Negotiate) -> None:
    """Gives a partner a rate of their own from a moment on; the one before ends then."""
    agreed = _model("ib.NegotiatedRate").filter(partner_id=world.partners[partner], component=item.component)
    cut_off(agreed, item.valid_from)
    agreed.create(
        partner_id=world.partners[partner],
        component=item.component,
        rate=item.rate,
        allocation_percent=item.allocation_percent,
        set_by_id=world.partners.get(item.by),
        validity=from_on(item.valid_from),
    )


def refer(world: World, client: str, partner: str, valid_from: datetime) -> None:
    """Says who introduced a client, or that nobody did."""
    client_id = world.clients[client]
    if partner:
        refer_client(client_id=client_id, partner_id=world.partners[partner], valid_from=valid_from, actor=ACTOR)
    else:
        end_referral(client_id=client_id, valid_from=valid_from, actor=ACTOR, reason="As the scenario says.")


def arrive(world: World, trades: Iterable[form.Trade], operations: Iterable[form.Operation] = ()) -> None:
    """Books trades (and money) in one load, as a server would tell them."""
    given = list(trades)
    positions: dict[int, list[form.Trade]] = defaultdict(list)
    for trade in given:
        world.trades[trade.ticket] = trade
        positions[trade.position or trade.ticket].append(trade)
    records = [_opening(world, position, _parts(world, position)) for position in positions]
    records += [_closing(world, trade) for trade in given]
    records += [_operation(world, operation) for operation in operations]
    _ingest(world, [record for record in records if record is not None])


def correct(world: World, trade: form.Trade) -> None:
    """The server tells a trade otherwise."""
    arrive(world, [trade])


def cancel(world: World, ticket: int) -> None:
    """The server tells that a trade was cancelled."""
    trade = world.trades[ticket]
    kind = DealKind.SELL_CANCELED if trade.side == "buy" else DealKind.BUY_CANCELED
    _ingest(world, [_closing(world, trade, kind=kind)])


def _ingest(world: World, records: list[IngestRecord]) -> None:
    if not records:
        return
    # Each load tells more than the one before, however fast they follow each other.
    world.told_at = max(clock.now(), world.told_at) if world.told_at < clock.now() else world.told_at
    ingest_records(server_id=world.server.pk, source="scenario", records=records, as_of=world.told_at)


def _parts(world: World, position: int) -> list[form.Trade]:
    """Every trade of the file that closes a part of the position."""
    stated = {trade.ticket: trade for trade in world.scenario.trades} | world.trades
    return [trade for trade in stated.values() if (trade.position or trade.ticket) == position]


def _opening(world: World, position: int, parts: list[form.Trade]) -> IngestRecord | None:
    """The deal that opened a position, if the file tells when and at which price."""
    first = parts[0]
    if first.opened is None or first.open_price is None:
        return None
    market = first.open_market or form.Market()
    return IngestRecord(
        ticket=OPENING_TICKETS + position,
        kind=DealKind.BUY if first.side == "buy" else DealKind.SELL,
        entry=DealEntry.IN,
        at=first.opened,
        account_id=world.accounts[first.account],
        position_ticket=position,
        symbol=first.symbol,
        volume_lots=sum((part.lots for part in parts), Decimal(0)),
        price=first.open_price,
        commission=first.open_commission,
        market_bid=market.bid,
        market_ask=market.ask,
        gateway_price=market.gateway,
    )


def _closing(world: World, trade: form.Trade, *, kind: DealKind | None = None) -> IngestRecord:
    market = trade.close_market or form.Market()
    closes = DealKind.SELL if trade.side == "buy" else DealKind.BUY
    return IngestRecord(
        ticket=trade.ticket,
        kind=closes if kind is None else kind,
        entry=DealEntry.OUT_BY if trade.is_close_by else DealEntry.OUT,
        at=trade.closed,
        account_id=world.accounts[trade.account],
        position_ticket=trade.position or trade.ticket,
        symbol=trade.symbol,
        volume_lots=trade.lots,
        price=trade.close_price,
        open_price=trade.open_price,
        opened_at=trade.opened,
        profit=trade.profit,
        swap=trade.swap,
        commission=trade.commission,
        fee=trade.fee,
        market_bid=market.bid,
        market_ask=market.ask,
        gateway_price=market.gateway,
    )


def _operation(world: World, operation: form.Operation) -> IngestRecord:
    return IngestRecord(
        ticket=operation.ticket,
        kind=DealKind[operation.kind.upper()],
        at=operation.at,
        account_id=world.accounts[operation.account],
        profit=operation.amount,
    )
