"""The daily finance report: what one legal entity's business day was in money, on paper that finance can sign.

Every figure is read by SQL from the ledger and from what servers reported, for a business day as recorded by a moment.
Amounts in their own currency are what was booked, to the last digit; amounts in the entity's base currency are converted
row by row at the reference rate of the day, each rounded once, and totals are sums of those rows. What has no rate is left
out of a total and named.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from django.apps import apps

from backoffice.reports.definitions.daily_finance_facts import (
    ZERO,
    Balance,
    Conversion,
    Facts,
    Rows,
    currencies_of_facts,
    read_facts,
)
from backoffice.reports.rules import shown_rate
from backoffice.reports.sections import make_section, totals_by_currency
from backoffice.reports.types import Built, Cell, Column, ColumnType, ReportDefinition, Section, Subject
from platform_ops.types import DealKind
from risk.selectors import report_rates
from risk.types import ALL_BOOKS, SymbolExposure

CODE = "daily_finance"
LARGEST_SYMBOLS = 20
EARLIER_DAYS, THIS_DAY = "earlier days", "this day"
PARTNER_KINDS = ("partner_accrued", "partner_payable", "partner_wallet")
MONEY_KINDS = ("client_liability", "client_credit", "client_wallet")


def build(subject: Subject, as_of: date, recorded_until: datetime) -> Built:
    """The sections of the report, read within the caller's snapshot."""
    facts = read_facts(subject, as_of, recorded_until)
    rates = report_rates(
        currencies=currencies_of_facts(facts, subject), report_currency=subject.base_currency, on=as_of
    )
    conversion = Conversion(base=subject.base_currency, rates=rates)
    sections = [
        _client_money(facts, conversion),
        _client_results(facts, conversion),
        _house_result(facts, conversion),
        _swaps(facts, conversion),
        _other_operations(facts, conversion),
        _client_liabilities(facts, conversion),
        _partner_commission(facts, conversion),
        _exposure_symbols(facts, conversion),
        _exposure_currencies(facts, conversion),
        _controls(facts),
    ]
    sections.insert(0, _summary(sections, facts, conversion))
    sections += [_rates(conversion), _partners(facts)]
    return Built(sections=tuple(sections), remarks=_remarks(facts, conversion, sections))


# --- columns ---------------------------------------------------------------------------------------------------------

_CURRENCY = Column("currency", "Currency")


def _amount(key: str, title: str) -> Column:
    """An amount in the row's own currency."""
    return Column(key, title, ColumnType.AMOUNT, currency_column="currency")


def _in_base(key: str, title: str, conversion: Conversion) -> Column:
    return Column(key, f"{title}, {conversion.base}", ColumnType.AMOUNT, currency=conversion.base)


def _count(key: str, title: str) -> Column:
    return Column(key, title, ColumnType.INTEGER)


def _by_currency(rows: Rows, conversion: Conversion, *, place: int) -> Rows:
    """The base currency first, then by code; what stands before the currency is kept together."""
    return sorted(rows, key=lambda row: (*map(str, row[:place]), row[place] != conversion.base, row[place]))


# --- sections --------------------------------------------------------------------------------------------------------


def _client_money(facts: Facts, conversion: Conversion) -> Section:
    columns = (
        _CURRENCY,
        _count("deposit_count", "No."),
        _amount("deposits", "Deposits"),
        _count("withdrawal_count", "No."),
        _amount("withdrawals", "Withdrawals"),
        _amount("net", "Net"),
        _in_base("deposits_base", "Deposits", conversion),
        _in_base("withdrawals_base", "Withdrawals", conversion),
        _in_base("net_base", "Net", conversion),
    )
    rows = []
    for currency, deposit_count, deposits, withdrawal_count, withdrawals in _by_currency(
        facts.client_money, conversion, place=0
    ):
        deposits_base = conversion.to_base(deposits, currency)
        withdrawals_base = conversion.to_base(withdrawals, currency)
        net_base = None if deposits_base is None or withdrawals_base is None else deposits_base + withdrawals_base
        net = deposits + withdrawals
        rows.append(
            (
                currency,
                deposit_count,
                deposits,
                withdrawal_count,
                withdrawals,
                net,
                deposits_base,
                withdrawals_base,
                net_base,
            )
        )
    return make_section(
        "client_money",
        "Deposits and withdrawals",
        columns,
        rows,
        total_of={"deposit_count", "withdrawal_count", "deposits_base", "withdrawals_base", "net_base"},
        notes=("Balance operations on the trading servers; transfers of history (opening balances) are none.",),
        empty_text="No deposit and no withdrawal on this day.",
    )


