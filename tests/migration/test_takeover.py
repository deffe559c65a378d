"""A take-over: what the example becomes, what a repeat does, and that a dry run says the truth and keeps nothing."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from backoffice.core.books import verify_books
from backoffice.core.models import AuditRecord, OutboxEvent
from backoffice.migration.models import MigrationKey, MigrationPackage
from crm.models import Client
from funding.ledger.models import JournalEntry, LedgerAccount
from funding.services.trading_results import post_trading_results
from ib.models import ClientReferral, CommissionLine, Partner, PartnerEdge, PlanRule
from ib.services.settlement import settle_range
from platform_ops.models import BalanceOperation, Deal, FxReferenceRate, Trade, TradingAccount
from tests.migration.packages import SYSTEM, bring_in, codes, example, house, write

pytestmark = pytest.mark.django_db

COUNTED = (
    Client,
    Partner,
    PartnerEdge,
    ClientReferral,
    PlanRule,
    TradingAccount,
    Deal,
    BalanceOperation,
    JournalEntry,
    LedgerAccount,
    MigrationKey,
    MigrationPackage,
    AuditRecord,
    OutboxEvent,
)


def rows() -> dict[str, int]:
    """How many rows there are of everything that a package writes."""
    return {model.__name__: model.objects.count() for model in COUNTED}


def balances() -> dict[tuple[str, str], Decimal]:
    """Ledger balances by kind and currency."""
    found: dict[tuple[str, str], Decimal] = {}
    for account in LedgerAccount.objects.select_related("balance"):
        key = (account.kind, account.currency)
        found[key] = found.get(key, Decimal(0)) + account.balance.balance
    return {key: amount for key, amount in found.items() if amount}


EXPECTED = {
    ("client_liability", "USD"): Decimal("12500.50"),
    ("client_credit", "USD"): Decimal("250.00"),
    ("client_liability", "JPY"): Decimal("-1500"),
    ("client_wallet", "EUR"): Decimal("75.25"),
    ("partner_accrued", "USD"): Decimal("310.40"),
    ("bank", "USD"): Decimal("20000.00"),
    ("opening_equity", "USD"): Decimal("20000.00") - Decimal("12750.50") - Decimal("310.40"),
    ("opening_equity", "JPY"): Decimal("1500"),
    ("opening_equity", "EUR"): Decimal("-75.25"),
}


@pytest.mark.parametrize("json_lines", [False, True])
def test_the_example_becomes_a_broker_whose_books_hold(tmp_path: Path, json_lines: bool) -> None:
    # given
    entity = house()
    # when
    report = bring_in(write(tmp_path, example(), json_lines=json_lines))
    # then
    assert report.problems == []
    assert {counts.content: counts.created for counts in report.files} == {
        name: len(items) for name, items in example().items()
    }
    assert balances() == EXPECTED
    zoe = Client.objects.get(full_name="Zoë Åkerlund")
    assert (zoe.entity, zoe.phone, zoe.registered_at.isoformat()) == (
        entity,
        "+46 8 123 456",
        "2025-02-03T08:15:00+00:00",
    )
    assert TradingAccount.objects.get(login="500101").client == zoe
    assert Trade.objects.get().profit == Decimal("200")
    assert (report.tree_depth, report.orphaned_clients, report.orphaned_examples) == (2, 1, ["1003"])
    assert verify_books()["ok"]
    package = MigrationPackage.objects.get()
    assert (package.state, package.digest) == ("applied", report.digest)
    assert {entry.reason for entry in JournalEntry.objects.all()} == {f"Package {report.digest}"}
    assert AuditRecord.objects.filter(action="migration.apply_package").count() == 1


def test_what_follows_from_a_taken_over_broker_is_settled_and_posted(tmp_path: Path) -> None:
    # given
    house()
    FxReferenceRate.objects.create(date="2026-06-04", currency="USD", per_euro=Decimal("1.25"))
    bring_in(write(tmp_path, example()))
    account = TradingAccount.objects.get(login="500101")
    trade = Trade.objects.get()
    # when
    settle_range(from_day=trade.business_day, to_day=trade.business_day, actor=SYSTEM)
    post_trading_results(business_day=trade.business_day, server_id=account.server_id, actor=SYSTEM)
    # then: half a lot at 6.00 for the partner and 1.50 above; the account holds its opening and its trade
    amounts = {line.currency: line.amount for line in CommissionLine.objects.all()}
    assert amounts == {"EUR": Decimal("2.40"), "USD": Decimal("0.75")}
    held = LedgerAccount.objects.get(kind="client_liability", owner_id=account.pk).balance.balance
    assert held == Decimal("12500.50") + Decimal("200") - Decimal("1.20") - Decimal("1.75")
    assert verify_books()["ok"]


def test_a_dry_run_says_what_would_happen_and_keeps_nothing(tmp_path: Path) -> None:
    # given
    house()
    before = rows()
    folder = write(tmp_path, example())
    # when
    told = bring_in(folder, dry=True)
    # then
    assert told.ok
    assert rows() == before
    # and the real run does just that
    done = bring_in(folder)
    assert [(item.file, item.created) for item in done.files] == [(item.file, item.created) for item in told.files]
    assert done.balances == told.balances


def test_a_repeat_creates_nothing(tmp_path: Path) -> None:
    # given
    house()
    folder = write(tmp_path, example())
    bring_in(folder)
    before = rows()
    # when
    report = bring_in(folder)
    # then
    assert report.ok
    assert all((item.created, item.updated, item.unchanged) == (0, 0, item.rows) for item in report.files)
    after = rows()
    assert {name: after[name] for name in before if name not in ("AuditRecord", "OutboxEvent")} == {
        name: before[name] for name in before if name not in ("AuditRecord", "OutboxEvent")
    }


def test_a_later_package_updates_what_may_change(tmp_path: Path) -> None:
    # given
    house()
    bring_in(write(tmp_path / "one", example()))
    later = example("clients", "partners", "accounts")
    later["clients"][0]["email"] = "new@clients.example"
    later["partners"][1]["status"] = "suspended"
    later["accounts"][0]["leverage"] = "100"
    # when
    report = bring_in(write(tmp_path / "two", later))
    # then
    assert [(item.created, item.updated, item.unchanged) for item in report.files] == [(0, 1, 2), (0, 1, 2), (0, 1, 1)]
    assert Client.objects.get(full_name="Zoë Åkerlund").email == "new@clients.example"
    assert TradingAccount.objects.get(login="500101").leverage == 100


REWRITES = [
    ("clients", 0, {"registered_at": "2025-02-04T09:15:00Z"}, "would_rewrite"),
    ("partners", 0, {"currency": "EUR"}, "would_rewrite"),
    ("accounts", 0, {"currency": "EUR", "group": ""}, "would_rewrite"),
    ("accounts", 0, {"client": "1002"}, "would_rewrite"),
    ("partner_edges", 0, {"parent": "P3"}, "would_rewrite"),
    ("partner_edges", 0, {"valid_from": "2025-06-01T00:00:00Z"}, "overlaps_existing"),
    ("client_referrals", 0, {"partner": "P1"}, "would_rewrite"),
    ("agreements", 0, {"valid_to": "2026-01-01T00:00:00Z"}, "overlaps_existing"),
    ("plan_rules", 0, {"amount_per_lot": "9.00"}, "would_rewrite"),
    ("plan_rules", 0, {"level": "7"}, "published_version"),
    ("plan_versions", 1, {"valid_from": "2026-02-01T00:00:00Z"}, "overlaps_existing"),
    ("symbols", 0, {"profit_currency": "EUR"}, "would_rewrite"),
    ("servers", 0, {"zone": "UTC"}, "would_rewrite"),
    ("opening_balances", 0, {"amount": "12500.51"}, "would_rewrite"),
    ("opening_balances", 3, {"business_day": "2026-06-02"}, "would_rewrite"),
]


@pytest.mark.parametrize(("content", "place", "change", "code"), REWRITES)
def test_a_later_package_rewrites_nothing_dated_or_booked(
    tmp_path: Path, content: str, place: int, change: dict[str, str], code: str
) -> None:
    # given
    house()
    bring_in(write(tmp_path / "one", example()))
    before, money = rows(), balances()
    later = example(content)
    later[content][place] |= change
    # when
    report = bring_in(write(tmp_path / "two", later))
    # then
    assert codes(report) == {code}
    assert report.problems[0].row == place + 1
    assert rows() == before
    assert balances() == money
