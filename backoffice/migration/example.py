"""A small broker as a take-over package: what the documentation shows, the demo offers and the tests begin with."""

from __future__ import annotations

from pathlib import Path

from backoffice.migration.writing import write_package

SINCE = "2025-01-01T00:00:00Z"
AS_OF = "2026-06-05T20:00:00Z"
Row = dict[str, str]

EXAMPLE: dict[str, list[Row]] = {
    "symbol_groups": [{"code": "majors", "name": "Majors"}, {"code": "metals", "name": "Metals"}],
    "symbols": [
        {
            "code": "EURUSD",
            "name": "Euro / US dollar",
            "asset_class": "forex",
            "group": "majors",
            "base_asset": "EUR",
            "profit_currency": "USD",
        },
        {
            "code": "XAUUSD",
            "name": "Gold",
            "asset_class": "metal",
            "group": "metals",
            "base_asset": "XAU",
            "profit_currency": "USD",
        },
    ],
    "symbol_specs": [
        {
            "symbol": "EURUSD",
            "valid_from": SINCE,
            "digits": "5",
            "contract_size": "100000",
            "pip_size": "0.0001",
            "calculation_mode": "forex",
            "margin_currency": "EUR",
        },
        {
            "symbol": "XAUUSD",
            "valid_from": SINCE,
            "digits": "2",
            "contract_size": "100",
            "pip_size": "0.1",
            "calculation_mode": "cfd_leverage",
            "margin_currency": "USD",
        },
    ],
    "servers": [{"code": "OLD-MT5", "name": "MT5 of the old house", "platform": "mt5", "zone": "EET_US"}],
    "server_symbols": [
        {"server": "OLD-MT5", "name": "EURUSD.m", "symbol": "EURUSD"},
        {"server": "OLD-MT5", "name": "XAUUSD.m", "symbol": "XAUUSD"},
    ],
    "account_types": [{"code": "standard", "name": "Standard"}],
    "account_groups": [
        {"server": "OLD-MT5", "name": "real\\standard-usd", "account_type": "standard", "currency": "USD"},
        {"server": "OLD-MT5", "name": "real\\standard-jpy", "account_type": "standard", "currency": "JPY"},
    ],
    "clients": [
        {
            "external_id": "1001",
            "full_name": "Zoë Åkerlund",
            "email": "zoe@clients.example",
            "phone": "+46 8 123 456",
            "country": "SE",
            "language": "sv",
            "stage": "active",
            "registered_at": "2025-02-03T09:15:00+01:00",
        },
        {
            "external_id": "1002",
            "full_name": "山田 太郎",
            "email": "taro@clients.example",
            "country": "JP",
            "language": "ja",
            "stage": "funded",
            "registered_at": "2025-03-10T00:00:00Z",
        },
        {
            "external_id": "1003",
            "full_name": "Maria O'Neill",
            "country": "IE",
            "language": "en",
            "stage": "registered",
            "registered_at": "2026-01-15T12:00:00Z",
        },
    ],
    "partners": [
        {"external_id": "P1", "name": "North Introducers", "email": "north@partners.example", "currency": "USD"},
        {"external_id": "P2", "name": "East Desk", "currency": "USD"},
        {"external_id": "P3", "name": "Harbour Traders", "currency": "EUR"},
    ],
    "partner_edges": [
        {"partner": "P2", "parent": "P1", "valid_from": SINCE},
        {"partner": "P3", "parent": "P2", "valid_from": SINCE, "valid_to": "2026-03-01T00:00:00Z"},
        {"partner": "P3", "parent": "P1", "valid_from": "2026-03-01T00:00:00Z"},
    ],
    "client_referrals": [
        {"client": "1001", "partner": "P3", "valid_from": "2025-02-03T08:15:00Z"},
        {"client": "1002", "partner": "P2", "valid_from": "2025-03-10T00:00:00Z"},
    ],
    "plans": [{"code": "rebate", "name": "Rebate"}],
    "plan_versions": [
        {"plan": "rebate", "number": "1", "valid_from": SINCE, "valid_to": "2026-01-01T00:00:00Z"},
        {"plan": "rebate", "number": "2", "valid_from": "2026-01-01T00:00:00Z"},
    ],
    "plan_rules": [
        {"plan": "rebate", "number": "1", "level": "1", "amount_per_lot": "5.00", "currency": "USD"},
        {"plan": "rebate", "number": "2", "level": "1", "amount_per_lot": "6.00", "currency": "USD"},
        {"plan": "rebate", "number": "2", "level": "2", "amount_per_lot": "1.50", "currency": "USD"},
        {
            "plan": "rebate",
            "number": "2",
            "symbol_group": "metals",
            "level": "1",
            "amount_per_lot": "8.00",
            "currency": "USD",
        },
    ],
    "agreements": [
        {"partner": "P1", "plan": "rebate", "valid_from": SINCE},
        {"partner": "P2", "plan": "rebate", "valid_from": SINCE},
        {"partner": "P3", "plan": "rebate", "valid_from": SINCE},
    ],
    "accounts": [
        {
            "server": "OLD-MT5",
            "login": "500101",
            "client": "1001",
            "group": "real\\standard-usd",
            "name": "Zoë Åkerlund",
            "currency": "USD",
            "leverage": "200",
            "opened_at": "2025-02-04T10:00:00Z",
        },
        {
            "server": "OLD-MT5",
            "login": "500102",
            "client": "1002",
            "group": "real\\standard-jpy",
            "name": "山田 太郎",
            "currency": "JPY",
            "leverage": "25",
            "opened_at": "2025-03-11T10:00:00Z",
        },
    ],
    "account_dimensions": [
        {"server": "OLD-MT5", "login": "500101", "dimension": "book", "value": "A", "valid_from": SINCE},
    ],
    "deals": [
        {
            "server": "OLD-MT5",
            "login": "500101",
            "currency": "USD",
            "ticket": "9001",
            "kind": "buy",
            "entry": "in",
            "position": "9001",
            "order": "9001",
            "symbol": "EURUSD.m",
            "volume_lots": "0.50",
            "price": "1.10000",
            "time": "2026-06-03T10:00:00Z",
            "commission": "-1.75",
        },
        {
            "server": "OLD-MT5",
            "login": "500101",
            "currency": "USD",
            "ticket": "9002",
            "kind": "sell",
            "entry": "out",
            "position": "9001",
            "order": "9002",
            "symbol": "EURUSD.m",
            "volume_lots": "0.50",
            "price": "1.10400",
            "time": "2026-06-04T14:30:00Z",
            "profit": "200.00",
            "swap": "-1.20",
            "open_price": "1.10000",
            "open_time": "2026-06-03T10:00:00Z",
        },
    ],
    "opening_balances": [
        {
            "account_kind": "trading_account",
            "server": "OLD-MT5",
            "login": "500101",
            "currency": "USD",
            "amount": "12500.50",
            "business_day": "2026-06-01",
        },
        {
            "account_kind": "trading_credit",
            "server": "OLD-MT5",
            "login": "500101",
            "currency": "USD",
            "amount": "250.00",
            "business_day": "2026-06-01",
        },
        {
            "account_kind": "trading_account",
            "server": "OLD-MT5",
            "login": "500102",
            "currency": "JPY",
            "amount": "-1500",
            "business_day": "2026-06-01",
        },
        {
            "account_kind": "client_wallet",
            "client": "1003",
            "currency": "EUR",
            "amount": "75.25",
            "business_day": "2026-06-01",
        },
        {
            "account_kind": "partner_accrued",
            "partner": "P1",
            "currency": "USD",
            "amount": "310.40",
            "business_day": "2026-06-01",
        },
        {"account_kind": "bank", "currency": "USD", "amount": "20000.00", "business_day": "2026-06-01"},
    ],
}


def write_example(folder: Path, *, entity: str, json_lines: bool = False) -> Path:
    """Writes the example for a legal entity into a folder; returns its manifest."""
    return write_package(
        folder, entity=entity, contents=EXAMPLE, as_of=AS_OF, created_at="2026-06-05T20:10:00Z", json_lines=json_lines
    )
