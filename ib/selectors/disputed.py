"""What a dispute is about: deals of a trade, whose client it was, why a trade paid a partner nothing.

These read for the desk's own use cases, without an actor; what of it a partner may see is decided by who calls.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from django.apps import apps
from django.db import connection

from backoffice.core.access import authorise, holds
from backoffice.core.types import Actor
from backoffice.kernel.errors import NotFound
from ib.models import ClientReferral, CommissionLine, Partner
from ib.selectors.coverage import exclusion_of, fate_of_trade
from ib.selectors.partners import check_own_or_staff
from ib.types import EXCLUSION_TEXTS, Coverage

MOST_UNPAID = 500
LONGEST_UNPAID_DAYS = 92
NOT_AT_YOUR_LEVEL = "no rule of the plan pays for it at this place in the tree"
RESULT = ("profit", "swap", "commission", "fee")

_DEALS = """
SELECT deal.ticket, deal.leg, deal.revision, deal.at, deal.kind, deal.entry, deal.volume_lots, deal.price, deal.profit,
       deal.swap, deal.commission, deal.fee
FROM platform_ops_trade AS t
JOIN platform_ops_deal AS deal ON deal.account_id = t.account_id AND deal.position_ticket = t.position_ticket
WHERE t.id = %s AND t.position_ticket <> 0
ORDER BY deal.at, deal.ticket, deal.leg, deal.revision
LIMIT 200
"""

_UNPAID = """
SELECT t.id AS trade_id, t.ticket, t.business_day AS day, t.closed_at, t.volume_lots AS lots, t.is_cancelled,
       client.reference AS client, coalesce(symbol.code, server_symbol.name) AS symbol
FROM platform_ops_trade AS t
JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
JOIN crm_client AS client ON client.id = account.client_id
JOIN ib_clientreferral AS referral
  ON referral.client_id = account.client_id AND referral.partner_id = %(partner)s AND referral.validity @> t.closed_at
JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
LEFT JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id
WHERE t.business_day BETWEEN %(from)s AND %(to)s AND (%(only)s::bigint IS NULL OR t.id = %(only)s)
  AND NOT EXISTS (
    SELECT 1 FROM ib_commissionline AS line
    WHERE line.partner_id = %(partner)s AND line.trade_id = t.id AND line.day BETWEEN %(from)s AND %(to)s)
ORDER BY t.closed_at DESC, t.id DESC
LIMIT %(limit)s
"""


def deals_of_trade(trade_id: int) -> list[dict[str, Any]]:
    """Every revision of every deal of the trade's position, the oldest first."""
    return _rows(_DEALS, [trade_id])


def without_result(deal: dict[str, Any]) -> dict[str, Any]:
    """A deal without what the client won or lost by it."""
    return {name: value for name, value in deal.items() if name not in RESULT}


def introduced_client_of(partner: Partner, trade_id: int) -> bool:
    """Whether the partner had introduced the trade's client when it was closed."""
    trade = _trade(trade_id)
    return ClientReferral.objects.filter(
        partner=partner, client_id=trade.account.client_id, validity__contains=trade.closed_at
    ).exists()


def unpaid_trades(*, actor: Actor, partner: Partner, from_day: date, to_day: date) -> list[dict[str, Any]]:
    """Trades of clients whom the partner introduced that paid the partner nothing, the newest first. Bounded."""
    check_own_or_staff(actor, partner, "ib.view_commissions")
    if (to_day - from_day).days > LONGEST_UNPAID_DAYS:
        return []
    return _rows(_UNPAID, _parameters(partner, from_day, to_day, None))


def find_unpaid_trade(*, actor: Actor, partner: Partner, trade_id: int) -> dict[str, Any]:
    """One of them. Raises NotFound for a trade that is none of the partner's, or that paid."""
    check_own_or_staff(actor, partner, "ib.view_commissions")
    trade = _trades().filter(pk=trade_id).first()
    found: list[dict[str, Any]] = []
    paid = CommissionLine.objects.filter(partner_id=partner.pk, trade_id=trade_id)
    if trade is not None and not paid.exists():
        found = _rows(_UNPAID, _parameters(partner, trade.business_day, trade.business_day, trade_id))
    if not found:
        raise NotFound("No such trade without commission.", trade_id=trade_id)
    return found[0]


def explain_unpaid_trade(*, actor: Actor, partner: Partner, trade_id: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The trade and why it paid the partner nothing."""
    if not holds(actor, "ib.view_commissions"):
        authorise(actor, "ib.view_own_commissions")
    return find_unpaid_trade(actor=actor, partner=partner, trade_id=trade_id), why_unpaid(partner, trade_id)


def why_unpaid(partner: Partner, trade_id: int) -> dict[str, Any]:
    """What the coverage of trades says of it: its status, the reason's code and the reason in words."""
    trade = _trade(trade_id)
    own = exclusion_of(trade_id=trade_id, day=trade.business_day, partner_id=partner.pk)
    if own is not None:
        return {"status": Coverage.EXCLUDED.value, "code": own.value, "why": EXCLUSION_TEXTS[own]}
    status, reason = fate_of_trade(trade_id=trade_id, day=trade.business_day)
    if status is Coverage.PAID:
        return {"status": Coverage.EXCLUDED.value, "code": "no_rule", "why": NOT_AT_YOUR_LEVEL}
    if reason is None:
        return {"status": status.value, "code": "", "why": "it is not settled yet; it will be within the day"}
    return {"status": status.value, "code": reason.value, "why": EXCLUSION_TEXTS[reason]}


def _parameters(partner: Partner, from_day: date, to_day: date, only: int | None) -> dict[str, Any]:
    return {"partner": partner.pk, "from": from_day, "to": to_day, "only": only, "limit": MOST_UNPAID}


def _rows(sql: str, parameters: Any) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _trades() -> Any:
    return apps.get_model("platform_ops", "Trade")._default_manager.select_related("account")


def _trade(trade_id: int) -> Any:
    found = _trades().filter(pk=trade_id).first()
    if found is None:
        raise NotFound("No such trade.", trade_id=trade_id)
    return found
