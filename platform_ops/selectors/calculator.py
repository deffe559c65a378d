"""The figures of a trade under a symbol's terms in force, each with its formula and the numbers put in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from backoffice.kernel.errors import DomainError, NotFound
from platform_ops.gateways.types import SymbolTerms
from platform_ops.models import AccountGroup, GroupSymbolOverride, Quote, Symbol, SymbolSpec
from platform_ops.rules import margin, trading
from platform_ops.rules.conversion import BidAsk, ConversionQuotes, margin_side
from platform_ops.rules.margin import MarginLeg
from platform_ops.rules.trading import ClosedVolume
from platform_ops.rules.worked import Worked
from platform_ops.selectors.symbol_terms import terms_of
from platform_ops.types import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: a volume of a symbol, bought or sold at one price and closed at another, in an account."""

    symbol_id: int
    side: Side
    lots: Decimal
    open_price: Decimal
    close_price: Decimal
    account_currency: str
    leverage: int
    at: datetime
    group_id: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A figure with its way, or why there is none."""

    title: str
    worked: Worked | None
    problem: str = ""


def current_quotes() -> ConversionQuotes:
    """The last good prices of all pairs of currencies, by which amounts are converted."""
    rows = Quote.objects.select_related("symbol").filter(symbol__asset_class__in=("forex", "metal"))
    return ConversionQuotes(
        {row.symbol.base_asset + row.symbol.profit_currency: BidAsk(row.bid, row.ask) for row in rows}
    )


def quote_of(symbol_id: int) -> Quote | None:
    """The last good price of the symbol."""
    return Quote.objects.filter(symbol_id=symbol_id).first()


def answers(question: Question) -> tuple[SymbolTerms, list[Answer]]:
    """Profit, margin, value of a pip and of a point, cost of the spread. Raises NotFound without a specification."""
    spec = SymbolSpec.objects.select_related("symbol").filter(
        symbol_id=question.symbol_id, validity__contains=question.at
    )
    standing = spec.first()
    if standing is None:
        raise NotFound("The symbol has no specification at that time.", symbol_id=question.symbol_id)
    override = None
    if question.group_id is not None:
        own = GroupSymbolOverride.objects.filter(symbol_id=question.symbol_id, group_id=question.group_id)
        override = own.filter(validity__contains=question.at).first()
    symbol = standing.symbol
    terms = terms_of(standing, base_asset=symbol.base_asset, profit_currency=symbol.profit_currency, override=override)
    maximum = override.leverage_maximum if override and override.leverage_maximum else standing.leverage_maximum
    leverage = margin.effective_leverage(question.leverage, maximum)
    quotes = current_quotes()
    figures: list[tuple[str, Callable[[], Worked]]] = [
        ("Profit", lambda: _profit(terms, question, quotes)),
        ("Margin", lambda: _margin(terms, question, quotes, leverage)),
        ("Value of a pip", lambda: _pip(terms, standing.pip_size, question, quotes)),
        ("Value of a point", lambda: _point(terms, question, quotes)),
    ]
    if quote := quote_of(symbol.pk):
        figures.append(("Cost of the spread", lambda: _spread(terms, question, quote, quotes)))
    return terms, [_answer(title, work) for title, work in figures]


def groups_for(symbol: Symbol) -> list[AccountGroup]:
    """Groups with terms of their own for the symbol."""
    return list(AccountGroup.objects.filter(symbol_overrides__symbol=symbol).distinct().order_by("name"))


def _answer(title: str, work: Callable[[], Worked]) -> Answer:
    try:
        return Answer(title, work())
    except DomainError as error:
        return Answer(title, None, error.message)


def _profit(terms: SymbolTerms, question: Question, quotes: ConversionQuotes) -> Worked:
    closed = ClosedVolume(
        side=question.side, open_price=question.open_price, close_price=question.close_price, lots=question.lots
    )
    return trading.profit(terms=terms, closed=closed, account_currency=question.account_currency, quotes=quotes)


def _margin(terms: SymbolTerms, question: Question, quotes: ConversionQuotes, leverage: Decimal) -> Worked:
    rate = Decimal(1)
    if terms.margin_currency != question.account_currency:
        is_own = (terms.base_currency, terms.profit_currency) == (terms.margin_currency, question.account_currency)
        rate = (
            question.open_price
            if is_own
            else quotes.rate(
                base=terms.margin_currency, quote=question.account_currency, side=margin_side(question.side)
            ).rate
        )
    leg = MarginLeg(side=question.side, lots=question.lots, price=question.open_price, rate=rate)
    return margin.margin_of_order(terms=terms, leg=leg, account_currency=question.account_currency, leverage=leverage)


def _pip(terms: SymbolTerms, pip_size: Decimal, question: Question, quotes: ConversionQuotes) -> Worked:
    return trading.pip_value(
        terms=terms, pip_size=pip_size, lots=question.lots, account_currency=question.account_currency,
        price=question.open_price, quotes=quotes,
    )  # fmt: skip


def _point(terms: SymbolTerms, question: Question, quotes: ConversionQuotes) -> Worked:
    return trading.point_value(
        terms=terms, lots=question.lots, account_currency=question.account_currency, price=question.open_price,
        quotes=quotes,
    )  # fmt: skip


def _spread(terms: SymbolTerms, question: Question, quote: Quote, quotes: ConversionQuotes) -> Worked:
    return trading.spread_cost(
        terms=terms, bid=quote.bid, ask=quote.ask, lots=question.lots, account_currency=question.account_currency,
        quotes=quotes,
    )  # fmt: skip