def _client_results(facts: Facts, conversion: Conversion) -> Section:
    columns = (
        Column("book", "Book"),
        Column("concerns", "Concerns"),
        _CURRENCY,
        _count("trades", "Trades"),
        _amount("profit", "Profit"),
        _amount("swap", "Swap"),
        _amount("commission", "Commission"),
        _amount("fees", "Fees"),
        _amount("total", "Result"),
        _in_base("total_base", "Result", conversion),
    )
    closed = {(book, currency): trades for book, currency, trades, _, _ in facts.traded}
    booked = {(book, currency) for book, is_earlier, currency, *_ in facts.client_results if not is_earlier}
    # Trades that closed without a result in money are trades all the same.
    unbooked: Rows = [
        (book, False, currency, ZERO, ZERO, ZERO, ZERO)
        for (book, currency), trades in closed.items()
        if trades and (book, currency) not in booked
    ]
    rows = []
    for book, is_earlier, currency, profit, swap, commission, fees in _by_currency(
        facts.client_results + unbooked, conversion, place=2
    ):
        total = profit + swap + commission + fees
        rows.append(
            (
                book,
                EARLIER_DAYS if is_earlier else THIS_DAY,
                currency,
                0 if is_earlier else closed.get((book, currency), 0),
                profit,
                swap,
                commission,
                fees,
                total,
                conversion.to_base(total, currency),
            )
        )
    return make_section(
        "client_results",
        "Clients' trading results",
        columns,
        rows,
        total_of={"trades", "total_base"},
        notes=(
            "From the clients' side, as booked in the ledger on this day; corrections of earlier days stand apart.",
        ),
        empty_text="No trading result was booked on this day.",
    )


def _house_result(facts: Facts, conversion: Conversion) -> Section:
    columns = (
        Column("account", "Account"),
        _CURRENCY,
        _amount("result", "Result"),
        _in_base("result_base", "Result", conversion),
    )
    names = _kind_names()
    order = list(names)
    found = sorted(facts.house_result, key=lambda row: (order.index(row[0]), row[1] != conversion.base, row[1]))
    rows = [(names[kind], currency, amount, conversion.to_base(amount, currency)) for kind, currency, amount in found]
    return make_section(
        "house_result",
        "House result",
        columns,
        rows,
        total_of={"result_base"},
        notes=("Income less expense as booked in the ledger on this day; positive where the house gained.",),
        empty_text="No income and no expense was booked on this day.",
    )


def _swaps(facts: Facts, conversion: Conversion) -> Section:
    columns = (
        Column("symbol_group", "Symbols"),
        _CURRENCY,
        _amount("charged", "Charged to clients"),
        _amount("paid", "Paid to clients"),
        _amount("net", "Net"),
        _in_base("net_base", "Net", conversion),
    )
    rows = [
        (family, currency, charged, paid, charged + paid, conversion.to_base(charged + paid, currency))
        for family, currency, charged, paid in _by_currency(facts.swaps, conversion, place=1)
    ]
    return make_section(
        "swaps",
        "Swaps",
        columns,
        rows,
        total_of={"net_base"},
        notes=("From the clients' side, on the deals that the servers reported for this day.",),
        empty_text="No swap on this day's deals.",
    )


def _other_operations(facts: Facts, conversion: Conversion) -> Section:
    columns = (
        Column("kind", "Kind"),
        _CURRENCY,
        _count("count", "No."),
        _amount("amount", "Amount"),
        _in_base("amount_base", "Amount", conversion),
    )
    found: Rows = [
        (DealKind(kind).name.replace("_", " ").capitalize(), currency, count, amount)
        for kind, currency, count, amount in facts.other_operations
    ]
    rows = [
        (kind, currency, count, amount, conversion.to_base(amount, currency))
        for kind, currency, count, amount in _by_currency(found, conversion, place=1)
    ]
    return make_section(
        "other_operations",
        "Other balance operations",
        columns,
        rows,
        total_of={"count", "amount_base"},
        notes=(
            "From the clients' side. Charges and commissions among them are part of the clients' results above, too.",
        ),
        empty_text="No credit, bonus, dividend, interest, charge or correction on this day.",
    )


