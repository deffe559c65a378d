"""Symbols and groups as the server's administrators configure them.

The truth is the configuration as it travels: names and texts of the protocol. `SymbolTerms` and `GroupTerms` are typed
views of it, made once for each change; a configuration that cannot be read is refused, naming the field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from backoffice.devstack.trading_server.retcodes import PARAMETERS, Refused

VOLUME_UNIT = Decimal(10_000)
VOLUME_UNIT_EXT = Decimal(100_000_000)
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
ALWAYS_OPEN = [[], *([[{"Open": "0", "Close": "1440"}]] * 5), []]
MARGIN_HEDGE_BY_LARGER_LEG = 4
PROFIT_BY_MARKET = 1
SWAP_CONSIDERS_HOLIDAYS = 1
NETTING_MODES = frozenset({0, 1})
HEDGING_MODE = 2
SO_COMPENSATES = 0x40
SO_FULLY_HEDGED = 0x80
SO_WITHDRAWS_CREDIT = 0x800
CALCULATION_MODES = frozenset({0, 1, 2, 3, 4, 5, 32, 33, 64})
CURRENCY_DIGITS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "BHD": 3, "KWD": 3, "JOD": 3, "OMR": 3, "TND": 3, "BTC": 8}

_SYMBOL_DEFAULTS: dict[str, Any] = {
    "Symbol": "", "Path": "", "ISIN": "", "Description": "", "International": "", "Basis": "", "Source": "",
    "Page": "", "CurrencyBase": "EUR", "CurrencyProfit": "USD", "CurrencyMargin": "EUR", "Color": "4278190080",
    "ColorBackground": "4278190080", "Digits": "5", "Multiply": "100000.00000000", "TickFlags": "1",
    "TickBookDepth": "0", "TickChartMode": "0", "FilterSoft": "0", "FilterSoftTicks": "0", "FilterHard": "0",
    "FilterHardTicks": "0", "FilterDiscard": "0", "FilterSpreadMax": "0", "FilterSpreadMin": "0", "FilterGap": "0",
    "FilterGapTicks": "0", "TradeMode": "4", "TradeFlags": "2", "CalcMode": "0", "ExecMode": "2", "GTCMode": "0",
    "FillFlags": "3", "ExpirFlags": "15", "OrderFlags": "127", "Spread": "0", "SpreadBalance": "0", "SpreadDiff": "0",
    "SpreadDiffBalance": "0", "TickValue": "0.00000", "TickSize": "0.00000", "ContractSize": "100000.00000000",
    "StopsLevel": "0", "FreezeLevel": "0", "QuotesTimeout": "0", "VolumeMin": "100", "VolumeMax": "1000000",
    "VolumeStep": "100", "VolumeLimit": "0", "MarginFlags": "0", "MarginInitial": "0.00000000",
    "MarginMaintenance": "0.00000000", "MarginInitialBuy": "1.00000000", "MarginInitialSell": "1.00000000",
    "MarginInitialBuyLimit": "0.00000000", "MarginInitialSellLimit": "0.00000000",
    "MarginInitialBuyStop": "0.00000000", "MarginInitialSellStop": "0.00000000",
    "MarginInitialBuyStopLimit": "0.00000000", "MarginInitialSellStopLimit": "0.00000000",
    "MarginMaintenanceBuy": "1.00000000", "MarginMaintenanceSell": "1.00000000",
    "MarginMaintenanceBuyLimit": "0.00000000", "MarginMaintenanceSellLimit": "0.00000000",
    "MarginMaintenanceBuyStop": "0.00000000", "MarginMaintenanceSellStop": "0.00000000",
    "MarginMaintenanceBuyStopLimit": "0.00000000", "MarginMaintenanceSellStopLimit": "0.00000000",
    "MarginLiquidity": "0.00000000", "MarginHedged": "0.00000000", "MarginCurrency": "0.00000000", "SwapMode": "1",
    "SwapLong": "0.00000000", "SwapShort": "0.00000000", "Swap3Day": "3", "SwapYearDays": "360", "SwapFlags": "0",
    "TimeStart": "0", "TimeExpiration": "0", "SessionsQuotes": ALWAYS_OPEN, "SessionsTrades": ALWAYS_OPEN,
    "REFlags": "0", "RETimeout": "0", "IECheckMode": "0", "IETimeout": "7", "IESlipProfit": "2", "IESlipLosing": "2",
    "IEVolumeMax": "0", "PriceSettle": "0.00000", "PriceLimitMax": "0.00000", "PriceLimitMin": "0.00000",
    "PriceStrike": "0.00000", "OptionMode": "0", "FaceValue": "0.00000000", "AccruedInterest": "0.00000000",
    "SpliceType": "0", "SpliceTimeType": "0", "SpliceTimeDays": "0", "IEFlags": "0", "Category": "", "Exchange": "",
    "CFI": "", "Sector": "0", "Industry": "0", "Country": "", "SubscriptionsDelay": "15",
}  # fmt: skip
_VOLUMES = ("VolumeMin", "VolumeMax", "VolumeStep", "VolumeLimit", "IEVolumeMax")
_GROUP_DEFAULTS: dict[str, Any] = {
    "Group": "", "Server": "1", "PermissionsFlags": "2", "AuthMode": "0", "AuthPasswordMin": "8", "AuthOTPMode": "0",
    "Company": "", "CompanyPage": "", "CompanyEmail": "", "CompanySupportPage": "", "CompanySupportEmail": "",
    "CompanyCatalog": "", "Currency": "USD", "CurrencyDigits": "2", "ReportsMode": "0", "ReportsFlags": "0",
    "ReportsSMTP": "", "ReportsSMTPLogin": "", "NewsMode": "2", "NewsCategory": "", "MailMode": "1",
    "TradeFlags": "64", "TradeInterestrate": "0.00", "TradeVirtualCredit": "0.00", "TradeTransferMode": "0",
    "MarginMode": "2", "MarginFlags": "0", "MarginSOMode": "0", "MarginFreeMode": "1", "MarginFreeProfitMode": "0",
    "MarginCall": "100.00", "MarginStopOut": "50.00", "DemoLeverage": "0", "DemoDeposit": "0.00", "LimitHistory": "0",
    "LimitOrders": "0", "LimitSymbols": "0", "LimitPositions": "0", "Commissions": [], "Symbols": [],
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolTerms:
    """How a symbol trades; volumes in lots, `margin_*` in units of the margin currency."""

    name: str
    digits: int
    base: str
    profit_currency: str
    margin_currency: str
    calculation: int
    contract_size: Decimal
    tick_size: Decimal
    tick_value: Decimal
    trade_mode: int
    profit_by_market: bool
    lots_minimum: Decimal
    lots_maximum: Decimal
    lots_step: Decimal
    lots_limit: Decimal
    margin_initial: Decimal
    margin_maintenance: Decimal
    margin_hedged: Decimal
    margin_rate_buy: Decimal
    margin_rate_sell: Decimal
    by_larger_leg: bool
    swap_mode: int
    swap_long: Decimal
    swap_short: Decimal
    swap_multipliers: tuple[Decimal, ...]
    swap_year_days: int

    @property
    def point(self) -> Decimal:
        return Decimal(1).scaleb(-self.digits)

    @property
    def profit_digits(self) -> int:
        return currency_digits(self.profit_currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTerms:
    """How the accounts of a group are kept; `commission_per_lot` is money per lot and deal."""

    name: str
    server: int
    currency: str
    digits: int
    is_hedging: bool
    margin_call: Decimal
    stop_out: Decimal
    compensates: bool
    withdraws_credit: bool
    stops_out_hedged: bool
    commission_per_lot: Decimal


def currency_digits(code: str) -> int:
    """How many decimals an amount of the currency has."""
    return CURRENCY_DIGITS.get(code, 2)


def symbol_configuration(given: Mapping[str, Any], earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The whole configuration of a symbol: what is given, over what it was, over what a new one has."""
    given = _renamed(given, _SYMBOL_NAMES)
    whole = {**_SYMBOL_DEFAULTS, **(earlier or {}), **_texts(given)}
    if "OptionsMode" in whole:
        whole["OptionMode"] = whole.pop("OptionsMode")
    for name in _VOLUMES:
        if f"{name}Ext" in given:
            whole[name] = str(_integer(whole, f"{name}Ext") // 10_000)
        else:
            whole[f"{name}Ext"] = str(_integer(whole, name) * 10_000)
    digits = _integer(whole, "Digits")
    whole["Point"] = f"{Decimal(1).scaleb(-digits):f}"
    whole["Multiply"] = f"{Decimal(1).scaleb(digits):f}"
    for name in ("Base", "Profit", "Margin"):
        whole[f"Currency{name}Digits"] = str(currency_digits(str(whole[f"Currency{name}"])))
    rates = [f"SwapRate{day}" for day in WEEKDAYS]
    if not any(name in given for name in rates) and ("Swap3Day" in given or rates[0] not in whole):
        triple = _integer(whole, "Swap3Day")
        for number, name in enumerate(rates):
            whole[name] = "0.00" if number in (0, 6) else "3.00" if number == triple else "1.00"
    return {name: _with_decimals(name, value) for name, value in whole.items()}


def _with_decimals(name: str, value: Any) -> Any:
    """A number as the server writes it, with the decimals that the field always has."""
    default = "0.00" if name.startswith("SwapRate") else _SYMBOL_DEFAULTS.get(name)
    if not isinstance(default, str) or "." not in default:
        return value
    number = _number({name: value}, name)
    decimals = max(len(default.partition(".")[2]), -int(number.normalize().as_tuple().exponent))
    return f"{number:.{decimals}f}"


def symbol_terms(whole: Mapping[str, Any]) -> SymbolTerms:
    """The typed view of a symbol. Raises Refused, naming the field."""
    terms = SymbolTerms(
        name=_name(whole, "Symbol", 32),
        digits=_integer(whole, "Digits"),
        base=str(whole["CurrencyBase"]),
        profit_currency=str(whole["CurrencyProfit"]),
        margin_currency=str(whole["CurrencyMargin"]),
        calculation=_integer(whole, "CalcMode"),
        contract_size=_number(whole, "ContractSize"),
        tick_size=_number(whole, "TickSize"),
        tick_value=_number(whole, "TickValue"),
        trade_mode=_integer(whole, "TradeMode"),
        profit_by_market=bool(_integer(whole, "TradeFlags") & PROFIT_BY_MARKET),
        lots_minimum=_number(whole, "VolumeMinExt") / VOLUME_UNIT_EXT,
        lots_maximum=_number(whole, "VolumeMaxExt") / VOLUME_UNIT_EXT,
        lots_step=_number(whole, "VolumeStepExt") / VOLUME_UNIT_EXT,
        lots_limit=_number(whole, "VolumeLimitExt") / VOLUME_UNIT_EXT,
        margin_initial=_number(whole, "MarginInitial"),
        margin_maintenance=_number(whole, "MarginMaintenance"),
        margin_hedged=_number(whole, "MarginHedged"),
        margin_rate_buy=_number(whole, "MarginInitialBuy"),
        margin_rate_sell=_number(whole, "MarginInitialSell"),
        by_larger_leg=bool(_integer(whole, "MarginFlags") & MARGIN_HEDGE_BY_LARGER_LEG),
        swap_mode=_integer(whole, "SwapMode"),
        swap_long=_number(whole, "SwapLong"),
        swap_short=_number(whole, "SwapShort"),
        swap_multipliers=tuple(_number(whole, f"SwapRate{day}") for day in WEEKDAYS),
        swap_year_days=_integer(whole, "SwapYearDays"),
    )
    if terms.calculation not in CALCULATION_MODES:
        raise Refused(PARAMETERS, f"Invalid parameters: CalcMode {terms.calculation}")
    if not 0 <= terms.digits <= 8:
        raise Refused(PARAMETERS, f"Invalid parameters: Digits {terms.digits}")
    return terms


def checked_symbol(whole: Mapping[str, Any]) -> SymbolTerms:
    """The typed view of a symbol that an administrator may save: one that can be traded on."""
    terms = symbol_terms(whole)
    for name, value in (("ContractSize", terms.contract_size), ("VolumeStep", terms.lots_step)):
        if value <= 0:
            raise Refused(PARAMETERS, f"Invalid parameters: {name} {value}")
    return terms


def group_configuration(given: Mapping[str, Any], earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The whole configuration of a group."""
    whole = {**_GROUP_DEFAULTS, **(earlier or {}), **_texts(_renamed(given, _GROUP_NAMES))}
    if "CurrencyDigits" not in given:
        whole["CurrencyDigits"] = str(currency_digits(str(whole["Currency"])))
    return whole


def group_terms(whole: Mapping[str, Any]) -> GroupTerms:
    """The typed view of a group. Raises Refused, naming the field."""
    flags = _integer(whole, "TradeFlags")
    commissions = whole["Commissions"]
    per_lot = Decimal(str(commissions[0].get("Value", "0"))) if commissions else Decimal(0)
    return GroupTerms(
        name=_name(whole, "Group", 64),
        server=_integer(whole, "Server"),
        currency=str(whole["Currency"]),
        digits=_integer(whole, "CurrencyDigits"),
        is_hedging=_integer(whole, "MarginMode") == HEDGING_MODE,
        margin_call=_number(whole, "MarginCall"),
        stop_out=_number(whole, "MarginStopOut"),
        compensates=bool(flags & SO_COMPENSATES),
        withdraws_credit=bool(flags & SO_WITHDRAWS_CREDIT),
        stops_out_hedged=bool(flags & SO_FULLY_HEDGED),
        commission_per_lot=per_lot,
    )


def parse_extension(text: str) -> dict[str, Any]:
    """The JSON object behind a command line. Raises Refused."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Refused(PARAMETERS, "Invalid parameters: the body is not JSON") from error
    if not isinstance(found, dict):
        raise Refused(PARAMETERS, "Invalid parameters: the body is not a JSON object")
    return found


_SYMBOL_NAMES = {name.lower(): name for name in _SYMBOL_DEFAULTS} | {
    name.lower(): name
    for name in (*(f"SwapRate{day}" for day in WEEKDAYS), *(f"{volume}Ext" for volume in _VOLUMES), "OptionsMode")
}
_GROUP_NAMES = {name.lower(): name for name in _GROUP_DEFAULTS}


def _renamed(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Command-line parameters come in capitals; the configuration has its own spelling."""
    return {names.get(name.lower(), name): value for name, value in given.items()}


def _texts(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, list) else str(value) for name, value in given.items()}


def _name(whole: Mapping[str, Any], field: str, longest: int) -> str:
    value = str(whole[field])
    if not value or len(value) > longest:
        raise Refused(PARAMETERS, f"Invalid parameters: {field}")
    return value


def _number(whole: Mapping[str, Any], field: str) -> Decimal:
    try:
        value = Decimal(str(whole[field]))
    except (InvalidOperation, KeyError) as error:
        raise Refused(PARAMETERS, f"Invalid parameters: {field}") from error
    if not value.is_finite():
        raise Refused(PARAMETERS, f"Invalid parameters: {field}")
    return value


def _integer(whole: Mapping[str, Any], field: str) -> int:
    value = _number(whole, field)
    if value != int(value):
        raise Refused(PARAMETERS, f"Invalid parameters: {field}")
    return int(value)
