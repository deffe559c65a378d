"""Records as the protocol writes them: JSON whose numbers are texts with fixed decimals."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from backoffice.devstack.trading_server.broker import Broker, Standing
from backoffice.devstack.trading_server.records import STATE_PLACED, Deal, Order, Position, Quote, User
from backoffice.devstack.trading_server.terms import VOLUME_UNIT, VOLUME_UNIT_EXT, GroupTerms

_USER_DETAILS = (
    "Company", "Account", "Country", "City", "State", "ZipCode", "Address", "Phone", "Email", "ID", "Status",
    "Comment", "PhonePassword", "MQID", "LeadSource", "LeadCampaign", "TradeAccounts", "LastIP",
)  # fmt: skip
_USER_NUMBERS = {"Language": "0", "ClientID": "0", "Color": "4278190080", "Agent": "0", "CertSerialNumber": "0"}


def fixed(value: Decimal, digits: int) -> str:
    """A number with exactly so many decimals."""
    return f"{value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP):f}"


def volume(lots: Decimal) -> str:
    return str(int(lots * VOLUME_UNIT))


def volume_ext(lots: Decimal) -> str:
    return str(int(lots * VOLUME_UNIT_EXT))


def user_answer(broker: Broker, user: User) -> dict[str, Any]:
    """An account's settings and balance."""
    digits = broker.group_of(user).digits
    registered = str(user.registered_msc // 1000)
    zero = fixed(Decimal(0), digits)
    answer = {
        "Login": str(user.login), "Group": user.group, "Rights": str(user.rights), "Name": user.name,
        "Leverage": str(user.leverage), "Registration": registered, "LastAccess": registered,
        "LastPassChange": registered, "Balance": fixed(user.balance, digits), "Credit": fixed(user.credit, digits),
        "InterestRate": zero, "CommissionDaily": zero, "CommissionMonthly": zero, "BalancePrevDay": zero,
        "BalancePrevMonth": zero, "EquityPrevDay": zero, "EquityPrevMonth": zero,
    }  # fmt: skip
    for name in _USER_DETAILS:
        answer[name] = user.details.get(name, "")
    for name, default in _USER_NUMBERS.items():
        answer[name] = user.details.get(name, default)
    return answer


def account_answer(user: User, standing: Standing, group: GroupTerms) -> dict[str, Any]:
    """An account's money."""
    digits = group.digits
    money = {
        "Balance": standing.balance, "Credit": standing.credit, "Margin": standing.margin, "MarginFree": standing.free,
        "Profit": standing.profit, "Storage": standing.storage, "Floating": standing.profit + standing.storage,
        "Equity": standing.equity, "MarginInitial": Decimal(0), "MarginMaintenance": Decimal(0),
        "Commission": Decimal(0), "SOEquity": Decimal(0), "SOMargin": Decimal(0), "Assets": Decimal(0),
        "Liabilities": Decimal(0), "BlockedCommission": Decimal(0), "BlockedProfit": Decimal(0),
    }  # fmt: skip
    called = standing.margin > 0 and standing.level <= group.margin_call
    return {
        "Login": str(user.login), "CurrencyDigits": str(digits), "MarginLevel": fixed(standing.level, 2),
        "MarginLeverage": str(user.leverage), "Leverage": str(user.leverage), "SOActivation": "1" if called else "0",
        "SOTime": "0", "SOLevel": "0.00", **{name: fixed(value, digits) for name, value in money.items()},
    }  # fmt: skip


def deal_answer(broker: Broker, deal: Deal) -> dict[str, Any]:
    """A booked deal."""
    digits = broker.group_of(broker.user(deal.login)).digits

    def price(value: Decimal) -> str:
        return fixed(value, max(deal.digits, -int(value.normalize().as_tuple().exponent)))

    return {
        "Deal": str(deal.ticket), "ExternalID": deal.external_id, "Login": str(deal.login), "Dealer": str(deal.dealer),
        "Order": str(deal.order), "Action": str(deal.action), "Entry": str(deal.entry), "Reason": str(deal.reason),
        "Digits": str(deal.digits), "DigitsCurrency": str(digits), "ContractSize": fixed(deal.contract_size, 8),
        "Time": str(deal.time_msc // 1000), "TimeMsc": str(deal.time_msc), "Symbol": deal.symbol,
        "Price": price(deal.price), "PriceSL": price(Decimal(0)), "PriceTP": price(Decimal(0)),
        "Volume": volume(deal.lots), "VolumeExt": volume_ext(deal.lots), "Profit": fixed(deal.profit, digits),
        "Storage": fixed(deal.storage, digits), "Commission": fixed(deal.commission, digits),
        "Fee": fixed(deal.fee, digits), "RateProfit": fixed(deal.rate_profit, 8),
        "RateMargin": fixed(deal.rate_margin, 8), "ExpertID": str(deal.expert), "PositionID": str(deal.position),
        "Comment": deal.comment, "ProfitRaw": fixed(deal.profit_raw, 8), "PricePosition": price(deal.price_position),
        "VolumeClosed": volume(deal.lots_closed), "VolumeClosedExt": volume_ext(deal.lots_closed),
        "TickValue": "0.00000", "TickSize": "0.00000", "Flags": "0", "Gateway": "", "Value": "0.00",
        "PriceGateway": price(deal.price_gateway), "MarketBid": price(deal.market_bid),
        "MarketAsk": price(deal.market_ask), "MarketLast": price(Decimal(0)), "ModifyFlags": str(deal.modify_flags),
    }  # fmt: skip


def position_answer(broker: Broker, position: Position) -> dict[str, Any]:
    """An open position with its floating result."""
    group = broker.group_of(broker.user(position.login))
    terms = broker.terms[position.symbol]
    quote = broker.quotes.get(position.symbol)
    current = position.open_price if quote is None else quote.bid if position.is_buy else quote.ask
    digits = terms.digits

    def price(value: Decimal) -> str:
        return fixed(value, max(digits, -int(value.normalize().as_tuple().exponent)))

    return {
        "Position": str(position.ticket), "ExternalID": "", "Login": str(position.login), "Dealer": "0",
        "Symbol": position.symbol, "Action": "0" if position.is_buy else "1", "Digits": str(digits),
        "DigitsCurrency": str(group.digits), "Reason": str(position.reason),
        "ContractSize": fixed(terms.contract_size, 8), "TimeCreate": str(position.opened_msc // 1000),
        "TimeUpdate": str(position.updated_msc // 1000), "TimeCreateMsc": str(position.opened_msc),
        "TimeUpdateMsc": str(position.updated_msc), "ModifyFlags": "0", "PriceOpen": price(position.open_price),
        "PriceCurrent": price(current), "PriceSL": price(position.stop_loss), "PriceTP": price(position.take_profit),
        "Volume": volume(position.lots), "VolumeExt": volume_ext(position.lots),
        "Profit": fixed(broker.floating(position), group.digits), "Storage": fixed(position.storage, group.digits),
        "RateProfit": "1.00000000", "RateMargin": fixed(position.margin_rate, 8), "ExpertID": str(position.expert),
        "ExpertPositionID": "0", "Comment": position.comment, "ActivationMode": "0", "ActivationTime": "0",
        "ActivationPrice": "0.00000", "ActivationFlags": "0",
    }  # fmt: skip


def order_answer(broker: Broker, order: Order) -> dict[str, Any]:
    """An order, working or ended."""
    terms = broker.terms.get(order.symbol)
    digits = terms.digits if terms else 5
    money_digits = broker.group_of(broker.user(order.login)).digits
    size = fixed(terms.contract_size if terms else Decimal(0), 8)
    current = order.price_filled or order.price_order
    return {
        "Order": str(order.ticket), "ExternalID": "", "Login": str(order.login), "Dealer": "0", "Symbol": order.symbol,
        "Digits": str(digits), "DigitsCurrency": str(money_digits), "ContractSize": size, "State": str(order.state),
        "Reason": str(order.reason), "TimeSetup": str(order.setup_msc // 1000), "TimeExpiration": "0",
        "TimeDone": str(order.done_msc // 1000) if order.state != STATE_PLACED else "0",
        "TimeSetupMsc": str(order.setup_msc), "TimeDoneMsc": str(order.done_msc), "ModifyFlags": "0",
        "Type": str(order.type), "TypeFill": "0", "TypeTime": "0", "PriceOrder": fixed(order.price_order, digits),
        "PriceTrigger": fixed(Decimal(0), digits), "PriceCurrent": fixed(current, digits),
        "PriceSL": fixed(order.stop_loss, digits), "PriceTP": fixed(order.take_profit, digits),
        "VolumeInitial": volume(order.lots), "VolumeInitialExt": volume_ext(order.lots),
        "VolumeCurrent": volume(order.lots_left), "VolumeCurrentExt": volume_ext(order.lots_left),
        "ExpertID": str(order.expert), "PositionID": str(order.position), "PositionByID": str(order.position_by),
        "Comment": order.comment, "ActivationMode": "0", "ActivationTime": "0", "ActivationPrice": "0.00000",
        "ActivationFlags": "0",
    }  # fmt: skip


def tick_answer(broker: Broker, quote: Quote) -> dict[str, Any]:
    """A last quote."""
    digits = broker.terms[quote.symbol].digits
    return {
        "Symbol": quote.symbol, "Digits": str(digits), "Bid": fixed(quote.bid, digits), "Ask": fixed(quote.ask, digits),
        "Last": fixed(Decimal(0), digits), "Volume": "0", "VolumeReal": "0.00",
        "Datetime": str(quote.time_msc // 1000), "DatetimeMsc": str(quote.time_msc),
    }  # fmt: skip