def _client_liabilities(facts: Facts, conversion: Conversion) -> Section:
    columns = (
        _CURRENCY,
        _count("accounts", "Accounts"),
        _amount("positive", "On trading accounts"),
        _amount("negative", "Negative balances"),
        _amount("credit", "Credit"),
        _amount("wallets", "Wallets"),
        _amount("total", "Total"),
        _in_base("total_base", "Total", conversion),
    )
    rows = []
    for currency in _currencies_of(facts.balances, MONEY_KINDS, conversion):
        on_accounts, credit, wallets = (facts.balances.get((kind, currency), Balance()) for kind in MONEY_KINDS)
        total = on_accounts.total + credit.total + wallets.total
        if not (total or on_accounts.positive or on_accounts.negative or credit.total or wallets.total):
            continue
        rows.append(
            (
                currency,
                on_accounts.accounts,
                on_accounts.positive,
                on_accounts.negative,
                credit.total,
                wallets.total,
                total,
                conversion.to_base(total, currency),
            )
        )
    return make_section(
        "client_liabilities",
        "Client liabilities at the end of the day",
        columns,
        rows,
        total_of={"accounts", "total_base"},
        empty_text="The house owes clients nothing.",
    )


def _partner_commission(facts: Facts, conversion: Conversion) -> Section:
    columns = (
        _CURRENCY,
        _count("lines", "Lines"),
        _amount("booked", "Booked on the day"),
        _amount("accrued", "Accrued"),
        _amount("payable", "Payable"),
        _amount("wallet", "Wallets"),
        _amount("liability", "Liability"),
        _in_base("booked_base", "Booked", conversion),
        _in_base("liability_base", "Liability", conversion),
    )
    booked: dict[str, Decimal] = {}
    for (_, currency), amount in facts.commission_booked.items():
        booked[currency] = booked.get(currency, ZERO) + amount
    lines: dict[str, int] = {}
    for (_, currency), (count, _) in facts.commission_lines.items():
        lines[currency] = lines.get(currency, 0) + count
    rows = []
    for currency in sorted(
        {*booked, *lines, *_currencies_of(facts.balances, PARTNER_KINDS, conversion)},
        key=lambda code: (code != conversion.base, code),
    ):
        accrued, payable, wallet = (facts.balances.get((kind, currency), Balance()).total for kind in PARTNER_KINDS)
        liability = accrued + payable + wallet
        of_day = booked.get(currency, ZERO)
        if not (liability or of_day or accrued or payable or wallet or lines.get(currency)):
            continue
        rows.append(
            (
                currency,
                lines.get(currency, 0),
                of_day,
                accrued,
                payable,
                wallet,
                liability,
                conversion.to_base(of_day, currency),
                conversion.to_base(liability, currency),
            )
        )
    return make_section(
        "partner_commission",
        "Partner commission and liability at the end of the day",
        columns,
        rows,
        total_of={"lines", "booked_base", "liability_base"},
        empty_text="No commission was booked, and the house owes partners nothing.",
    )


def _partners(facts: Facts) -> Section:
    columns = (
        Column("partner", "Partner"),
        Column("name", "Name", names_row=False),
        _CURRENCY,
        _count("lines", "Lines"),
        _amount("booked", "Booked on the day"),
        _amount("accrued", "Accrued"),
        _amount("payable", "Payable"),
        _amount("wallet", "Wallet"),
    )
    keys = {
        *facts.commission_booked,
        *facts.commission_lines,
        *((owner, currency) for owner, currency, _ in facts.partner_balances),
    }
    rows: Rows = []
    for partner, currency in keys:
        reference, name = facts.partners.get(partner, (f"no. {partner}", "of another entity"))
        lines, _ = facts.commission_lines.get((partner, currency), (0, ZERO))
        balances = (facts.partner_balances.get((partner, currency, kind), ZERO) for kind in PARTNER_KINDS)
        booked = facts.commission_booked.get((partner, currency), ZERO)
        rows.append((reference, name, currency, lines, booked, *balances))
    rows.sort(key=lambda row: (row[0], row[2]))
    return Section(
        "partners",
        "Annex: commission by partner",
        columns,
        tuple(rows),
        totals=totals_by_currency(columns, rows, currency_column="currency"),
        empty_text="No partner earned anything, and none is owed anything.",
    )


