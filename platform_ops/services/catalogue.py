"""The catalogue that a platform team keeps: servers, account types and groups, symbols with their specifications, accounts.

Each verb is repeatable: what stands already under the same code is returned as it is when it says the same, and refused
when it says something else, so that a set-up script can run twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import LegalEntity
from backoffice.core.services import audit
from backoffice.core.services.entities import require_permitted_currency
from backoffice.core.types import Actor
from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, NotFound
from platform_ops.gateways.types import CalculationMode, SwapMode, TradeMode
from platform_ops.models import (
    AccountGroup,
    AccountType,
    Symbol,
    SymbolGroup,
    SymbolSpec,
    TradingAccount,
    TradingServer,
)
from platform_ops.models.symbols import default_swap_multipliers
from platform_ops.permissions import MANAGE_CATALOGUE
from platform_ops.rules.sessions import Week, working_week
from platform_ops.rules.specifications import check_specification


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """How a symbol is traded: see `SymbolSpec` for the meaning of each field."""

    digits: int
    contract_size: Decimal
    pip_size: Decimal
    margin_currency: str
    calculation_mode: int = CalculationMode.FOREX
    trade_mode: int = TradeMode.FULL
    tick_size: Decimal = Decimal(0)
    tick_value: Decimal = Decimal(0)
    spread_points: Decimal = Decimal(0)
    stops_level_points: int = 0
    freeze_level_points: int = 0
    converts_by_market: bool = False
    face_value: Decimal = Decimal(0)
    accrued_interest: Decimal = Decimal(0)
    expires_on: date | None = None
    isin: str = ""
    lots_minimum: Decimal = Decimal("0.01")
    lots_maximum: Decimal = Decimal(100)
    lots_step: Decimal = Decimal("0.01")
    lots_limit: Decimal = Decimal(0)
    leverage_maximum: int | None = None
    margin_initial: Decimal = Decimal(0)
    margin_maintenance: Decimal = Decimal(0)
    margin_hedged: Decimal = Decimal(0)
    margin_rate_buy: Decimal = Decimal(1)
    margin_rate_sell: Decimal = Decimal(1)
    is_hedged_by_larger_leg: bool = False
    swap_mode: int = SwapMode.POINTS
    swap_long: Decimal = Decimal(0)
    swap_short: Decimal = Decimal(0)
    swap_multipliers: Sequence[Decimal] = field(default_factory=lambda: list(default_swap_multipliers()))
    swap_year_days: int = 360
    swap_considers_holidays: bool = False
    filter_soft_points: int = 0
    filter_soft_ticks: int = 0
    filter_hard_points: int = 0
    filter_hard_ticks: int = 0
    filter_discard_points: int = 0
    filter_spread_minimum_points: int = 0
    filter_spread_maximum_points: int = 0
    gap_points: int = 0
    gap_ticks: int = 0
    sessions_zone: str = "EET_US"
    quote_sessions: Week = field(default_factory=working_week)
    trade_sessions: Week = field(default_factory=working_week)


@transaction.atomic
def register_server(*, entity_id: int, code: str, name: str, platform: str, zone: str, actor: Actor) -> TradingServer:
    """A trading server of a legal entity. Raises InvalidInput for a zone that is not known."""
    authorise(actor, MANAGE_CATALOGUE)
    ServerZone.parse(zone)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    server, created = TradingServer.objects.get_or_create(
        code=code, defaults={"entity": entity, "name": name, "platform": platform, "zone": zone}
    )
    if (server.entity_id, server.platform, server.zone) != (entity.pk, platform, zone):
        raise Conflict(f"A server {code} stands already, otherwise set up.", code="server_exists", server=code)
    if created:
        audit.record(actor=actor, action="platform.register_server", target=server, entity_id=entity.pk)
    return server


@transaction.atomic
def register_account_group(
    *, server_id: int, name: str, currency: str, account_type_code: str, account_type_name: str, actor: Actor
) -> AccountGroup:
    """A group on a server with its account type, both made if they do not stand yet."""
    authorise(actor, MANAGE_CATALOGUE)
    server = get_visible(TradingServer.objects.all(), actor, pk=server_id)
    require_permitted_currency(entity_id=server.entity_id, currency=Currency.of(currency).code)
    account_type, _ = AccountType.objects.get_or_create(
        entity_id=server.entity_id, code=account_type_code, defaults={"name": account_type_name}
    )
    group, created = AccountGroup.objects.get_or_create(
        server=server,
        name=name,
        defaults={"account_type": account_type, "currency": Currency.of(currency).code},
    )
    if group.currency != Currency.of(currency).code or group.account_type_id != account_type.pk:
        raise Conflict(f"A group {name} stands already, otherwise set up.", code="group_exists", group=name)
    if created:
        audit.record(actor=actor, action="platform.register_group", target=group, entity_id=server.entity_id)
    return group


@transaction.atomic
def register_symbol(
    *,
    code: str,
    name: str,
    asset_class: str,
    group_code: str,
    group_name: str,
    base_asset: str,
    profit_currency: str,
    specification: Specification,
    valid_from: datetime,
    actor: Actor,
) -> Symbol:
    """A canonical symbol with its first specification, and its group if that does not stand yet."""
    authorise(actor, MANAGE_CATALOGUE)
    check_specification(specification, symbol=code)
    group, _ = SymbolGroup.objects.get_or_create(code=group_code, defaults={"name": group_name})
    symbol, created = Symbol.objects.get_or_create(
        code=code,
        defaults={
            "name": name,
            "asset_class": asset_class,
            "group": group,
            "base_asset": base_asset,
            "profit_currency": Currency.of(profit_currency).code,
        },
    )
    if not created:
        if (symbol.group_id, symbol.profit_currency) != (group.pk, profit_currency):
            raise Conflict(f"A symbol {code} stands already, otherwise set up.", code="symbol_exists", symbol=code)
        return symbol
    fields = {name: getattr(specification, name) for name in Specification.__slots__}
    SymbolSpec.objects.create(symbol=symbol, validity=DateTimeTZRange(valid_from, None), **fields)
    audit.record(actor=actor, action="platform.register_symbol", target=symbol, changes={"group": group.code})
    return symbol


@transaction.atomic
def open_account(
    *,
    server_id: int,
    login: str,
    client_id: int,
    group_id: int,
    name: str,
    leverage: int,
    opened_at: datetime,
    actor: Actor,
) -> TradingAccount:
    """A trading account that exists on a server, given to a client of the server's legal entity."""
    authorise(actor, MANAGE_CATALOGUE)
    group = get_visible(AccountGroup.objects.select_related("server"), actor, pk=group_id)
    if group.server_id != server_id:
        raise NotFound("No such group on this server.", group_id=group_id)
    clients = TradingAccount._meta.get_field("client").related_model
    client: Any = get_visible(clients._default_manager.all(), actor, pk=client_id)
    if client.entity_id != group.server.entity_id:
        raise Conflict("The client belongs to another legal entity.", code="other_entity")
    require_permitted_currency(entity_id=client.entity_id, currency=group.currency)
    account, created = TradingAccount.objects.get_or_create(
        server_id=server_id,
        login=login,
        defaults={
            "client_id": client_id,
            "group": group,
            "account_type_id": group.account_type_id,
            "name": name,
            "currency": group.currency,
            "leverage": leverage,
            "opened_at": opened_at,
        },
    )
    if not created:
        raise Conflict(f"The login {login} stands already on this server.", code="login_exists", login=login)
    audit.record(
        actor=actor, action="platform.open_account", target=account, entity_id=group.server.entity_id,
        changes={"client": client_id, "group": group.name},
    )  # fmt: skip
    return account
