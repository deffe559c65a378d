"""The proof of what a server charged: per position, the swap on its deals and accrued on it, against our lines.

A position that was closed by the cut has all its swap on its closing deals. Of one that is still open, the server states
what has accrued; that is compared where it was observed. Positions opened before the first computed day are left out: of
them our lines know only a part. A difference beyond the tolerance is a break with a work item; it goes when the difference
goes, or when somebody accepts it with a reason.
"""

# ruff: noqa: S608 -- the SQL is built from constants
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.gateways.types import GatewayPosition
from platform_ops.locks import lock_rollover
from platform_ops.models import SwapBreak, SwapObservation, SwapSetting, TradingAccount, TradingServer
from platform_ops.permissions import ACCEPT_SWAP_BREAKS, RUN_ROLLOVER
from platform_ops.rules.swaps import ONE_DAY, cut_of
from platform_ops.services.swaps.open_positions import OPEN, TOUCHED
from platform_ops.services.swaps.settings import setting_of
from platform_ops.services.swaps.work import note_swap_breaks

MAXIMUM_OBSERVATIONS = 1_000_000
BATCH = 5_000

_STATED = f"""
WITH {TOUCHED}, still_open AS MATERIALIZED (
    SELECT position.account_id, position.position_ticket FROM ({OPEN}) position
), observed AS (
    SELECT account_id, position_ticket, accrued FROM platform_ops_swapobservation
     WHERE server_id = %(server)s AND day = %(day)s
), examined AS (
    SELECT DISTINCT deal.account_id, deal.position_ticket
      FROM platform_ops_currentdeal deal
     WHERE deal.server_id = %(server)s AND deal.at >= %(from)s AND deal.at < %(cut)s AND deal.kind IN (0, 1)
       AND deal.entry IN (1, 2, 3) AND deal.position_ticket <> 0
    UNION
    SELECT account_id, position_ticket FROM observed
    UNION
    SELECT found.account_id, found.position_ticket
      FROM platform_ops_swapbreak found JOIN platform_ops_tradingaccount account ON account.id = found.account_id
     WHERE account.server_id = %(server)s AND found.state <> 'cleared'
), whole AS (
    SELECT examined.*, observed.accrued
      FROM examined
      LEFT JOIN observed USING (account_id, position_ticket)
      LEFT JOIN still_open USING (account_id, position_ticket)
     WHERE observed.accrued IS NOT NULL OR still_open.account_id IS NULL
), dealt AS (
    SELECT deal.account_id, deal.position_ticket, sum(deal.swap) AS swap, min(deal.at) AS first_at,
           min(deal.at) FILTER (WHERE deal.entry IN (0, 2)) AS opened_at, min(deal.server_symbol_id) AS server_symbol_id
      FROM platform_ops_currentdeal deal JOIN whole USING (account_id, position_ticket)
     WHERE deal.at < %(cut)s AND deal.kind IN (0, 1)
     GROUP BY deal.account_id, deal.position_ticket
)
SELECT dealt.account_id, dealt.position_ticket, dealt.server_symbol_id, account.currency,
       dealt.swap + coalesce(whole.accrued, 0) AS theirs, ours.swap, ours.nights, ours.lines,
       dealt.opened_at IS NOT NULL AND dealt.opened_at <= dealt.first_at AND dealt.opened_at >= %(begin)s AS is_covered
  FROM dealt
  JOIN whole USING (account_id, position_ticket)
  JOIN platform_ops_tradingaccount account ON account.id = dealt.account_id
 CROSS JOIN LATERAL (
    SELECT coalesce(sum(line.swap), 0) AS swap, coalesce(sum(term.nights) FILTER (WHERE line.seq = 0), 0) AS nights,
           count(*) AS lines
      FROM generate_series(greatest(dealt.first_at::date - 1, %(starts)s), %(day)s, interval '1 day') AS night
      JOIN platform_ops_swapline line
        ON line.day = night::date AND line.account_id = dealt.account_id
       AND line.position_ticket = dealt.position_ticket
      JOIN platform_ops_swapterm term ON term.id = line.term_id
 ) ours
 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class SwapProof:
    """What a proof of a day found."""

    examined: int
    uncovered: int
    agreeing: int
    breaks: int
    opened: int
    cleared: int

    def figures(self) -> dict[str, int]:
        """For the record of the business day."""
        return {
            "positions_proved": self.examined,
            "positions_not_covered": self.uncovered,
            "swap_breaks": self.breaks,
            "swap_breaks_new": self.opened,
            "swap_breaks_cleared": self.cleared,
        }


@dataclass(frozen=True, slots=True)
class _Stated:
    account_id: int
    position_ticket: int
    server_symbol_id: int
    currency: str
    theirs: Decimal
    ours: Decimal
    nights: Decimal
    lines: int
    is_covered: bool


@transaction.atomic
def observe_swaps(
    *, server_id: int, day: date, positions: Iterable[GatewayPosition], observed_at: datetime, actor: Actor
) -> int:
    """Keeps what a server says has accrued on its open positions after the cut of *day*; how many are known to us.

    A later observation of the same day replaces the earlier one. Raises InvalidInput for one made before the cut.
    """
    authorise(actor, RUN_ROLLOVER)
    server = get_visible(TradingServer.objects.all(), actor, pk=server_id)
    if observed_at < _cut(server, setting_of(server), day):
        raise InvalidInput("Observed before the day's cut.", field="observed_at", value=observed_at.isoformat())
    stated = list(positions)
    if len(stated) > MAXIMUM_OBSERVATIONS:
        raise InvalidInput(f"At most {MAXIMUM_OBSERVATIONS} positions.", field="positions", value=len(stated))
    ids = dict(TradingAccount.objects.filter(server=server).values_list("login", "pk"))
    rows = [
        SwapObservation(
            server=server,
            day=day,
            account_id=ids[position.login],
            position_ticket=position.ticket,
            accrued=position.swap,
            observed_at=observed_at,
        )
        for position in stated
        if position.login in ids
    ]
    SwapObservation.objects.bulk_create(
        rows,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["server", "day", "account", "position_ticket"],
        update_fields=["accrued", "observed_at"],
    )
    return len(rows)


@transaction.atomic
def reconcile_swaps(*, server_id: int, day: date, actor: Actor) -> SwapProof:
    """Compares, position by position, what the server charged with our lines; opens, renews and clears breaks.

    Looks at the positions closed within the day, at those observed after its cut, and at those with a break already.
    """
    authorise(actor, RUN_ROLLOVER)
    server = get_visible(TradingServer.objects.all(), actor, pk=server_id)
    setting = setting_of(server)
    lock_rollover(server.pk)
    values: dict[str, Any] = {
        "server": server.pk,
        "day": day,
        "from": _cut(server, setting, day - ONE_DAY),
        "cut": _cut(server, setting, day),
        "starts": setting.starts_on,
        "begin": _begin(server, setting),
    }
    with connection.cursor() as cursor:
        cursor.execute(_STATED, values)
        stated = [_Stated(*row) for row in cursor.fetchall()]
    covered = [row for row in stated if row.is_covered]
    differing = [row for row in covered if abs(row.theirs - row.ours) > setting.tolerance]
    opened = _write_breaks(differing, day)
    cleared = _clear(server, [row for row in covered if abs(row.theirs - row.ours) <= setting.tolerance], day)
    note_swap_breaks(server)
    return SwapProof(
        examined=len(stated),
        uncovered=len(stated) - len(covered),
        agreeing=len(covered) - len(differing),
        breaks=SwapBreak.objects.filter(account__server=server, state=SwapBreak.State.OPEN).count(),
        opened=opened,
        cleared=cleared,
    )


@transaction.atomic
def accept_swap_break(*, break_id: int, actor: Actor, reason: str) -> SwapBreak:
    """Accepts a difference as it is, with a reason. Should it change, it opens again. Raises Conflict if it is gone."""
    authorise(actor, ACCEPT_SWAP_BREAKS)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    get_visible(SwapBreak.objects.all(), actor, pk=break_id)
    found = SwapBreak.objects.select_for_update(of=("self",)).select_related("account__server").get(pk=break_id)
    if found.state == SwapBreak.State.CLEARED:
        raise Conflict("The difference is gone.", code="break_cleared")
    if found.state == SwapBreak.State.ACCEPTED:
        return found
    found.state, found.reason, found.decided_by = SwapBreak.State.ACCEPTED, reason.strip(), actor.label[:200]
    found.changed_at = clock.now()
    found.save(update_fields=["state", "reason", "decided_by", "changed_at"])
    audit.record(
        actor=actor,
        action="platform.accept_swap_break",
        target=found,
        reason=reason,
        changes={"ours": str(found.ours), "theirs": str(found.theirs), "position": found.position_ticket},
        entity_id=found.account.server.entity_id,
    )
    note_swap_breaks(found.account.server)
    return found


def open_breaks(server_id: int) -> int:
    """How many breaks of a server nobody has explained."""
    return SwapBreak.objects.filter(account__server_id=server_id, state=SwapBreak.State.OPEN).count()


def _cut(server: TradingServer, setting: SwapSetting, day: date) -> datetime:
    return cut_of(
        day,
        zone=ServerZone.parse(server.zone),
        at_new_york_close=setting.cut == SwapSetting.Cut.NEW_YORK_CLOSE,
    )


def _begin(server: TradingServer, setting: SwapSetting) -> datetime:
    """From when on a position's whole life lies in computed days."""
    if setting.starts_on <= date.min + timedelta(days=2):
        return datetime.min.replace(tzinfo=clock.now().tzinfo)
    return _cut(server, setting, setting.starts_on - ONE_DAY)


