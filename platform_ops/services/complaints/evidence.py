"""The evidence of a complaint: the ticks around the moment with their verdicts, the provider's price, terms and spread.

What it was decided by is kept as it was then, with a digest; prices may be filtered otherwise and terms may change later.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import DomainError, InvalidInput, MissingRate, NotFound
from platform_ops.account_permissions import HANDLE_COMPLAINTS
from platform_ops.gateways.types import GatewayDeal, SymbolTerms
from platform_ops.models import CurrentDeal, PriceComplaint, Trade
from platform_ops.rules.complaints import (
    TICKS_AFTER_SECONDS,
    TICKS_BEFORE_SECONDS,
    Disputed,
    QuoteSeen,
    TradeFacts,
    client_buys,
    next_state,
    price_in_force,
    proposed_amount,
)
from platform_ops.selectors.rates import rate_provider
from platform_ops.selectors.symbol_terms import terms_in_force
from platform_ops.services import connections
from platform_ops.services.complaints import waiting
from platform_ops.services.prices import ticks_around
from platform_ops.types import DealEntry, Side

MAX_TICKS = 300
DEAL_WINDOW = timedelta(seconds=90)


def collect_evidence(*, complaint_id: int, actor: Actor) -> PriceComplaint:
    """Gathers what is known of the disputed price; may be repeated until a decision is proposed.

    The server is asked outside of any transaction; what cannot be had is said in the evidence and is no error.
    """
    authorise(actor, HANDLE_COMPLAINTS)
    complaint = get_visible(_complaints(), actor, pk=complaint_id)
    next_state(complaint.state, "investigate")
    evidence = _gather(complaint)
    evidence["digest"] = digest_of(evidence)
    with transaction.atomic():
        locked = PriceComplaint.objects.select_for_update(of=("self",)).get(pk=complaint.pk)
        locked.state = next_state(locked.state, "investigate").value
        locked.evidence, locked.evidence_at = evidence, clock.now()
        locked.investigated_by = actor.label[:200]
        locked.save(update_fields=["state", "evidence", "evidence_at", "investigated_by"])
        audit.record(
            actor=actor,
            action="platform.collect_evidence",
            target=locked,
            changes={"ticks": len(evidence["ticks"]), "digest": evidence["digest"]},
            entity_id=locked.entity_id,
        )
        waiting.note_complaint(locked)
    return locked


def digest_of(evidence: dict[str, Any]) -> str:
    """SHA-256 of the evidence without its own digest."""
    plain = {name: value for name, value in evidence.items() if name != "digest"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def moment_of(trade: Trade, disputed: str) -> datetime:
    """When the disputed price was dealt."""
    moment = trade.opened_at if disputed == Disputed.OPENING else trade.closed_at
    if moment is None:
        raise InvalidInput("The opening of this trade is not known here.", field="disputed")
    return moment


def facts_of(complaint: PriceComplaint) -> TradeFacts:
    """The trade by the terms that were in force. Raises NotFound without a symbol or a specification."""
    trade = complaint.trade
    terms = _terms(complaint)
    assert trade.open_price is not None
    fallback: Decimal | None = None
    try:
        fallback = (
            rate_provider()
            .rate(base=Currency.of(terms.profit_currency), quote=Currency.of(trade.currency), on=trade.business_day)
            .rate
        )
    except MissingRate:
        fallback = None
    return TradeFacts(
        terms=terms,
        side=Side(trade.side),
        open_price=trade.open_price,
        close_price=trade.close_price,
        volume_lots=trade.volume_lots,
        profit=trade.profit,
        currency=trade.currency,
        fallback_rate=fallback,
    )


def _complaints() -> Any:
    return PriceComplaint.objects.select_related("account__server", "account__group", "trade__server_symbol__symbol")


def _terms(complaint: PriceComplaint) -> SymbolTerms:
    symbol = complaint.trade.server_symbol.symbol
    if symbol is None:
        raise NotFound(f"{complaint.trade.server_symbol.name} has no symbol yet.", code="unmapped_symbol")
    at = moment_of(complaint.trade, complaint.disputed)
    return terms_in_force(symbol_id=symbol.pk, group_id=complaint.account.group_id, at=at)


def _gather(complaint: PriceComplaint) -> dict[str, Any]:
    trade, at = complaint.trade, moment_of(complaint.trade, complaint.disputed)
    disputed = Disputed(complaint.disputed)
    buys = client_buys(Side(trade.side), disputed)
    executed = trade.open_price if disputed is Disputed.OPENING else trade.close_price
    problems: list[str] = []
    ticks = _ticks(complaint, at, problems)
    seen = [_quote(tick) for tick in ticks if tick["bid"] is not None and tick["ask"] is not None]
    price = price_in_force([quote for quote in seen if quote is not None], at=at, buys=buys)
    evidence: dict[str, Any] = {
        "at": at.isoformat(),
        "client_buys": buys,
        "executed_price": _text(executed),
        "price_in_force": _text(price),
        "ticks": ticks,
        "provider": _provider(complaint, at, problems),
        "terms": {},
        "proposal": None,
        "problems": problems,
    }
    try:
        facts = facts_of(complaint)
    except DomainError as error:
        problems.append(error.message)
        return evidence
    terms = facts.terms
    evidence["terms"] = {
        "digits": terms.digits,
        "contract_size": _text(terms.contract_size),
        "spread_points": terms.spread_points,
        "profit_currency": terms.profit_currency,
    }
    evidence["spread_points_seen"] = _spread(seen, at, terms.digits)
    if price is not None:
        amount = proposed_amount(facts, disputed=disputed, price=price)
        evidence["proposal"] = {"price": _text(price), "amount": _text(amount), "currency": complaint.currency}
    return evidence


def _ticks(complaint: PriceComplaint, at: datetime, problems: list[str]) -> list[dict[str, Any]]:
    """The ticks around, the nearest ones where there are very many."""
    symbol = complaint.trade.server_symbol.symbol
    if symbol is None:
        return []
    try:
        found = ticks_around(
            symbol_id=symbol.pk, at=at, seconds_before=TICKS_BEFORE_SECONDS, seconds_after=TICKS_AFTER_SECONDS
        )
    except DomainError as error:
        problems.append(error.message)
        return []
    if not found:
        problems.append("No tick of this symbol is kept around the moment.")
    nearest = sorted(found, key=lambda tick: abs(tick.at - at))[:MAX_TICKS]
    return [
        {
            "at": tick.at.isoformat(),
            "source": tick.source,
            "bid": _text(tick.bid),
            "ask": _text(tick.ask),
            "verdict": tick.verdict.name.lower(),
            "reason": tick.reason,
            "is_accepted": not tick.verdict.is_rejected,
            "is_leading": tick.is_leading,
        }
        for tick in sorted(nearest, key=lambda tick: tick.at)
    ]


def _quote(tick: dict[str, Any]) -> QuoteSeen:
    return QuoteSeen(
        at=datetime.fromisoformat(tick["at"]),
        bid=Decimal(tick["bid"]),
        ask=Decimal(tick["ask"]),
        # What clients trade on is the leading source's accepted ticks.
        is_accepted=tick["is_accepted"] and tick["is_leading"],
    )


def _spread(seen: list[QuoteSeen], at: datetime, digits: int) -> str | None:
    known = [quote for quote in seen if quote.is_accepted and quote.at <= at]
    if not known:
        return None
    last = max(known, key=lambda quote: quote.at)
    return _text((last.ask - last.bid).scaleb(digits))


def _provider(complaint: PriceComplaint, at: datetime, problems: list[str]) -> dict[str, Any]:
    """What the server tells of the deal: the provider's price, and the market when it was executed."""
    ticket = _deal_ticket(complaint)
    try:
        with connections.open_gateway(server_id=complaint.account.server_id) as gateway:
            deals = gateway.deals(
                from_time=at - DEAL_WINDOW, to_time=at + DEAL_WINDOW, logins=[complaint.account.login]
            )
            deal = next((deal for deal in deals if deal.ticket == ticket), None)
    except DomainError as error:
        problems.append(f"The server told nothing of the deal: {error.message}")
        return {}
    if deal is None:
        problems.append("The server does not show the deal any more.")
        return {}
    return _told(deal)


def _told(deal: GatewayDeal) -> dict[str, Any]:
    return {
        "ticket": deal.ticket,
        "price": _text(deal.price),
        "provider_price": _text(deal.gateway_price),
        "market_bid": _text(deal.market_bid),
        "market_ask": _text(deal.market_ask),
        "reason": deal.reason.name.lower() if deal.reason is not None else None,
        "touched_by_staff": deal.modify_flags != 0,
    }


def _deal_ticket(complaint: PriceComplaint) -> int:
    trade = complaint.trade
    if complaint.disputed == Disputed.CLOSING:
        return trade.ticket
    opened = CurrentDeal.objects.filter(
        account=trade.account_id, position_ticket=trade.position_ticket, entry=DealEntry.IN.value
    ).order_by("at", "ticket")
    return opened.values_list("ticket", flat=True).first() or trade.position_ticket


def _text(number: Decimal | None) -> str | None:
    return None if number is None else f"{number.normalize():f}"