def _exposure_symbols(facts: Facts, conversion: Conversion) -> Section:
    columns = (
        Column("symbol", "Symbol"),
        _count("positions", "Positions"),
        Column("long_lots", "Long lots", ColumnType.LOTS),
        Column("short_lots", "Short lots", ColumnType.LOTS),
        Column("net_lots", "Net lots", ColumnType.LOTS),
        Column("price", "Price", ColumnType.PRICE),
        _in_base("notional", "Notional", conversion),
        _in_base("floating", "Floating", conversion),
    )
    found = sorted(
        facts.exposure.by_book[ALL_BOOKS].symbols,
        key=lambda row: (row.notional is None, -abs(row.notional or ZERO), row.symbol),
    )
    rows = [_exposure_row(row) for row in found[:LARGEST_SYMBOLS]]
    if len(found) > LARGEST_SYMBOLS:
        rows.append(_other_symbols(found[LARGEST_SYMBOLS:]))
    notes = [
        "The clients' side at the fixed prices of the day; the broker stands on the other side.",
        *(
            f"{item['symbol']}: {item['reason']}, {item['positions']} positions, not in money."
            for item in facts.exposure.unpriced
        ),
        *(
            f"{item['name']} on {item['server']}: not mapped to a symbol, {item['positions']} positions, in no figure."
            for item in facts.exposure.unmapped
        ),
    ]
    return make_section(
        "exposure_symbols",
        f"Exposure at the end of the day: the {LARGEST_SYMBOLS} largest symbols",
        columns,
        rows,
        total_of={"positions", "notional", "floating"},
        notes=tuple(notes),
        empty_text="No open position at the end of the day.",
    )


def _exposure_row(row: SymbolExposure) -> tuple[Cell, ...]:
    price = None if row.price is None else row.price.mid
    return (row.symbol, row.positions, row.long_lots, row.short_lots, row.net_lots, price, row.notional, row.floating)


def _other_symbols(rows: list[SymbolExposure]) -> tuple[Cell, ...]:
    """Lots of different symbols are no sum; positions and money are."""
    notional = sum((row.notional for row in rows if row.notional is not None), ZERO)
    floating = sum((row.floating for row in rows if row.floating is not None), ZERO)
    return (f"{len(rows)} others", sum(row.positions for row in rows), None, None, None, None, notional, floating)


def _exposure_currencies(facts: Facts, conversion: Conversion) -> Section:
    columns = (
        Column("asset", "Currency or asset"),
        Column("units", "Net units", ColumnType.LOTS),
        Column("rate", f"Worth of one, {conversion.base}", ColumnType.RATE),
        _in_base("notional", "Net", conversion),
    )
    found = sorted(
        facts.exposure.by_book[ALL_BOOKS].currencies,
        key=lambda row: (row.notional is None, -abs(row.notional or ZERO), row.currency),
    )
    return make_section(
        "exposure_currencies",
        "Exposure at the end of the day by currency",
        columns,
        [
            (row.currency, row.net_units, None if row.rate is None else shown_rate(row.rate), row.notional)
            for row in found
        ],
        empty_text="No open position at the end of the day.",
    )


def _controls(facts: Facts) -> Section:
    columns = (
        Column("control", "Control"),
        _CURRENCY,
        _amount("first", "First"),
        _amount("second", "Second"),
        _amount("difference", "Difference"),
        Column("outcome", "Outcome", names_row=False),
    )
    compared: list[tuple[str, str, Decimal, Decimal]] = []
    for currency in sorted({currency for _, currency in facts.balances}):
        of_currency = [balance for (_, code), balance in facts.balances.items() if code == currency]
        debits = sum((balance.debits for balance in of_currency), ZERO)
        credits = sum((balance.credits for balance in of_currency), ZERO)
        compared.append(("Trial balance: debits, credits", currency, debits, credits))
    servers: dict[tuple[str, str], Decimal] = {}
    for currency, _, deposits, _, withdrawals in facts.client_money:
        servers[currency, "deposit"] = deposits + withdrawals
    for _, currency, _, profit, swap in facts.traded:
        servers[currency, "profit"] = servers.get((currency, "profit"), ZERO) + profit
        servers[currency, "swap"] = servers.get((currency, "swap"), ZERO) + swap
    titles = {"deposit": "Deposits less withdrawals", "profit": "Clients' profit", "swap": "Swaps"}
    for component, title in titles.items():
        for currency in sorted({code for code, part in {**servers, **facts.booked_of_day} if part == component}):
            key = (currency, component)
            both = servers.get(key, ZERO), facts.booked_of_day.get(key, ZERO)
            if any(both):
                compared.append((f"{title}: servers, ledger", currency, *both))
    for currency in sorted({code for _, code in {**facts.commission_booked, **facts.commission_lines}}):
        lines = sum((amount for (_, code), (_, amount) in facts.commission_lines.items() if code == currency), ZERO)
        booked = sum((amount for (_, code), amount in facts.commission_booked.items() if code == currency), ZERO)
        compared.append(("Partner commission: lines, ledger", currency, lines, booked))
    rows = [
        (name, currency, first, second, first - second, "agrees" if first == second else "DIFFERS")
        for name, currency, first, second in compared
    ]
    return make_section("controls", "Controls", columns, rows, empty_text="There are no books to compare yet.")


