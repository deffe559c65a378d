"""The data centre: figures that add up and equal the ledger, the statements and each other, wherever they are read."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from backoffice.core.models import User
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Denied, InvalidInput, NotFound
from funding.ledger.models import Posting
from funding.ledger.services.periods import close_day
from ib import selectors
from ib.models import CommissionStatement, NamePolicy
from ib.rules.masking import NameDisplay, shown_email, shown_login, shown_name
from ib.selectors.data_centre import activity, expected, figures, partners, people
from ib.selectors.data_centre.people import Show
from ib.selectors.data_centre.viewpoint import Dimension, Filters, Viewpoint, own_viewpoint, staff_viewpoint
from ib.services import agreed_rates, name_policies, referrals
from ib.services.payout_terms import put_payout_terms
from ib.services.periods import settle_due
from ib.services.settlement import settle_range
from ib.services.statements import close_statements
from ib.types import Grouping
from platform_ops.models import Trade, TradingAccount
from tests.factories import platform
from tests.factories.ib import Broker, quote, refer
from tests.factories.periods import tell
from tests.factories.platform import SYSTEM, correct_trade, make_account, make_client, make_trade
from tests.funding.finance_world import approve
from tests.logins import log_in, make_actor, make_user

pytestmark = pytest.mark.django_db

D = Decimal
FEBRUARY = Filters(date(2026, 2, 1), date(2026, 2, 28))
MARCH = Filters(date(2026, 3, 1), date(2026, 3, 31))
PAGES = ("", "funnel/", "clients/", "trades/", "payments/", "partners/", "tree/", "expected/")
ADDITIVE = (
    "registered", "accounts", "verified", "first_deposits", "deposits", "withdrawals", "returned", "trades", "lots",
    "notional", "on_trades", "by_period", "goodwill", "commission",
)  # fmt: skip


def at(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


class World:
    """A master with a client, a sub-partner with three: one who trades, one who fell asleep, one with a rebate."""

    def __init__(self) -> None:
        self.broker = Broker()
        for day in (date(2026, 2, 11), *(date(2026, 3, number) for number in range(2, 21))):
            quote(day, USD="1.25")
        self.master = self.broker.partner()
        self.sub = self.broker.partner(parent=self.master)
        self.user = self._login(self.master, "master")
        self.sub_user = self._login(self.sub, "sub")
        self.manager = make_user("manager@house.test", Role.PARTNER_MANAGER, entities=(self.broker.entity,))
        self.anna = self._client(self.master, "Anna Kim", "CY", date(2026, 3, 2))
        self.bert = self._client(self.sub, "Bert Low", "DE", date(2026, 3, 5))
        self.cleo = self._client(self.sub, "Cleo Mann", "DE", date(2026, 2, 10))
        self.dora = self._client(self.sub, "Dora Noor", "FR", date(2026, 2, 10))
        agreed_rates.grant_rebate(
            client_id=self.dora.client_id,
            introducer_id=self.sub.pk,
            percent=D(50),
            valid_from=at(date(2026, 2, 10)),
            actor=SYSTEM,
        )
        platform.AccountDimension.objects.create(
            account=self.anna,
            dimension="campaign",
            value="spring",
            validity=platform.DateTimeTZRange(at(date(2026, 3, 2)), None),
        )
        self._happen()

    def _login(self, partner: Any, name: str) -> User:
        user = make_user(f"{name}@partner.test", Role.IB, entities=(self.broker.entity,))
        partner.user = user
        partner.save(update_fields=["user"])
        return user

    def _client(self, partner: Any, name: str, country: str, day: date) -> TradingAccount:
        client = make_client(
            self.broker.brand,
            full_name=name,
            email=f"{name.split()[0].lower()}@client.test",
            country=country,
            registered_at=at(day),
        )
        refer(client, partner)
        return make_account(self.broker.server, client=client, login=f"8800{client.pk}{day:%d}", opened_at=at(day, 14))

    def _happen(self) -> None:
        tell(self.anna.client_id, "kyc_verified", at=at(date(2026, 3, 3)))
        tell(self.anna.client_id, "deposit", "1000", at=at(date(2026, 3, 3)))
        tell(self.anna.client_id, "deposit", "400", currency="EUR", at=at(date(2026, 3, 10)))
        tell(self.anna.client_id, "withdrawal", "200", at=at(date(2026, 3, 12)))
        tell(self.bert.client_id, "deposit", "300", at=at(date(2026, 3, 5), 15))
        tell(self.bert.client_id, "chargeback", "50", at=at(date(2026, 3, 11)))
        tell(self.cleo.client_id, "deposit", "70", at=at(date(2026, 2, 10)))
        self.trade(self.anna, "2", date(2026, 3, 3))
        self.gold = self.trade(self.anna, "1", date(2026, 3, 4), self.broker.gold)
        self.through = self.trade(self.bert, "3", date(2026, 3, 9))
        self.trade(self.cleo, "1", date(2026, 2, 11))
        self.trade(self.dora, "1", date(2026, 3, 9))
        self.settle()

    def trade(self, account: TradingAccount, lots: str, day: date, symbol: Any = None) -> Trade:
        return make_trade(account, lots=lots, day=day, server_symbol=symbol or self.broker.eurusd)

    def settle(self) -> None:
        settle_range(from_day=date(2026, 2, 1), to_day=date(2026, 3, 20), actor=SYSTEM)
        settle_due(actor=SYSTEM)

    def of_master(self) -> Viewpoint:
        return own_viewpoint(actor=make_actor(self.user))

    def of_sub(self) -> Viewpoint:
        return own_viewpoint(actor=make_actor(self.sub_user))

    def of_house(self) -> Viewpoint:
        return staff_viewpoint(actor=make_actor(self.manager))


@pytest.fixture
def world() -> Iterator[World]:
    with time_machine.travel("2026-03-20 12:00:00+00:00", tick=True):
        yield World()


def posted(partner: Any, month: int) -> Decimal:
    """What the ledger accrued for a partner by entries of a month."""
    rows = Posting.objects.filter(
        account__owner_type="partner",
        account__owner_id=partner.pk,
        account__kind="partner_accrued",
        entry__business_day__month=month,
    ).exclude(entry__source_type="ib.statement")
    return sum((row.amount if row.side == "C" else -row.amount for row in rows), D(0))


def test_figures_add_up_by_every_dimension_and_equal_the_ledger_and_the_statements(world: World) -> None:
    master, sub, house = world.of_master(), world.of_sub(), world.of_house()

    # when: March from the master's place
    total = figures.figures(master, MARCH).total

    # then: 14 and 10 on the own client, 2 a lot on the sub-partner's three lots and one, less what a chargeback took back
    assert (total.registered, total.accounts, total.verified, total.first_deposits) == (2, 2, 1, 2)
    assert (total.deposits, total.withdrawals, total.returned) == (D(1800), D(200), D(50))
    assert total.net_deposits == D(1550)
    assert (total.traders, total.trades, total.lots, total.on_trades, total.by_period) == (3, 4, D(7), D(32), D(-1))
    assert total.currency == "USD" and total.unvalued == 4  # the test's symbols have no specification

    # then: broken down by anything, the rows are the whole
    for view in (master, sub, house):
        for period in (FEBRUARY, MARCH):
            whole = figures.figures(view, period).total
            for by in Dimension:
                found = figures.figures(view, period, by)
                assert [getattr(found.total, name) for name in ADDITIVE] == [getattr(whole, name) for name in ADDITIVE]
                for name in ADDITIVE:
                    known = [getattr(row, name) for row in found.rows if getattr(row, name) is not None]
                    if by is not Dimension.SYMBOL_GROUP or name in {"trades", "lots", "on_trades", "commission"}:
                        assert sum(known, D(0)) == getattr(whole, name), (by, name)
            assert sum((amount for _, amount in figures.commission_by_day(view, period)), D(0)) == whole.commission

    # then: the ledger says the same, by partner and month; so do the pages of commission and the lines by kind
    for view, partner in ((master, world.master), (sub, world.sub)):
        for period, month in ((FEBRUARY, 2), (MARCH, 3)):
            earned = figures.figures(view, period).total.commission
            assert earned == posted(partner, month) > 0
            assert sum((part.amount for part in figures.booked(view, period.from_day, period.to_day)), D(0)) == earned
            assert sum((part.amount for part in figures.earned_by_kind(view, period)), D(0)) == earned
            sums = selectors.commission_by(
                actor=view.actor, partner=partner, grouping=Grouping.DAY, from_day=period.from_day, to_day=period.to_day
            )
            assert sum((row.amount for row in sums), D(0)) == figures.figures(view, period).total.on_trades
    every = figures.figures(house, MARCH).total
    in_euro = sum((posted(partner, 3) for partner in (world.master, world.sub)), D(0)) / D("1.25")
    rebate = figures.figures(staff_viewpoint(actor=house.actor, partner="", entity_id=None), MARCH, Dimension.PARTNER)
    trader = next(row for row in rebate.rows if "Dora" in row.label)
    assert every.commission == in_euro + trader.commission and trader.commission == D("3.5") / D("1.25")
    assert every.currency == "EUR" and every.trades == 4

    # then: the statement of February counts what February says
    payload = {
        "entity_id": world.broker.entity.pk, "partner_id": None, "valid_from": "2020-01-01", "period": "monthly",
        "review_days": 0, "hold_days": 0, "minimum_payout": "0", "automatic_up_to": None,
    }  # fmt: skip
    put_payout_terms(payload=payload, actor=SYSTEM, approval="test")
    close_day(entity_id=world.broker.entity.pk, business_day=date(2026, 2, 27), actor=SYSTEM)
    close_statements(actor=SYSTEM)
    for view, partner in ((master, world.master), (sub, world.sub)):
        statement = CommissionStatement.objects.get(partner=partner, to_day=date(2026, 2, 28))
        assert statement.earned == figures.figures(view, FEBRUARY).total.commission


def test_filters_take_the_same_part_out_of_every_figure(world: World) -> None:
    master = world.of_master()

    def only(**wanted: Any) -> Any:
        return figures.figures(master, Filters(MARCH.from_day, MARCH.to_day, **wanted)).total

    assert (only(level=1).trades, only(level=1).commission, only(level=1).deposits) == (2, D(24), D(1500))
    assert (only(level=2).trades, only(level=2).commission, only(level=2).registered) == (2, D(8), 1)
    assert (only(country="DE").trades, only(country="DE").commission) == (1, D(5))  # a chargeback took one back
    assert (only(campaign="spring").trades, only(campaign="spring").commission) == (2, D(24))
    assert only(campaign="spring").registered == 1
    metals = only(symbol_group_id=world.broker.metals.pk)
    assert (metals.trades, metals.commission, metals.registered, metals.deposits) == (1, D(10), None, None)
    assert figures.choices(master, MARCH).countries == ("CY", "DE", "FR")
    assert figures.choices(master, MARCH).campaigns == ("spring",)
    with pytest.raises(InvalidInput):
        Filters(date(2026, 3, 2), date(2026, 3, 1))

    # when: a trade is cancelled, and a client's referral moves into the past
    correct_trade(world.gold, is_cancelled=True)
    world.settle()

    # then: what was taken back is in the same figures, still equal to the ledger
    assert only().commission == posted(world.master, 3) == D(21)
    assert only(symbol_group_id=world.broker.metals.pk).commission == D(0)
    assert only().trades == 3


def test_every_figure_leads_to_the_list_behind_it_down_to_the_trade(world: World) -> None:
    master, house = world.of_master(), world.of_house()
    anna, bert = world.anna.client, world.bert.client

    # then: lists hold as many as the figures say; a partner reads those below as sums
    for view in (master, house):
        total = figures.figures(view, MARCH).total
        for show, count in (
            (Show.REGISTERED, total.registered),
            (Show.OPENED, total.accounts),
            (Show.VERIFIED, total.verified),
            (Show.FIRST_DEPOSIT, total.first_deposits),
            (Show.ACTIVE, total.traders),
        ):
            rows, through = people.client_rows(view, MARCH, show), people.clients_through(view, MARCH, show)
            assert len(rows) + sum(item.clients for item in through) == count, show
        rows, through = people.client_rows(view, MARCH, Show.ALL), people.clients_through(view, MARCH, Show.ALL)
        every: list[Any] = [*rows, *through]
        assert sum((item.commission for item in every), D(0)) == total.commission
        assert sum((item.deposits for item in every), D(0)) == total.deposits
        assert sum(item.trades for item in every) == total.trades
        sums = people.client_sums(view, MARCH)
        assert (sums.clients, sums.commission, sums.trades) == (
            len(rows), sum((row.commission for row in rows), D(0)), sum(row.trades for row in rows),
        )  # fmt: skip
        trades = activity.trades(view, MARCH)
        assert len(trades) == total.trades
        assert sum((row.commission for row in trades), D(0)) == total.on_trades
    assert [row.reference for row in people.client_rows(master, MARCH)] == [anna.reference]
    assert people.clients_through(house, MARCH) == []
    assert len(people.client_rows(house, MARCH)) == 4

    # then: who sleeps, and how far those came who registered
    lazy = {row.reference for row in people.client_rows(house, MARCH, Show.SLEEPING)}
    assert lazy == {world.cleo.client.reference}
    steps = {step.title: step.clients for step in people.funnel(master, MARCH)}
    assert steps == {
        "Registered": 2, "Account opened": 2, "Verified": 1, "First deposit": 2, "First trade": 2,
        "Active in the last 30 days": 2,
    }  # fmt: skip
    cohorts = {cohort.month: cohort for cohort in people.cohorts(master, MARCH)}
    assert {month: (item.clients, item.deposited) for month, item in cohorts.items()} == {
        date(2026, 2, 1): (2, 1),
        date(2026, 3, 1): (2, 2),
    }
    february = cohorts[date(2026, 2, 1)].months
    assert [(month.active, month.commission) for month in february] == [(1, D(2)), (1, D(2))]
    assert cohorts[date(2026, 3, 1)].commission == D(29)

    # then: the single trade, as far as the right goes
    own = activity.one_trade(master, world.gold.pk)
    assert own.row.client == anna.reference and own.row.commission == D(10)
    assert own.login == shown_login(world.anna.login, NameDisplay.INITIALS) and own.profit is not None
    below = activity.one_trade(master, world.through.pk)
    assert below.row.client == f"through {world.sub.reference}" and below.login == ""
    assert (below.close_price, below.profit, below.account_currency) == (None, None, "")
    assert [line.amount for line in below.lines] == [D(6)]
    assert len(activity.one_trade(house, world.through.pk).lines) == 2
    with pytest.raises(NotFound):
        activity.one_trade(world.of_sub(), world.gold.pk)
    with pytest.raises(NotFound):
        people.one_client(master, MARCH, bert.reference)
    assert activity.trades(master, MARCH, client=bert.reference) == []
    assert activity.payments(master, MARCH, client=bert.reference) == []
    assert [row.kind for row in activity.payments(house, MARCH, kind="returned")] == ["Chargeback"]
    # and: payments of clients below add up with one's own to the house's, kind by kind
    for kind in ("", "deposit", "withdrawal", "returned"):
        below = activity.payments_through(master, MARCH, kind=kind)
        own, every = activity.payments(master, MARCH, kind=kind), activity.payments(house, MARCH, kind=kind)
        assert len(own) + sum(row.payments for row in below) <= len(every)
        if kind == "deposit":
            own_worth = sum((row.worth for row in own), D(0))
            assert (
                own_worth + sum((row.paid_in for row in below), D(0)) == figures.figures(master, MARCH).total.deposits
            )
    assert activity.payments_through(house, MARCH) == []

    # then: the tree and the league; whoever has a rebate is nobody by themselves
    forest = partners.forest(master, MARCH)
    assert [item.reference for item in forest.below(None)] == [world.master.reference]
    top = forest.below(None)[0]
    assert (top.children, top.partners_below, top.clients, top.lots, top.lots_before) == (1, 1, 4, D(7), D(1))
    assert (top.trend, top.direction, forest.below(top.partner_id)[0].share) == (D(600), "up", D(1))
    assert [item.reference for item in partners.found_in(forest, world.sub.name[3:])] == [world.sub.reference]
    assert forest.path_to(world.sub.pk) == [world.master.pk, world.sub.pk]
    with pytest.raises(NotFound):
        partners.branch_of(partners.forest(world.of_sub(), MARCH), world.master.pk)
    league = partners.league(master, MARCH)
    assert [(row.reference, row.clients, row.active, row.lots, row.commission) for row in league] == [
        (world.master.reference, 1, 1, D(3), D(24)),
        (world.sub.reference, 3, 2, D(4), D(8)),
    ]


def test_who_leaves_is_followed_no_further(world: World) -> None:
    # given: on 12 March Anna goes to the sub-partner, and trades on
    referrals.refer_client(
        client_id=world.anna.client_id, partner_id=world.sub.pk, valid_from=at(date(2026, 3, 12)), actor=SYSTEM
    )
    other = world.broker.partner()
    referrals.refer_client(
        client_id=world.bert.client_id, partner_id=other.pk, valid_from=at(date(2026, 3, 12)), actor=SYSTEM
    )
    world.trade(world.anna, "1", date(2026, 3, 16))
    world.trade(world.bert, "5", date(2026, 3, 16))
    world.settle()
    sub = world.of_sub()

    # then: the sub-partner reads of Bert what was while he was theirs, and his name no more; of Anna from then on
    rows = {row.reference: row for row in people.client_rows(sub, MARCH)}
    bert, anna = rows[world.bert.client.reference], rows[world.anna.client.reference]
    assert (bert.last_trade, bert.trades, bert.lots, bert.name, bert.email) == (date(2026, 3, 9), 1, D(3), "", "")
    assert (anna.joined, anna.trades, anna.first_deposit, anna.name) == (date(2026, 3, 12), 1, None, "A. K.")
    assert figures.figures(sub, MARCH).total.commission == posted(world.sub, 3)
    assert figures.figures(world.of_master(), MARCH).total.commission == posted(world.master, 3)
    listed = {row.reference: row for row in selectors.clients_of(
        actor=sub.actor, partner=world.sub, from_day=MARCH.from_day, to_day=MARCH.to_day
    )}  # fmt: skip
    assert world.bert.client.reference not in listed and listed[world.anna.client.reference].name == "A. K."
    assert activity.one_trade(sub, world.through.pk).login == ""

    # when: Bert comes back, then what happened at the other partner in between stays there, and no volume is no trade
    tell(world.bert.client_id, "kyc_verified", at=at(date(2026, 3, 17)))
    referrals.refer_client(
        client_id=world.bert.client_id, partner_id=world.sub.pk, valid_from=at(date(2026, 3, 18)), actor=SYSTEM
    )
    world.trade(world.bert, "0", date(2026, 3, 19))
    (back,) = [row for row in people.client_rows(sub, MARCH) if row.reference == bert.reference]
    assert (back.last_trade, back.trades, back.lots, back.verified) == (date(2026, 3, 9), 1, D(3), None)
    assert activity.one_trade(sub, world.through.pk).login == shown_login(world.bert.login, NameDisplay.INITIALS)


def test_what_is_expected_of_the_open_month_is_booked_by_the_next_settlement(world: World) -> None:
    # given: everything is booked; then a trade comes that is not settled yet
    master = world.of_master()
    before = expected.expected_month(master)
    assert [(part.expected, part.booked) for part in before.parts] == [(D(32), D(32)), (D(-1), D(-1))]
    assert not before.is_outdated
    world.trade(world.anna, "2", date(2026, 3, 19))

    # when, then: the engine's own target says what settling it will book
    assert [part.difference for part in expected.expected_month(master).parts] == [D(14), D(0)]
    world.settle()
    after = expected.expected_month(master)
    first = after.parts[0]
    assert (first.expected, first.booked, first.difference) == (D(46), D(46), D(0))
    assert figures.figures(master, MARCH).total.commission == D(45)
    with pytest.raises(InvalidInput):
        expected.expected_month(world.of_house())


def table_of(answer: Any) -> list[dict[str, str]]:
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_pages_files_and_endpoints_say_the_same_in_a_bounded_number_of_statements(
    world: World, client: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = "from_day=2026-03-01&to_day=2026-03-31"
    counted: dict[str, int] = {}

    def opened(front: str, page: str) -> str:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            answer = client.get(f"{front}{page}?{days}&by=country")
        assert answer.status_code == 200, page
        counted[f"{front}{page}"] = len(queries)
        return str(answer.content.decode())

    # when: the partner's pages, files and endpoints
    log_in(client, world.user)
    for page in PAGES:
        body = opened("/portal/data-centre/", page)
        assert world.bert.client.reference not in body and "Bert" not in body
    overview = opened("/portal/data-centre/", "")
    assert "31.00" in overview and "1,800.00" in overview
    assert "A. K." in opened("/portal/data-centre/", "clients/")
    assert "Anna" not in opened("/portal/data-centre/", f"clients/{world.anna.client.reference}/")
    rows = table_of(client.get(f"/portal/data-centre/?{days}&by=country&export=csv"))
    whole = next(row for row in rows if row["Of"] == "In all")
    answer = client.get(f"/api/v1/own/data-centre/figures/?{days}&by=country").json()
    assert D(whole["Commission"]) == D(answer["total"]["commission"]) == D(31)
    assert D(whole["Deposits"]) == D(answer["total"]["deposits"]) == D(1800)
    assert {row["key"]: D(row["commission"]) for row in answer["rows"]} == {"CY": D(24), "DE": D(5), "FR": D(2)}
    assert {row["Of"]: D(row["Commission"]) for row in rows if row["Of"] != "In all"} == {
        row["key"]: D(row["commission"]) for row in answer["rows"]
    }
    listed = client.get(f"/api/v1/own/data-centre/clients/?{days}").json()
    assert [(row["reference"], row["name"], row["email"]) for row in listed["clients"]] == [
        (world.anna.client.reference, "A. K.", "a***@client.test")
    ]
    assert client.get("/api/v1/own/data-centre/expected/").json()["parts"][0]["booked"] == "32.00000000"
    for name in ("funnel", "cohorts", "partners", "trades", "payments"):
        assert client.get(f"/api/v1/own/data-centre/{name}/?{days}").status_code == 200, name
    packed = client.get(f"/portal/data-centre/clients/?{days}&export=xlsx")
    assert zipfile.ZipFile(io.BytesIO(b"".join(packed.streaming_content))).testzip() is None
    for front, status in ((f"clients/{world.bert.client.reference}/", 404), (f"trades/{world.through.pk}/", 200),
                          ("trades/987654321/", 404), (f"tree/{world.sub.pk}/", 200), ("tree/987654321/", 404)):  # fmt: skip
        assert client.get(f"/portal/data-centre/{front}").status_code == status, front
    assert client.get("/portal/data-centre/?from_day=2026-03-09&to_day=2026-03-01").status_code == 200
    assert client.get("/desk/pages/ib/data-centre/").status_code != 200
    assert client.get(f"/api/v1/data-centre/figures/?{days}").status_code == 403

    # when: the manager's pages, of the house and of a partner
    log_in(client, world.manager)
    for page in PAGES:
        assert "data-centre" in opened("/desk/pages/ib/data-centre/", page)
    assert world.bert.client.reference in opened("/desk/pages/ib/data-centre/", "clients/")
    of_master = client.get(
        f"/desk/pages/ib/data-centre/?{days}&partner={world.master.reference.lower()}"
    ).content.decode()
    assert "31.00" in of_master and "1,800.00" in of_master
    answer = client.get(f"/api/v1/data-centre/figures/?{days}&partner={world.master.reference}").json()
    assert D(answer["total"]["commission"]) == D(31)
    assert client.get(f"/api/v1/data-centre/figures/?{days}&partner=IB-9999").status_code == 404
    assert "No such partner" in client.get("/desk/pages/ib/data-centre/?partner=IB-9999").content.decode()

    # then: more partners, clients and trades take no more statements
    first = dict(counted)
    for number in range(4):
        partner = world.broker.partner(parent=world.sub)
        account = world.broker.client_of(partner)
        world.trade(account, "1", date(2026, 3, 10 + number))
        world.trade(world.anna, "1", date(2026, 3, 10 + number))
    world.settle()
    for page in PAGES:
        opened("/desk/pages/ib/data-centre/", page)
    log_in(client, world.user)
    for page in PAGES:
        opened("/portal/data-centre/", page)
    assert {page: number for page, number in counted.items() if number > first[page]} == {}
    assert max(counted.values()) <= 60

    # and: a page that cannot hold all clients says so, adds up all of them, and its file has them
    whole = people.client_sums(world.of_house(), MARCH)
    monkeypatch.setattr(people, "MAXIMUM_CLIENTS", 2)
    log_in(client, world.manager)
    cut = opened("/desk/pages/ib/data-centre/", "clients/") if whole.clients > 2 else ""
    assert "The first 2; the file has all." in cut and f"{whole.commission:,.2f}" in cut
    file = table_of(client.get(f"/desk/pages/ib/data-centre/clients/?{days}&show=all&export=csv"))
    assert len(file) == whole.clients


def test_what_partners_read_of_a_name_is_decided_by_two_people_and_dated(world: World, client: Browser) -> None:
    maker = make_actor(world.manager)
    checker = make_actor(make_user("finance@house.test", Role.FINANCE, entities=(world.broker.entity,)))
    entity_id = world.broker.entity.pk

    def read() -> tuple[str, str, str]:
        row = people.client_rows(world.of_master(), MARCH)[0]
        return row.name, row.email, activity.accounts_of(world.of_master(), MARCH, row)[0].login

    assert read() == ("A. K.", "a***@client.test", shown_login(world.anna.login, NameDisplay.INITIALS))

    # when: one person asks for more to be hidden, from today on
    with pytest.raises(InvalidInput) as past:
        name_policies.request_name_policy(
            entity_id=entity_id, display="hidden", valid_from=date(2026, 3, 1), actor=maker, reason="calls"
        )
    assert past.value.details["field"] == "valid_from"
    change = name_policies.request_name_policy(
        entity_id=entity_id, display="hidden", valid_from=date(2026, 3, 20), actor=maker, reason="calls past us"
    )
    assert read()[0] == "A. K."  # until another person agrees
    assert approve(change, checker).outcome["policy_id"] == NamePolicy.objects.get().pk

    # then
    assert read() == ("", "", "")
    log_in(client, world.user)
    for page in (
        "/portal/data-centre/clients/",
        "/portal/clients/",
        "/api/v1/own/clients/?from_day=2026-03-01&to_day=2026-03-20",
    ):
        body = client.get(page).content.decode()
        assert world.anna.client.reference in body and "a***" not in body and "A. K." not in body, page
    assert people.client_rows(world.of_house(), MARCH)[0].name in {"Anna Kim", "Bert Low", "Cleo Mann", "Dora Noor"}

    # when: somebody does it alone, then it is refused
    with pytest.raises(Denied):
        name_policies.put_name_policy(
            payload={"entity_id": entity_id, "display": "full", "valid_from": "2026-03-25"},
            actor=make_actor(make_user("alone@house.test", Role.ADMINISTRATOR, entities=(world.broker.entity,))),
            approval="mine",
        )

    # when: later in full
    name_policies.put_name_policy(
        payload={"entity_id": entity_id, "display": "full", "valid_from": "2026-03-25"}, actor=SYSTEM, approval="test"
    )
    assert read() == ("", "", "")
    with time_machine.travel("2026-03-26 12:00:00+00:00"):
        assert read() == ("Anna Kim", "anna@client.test", world.anna.login)
    assert NamePolicy.objects.count() == 2
    with pytest.raises(InvalidInput):
        name_policies.put_name_policy(
            payload={"entity_id": entity_id, "display": "loud", "valid_from": "2026-03-25"}, actor=SYSTEM, approval="x"
        )


@pytest.mark.parametrize(
    ("display", "name", "email", "login"),
    [
        (NameDisplay.FULL, "Anna Maria Kim", "anna@x.test", "8800417"),
        (NameDisplay.INITIALS, "A. M. K.", "a***@x.test", "•••417"),
        (NameDisplay.HIDDEN, "", "", ""),
    ],
)
def test_masks(display: NameDisplay, name: str, email: str, login: str) -> None:
    assert shown_name("Anna Maria Kim", display) == name
    assert shown_email("anna@x.test", display) == email
    assert shown_login("8800417", display) == login
    assert shown_name("", display) == shown_email("", display) == shown_login("", display) == ""
    assert shown_login("417", NameDisplay.INITIALS) == "•••"


def test_nobody_else_has_a_viewpoint(world: World) -> None:
    stranger = make_actor(make_user("stranger@house.test", Role.PARTNER_MANAGER, entities=(platform.make_entity(),)))
    with pytest.raises(NotFound):
        own_viewpoint(actor=Actor.system("nobody"))
    with pytest.raises(NotFound):
        staff_viewpoint(actor=stranger, partner=world.master.reference)
    with pytest.raises(NotFound):
        staff_viewpoint(actor=stranger, entity_id=world.broker.entity.pk)
    assert (MARCH.before, timedelta(0)) == ((date(2026, 1, 29), date(2026, 2, 28)), timedelta(0))
