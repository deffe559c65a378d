"""Five hundred partners move on the fifteenth: the days before stay as they are, the preview is what is booked, and lines explain.

Some partners have tiers, some earn in euros, and one above the moved team has tiers by what the whole team does.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import time_machine
from django.db import connection

from backoffice.core.services import changes, jobs
from backoffice.core.types import Role
from backoffice.kernel.business_day import day_bounds
from ib.models import Agreement, CommissionLine, Partner, PartnerEdge, Plan, SettlementBatch
from ib.selectors import coverage, explain_line
from ib.services import ordered, requests
from ib.services.proof import prove_range
from ib.services.settlement import settle_range
from ib.services.shards import RESETTLE_DAY
from ib.services.validity import from_on
from ib.types import Coverage, RuleTerms
from tests.factories import ib as factory
from tests.factories.changes import make_person
from tests.factories.ib import LONG_AGO, Broker
from tests.factories.platform import SYSTEM, make_trade

pytestmark = pytest.mark.django_db

SIZE = 500
BEFORE = [date(2026, 5, 4), date(2026, 5, 8), date(2026, 5, 14)]
SINCE = [date(2026, 5, 15), date(2026, 5, 22), date(2026, 6, 3)]
MOVED_AT = day_bounds(date(2026, 5, 15))[0]
NOW = datetime(2026, 6, 5, 12, tzinfo=UTC)
TRADES_A_DAY = 16


class Team:
    """A head with 500 partners below, six levels deep; where it stands, where it goes, and who trades."""

    def __init__(self) -> None:
        self.broker = broker = Broker()
        broker.maker = make_person(Role.PARTNER_MANAGER, entities=[broker.entity])
        broker.checker = make_person(Role.FINANCE, entities=[broker.entity])
        for day in (BEFORE[0], BEFORE[2], SINCE[1], SINCE[2]):
            factory.quote(day, USD=f"1.{day.day:02}")
        levels = self.plan(*(lots(rate, level=level) for level, rate in enumerate(("6", "2", "1", "0.5", "0.25"), 1)))
        tiers = self.plan(tiered("5", "own", level=1), lots("1.5", level=2))
        heads = self.plan(
            lots("4", level=1),
            RuleTerms(
                rate=Decimal(10), basis="per_lot", distribution="override", override_of="direct", funded_by="broker",
                pays_close_by=True,
            ),
        )  # fmt: skip
        collected = self.plan(tiered("3", "team", level=1))
        self.old = broker.partner(plan=heads)
        self.rival = broker.partner(plan=heads, currency="EUR")
        self.collector = broker.partner(plan=collected, parent=self.rival)
        self.head = broker.partner(plan=levels, parent=self.old)
        below = self.below(levels, tiers)
        self.accounts = [broker.client_of(partner) for partner in (*below[:: SIZE // 23], self.collector, self.old)]
        for day in BEFORE + SINCE:
            for number in range(TRADES_A_DAY):
                account = self.accounts[(number * 7 + day.day) % len(self.accounts)]
                make_trade(account, day=day, lots=f"{1 + number % 5}.{day.day:02}", server_symbol=broker.eurusd)
            make_trade(self.accounts[-2], at=day_bounds(day)[1].replace(minute=0), lots="3", server_symbol=broker.gold,
                       business_day=day)  # fmt: skip

    def plan(self, *rules: RuleTerms) -> Plan:
        return factory.make_plan_of(self.broker.entity, *rules)

    def below(self, levels: Plan, tiers: Plan) -> list[Partner]:
        """Half in euros, a fifth with tiers; each stands below the partner with a third of the own number."""
        brand = self.broker.brand
        made = Partner.objects.bulk_create(
            Partner(
                entity=brand.entity, brand=brand, name=f"Member {number}", reference=f"IB-M{number:04}",
                currency="EUR" if number % 2 else "USD",
            )
            for number in range(SIZE)
        )  # fmt: skip
        PartnerEdge.objects.bulk_create(
            PartnerEdge(child=partner, parent=made[number // 3] if number else self.head, validity=from_on(LONG_AGO))
            for number, partner in enumerate(made)
        )
        Agreement.objects.bulk_create(
            Agreement(partner=partner, plan=levels if number % 5 else tiers, validity=from_on(LONG_AGO))
            for number, partner in enumerate(made)
        )
        return made


def lots(rate: str, **fields: object) -> RuleTerms:
    return RuleTerms(rate=Decimal(rate), currency="USD", pays_close_by=True, **fields)  # type: ignore[arg-type]


def tiered(rate: str, scope: str, **fields: object) -> RuleTerms:
    """One US dollar more from ten lots of the month on, and another from sixty."""
    steps = tuple((Decimal(start), Decimal(rate) + more) for more, start in ((1, "10"), (2, "60")))
    return lots(
        rate, tier_measure="lots", tier_mode="marginal", tier_window="this", tier_scope=scope, tiers=steps, **fields
    )


def digest_of_lines(condition: str) -> str:
    """Of every column of the lines, as the server writes them."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT l.*::text FROM ib_commissionline AS l WHERE {condition} ORDER BY l.day, l.partner_id, l.trade_id, l.part, l.seq"
        )
        return hashlib.sha256("\n".join(row[0] for row in cursor.fetchall()).encode()).hexdigest()


