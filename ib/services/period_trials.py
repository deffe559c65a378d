"""What a change of the set-up would do to what is earned by the period: the settlement itself, run on copies of its tables.

The copies are temporary tables of the same names, which the session sees before the real ones. They carry the same keys and
checks, but no triggers: nothing that others read is written or locked, and everything is rolled back with the trial.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from django.db import connection
from django.db.models import Count, Max, Sum

from backoffice.kernel.errors import MissingRate
from ib.engine import period_lines
from ib.models import Partner, PeriodLine, PeriodMark
from ib.services import periods
from ib.services.period_terms import PERIOD_BASES
from ib.services.trying import Change, Sums, undone

MAXIMUM_ROUNDS = 100_000
_COPIED = (
    "ib_periodsettlement",
    "ib_periodline",
    "ib_periodlinepart",
    "ib_carrybalance",
    "ib_cpaclaim",
    "ib_periodmark",
)  # fmt: skip
_WITHOUT_ROWS = ("ib_periodsettlement", "ib_periodmark")


@dataclass(slots=True)
class PeriodTrial:
    """By partner, currency and month what is booked by the period and what would be; whom no rate lets value, and why.

    `left_out` partners were more than the caller would wait for: nothing was tried.
    """

    booked: Sums = field(default_factory=lambda: defaultdict(Decimal))
    then: Sums = field(default_factory=lambda: defaultdict(Decimal))
    waiting: dict[int, str] = field(default_factory=dict)
    left_out: int = 0


def try_periods(
    *,
    entity_id: int | None,
    change: Change | None,
    moment: datetime,
    from_period: date,
    to_period: date,
    at_most: int | None = None,
) -> PeriodTrial:
    """Settles the periods of the months as if the change had been valid from the moment on; leaves nothing behind.

    Without a change every partner of the entity (of every one for None) who is paid by the period is settled anew: the
    books, if they are right. *at_most* partners are settled; where more are due, none is.
    """
    trial = PeriodTrial()
    with undone():
        trial.booked = _sums(entity_id, from_period, to_period)
        newest = PeriodMark.objects.aggregate(newest=Max("id"))["newest"] or 0
        if change is not None:
            change(moment)
            if not PeriodMark.objects.filter(pk__gt=newest).exists():
                trial.then = trial.booked.copy()
                return trial
        _copy_tables()
        if change is None:
            _mark_everybody(entity_id, from_period)
        else:
            _take_marks_since(newest)
        period_lines.spread_marks(bases=PERIOD_BASES, limit=periods.MARKS_AT_ONCE)
        due = PeriodMark.objects.filter(is_spread=True).aggregate(due=Count("partner_id", distinct=True))["due"]
        if at_most is not None and due > at_most:
            trial.left_out, trial.then = due, trial.booked.copy()
            return trial
        trial.waiting = _settle()
        trial.then = _sums(entity_id, from_period, to_period)
    return trial


def _sums(entity_id: int | None, from_period: date, to_period: date) -> Sums:
    lines = PeriodLine.objects.filter(period__gte=from_period, period__lte=to_period)
    if entity_id is not None:
        lines = lines.filter(partner__entity=entity_id)
    rows = lines.order_by().values_list("partner_id", "currency", "period").annotate(sum=Sum("amount"))
    return defaultdict(
        Decimal, {(partner_id, currency, period): amount for partner_id, currency, period, amount in rows}
    )


def _copy_tables() -> None:
    """Temporary tables of the settlement's names, with its rows; numbers go on behind the highest."""
    with connection.cursor() as cursor:
        for table in _COPIED:
            real = f'"{_schema_of(table)}".{table}'
            cursor.execute(
                f"CREATE TEMP TABLE {table} (LIKE {real} INCLUDING DEFAULTS INCLUDING IDENTITY INCLUDING INDEXES"
                " INCLUDING CONSTRAINTS) ON COMMIT DROP"
            )
            if table not in _WITHOUT_ROWS:
                cursor.execute(f"INSERT INTO pg_temp.{table} SELECT * FROM {real}")  # noqa: S608 - constants
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('pg_temp.{table}', 'id'),"  # noqa: S608 - constants
                f" (SELECT coalesce(max(id), 0) + 1 FROM {real}), false)"
            )
            cursor.execute(f"ANALYZE pg_temp.{table}")


def _schema_of(table: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT space.nspname FROM pg_class AS found JOIN pg_namespace AS space ON space.oid = found.relnamespace"
            " WHERE found.relname = %s AND found.relkind IN ('r', 'p') AND space.nspname NOT LIKE 'pg\\_%%'"
            " AND space.nspname = ANY(current_schemas(false))",
            [table],
        )
        return str(cursor.fetchone()[0])


def _mark_everybody(entity_id: int | None, from_period: date) -> None:
    booked = PeriodLine.objects.filter(period__gte=from_period).order_by().values("partner_id")
    bound = Partner.objects.filter(agreements__plan__versions__rules__basis__in=PERIOD_BASES)
    partners = Partner.objects.filter(pk__in=booked) | bound
    if entity_id is not None:
        partners = partners.filter(entity=entity_id)
    PeriodMark.objects.bulk_create(
        PeriodMark(source="trial", partner_id=partner_id, day=from_period, is_spread=True)
        for partner_id in partners.order_by("pk").values_list("pk", flat=True).distinct()
    )


def _take_marks_since(newest: int) -> None:
    """What the change itself marked: triggers wrote it into the real table, as they do for a change that stays."""
    real = f'"{_schema_of("ib_periodmark")}".ib_periodmark'
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO pg_temp.ib_periodmark (source, client_id, partner_id, day, is_spread, problem, at)"  # noqa: S608
            f" SELECT source, client_id, partner_id, day, is_spread, '', at FROM {real} WHERE id > %s AND NOT is_spread",
            [newest],
        )


def _settle() -> dict[int, str]:
    """Settles whoever is due until nobody is, those below before those above as marks ask for it."""
    waiting: dict[int, str] = {}
    for _ in range(MAXIMUM_ROUNDS):
        period_lines.spread_marks(bases=PERIOD_BASES, limit=periods.MARKS_AT_ONCE)
        due = PeriodMark.objects.filter(is_spread=True).exclude(partner_id__in=list(waiting)).order_by("id").first()
        if due is None or due.partner_id is None:
            break
        try:
            periods.try_partner(partner_id=due.partner_id)
        except MissingRate as error:
            waiting[due.partner_id] = error.message
    return waiting