def _rates(conversion: Conversion) -> Section:
    columns = (
        _CURRENCY,
        Column("rate", f"Worth of one, {conversion.base}", ColumnType.RATE),
        Column("fixed_on", "Fixed on", ColumnType.DATE),
        Column("source", "Source"),
    )
    rows = []
    for code in sorted(conversion.used - {conversion.base}):
        rate = conversion.rates[code]
        rows.append((code, shown_rate(rate.rate), rate.fixed_on, rate.source))
    return make_section(
        "rates",
        f"Reference rates into {conversion.base}",
        columns,
        rows,
        notes=("Each row is converted and rounded on its own; totals are sums of rows.",),
        empty_text="Nothing had to be converted.",
    )


def _summary(sections: list[Section], facts: Facts, conversion: Conversion) -> Section:
    by_code = {section.code: section for section in sections}

    def total(code: str, key: str) -> Decimal:
        section = by_code[code]
        value = section.value(section.totals[0], key) if section.totals else ZERO
        return value if isinstance(value, Decimal) else ZERO

    symbols = facts.exposure.by_book[ALL_BOOKS].symbols
    rows: list[tuple[Cell, ...]] = [
        ("Deposits", total("client_money", "deposits_base")),
        ("Withdrawals", total("client_money", "withdrawals_base")),
        ("Net client money", total("client_money", "net_base")),
        ("Clients' trading results", total("client_results", "total_base")),
        ("House result", total("house_result", "result_base")),
        ("Partner commission booked", total("partner_commission", "booked_base")),
        ("Client liabilities at the end of the day", total("client_liabilities", "total_base")),
        ("Partner liability at the end of the day", total("partner_commission", "liability_base")),
        ("Clients' gross exposure", sum((abs(row.notional) for row in symbols if row.notional is not None), ZERO)),
        ("Clients' floating profit", sum((row.floating for row in symbols if row.floating is not None), ZERO)),
    ]
    columns = (Column("measure", "Measure"), _in_base("amount", "Amount", conversion))
    return Section("summary", "Summary", columns, tuple(rows))


def _remarks(facts: Facts, conversion: Conversion, sections: list[Section]) -> tuple[str, ...]:
    remarks = []
    unfinished = [server for server, has_begun, is_unfinished in facts.days if is_unfinished or not has_begun]
    if unfinished:
        remarks.append(f"Preliminary: the business day is not proved on {', '.join(unfinished)}.")
    if conversion.missing:
        missing = ", ".join(sorted(conversion.missing))
        remarks.append(f"No reference rate for {missing}: left out of every total in {conversion.base}.")
    controls = next(section for section in sections if section.code == "controls")
    differing = sum(1 for row in controls.rows if row[-1] == "DIFFERS")
    if differing:
        remarks.append(f"{differing} of {len(controls.rows)} controls do not agree; see Controls.")
    return tuple(remarks)


def _kind_names() -> dict[str, str]:
    """The ledger's names of its kinds of account, in the order of the chart."""
    return dict(apps.get_model("ledger", "LedgerAccount")._meta.get_field("kind").flatchoices)


def _currencies_of(
    balances: Mapping[tuple[str, str], Balance], kinds: tuple[str, ...], conversion: Conversion
) -> list[str]:
    found = {currency for kind, currency in balances if kind in kinds}
    return sorted(found, key=lambda code: (code != conversion.base, code))


DAILY_FINANCE = ReportDefinition(
    code=CODE,
    title="Daily finance report",
    build=build,
    description=(
        "Deposits, withdrawals, clients' and house results, swaps, liabilities, partner commission and exposure of a day."
    ),
)
