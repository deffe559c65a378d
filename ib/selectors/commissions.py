"""Commission lines as lists and sums, for staff and for a partner's own eyes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Max, OuterRef, Q, QuerySet, Subquery

from backoffice.core.access import authorise, visible_to
from backoffice.core.types import Actor
from ib.models import CommissionLine, Partner
from ib.rules import line_reference
from ib.selectors.partners import check_own_or_staff
from ib.types import CommissionSum, Grouping, OwnLine

MAXIMUM_LINES = 100_000

# A partner's lines with what they may know of their origin: the client's number where they introduced the client
# themselves, else only the partner below through whom the trade came. Taken-back lines have no card entry of their own
# and borrow the path of the line before. Lots count once, at the latest line of a trade.
_OWN = """
SELECT line.trade_id, line.part, line.seq, line.day, line.booked_day, line.level, line.amount, line.currency, t.closed_at, t.ticket,
       CASE WHEN later.seq IS NULL THEN line.quantity ELSE 0 END AS lots,
       CASE WHEN line.level = 1 THEN coalesce(client.reference, 'unassigned account')
            ELSE 'through ' || coalesce(via.reference, 'a partner') END AS source,
       coalesce(symbol.code, server_symbol.name) AS symbol,
       coalesce(symbol_group.name, 'not mapped') AS symbol_group
FROM ib_commissionline AS line
LEFT JOIN ib_commissionline AS later
  ON later.partner_id = line.partner_id AND later.trade_id = line.trade_id AND later.part = line.part AND later.day = line.day
 AND later.seq = line.seq + 1
LEFT JOIN ib_commissionline AS before
  ON before.partner_id = line.partner_id AND before.trade_id = line.trade_id AND before.part = line.part AND before.day = line.day
 AND before.seq = line.seq - 1 AND line.card_entry_id IS NULL
LEFT JOIN ib_ratecardentry AS card ON card.id = coalesce(line.card_entry_id, before.card_entry_id)
-- Clients with a rebate are no level of their own: the partner directly below stands before the last of the path.
LEFT JOIN ib_partner AS via ON via.id = card.path[cardinality(card.path) - 1]
JOIN platform_ops_trade AS t ON t.id = line.trade_id
JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
LEFT JOIN crm_client AS client ON client.id = account.client_id
JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
LEFT JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id
LEFT JOIN platform_ops_symbolgroup AS symbol_group ON symbol_group.id = symbol.group_id
WHERE line.partner_id = %(partner)s AND """
_OF_DAYS = _OWN + "line.day BETWEEN %(from)s AND %(to)s"
_BOOKED = _OWN + "line.currency = %(currency)s AND line.booked_day BETWEEN %(from)s AND %(to)s"

_GROUPINGS = {
    Grouping.DAY: "own.day::text",
    Grouping.SOURCE: "own.source",
    Grouping.LEVEL: "'Level ' || own.level",
    Grouping.SYMBOL_GROUP: "own.symbol_group",
}


def commission_by(
    *, actor: Actor, partner: Partner, grouping: Grouping, from_day: date, to_day: date
) -> list[CommissionSum]:
    """A partner's commission of the days, summed by day, origin, level or symbol group; the largest first, days in order."""
    check_own_or_staff(actor, partner, "ib.view_commissions")
    key = _GROUPINGS[grouping]
    order = "1" if grouping in {Grouping.DAY, Grouping.LEVEL} else "3 DESC, 1"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {key}, own.currency, sum(own.amount), sum(own.lots), count(DISTINCT own.trade_id)"  # noqa: S608
            f" FROM ({_OF_DAYS}) AS own GROUP BY 1, 2 ORDER BY {order} LIMIT 1000",
            {"partner": partner.pk, "from": from_day, "to": to_day},
        )
        return [CommissionSum(*row) for row in cursor.fetchall()]


def own_lines(
    *, actor: Actor, partner: Partner, from_day: date, to_day: date, limit: int = MAXIMUM_LINES
) -> Sequence[OwnLine]:
    """A partner's lines of the days, the newest first."""
    check_own_or_staff(actor, partner, "ib.view_commissions")
    asked = {"partner": partner.pk, "from": from_day, "to": to_day}
    return [line for line, _ in _read(_OF_DAYS, "own.day DESC, own.closed_at DESC, own.seq DESC", limit, asked)]


def booked_lines(
    *, actor: Actor, partner: Partner, currency: str, first: date, last: date, limit: int = MAXIMUM_LINES
) -> list[tuple[OwnLine, date]]:
    """A partner's lines whose entries are of the days, each with its entry's day, in the order in which they were booked."""
    check_own_or_staff(actor, partner, "ib.view_commissions")
    asked = {"partner": partner.pk, "currency": currency, "from": first, "to": last}
    return _read(_BOOKED, "own.booked_day, own.closed_at, own.trade_id, own.part, own.seq", limit, asked)


def _read(select: str, order: str, limit: int, asked: dict[str, Any]) -> list[tuple[OwnLine, date]]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT * FROM ({select}) AS own ORDER BY {order} LIMIT %(limit)s",  # noqa: S608
            {**asked, "limit": limit},
        )
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [
        (
            OwnLine(
                reference=line_reference(
                    partner_id=asked["partner"],
                    trade_id=row.pop("trade_id"),
                    part=row.pop("part"),
                    seq=row.pop("seq"),
                    day=row["day"],
                ),
                **row,
            ),
            booked_day,
        )
        for row in rows
        for booked_day in [row.pop("booked_day")]
    ]


def staff_lines(
    *, actor: Actor, from_day: date | None, to_day: date | None, search: str = "", batch_id: int | None = None
) -> QuerySet[CommissionLine, CommissionLine]:
    """Lines that staff may see, with the partner's reference and the trade's ticket; by days, partner or ticket."""
    authorise(actor, "ib.view_commissions")
    partner = Partner.objects.filter(pk=OuterRef("partner_id"))
    lines = visible_to(CommissionLine.objects.all(), actor)
    if from_day:
        lines = lines.filter(day__gte=from_day)
    if to_day:
        lines = lines.filter(day__lte=to_day)
    if batch_id is not None:
        lines = lines.filter(batch_id=batch_id)
    if search.strip():
        lines = lines.filter(_matching(search.strip()))
    return lines.annotate(
        partner_reference=Subquery(partner.values("reference")[:1]),
        partner_name=Subquery(partner.values("name")[:1]),
        trade_ticket=Subquery(_trades().filter(pk=OuterRef("trade_id")).values("ticket")[:1]),
    ).order_by("-day", "partner_id", "trade_id", "seq")


def latest_day(*, actor: Actor) -> date | None:
    """The last day for which a line that the actor sees was booked."""
    found: date | None = visible_to(CommissionLine.objects.all(), actor).aggregate(day=Max("day"))["day"]
    return found


def _trades() -> QuerySet[Any, Any]:
    return apps.get_model("platform_ops", "Trade")._default_manager.all()


def _matching(search: str) -> Q:
    partners = Partner.objects.filter(Q(reference__iexact=search) | Q(name__icontains=search)).order_by().values("pk")
    found = Q(partner_id__in=partners)
    if search.isdigit():
        found |= Q(trade_id__in=_trades().filter(ticket=int(search)).order_by().values("pk"))
    return found