def _write_breaks(rows: list[_Stated], day: date) -> int:
    """Brings the breaks to the differences; how many of them nobody knew of, or had accepted otherwise."""
    known = {
        (found.account_id, found.position_ticket): found
        for found in SwapBreak.objects.select_for_update().filter(account_id__in={row.account_id for row in rows})
    }
    new, changed, opened = [], [], 0
    for row in rows:
        found = known.get((row.account_id, row.position_ticket))
        if found is None:
            opened += 1
            new.append(
                SwapBreak(
                    account_id=row.account_id, position_ticket=row.position_ticket, server_symbol_id=row.server_symbol_id,
                    day=day, first_day=day, nights=row.nights, ours=row.ours, theirs=row.theirs, currency=row.currency,
                )
            )  # fmt: skip
            continue
        is_same = (found.ours, found.theirs) == (row.ours, row.theirs)
        if found.state == SwapBreak.State.ACCEPTED and is_same:
            continue
        if found.state != SwapBreak.State.OPEN:
            opened += 1
            found.state, found.reason, found.decided_by = SwapBreak.State.OPEN, "", ""
        found.day, found.nights, found.ours, found.theirs = day, row.nights, row.ours, row.theirs
        found.changed_at = clock.now()
        changed.append(found)
    SwapBreak.objects.bulk_create(new, batch_size=BATCH)
    SwapBreak.objects.bulk_update(
        changed, ["state", "reason", "decided_by", "day", "nights", "ours", "theirs", "changed_at"], batch_size=BATCH
    )
    return opened


def _clear(server: TradingServer, rows: list[_Stated], day: date) -> int:
    agreeing = {(row.account_id, row.position_ticket): row for row in rows}
    standing = SwapBreak.objects.filter(account__server=server).exclude(state=SwapBreak.State.CLEARED)
    gone = [found for found in standing if (found.account_id, found.position_ticket) in agreeing]
    for found in gone:
        row = agreeing[(found.account_id, found.position_ticket)]
        found.state, found.day, found.ours, found.theirs = SwapBreak.State.CLEARED, day, row.ours, row.theirs
        found.changed_at = clock.now()
    SwapBreak.objects.bulk_update(gone, ["state", "day", "ours", "theirs", "changed_at"], batch_size=BATCH)
    return len(gone)