def paid_by_month() -> dict[tuple[int, str, date], Decimal]:
    sums: dict[tuple[int, str, date], Decimal] = defaultdict(Decimal)
    for partner_id, currency, day, amount in CommissionLine.objects.values_list(
        "partner_id", "currency", "day", "amount"
    ):
        sums[partner_id, currency, day.replace(day=1)] += amount
    return sums


def differences(before: dict, after: dict) -> dict[tuple[int, str, date], Decimal]:
    return {key: after.get(key, Decimal(0)) - before.get(key, Decimal(0)) for key in {*before, *after}
            if after.get(key, 0) != before.get(key, 0)}  # fmt: skip


def test_five_hundred_partners_move_on_the_fifteenth() -> None:
    with time_machine.travel(NOW, tick=False):
        team = Team()
        with connection.cursor() as cursor:
            cursor.execute(
                "ANALYZE ib_partner, ib_partneredge, ib_clientreferral, platform_ops_tradingaccount, platform_ops_trade"
            )
        settle_range(from_day=BEFORE[0], to_day=SINCE[-1], actor=SYSTEM)
        untouched = digest_of_lines("l.day < '2026-05-15'")
        last_batch = SettlementBatch.objects.order_by("pk").values_list("pk", flat=True).last()
        written = digest_of_lines(f"l.batch_id <= {last_batch}")
        paid, count = paid_by_month(), CommissionLine.objects.count()

        # when the move is asked for
        change = requests.request_move(
            partner_id=team.head.pk, parent_id=team.collector.pk, valid_from=MOVED_AT, actor=team.broker.maker,
            reason="the team changes sides",
        )  # fmt: skip
        assert CommissionLine.objects.count() == count
        foretold = {
            (Partner.objects.get(reference=row["Partner"].split()[0]).pk, row["Currency"], date.fromisoformat(f"{month}-01")):
                Decimal(row[f"Booked again, {month}"])
            for row in change.impact_rows for month in ("2026-05", "2026-06") if Decimal(row[f"Booked again, {month}"])
        }  # fmt: skip

        # and done
        approved = changes.approve_change(
            change_id=change.pk, actor=team.broker.checker, reason="checked", seen_diff=change.diff_hash
        )
        done = changes.apply_change(change_id=approved.pk, actor=team.broker.maker)
        jobs.run_ready(kind=RESETTLE_DAY, owner="test")
        jobs.run_ready(kind=ordered.SETTLE_ORDERED, owner="test")

        # then the days before are as they were, to the byte, and nothing that was ever written changed
        assert done.outcome["days_settled_again"] == [day.isoformat() for day in SINCE]
        assert digest_of_lines("l.day < '2026-05-15'") == untouched
        assert digest_of_lines(f"l.batch_id <= {last_batch}") == written

        # the books moved by what the preview said, by partner and month, and by nothing else
        moved = differences(paid, paid_by_month())
        assert moved == foretold
        assert {key[0] for key in moved} == {team.old.pk, team.rival.pk, team.collector.pk}
        assert {key[2] for key in moved} == {date(2026, 5, 1), date(2026, 6, 1)}
        assert moved[team.old.pk, "USD", date(2026, 5, 1)] < 0 < moved[team.rival.pk, "EUR", date(2026, 5, 1)]

        # and every line says why, the moved ones above all
        assert prove_range(from_day=BEFORE[0], to_day=SINCE[-1], actor=SYSTEM).ok
        assert settle_range(from_day=BEFORE[0], to_day=SINCE[-1], actor=SYSTEM).lines == 0
        fates = coverage(actor=SYSTEM, from_day=SINCE[0], to_day=SINCE[0])
        assert {row.status for row in fates} == {Coverage.PAID}
        again = CommissionLine.objects.filter(day__gte=SINCE[0], seq__gt=0).exclude(amount=0)
        assert again.exists()
        for line in again[:10]:
            _, explained = explain_line(actor=SYSTEM, reference=line.reference)
            assert explained.target == line.target
