"""Anything a broker does, in any order: after each step the books prove, and in the end a naive walk says the same.

The oracle keeps its own notes in plain Python (who stood under whom since when, what each deal was told as last) and
walks every deal by itself; it reads nothing from the database. BOOKS_MACHINE_EXAMPLES and BOOKS_MACHINE_STEPS ask for
more than the default.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from backoffice.core import crash_points
from backoffice.core.books import verify_books
from backoffice.kernel.business_day import business_day_of, next_business_day
from backoffice.kernel.errors import Conflict, InsufficientFunds
from funding.ledger.models import JournalEntry
from funding.ledger.selectors import balance_of
from funding.ledger.services.entries import reverse_entry
from funding.ledger.services.periods import close_day
from ib.models import CommissionLine, Partner
from ib.services.proof import prove_range
from ib.services.settlement import settle_range
from ib.services.tree import place_partner
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.services.rebuilding import rebuild_projections
from platform_ops.types import DealEntry, DealKind
from tests.factories import ib as factory
from tests.factories.platform import MONDAY, SYSTEM
from tests.faults.harness import free_leases, work_until_idle
from tests.funding.ledger_help import open_account, post

pytestmark = pytest.mark.django_db

EXAMPLES = int(os.environ.get("BOOKS_MACHINE_EXAMPLES", "6"))
STEPS = int(os.environ.get("BOOKS_MACHINE_STEPS", "14"))
LAST_DAY = MONDAY + timedelta(days=4)
START = datetime(MONDAY.year, MONDAY.month, MONDAY.day, 8, tzinfo=UTC)
moments = st.integers(0, 9).map(lambda number: START + timedelta(hours=9 * number))
lots = st.decimals("0.01", "20", places=2)
per_lot = st.sampled_from(["7", "0.35", "2.5", "0", "1.115", "12.345678"])
cash = st.integers(1, 60).map(Decimal)
places = st.integers(0, 9)
# Units per dollar that the rates below come to, exactly; and the digits in which each currency is booked.
PER_DOLLAR = {"USD": Decimal(1), "EUR": Decimal("0.8"), "JPY": Decimal(120)}
CENTS = {"USD": Decimal("0.01"), "EUR": Decimal("0.01"), "JPY": Decimal(1)}


class CrashedError(BaseException):
    """The process dies here."""


@dataclass
class Timeline:
    """What holds from a moment on, until the next statement; whatever was planned for later is forgotten."""

    points: list[tuple[datetime, Any]] = field(default_factory=list)

    def state(self, moment: datetime, value: Any) -> None:
        self.points = [point for point in self.points if point[0] < moment] + [(moment, value)]

    def at(self, moment: datetime) -> Any:
        found = [value for since, value in self.points if since <= moment]
        return found[-1] if found else None


class Notes:
    """The oracle: everything that was told, and what follows from it deal by deal."""

    def __init__(self) -> None:
        self.parent: dict[int, Timeline] = defaultdict(Timeline)
        self.introducer: dict[int, Timeline] = defaultdict(Timeline)
        self.rules = Timeline()
        self.currency: dict[int, str] = {}
        self.trades: dict[int, tuple[int, str, Decimal, datetime, bool]] = {}
        self.wallets: dict[int, Decimal] = defaultdict(Decimal)

    def worth(self) -> dict[tuple[int, int], Decimal]:
        """(partner, ticket) → what it earned, in its own currency."""
        found = {}
        for ticket, (client, group, volume, closed_at, cancelled) in self.trades.items():
            partner, level = self.introducer[client].at(closed_at), 1
            while partner is not None and not cancelled:
                rules = self.rules.at(closed_at) or {}
                amount = rules.get((group, level), rules.get((None, level), Decimal(0)))
                code = self.currency[partner]
                earned = (volume * amount * PER_DOLLAR[code]).quantize(CENTS[code], rounding=ROUND_HALF_UP)
                if earned:
                    found[partner, ticket] = earned
                partner, level = self.parent[partner].at(closed_at), level + 1
        return found


class Books(RuleBasedStateMachine):
    """The product on one side, the notes on the other."""

    def __init__(self) -> None:
        super().__init__()
        self.start = transaction.savepoint()
        self.notes = Notes()
        self.told: dict[int, list[IngestRecord]] = {}
        self.minutes = 0
        self.next_ticket = 1
        self.closed: dict[date, Any] = {}
        self.entries: list[int] = []
        self.is_settled = False

    def teardown(self) -> None:
        transaction.savepoint_rollback(self.start)

    # --- set-up ------------------------------------------------------------------------------------------------------

    @initialize()
    def found_a_broker(self) -> None:
        self.broker = factory.Broker()
        factory.quote(MONDAY - timedelta(days=3), USD="1.25", JPY="150")
        self.groups = {"EURUSD": self.broker.majors.code, "XAUUSD": self.broker.metals.code}
        rules = {(None, 1): "7", (None, 2): "2", (None, 3): "1", (self.broker.metals.code, 1): "10"}
        self.notes.rules.state(factory.LONG_AGO, {key: Decimal(amount) for key, amount in rules.items()})
        self.partners: list[Partner] = []
        for number, currency in enumerate(["USD", "JPY", "EUR"]):
            parent = self.partners[-1] if number == 2 else None
            self.partners.append(self.broker.partner(parent=parent, currency=currency))
            self.notes.currency[self.partners[-1].pk] = currency
            if parent is not None:
                self.notes.parent[self.partners[-1].pk].state(factory.LONG_AGO, parent.pk)
        self.accounts = [self.broker.client_of(partner) for partner in self.partners[1:]]
        for account, partner in zip(self.accounts, self.partners[1:], strict=True):
            self.notes.introducer[account.client_id].state(factory.LONG_AGO, partner.pk)
        self.bank = open_account(self.broker.entity, "bank")
        self.wallet = [
            open_account(self.broker.entity, "client_wallet", owner=account.client_id) for account in self.accounts
        ]

    # --- trading -----------------------------------------------------------------------------------------------------

    @rule(at=moments, volume=lots, who=places, symbol=st.sampled_from(["EURUSD", "XAUUSD"]))
    def ingest(self, at: datetime, volume: Decimal, who: int, symbol: str) -> None:
        account = self.accounts[who % 2]
        ticket, self.next_ticket = self.next_ticket, self.next_ticket + 2
        shared = {
            "login": account.login,
            "currency": "USD",
            "symbol": symbol,
            "volume_lots": volume,
            "position_ticket": ticket,
        }
        self.told[ticket] = [
            IngestRecord(
                ticket=ticket,
                kind=DealKind.BUY,
                entry=DealEntry.IN,
                at=at - timedelta(hours=1),
                price=Decimal("1.1"),
                **shared,
            ),
            IngestRecord(
                ticket=ticket + 1,
                kind=DealKind.SELL,
                entry=DealEntry.OUT,
                at=at,
                price=Decimal("1.2"),
                open_price=Decimal("1.1"),
                opened_at=at - timedelta(hours=1),
                profit=Decimal("1.5"),
                **shared,
            ),
        ]
        self.tell(self.told[ticket])
        self.notes.trades[ticket + 1] = (account.client_id, self.groups[symbol], volume, at, False)

    @precondition(lambda self: self.told)
    @rule(which=places, volume=lots, cancelled=st.booleans())
    def correct(self, which: int, volume: Decimal, cancelled: bool) -> None:
        """The server tells a round trip anew: another volume, or that it never was, or that it was after all."""
        ticket = sorted(self.told)[which % len(self.told)]
        opening, closing = self.told[ticket]
        kind = DealKind.SELL_CANCELED if cancelled else DealKind.SELL
        profit = Decimal(0) if cancelled else Decimal("1.5")
        self.told[ticket] = [
            replace(opening, volume_lots=volume),
            replace(closing, volume_lots=volume, kind=kind, profit=profit),
        ]
        self.tell(self.told[ticket])
        client, group, _, at, _ = self.notes.trades[ticket + 1]
        self.notes.trades[ticket + 1] = (client, group, volume, at, cancelled)

    @precondition(lambda self: self.told)
    @rule()
    def tell_everything_again(self) -> None:
        records = [record for ticket in sorted(self.told, reverse=True) for record in reversed(self.told[ticket])]
        before = self.figures()
        self.tell([*records, *records[:3]])
        assert self.figures() == before

    def tell(self, records: list[IngestRecord]) -> None:
        self.minutes += 1
        as_of = START + timedelta(days=6, minutes=self.minutes)
        ingest_records(server_id=self.broker.server.pk, source="test", records=records, as_of=as_of)
        self.is_settled = False

    # --- set-up that changes, also for the past ----------------------------------------------------------------------

    @rule(
        since=moments,
        rules=st.dictionaries(
            st.tuples(st.sampled_from([None, "EURUSD", "XAUUSD"]), st.integers(1, 3)), per_lot, min_size=1, max_size=4
        ),
    )
    def rule_anew(self, since: datetime, rules: dict[tuple[str | None, int], str]) -> None:
        groups = {None: None, "EURUSD": self.broker.majors, "XAUUSD": self.broker.metals}
        factory.publish(
            self.broker.plan,
            *((groups[symbol], level, amount, "USD") for (symbol, level), amount in rules.items()),
            since=since,
        )
        self.notes.rules.state(
            since,
            {
                (self.groups[symbol] if symbol else None, level): Decimal(amount)
                for (symbol, level), amount in rules.items()
            },
        )
        self.is_settled = False

    @rule(since=moments, child=places, parent=places)
    def move_partner(self, since: datetime, child: int, parent: int) -> None:
        below = self.partners[child % 3].pk
        above = ([None] + [partner.pk for partner in self.partners])[parent % 4]
        try:
            with transaction.atomic():
                place_partner(partner_id=below, parent_id=above, valid_from=since, actor=SYSTEM)
        except Conflict as error:
            assert error.code == "tree_cycle"
            return
        self.notes.parent[below].state(since, above)
        self.is_settled = False

    @rule(since=moments, who=places, partner=places)
    def move_client(self, since: datetime, who: int, partner: int) -> None:
        client, introducer = self.accounts[who % 2].client, self.partners[partner % 3]
        factory.refer(client, introducer, since=since)
        self.notes.introducer[client.pk].state(since, introducer.pk)
        self.is_settled = False

    # --- money -------------------------------------------------------------------------------------------------------

    @rule(amount=cash, who=places)
    def deposit(self, amount: Decimal, who: int) -> None:
        entry = post(
            self.broker.entity,
            (self.bank, "D", str(amount)),
            (self.wallet[who % 2], "C", str(amount)),
            business_day=self.open_day(),
        )
        self.notes.wallets[who % 2] += amount
        self.entries.append(entry.pk)

    @rule(amount=cash, who=places)
    def withdraw(self, amount: Decimal, who: int) -> None:
        parts = (self.wallet[who % 2], "D", str(amount)), (self.bank, "C", str(amount))
        if amount > self.notes.wallets[who % 2]:
            with pytest.raises(InsufficientFunds), transaction.atomic():
                post(self.broker.entity, *parts, business_day=self.open_day())
            return
        self.entries.append(post(self.broker.entity, *parts, business_day=self.open_day()).pk)
        self.notes.wallets[who % 2] -= amount

    @precondition(lambda self: self.entries)
    @rule(which=places)
    def reverse(self, which: int) -> None:
        entry = JournalEntry.objects.get(pk=self.entries[which % len(self.entries)])
        posting = entry.postings.exclude(account=self.bank).get()
        number = [account.pk for account in self.wallet].index(posting.account_id)
        back = posting.amount if posting.side == "D" else -posting.amount
        known = JournalEntry.objects.filter(reverses=entry).exists()
        if not known and self.notes.wallets[number] + back < 0:
            with pytest.raises(InsufficientFunds), transaction.atomic():
                reverse_entry(entry_id=entry.pk, actor=SYSTEM, reason="mistake")
            return
        reverse_entry(entry_id=entry.pk, actor=SYSTEM, reason="mistake")
        self.notes.wallets[number] += Decimal(0) if known else back

    @precondition(lambda self: len(self.closed) < 3)
    @rule()
    def close_a_day(self) -> None:
        day = self.open_day()
        close_day(entity_id=self.broker.entity.pk, business_day=day, actor=SYSTEM)
        self.closed[day] = self.books_of(day)

    def open_day(self) -> date:
        return next_business_day(max(self.closed)) if self.closed else MONDAY

    # --- work --------------------------------------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        work_until_idle()
        settle_range(from_day=MONDAY - timedelta(days=1), to_day=LAST_DAY, actor=SYSTEM)
        self.is_settled = True
        self.check_against_the_notes()

    @rule(point=st.sampled_from(sorted(crash_points.POINTS)), number=st.integers(1, 3))
    def crash(self, point: str, number: int) -> None:
        """The process dies at a named point of its work: what it had not committed is gone."""
        real: Callable[[str], None] = crash_points.reach
        passes = [0]

        def die(name: str) -> None:
            passes[0] += name == point
            if name == point and passes[0] == number:
                raise CrashedError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(crash_points, "reach", die)
            try:
                work_until_idle()
            except CrashedError:
                assert passes[0] == number
        assert crash_points.reach is real
        free_leases()

    @precondition(lambda self: self.told)
    @rule()
    def rebuild(self) -> None:
        """What is derived is right already: making it anew changes nothing."""
        batch = rebuild_projections(server_id=self.broker.server.pk, actor=SYSTEM)
        assert batch.pk is None

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def books_prove(self) -> None:
        """I1 to I4, I6, I11: the very checks of `verify_books`, all of them."""
        found = verify_books()
        assert found["ok"], [check for check in found["checks"] if not check["ok"]]

    @invariant()
    def wallets_are_as_noted(self) -> None:
        for number, account in enumerate(getattr(self, "wallet", [])):
            assert balance_of(account) == self.notes.wallets[number] >= 0

    @invariant()
    def no_batch_is_forgotten(self) -> None:
        """I7: every ingest batch is settled, or its job or its event waits in plain sight."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT batch.id FROM platform_ops_ingestbatch AS batch WHERE batch.changed_trades > 0"
                " AND NOT EXISTS (SELECT 1 FROM ib_settlementbatch AS s WHERE s.scope_key = batch.id::text)"
                " AND NOT EXISTS (SELECT 1 FROM core_job AS j WHERE j.kind = 'ib.settle_batch' AND j.key = batch.id::text"
                "                 AND j.state <> 'done')"
                " AND NOT EXISTS (SELECT 1 FROM core_outboxevent AS e WHERE e.topic = 'platform.trades_changed'"
                "                 AND e.delivered_at IS NULL AND (e.payload ->> 'batch_id')::bigint = batch.id)"
            )
            assert cursor.fetchall() == []

    @invariant()
    def lines_name_what_was_valid_then(self) -> None:
        """I8: after a settlement every line that still counts names a rule and a chain that held when the trade closed."""
        if not self.is_settled:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT l.trade_id FROM (SELECT DISTINCT ON (partner_id, trade_id, day) * FROM ib_commissionline"
                "                        ORDER BY partner_id, trade_id, day, seq DESC) AS l"
                " JOIN platform_ops_trade AS t ON t.id = l.trade_id"
                " JOIN ib_planrule AS r ON r.id = l.rule_id JOIN ib_planversion AS v ON v.id = r.version_id"
                " JOIN ib_ratecardentry AS c ON c.id = l.card_entry_id"
                " WHERE l.target <> 0 AND (NOT v.validity @> t.closed_at OR EXISTS ("
                "   SELECT 1 FROM generate_subscripts(c.path, 1) AS step WHERE step > 1 AND NOT EXISTS ("
                "     SELECT 1 FROM ib_partneredge AS e WHERE e.child_id = c.path[step - 1] AND e.parent_id = c.path[step]"
                "     AND e.validity @> t.closed_at)))"
            )
            assert cursor.fetchall() == []

    @invariant()
    def closed_days_stay_as_they_were(self) -> None:
        assert {day: self.books_of(day) for day in self.closed} == self.closed

    def check_against_the_notes(self) -> None:
        """I5: what is booked is what the naive walk says, and nothing is left to book."""
        booked: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT l.partner_id, t.ticket, l.amount FROM ib_commissionline AS l"
                " JOIN platform_ops_trade AS t ON t.id = l.trade_id"
            )
            for partner, ticket, amount in cursor.fetchall():
                booked[partner, ticket] += amount
        assert {key: amount for key, amount in booked.items() if amount} == self.notes.worth()
        assert settle_range(from_day=MONDAY - timedelta(days=1), to_day=LAST_DAY, actor=SYSTEM).lines == 0
        assert prove_range(from_day=MONDAY - timedelta(days=1), to_day=LAST_DAY, actor=SYSTEM).rows == ()

    def figures(self) -> tuple[Any, ...]:
        """What must not move when nothing new is told."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT (SELECT count(*) FROM platform_ops_deal), (SELECT count(*) FROM platform_ops_trade),"
                " (SELECT sum(amount) FROM ib_commissionline), (SELECT count(*) FROM platform_ops_ingestbatch)"
            )
            return tuple(cursor.fetchone())

    def books_of(self, day: date) -> Any:
        """Number and sum of a day's postings."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*), sum(p.amount) FROM ledger_posting AS p JOIN ledger_journalentry AS e ON e.id = p.entry_id"
                " WHERE e.business_day = %s",
                [day],
            )
            return cursor.fetchone()


def test_whatever_happens_the_books_prove_and_agree_with_a_naive_walk() -> None:
    run_state_machine_as_test(
        Books,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_machine_would_notice_a_wrong_line() -> None:
    """A line of a cent too much is found by the proofs and by the walk: the machine is not blind."""
    machine = Books()
    try:
        machine.found_a_broker()
        machine.ingest(at=START, volume=Decimal(1), who=0, symbol="EURUSD")
        machine.settle()
        machine.books_prove()
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = 'replica'")
            cursor.execute("UPDATE ib_commissionline SET amount = amount + 1, target = target + 1")
            cursor.execute("SET LOCAL session_replication_role = 'origin'")
        assert CommissionLine.objects.exists()
        with pytest.raises(AssertionError):
            machine.books_prove()
        with pytest.raises(AssertionError):
            machine.check_against_the_notes()
    finally:
        machine.teardown()
    assert business_day_of(START) == MONDAY
