"""One commission line and how it came about."""

from __future__ import annotations

from django.db import connection

from backoffice.core.access import get_visible
from backoffice.core.types import Actor
from backoffice.kernel.errors import NotFound
from ib.models import CommissionLine, Partner, PlanRule
from ib.rules import explain, parse_line_reference
from ib.types import Explanation, LineFacts

_LINE_FACTS = """
SELECT line.level, line.quantity, line.rate, line.rate_currency, line.fx_rate, line.fx_date, line.currency,
       line.target, line.amount, line.booked_day, line.rule_id,
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
LEFT JOIN ib_planversion AS version ON version.id = rule.version_id
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
    rule = PlanRule.objects.select_related("symbol_group").filter(pk=rule_id).first()
    facts = LineFacts(
        reference=line.reference,
        day=line.day,
        fx_source="ECB",
        rule=str(rule) if rule else "",
        path=_names_on(path or []),
        **found,
    )
    return facts, explain(facts)


def _names_on(path: list[int]) -> tuple[str, ...]:
    """The chain from the introducer up to the partner, each by name: all of them stand at or below the partner."""
    names = {partner.pk: str(partner) for partner in Partner.objects.filter(pk__in=path)}
    return tuple(names[partner_id] for partner_id in path)
