"""The main job on real trades: statements come in, a tree six partners deep is paid on them, every cent is proved."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import Max, Min, Sum

from backoffice.core.books import verify_books
from backoffice.kernel.currency import Currency
from crm.models import Client
from funding.ledger.models import AccountBalance, Posting
from funding.services.trading_results import post_trading_results
from ib.models import CommissionLine, Partner
from ib.services import settlement
from platform_ops.models import ServerSymbol, StatementImport, Trade, TradingAccount, TradingServer
from platform_ops.selectors.rates import rate_provider
from platform_ops.services.accounts import assign_account
from platform_ops.services.imports import import_statement
from platform_ops.services.rates import load_reference_rates
from platform_ops.services.symbols import map_server_symbol
from tests.factories import ib as factory
from tests.factories.platform import SYSTEM, make_brand, make_client, make_entity, make_symbol, make_symbol_group

pytestmark = [pytest.mark.sample_data, pytest.mark.django_db(transaction=True)]

LONG_AGO = datetime(2010, 1, 1, tzinfo=UTC)
MT4 = ["ty_20190526_detailed.htm"]
MT5 = ["fxpro_5500995_netting.xlsx"]
# Amount per lot by level, the same for every symbol; the sixth partner up gets the last.
RATES = ("7.00", "2.50", "1.20", "0.60", "0.30", "0.15")
CURRENCIES = ("USD", "EUR", "JPY", "GBP", "USD", "EUR")
CORRECTED_PROFIT = (b">-11</td><td class=mspt>1 540<", b">-11</td><td class=mspt>1 545<")
CORRECTED_LOTS = (
    b"<td>buy</td><td class=mspt>0.10</td><td>eurusd.</td>",
    b"<td>buy</td><td class=mspt>0.30</td><td>eurusd.</td>",
)


def sample(folder: str, name: str) -> bytes:
    path = Path(settings.SAMPLE_DATA_DIR) / folder / name
    if not path.exists():
        pytest.skip(f"no sample data at {path}")
    return path.read_bytes()


@pytest.fixture
def chain() -> list[Partner]:
    """Statements in, symbols mapped, accounts given to clients of the lowest of six partners."""
    load_reference_rates(actor=SYSTEM)
    brand = make_brand(make_entity())
    for server, folder, names in (("mt4", "statements_mt4", MT4), ("mt5", "statements_mt5", MT5)):
        TradingServer.objects.create(entity=brand.entity, code=server, name=server, platform=server, zone="EET_US")
        for name in names:
            stored = import_statement(server_code=server, data=sample(folder, name), file_name=name, actor=SYSTEM)
            assert stored.matches_statement, stored.differences
    group = make_symbol_group()
    symbols = {}
    for waiting in ServerSymbol.objects.filter(symbol__isnull=True).order_by("pk"):
        code = waiting.name.upper().strip(".#")
        symbols[code] = symbols.get(code) or make_symbol(code, group=group)
        map_server_symbol(server_symbol_id=waiting.pk, symbol_id=symbols[code].pk, actor=SYSTEM, reason="test")
    partners: list[Partner] = []
    plan = factory.make_plan(
        brand.entity, *((None, level, amount, "USD") for level, amount in enumerate(RATES, start=1)), since=LONG_AGO
    )
    for currency in reversed(CURRENCIES):
        above = partners[-1] if partners else None
        partners.append(factory.make_partner(brand, currency=currency, parent=above, since=LONG_AGO))
        factory.sign(partners[-1], plan, since=LONG_AGO)
    partners.reverse()
    for account in TradingAccount.objects.order_by("pk"):
        client: Client = make_client(brand)
        factory.refer(client, partners[0], since=LONG_AGO)
        assign_account(account_id=account.pk, client_id=client.pk, actor=SYSTEM, reason="test")
    return partners


def span() -> tuple[date, date]:
    days = Trade.objects.aggregate(first=Min("business_day"), last=Max("business_day"))
    return days["first"], days["last"]


def settle() -> settlement.SettlementResult:
    first, last = span()
    return settlement.settle_range(from_day=first, to_day=last, actor=SYSTEM)


def by_hand(partners: list[Partner]) -> dict[int, Decimal]:
    """What each partner should have, one trade after the other, with the kernel's rates and rounding."""
    rates = rate_provider()
    totals: dict[int, Decimal] = defaultdict(Decimal)
    for trade in Trade.objects.filter(is_cancelled=False):
        for partner, amount in zip(partners, RATES, strict=True):
            currency = Currency.of(partner.currency)
            rate = rates.rate(base=Currency.of("USD"), quote=currency, on=trade.business_day).rate
            exact = trade.volume_lots * Decimal(amount) * rate
            totals[partner.pk] += exact.quantize(Decimal(1).scaleb(-currency.digits), rounding=ROUND_HALF_UP)
    return {pk: total for pk, total in totals.items() if total}


