"""One commission line and how it came about."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from backoffice.core.access import get_visible
from backoffice.core.types import Actor
from backoffice.kernel.errors import NotFound
from ib.engine.card.chains import chain_at
from ib.models import AccountClass, CommissionLine, Partner, PlanRule, PlanTier
from ib.rules import explain, parse_line_reference
from ib.rules.rates import TradeClass, lost_rules
from ib.selectors.partners import name_for_partners
from ib.types import Explanation, LineFacts

_LINE_FACTS = """
SELECT line.level, line.quantity, line.rate, line.rate_currency, line.fx_rate, line.fx_date, line.currency,
       line.target, line.amount, line.booked_day, line.rule_id, line.factor, line.tier_before, line.cap_left,
       line.card_entry_id IS NOT NULL AS is_paid, coalesce(card.basis, 'per_lot') AS basis,
       coalesce(card.component, 'main') AS component, coalesce(card.rounding_mode, 'half_up') AS rounding_mode,
       coalesce(card.rounding_stage, 'line') AS rounding_stage, card.reward_digits AS decimals,
       terms.rate AS card_rate, coalesce(card.weight, 1) AS weight, card.terms_rule_id, card.direct_partner_id,
       card.symbol_id, card.symbol_group_id, card.account_class_id,
       coalesce((line.cap_left < terms.cap_per_order OR terms.cap_per_order IS NULL) AND line.cap_left IS NOT NULL
                AND coalesce(terms.cap_client_day, terms.cap_client_lifetime, terms.cap_partner_period) IS NULL,
                false) AS is_share_of_revenue,
       line.cap_left IS NOT NULL AND EXISTS (
           SELECT 1 FROM ib_commissionline AS paid
           JOIN ib_ratecardentry AS entry ON entry.id = paid.card_entry_id
           JOIN ib_planrule AS given ON given.id = entry.terms_rule_id
           JOIN ib_planversion AS guarded ON guarded.id = given.version_id
           WHERE paid.day = line.day AND paid.trade_id = line.trade_id AND guarded.maximum_share_of_revenue IS NOT NULL
       ) AS is_guarded,
       coalesce((SELECT sum(earlier.amount) FROM ib_commissionline AS earlier
                 WHERE earlier.partner_id = line.partner_id AND earlier.trade_id = line.trade_id
                   AND earlier.day = line.day AND earlier.part = line.part AND earlier.seq < line.seq), 0) AS booked_before,
       partner.reference || ' ' || partner.name AS partner, t.ticket AS trade_ticket, t.closed_at,
       t.volume_lots AS trade_lots, server.code AS server, coalesce(symbol.code, server_symbol.name) AS symbol,
       coalesce(symbol_group.name, '') AS symbol_group, coalesce(plan.name, '') AS plan,
       coalesce(version.number, 0) AS plan_version, batch.cause, card.path
FROM ib_commissionline AS line
JOIN ib_partner AS partner ON partner.id = line.partner_id
JOIN ib_settlementbatch AS batch ON batch.id = line.batch_id
JOIN platform_ops_trade AS t ON t.id = line.trade_id
JOIN platform_ops_tradingserver AS server ON server.id = t.server_id
JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
LEFT JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id
LEFT JOIN platform_ops_symbolgroup AS symbol_group ON symbol_group.id = symbol.group_id
LEFT JOIN ib_ratecardentry AS card ON card.id = line.card_entry_id
LEFT JOIN ib_planrule AS rule ON rule.id = line.rule_id
LEFT JOIN ib_planrule AS terms ON terms.id = card.terms_rule_id
LEFT JOIN ib_planversion AS version ON version.id = coalesce(rule.version_id, terms.version_id)
LEFT JOIN ib_plan AS plan ON plan.id = version.plan_id
WHERE (line.partner_id, line.trade_id, line.part, line.seq, line.day) = (%s, %s, %s, %s, %s)
"""


def find_line(*, actor: Actor, reference: str) -> CommissionLine:
    """The line of a reference (`partner-trade-seq-day`). Raises NotFound when it is not there, or not the actor's."""
    try:
        partner_id, trade_id, part, seq, day = parse_line_reference(reference)
    except ValueError:
        raise NotFound("No such commission line.", reference=reference) from None
    return get_visible(
        CommissionLine.objects.all(), actor, partner_id=partner_id, trade_id=trade_id, part=part, seq=seq, day=day
    )


def explain_line(*, actor: Actor, reference: str) -> tuple[LineFacts, Explanation]:
    """A line's facts and its explanation, rebuilt from them by the desk's own rule."""
    line = find_line(actor=actor, reference=reference)
    with connection.cursor() as cursor:
        cursor.execute(_LINE_FACTS, [line.partner_id, line.trade_id, line.part, line.seq, line.day])
        names = [column.name for column in cursor.description]
        found = dict(zip(names, cursor.fetchone(), strict=True))
    rule_id, path = found.pop("rule_id"), found.pop("path")
    terms_id, direct = found.pop("terms_rule_id"), found.pop("direct_partner_id")
    place = [found.pop(name) for name in ("symbol_id", "symbol_group_id", "account_class_id")]
    rule = PlanRule.objects.select_related(*_RELATED).filter(pk=rule_id).first()
    tiers = PlanTier.objects.filter(rule_id=terms_id).order_by("from_value").values_list("from_value", "rate")
    facts = LineFacts(
        reference=line.reference,
        day=line.day,
        fx_source="ECB",
        rule=str(rule) if rule else "",
        path=_names_on(path or []),
        tiers=tuple(tiers),
        lost=_lost(path or [], found["closed_at"], place, is_own=(direct or 0) < 0) if direct is not None else (),
        **found,
    )
    return facts, explain(facts)


_RELATED = ("symbol", "symbol_group", "account_group", "account_type")
MAXIMUM_LOST = 50
"""Rules that an explanation names as losing."""


def _lost(path: list[int], at: datetime, place: list[int], *, is_own: bool) -> tuple[str, ...]:
    """The rules of the beneficiary's plan that do not pay for the trade, and why: the chain as of the trade's time."""
    symbol_id, group_id, class_id = place
    account_class = AccountClass.objects.filter(pk=class_id).first()
    attributes = frozenset((name, value) for name, value in account_class.attributes) if account_class else frozenset()
    found = lost_rules(chain_at(path, at, is_own=is_own), TradeClass(symbol_id, group_id, attributes))
    lost = [item for item in found if item.index == len(path) - 1][:MAXIMUM_LOST]
    rules = PlanRule.objects.select_related(*_RELATED).in_bulk([item.rule_id for item in lost])
    return tuple(f"{rules[item.rule_id]}: {item.why}" for item in lost)


def _names_on(path: list[int]) -> tuple[str, ...]:
    """The chain from the introducer up to the partner, each by name: all of them stand at or below the partner.

    A client with a rebate is named by number only: whoever stands above introduced them or did not.
    """
    names = {partner.pk: name_for_partners(partner) for partner in Partner.objects.filter(pk__in=path)}
    return tuple(names[partner_id] for partner_id in path)
