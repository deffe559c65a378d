"""Writes the demo broker's past: sixty business days of deals, money, prices, settlements and closed days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from backoffice.core.services import outbox
from backoffice.core.types import Actor
from backoffice.devstack.demo.behaviour import DemoDeal
from backoffice.devstack.demo.catalogue import SYMBOLS
from backoffice.devstack.demo.seed import SERVERS, Seeding
from backoffice.devstack.demo.world import BUSINESS_DAYS, business_days_until
from backoffice.kernel.business_day import business_day_of, day_bounds
from backoffice.reports.services import issue, schedules
from funding.services import deposits
from platform_ops.services import prices, rates
from platform_ops.services.business_day import run_business_day
from platform_ops.services.ingest import ingest_records
from platform_ops.services.staging import IngestRecord
from platform_ops.types import DealKind

RATE_CURRENCIES = ("USD", "GBP", "JPY", "CHF", "CAD", "AUD", "NZD", "TRY", "MXN")
RATE_SOURCE = "DEMO"
MOST_DELIVERIES = 100
DealsByDay = dict[date, dict[str, list[DemoDeal]]]


def write_history(seeding: Seeding) -> None:
    """Everything that happened until the end of the last business day, told day by day as it would have happened."""
    seeding.say("reference rates")
    rates.load_reference_rates(actor=seeding.actor)
    _continue_rates(seeding)
    # As in service: who listens hears of rates before anything is converted by them, not after sixty days of trades.
    _deliver()
    by_day = _deals_by_day(seeding)
    days = business_days_until(seeding.world.last_day, BUSINESS_DAYS)
    for number, day in enumerate(days, start=1):
        seeding.say(f"day {number} of {len(days)}: {day}")
        for platform, deals in sorted(by_day[day].items()):
            _write_day(seeding, platform, day, deals)
        _fix_closing_prices(seeding, day)
        for server_id in seeding.servers.values():
            run_business_day(server_id=server_id, day=day, actor=Actor.system("business_day"))
        _deliver()  # the books of the day close behind its last server
    _store_last_quotes(seeding)
    seeding.say("the finance report of the last day")
    _issue_reports(seeding)


def _deliver() -> None:
    """Has everybody hear what happened so far."""
    for _ in range(MOST_DELIVERIES):
        if outbox.deliver_due() == 0:
            break


def record_of(deal: DemoDeal, account_id: int, symbol_name: str) -> IngestRecord:
    """The deal as a connector would hand it in."""
    return IngestRecord(
        account_id=account_id,
        ticket=deal.ticket,
        leg=deal.leg,
        kind=deal.kind,
        at=deal.at,
        entry=deal.entry,
        position_ticket=deal.position,
        order_ticket=deal.ticket,
        symbol=symbol_name,
        volume_lots=deal.lots,
        price=deal.price,
        open_price=deal.open_price,
        opened_at=deal.opened_at,
        profit=deal.profit,
        swap=deal.swap,
        commission=deal.commission,
        comment=deal.comment,
    )


def server_symbol_name(platform: str, code: str) -> str:
    """What the demo's servers call a symbol: the MT4 server adds `.m`, as many do."""
    return f"{code}.m" if code and platform == "mt4" else code


def _deals_by_day(seeding: Seeding) -> DealsByDay:
    by_day: DealsByDay = defaultdict(lambda: defaultdict(list))
    for client in seeding.world.clients:
        for plan in client.accounts:
            for deal in seeding.world.history_of(plan):
                by_day[business_day_of(deal.at)][plan.platform].append(deal)
    return by_day


def _write_day(seeding: Seeding, platform: str, day: date, deals: list[DemoDeal]) -> None:
    _receive_money(seeding, platform, deals)
    ingest_records(
        server_id=seeding.servers[platform],
        source=f"demo:{SERVERS[platform][0]}",
        records=_records(seeding, platform, deals),
        as_of=day_bounds(day)[1],
    )


def _records(seeding: Seeding, platform: str, deals: Iterable[DemoDeal]) -> Iterator[IngestRecord]:
    for deal in deals:
        account_id = seeding.accounts[platform, deal.login]
        yield record_of(deal, account_id, server_symbol_name(platform, deal.symbol))


def _receive_money(seeding: Seeding, platform: str, deals: list[DemoDeal]) -> None:
    """Deposits arrive at the bank or a payment provider, withdrawals leave from there, as the server's rows say."""
    currencies = seeding.currencies[platform]
    for deal in deals:
        if deal.kind != DealKind.BALANCE or deal.entry is not None:
            continue
        pay = deposits.receive_deposit if deal.profit > 0 else deposits.pay_withdrawal
        pay(
            account_id=seeding.accounts[platform, deal.login],
            amount=abs(deal.profit),
            currency=currencies[deal.login],
            method="bank" if deal.ticket % 3 == 0 else "psp",
            reference=f"{deal.comment} {deal.ticket}",
            business_day=business_day_of(deal.at),
            idempotency_key=f"demo:{platform}:{deal.ticket}",
            actor=seeding.actor,
        )


def _continue_rates(seeding: Seeding) -> None:
    """Where the published history ends before the demo does, the demo's own fixing goes on, under its own source."""
    per_euro: dict[date, dict[str, Decimal]] = {}
    for day in business_days_until(seeding.world.last_day, BUSINESS_DAYS):
        at = day_bounds(day)[1] - timedelta(hours=7)
        per_euro[day] = {
            currency: seeding.world.paths.rate("EUR", currency, at).quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP)
            for currency in RATE_CURRENCIES
        }
    rates.continue_reference_rates(per_euro=per_euro, source=RATE_SOURCE, actor=seeding.actor)


def _fix_closing_prices(seeding: Seeding, day: date) -> None:
    at = day_bounds(day)[1] - timedelta(minutes=1)
    closing = {symbol.code: seeding.world.paths.bid_ask(symbol.code, at) for symbol in SYMBOLS}
    prices.store_daily_prices(business_day=day, prices=closing, source="demo")


def _store_last_quotes(seeding: Seeding) -> None:
    at = day_bounds(seeding.world.last_day)[1] - timedelta(minutes=1)
    latest = {seeding.symbols[symbol.code]: seeding.world.paths.bid_ask(symbol.code, at) for symbol in SYMBOLS}
    prices.store_quotes(quotes=latest, at=at, source="demo")


def _issue_reports(seeding: Seeding) -> None:
    """The report of the last day in both formats; from now on each closed business day issues its own."""
    for report_format in ("csv", "pdf"):
        issue.issue_report(
            definition="daily_finance",
            entity_id=seeding.entity.pk,
            as_of=seeding.world.last_day,
            format=report_format,
            actor=seeding.actor,
        )
        schedules.set_schedule(
            entity_id=seeding.entity.pk,
            definition="daily_finance",
            format=report_format,
            is_enabled=True,
            actor=seeding.actor,
        )