def lines() -> dict[int, Decimal]:
    found = CommissionLine.objects.values_list("partner_id").annotate(total=Sum("amount")).order_by("partner_id")
    return {pk: total for pk, total in found if total}


def accrued() -> dict[int, Decimal]:
    found = AccountBalance.objects.filter(account__kind="partner_accrued").values_list("account__owner_id", "balance")
    return {pk: balance for pk, balance in found if balance}


def postings() -> dict[int, Decimal]:
    totals: dict[int, Decimal] = defaultdict(Decimal)
    for posting in Posting.objects.filter(account__kind="partner_accrued").select_related("account"):
        totals[posting.account.owner_id] += posting.amount if posting.side == "C" else -posting.amount
    return {pk: total for pk, total in totals.items() if total}


def contradictions() -> dict[str, list[dict[str, object]]]:
    return {check["name"]: check["rows"] for check in verify_books()["checks"] if not check["ok"]}


def reimport(change: tuple[bytes, bytes]) -> StatementImport:
    data = sample("statements_mt4", MT4[0])
    assert data.count(change[0]) >= 1
    changed = data.replace(*change, 1)
    return import_statement(server_code="mt4", data=changed, file_name="corrected.htm", actor=SYSTEM)


def test_a_deep_tree_is_paid_on_real_trades_and_every_cent_is_proved(chain: list[Partner]) -> None:
    first = settle()

    expected = by_hand(chain)
    assert len(expected) == len(RATES)
    assert first.trades == Trade.objects.count() > 300
    assert lines() == postings() == accrued() == expected

    second = settle()
    assert (second.lines, second.booked) == (0, {})
    assert lines() == accrued() == expected

    _, last_day = span()
    for server in TradingServer.objects.all():
        post_trading_results(business_day=last_day, server_id=server.pk, actor=SYSTEM)
    assert contradictions() == {}


def test_a_corrected_trade_books_the_exact_difference_and_the_books_stay_clean(chain: list[Partner]) -> None:
    settle()
    before = lines()

    corrected = reimport(CORRECTED_LOTS)
    delta = settle()

    assert corrected.corrected_deals >= 1 and corrected.matches_statement is not None
    expected = by_hand(chain)
    assert lines() == accrued() == postings() == expected != before
    # 0.20 lots more, six partners: one difference each.
    assert delta.lines == len(RATES)
    assert expected[chain[0].pk] - before[chain[0].pk] == Decimal("1.40")
    assert contradictions() == {}

    # Another profit, the same volume: the books of the client change, the partners' do not.
    assert reimport(CORRECTED_PROFIT).corrected_deals >= 1
    assert settle().lines == len(RATES), "the second file restates the first volume: one difference back each"
    assert lines() == before


def test_a_line_altered_behind_the_programs_back_is_named(chain: list[Partner]) -> None:
    settle()
    line = CommissionLine.objects.filter(partner_id=chain[0].pk).order_by("day", "trade_id").first()
    assert line is not None

    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE ib_commissionline SET amount = amount + 1, target = target + 1 WHERE partner_id = %s AND trade_id = %s AND seq = %s",
            [line.partner_id, line.trade_id, line.seq],
        )
        cursor.execute("SET session_replication_role = origin")

    found = contradictions()
    assert found
    named = [str(value) for rows in found.values() for row in rows for value in row.values()]
    assert str(line.trade_id) in named, found
