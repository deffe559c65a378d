"""Liquidity providers, and what their names mean here."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import LegalEntity
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.models import LiquidityFill, LiquidityProvider, LiquiditySymbol, Symbol
from platform_ops.outer_permissions import MANAGE_LIQUIDITY
from platform_ops.services.liquidity.intake import FileIntake, bring_up_to_date

MAX_UNITS = Decimal(10) ** 9
MAX_ORDERS_AT_ONCE = 100_000


@transaction.atomic
def save_provider(
    *,
    code: str,
    name: str,
    comp_id: str,
    entity_id: int,
    actor: Actor,
    units_per_quantity: Decimal = Decimal(1),
    is_active: bool = True,
    states_own_side: bool | None = None,
    provider_id: int | None = None,
) -> LiquidityProvider:
    """Adds or changes a provider. What one of its quantities means, and whose side it states, can only be changed while
    nothing was filled.

    Raises InvalidInput with the field, Conflict for a code or sender that is taken.
    """
    authorise(actor, MANAGE_LIQUIDITY)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    if not name.strip() or not comp_id.strip():
        raise InvalidInput(
            "A provider has a name and a sender (tag 49).", field="name" if not name.strip() else "comp_id"
        )
    _check_units(units_per_quantity)
    provider = (
        LiquidityProvider(entity=entity, code=code)
        if provider_id is None
        else get_visible(LiquidityProvider.objects.select_for_update(of=("self",)), actor, pk=provider_id)
    )
    others = LiquidityProvider.objects.exclude(pk=provider.pk)
    if others.filter(code=code).exists() or others.filter(entity=entity, comp_id=comp_id).exists():
        raise Conflict("This code or sender belongs to another provider.", code="provider_taken", field="comp_id")
    if provider.pk and provider.units_per_quantity != units_per_quantity and provider.fills.exists():
        raise Conflict(
            "Executions were counted in these units already; set the units of the single symbol instead.",
            code="units_in_use",
        )
    if states_own_side is not None:
        set_side(provider, states_own_side=states_own_side)
    provider.code, provider.name, provider.comp_id = code, name.strip(), comp_id.strip()
    provider.units_per_quantity, provider.is_active = units_per_quantity, is_active
    provider.full_clean(exclude=["entity"])
    provider.save()
    audit.record(actor=actor, action="platform.save_provider", target=provider, entity_id=entity.pk)
    return provider


def set_side(provider: LiquidityProvider, *, states_own_side: bool) -> None:
    """Sets whose side the provider states, unsaved. Raises Conflict once executions were booked the other way round."""
    if provider.states_own_side != states_own_side and provider.pk and provider.fills.exists():
        raise Conflict(
            f"Executions of {provider.code} were booked with tag 54 as {'its own' if provider.states_own_side else 'our'} "
            "side already.",
            code="side_in_use",
            field="side",
        )
    provider.states_own_side = states_own_side


@transaction.atomic
def map_provider_symbol(
    *, name_id: int, symbol_id: int | None, actor: Actor, reason: str, units_per_quantity: Decimal | None = None
) -> LiquiditySymbol:
    """Says what a provider's name means, and what one of its quantities is worth in units. Executions that stand are
    brought to it as new revisions. Raises InvalidInput, NotFound, Denied.
    """
    authorise(actor, MANAGE_LIQUIDITY)
    name = get_visible(
        LiquiditySymbol.objects.select_for_update(of=("self",)).select_related("provider"), actor, pk=name_id
    )
    if units_per_quantity is not None:
        _check_units(units_per_quantity)
    if symbol_id is not None and not Symbol.objects.filter(pk=symbol_id).exists():
        raise InvalidInput("There is no such symbol.", field="symbol")
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    before = (name.symbol_id, name.units_per_quantity)
    name.symbol_id, name.units_per_quantity = symbol_id, units_per_quantity
    name.save(update_fields=["symbol", "units_per_quantity"])
    orders = (
        LiquidityFill.objects.filter(lp_symbol=name).order_by("order_id").values_list("order_id", flat=True).distinct()
    )
    bring_up_to_date(name.provider, list(orders[:MAX_ORDERS_AT_ONCE]), FileIntake())
    audit.record(
        actor=actor,
        action="platform.map_provider_symbol",
        target=name,
        reason=reason,
        entity_id=name.provider.entity_id,
        changes={"symbol": [before[0], symbol_id], "units": [str(before[1]), str(units_per_quantity)]},
    )
    return name


def _check_units(units: Decimal) -> None:
    if not Decimal(0) < units <= MAX_UNITS:
        raise InvalidInput("One quantity is worth more than nothing.", field="units_per_quantity", value=units)
