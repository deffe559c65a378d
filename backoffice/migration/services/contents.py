"""What the rows of each content become: which model, which fields, and which of its facts a later package may change.

Rows of other desks are written through their models, found by name: no desk lends its models to an import.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.services import outbox
from backoffice.kernel import clock
from backoffice.migration.formats import Row, specification_values
from backoffice.migration.services.targets import DatedTarget, Ids, Run, Target
from backoffice.migration.staging import SEPARATOR
from funding.ledger.services.accounts import get_accounts_bulk
from ib.services.partners import account_specs
from platform_ops.events import ACCOUNT_ASSIGNED, SYMBOL_MAPPED
from platform_ops.rules.specifications import FIELDS
from platform_ops.services.specifications import read_specification

PLACES_OF_A_LEVEL = 10_000
"""Positions that the rules of one level take up: one for each symbol group, and the last one for all symbols."""


def moment(text: str) -> datetime | None:
    """A staged moment."""
    return datetime.fromisoformat(text) if text else None


def _validity(row: Row) -> DateTimeTZRange:
    return DateTimeTZRange(moment(row["valid_from"]), moment(row["valid_to"]), "[)")


def _number(text: str) -> Decimal:
    return Decimal(text)


def _whole(text: str) -> int | None:
    return int(text) if text else None


def _id(ids: Ids, content: str, *parts: str) -> int | None:
    return ids.get(content, {}).get(SEPARATOR.join(parts))


def _symbol_group(run: Run, row: Row, ids: Ids) -> dict[str, Any]:
    return {"code": row["code"], "name": row["name"]}


def _symbol(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    group = _id(ids, "symbol_groups", row["group"])
    if group is None:
        return None
    names = ("code", "name", "asset_class", "base_asset", "profit_currency")
    return {**{name: row[name] for name in names}, "group_id": group}


def _specification(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    symbol = _id(ids, "symbols", row["symbol"])
    if symbol is None:
        return None
    terms = read_specification(specification_values(row))
    return {
        "symbol_id": symbol,
        "validity": _validity(row),
        **{name: getattr(terms, name) for name in FIELDS},
    }


def _server(run: Run, row: Row, ids: Ids) -> dict[str, Any]:
    return {"entity_id": run.entity_id, **{name: row[name] for name in ("code", "name", "platform", "zone")}}


def _server_symbol(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    server, symbol = _id(ids, "servers", row["server"]), _id(ids, "symbols", row["symbol"])
    if server is None or (row["symbol"] and symbol is None):
        return None
    values: dict[str, Any] = {"server_id": server, "name": row["name"]}
    if symbol is not None:
        values |= {"symbol_id": symbol, "mapped_by": f"package {run.package.digest[:12]}", "mapped_at": clock.now()}
    return values


def _symbol_was_mapped(run: Run, server_symbol: Any, differences: dict[str, Any]) -> None:
    if "symbol_id" in differences:
        outbox.publish(
            topic=SYMBOL_MAPPED,
            payload={"server_symbol_id": server_symbol.pk},
            shard_key=f"server:{server_symbol.server_id}",
        )


def _account_type(run: Run, row: Row, ids: Ids) -> dict[str, Any]:
    return {"entity_id": run.entity_id, "code": row["code"], "name": row["name"]}


def _account_group(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    server, offer = _id(ids, "servers", row["server"]), _id(ids, "account_types", row["account_type"])
    if server is None or (row["account_type"] and offer is None):
        return None
    return {"server_id": server, "name": row["name"], "account_type_id": offer, "currency": row["currency"]}


def _brand(run: Run, row: Row, ids: Ids) -> int | None:
    if row["brand"]:
        return _id(ids, "brands", row["brand"])
    if not run.only_brand:
        brands = apps.get_model("core.Brand")._default_manager.filter(entity_id=run.entity_id)
        found = list(brands.values_list("pk", flat=True)[:2])
        run.only_brand.append(int(found[0]) if len(found) == 1 else None)
    return run.only_brand[0]


def _client(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    brand = _brand(run, row, ids)
    if brand is None:
        return None
    names = ("full_name", "email", "phone", "country", "language", "stage")
    return {
        **{name: row[name] for name in names},
        "entity_id": run.entity_id,
        "brand_id": brand,
        "team_id": _id(ids, "teams", row["team"]),
        "owner_id": _id(ids, "staff", row["owner"]),
        "registered_at": moment(row["registered_at"]),
    }


def _partner(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    brand = _brand(run, row, ids)
    if brand is None:
        return None
    names = ("name", "email", "country", "currency", "status")
    return {**{name: row[name] for name in names}, "entity_id": run.entity_id, "brand_id": brand}


def _number_clients(run: Run, clients: list[Any]) -> None:
    for client, serial in zip(clients, _serials("crm_client_reference", len(clients)), strict=True):
        client.reference = f"C-{serial:06d}"


def _number_partners(run: Run, partners: list[Any]) -> None:
    for partner, serial in zip(partners, _serials("ib_partner_reference", len(partners)), strict=True):
        partner.reference = f"IB-{serial:04d}"


def _serials(sequence: str, count: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(%s::regclass) FROM generate_series(1, %s)", [sequence, count])
        return [row[0] for row in cursor.fetchall()]


def _open_partner_accounts(run: Run, partners: list[Any]) -> None:
    get_accounts_bulk(specs=[spec for partner in partners for spec in account_specs(partner)])


def _edge(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    child, parent = _id(ids, "partners", row["partner"]), _id(ids, "partners", row["parent"])
    if child is None or parent is None:
        return None
    return {"child_id": child, "parent_id": parent, "validity": _validity(row)}


def _referral(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    client, partner = _id(ids, "clients", row["client"]), _id(ids, "partners", row["partner"])
    if client is None or partner is None:
        return None
    return {"client_id": client, "partner_id": partner, "validity": _validity(row)}


def _plan(run: Run, row: Row, ids: Ids) -> dict[str, Any]:
    return {"entity_id": run.entity_id, "code": row["code"], "name": row["name"]}


def _plan_version(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    plan = _id(ids, "plans", row["plan"])
    if plan is None:
        return None
    return {
        "plan_id": plan,
        "number": int(row["number"]),
        "state": "published",
        "validity": _validity(row),
    }


def _rule(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    version = _id(ids, "plan_versions", row["plan"], row["number"])
    group = _id(ids, "symbol_groups", row["symbol_group"])
    if version is None or (row["symbol_group"] and group is None):
        return None
    return {
        "version_id": version,
        "basis": "per_lot",
        "position": _place_of_rule(int(row["level"]), group),
        "pays_close_by": True,
        "symbol_group_id": group,
        "level": int(row["level"]),
        "rate": _number(row["amount_per_lot"]),
        "currency": row["currency"],
    }


def _place_of_rule(level: int, group: int | None) -> int:
    """Rules for a symbol group come before the one for all symbols, whatever the order of the file."""
    return level * PLACES_OF_A_LEVEL + (PLACES_OF_A_LEVEL - 1 if group is None else group % (PLACES_OF_A_LEVEL - 1))


def _agreement(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    partner, plan = _id(ids, "partners", row["partner"]), _id(ids, "plans", row["plan"])
    if partner is None or plan is None:
        return None
    return {"partner_id": partner, "plan_id": plan, "validity": _validity(row)}


def _account(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    server, client = _id(ids, "servers", row["server"]), _id(ids, "clients", row["client"])
    group = _id(ids, "account_groups", row["server"], row["group"])
    offer = _id(ids, "account_types", row["account_type"])
    wanting = (row["client"] and client is None, row["group"] and group is None, row["account_type"] and offer is None)
    if server is None or any(wanting):
        return None
    if offer is None and group is not None:
        if group not in run.account_types:
            groups = apps.get_model("platform_ops.AccountGroup")._default_manager
            run.account_types[group] = groups.values_list("account_type_id", flat=True).get(pk=group)
        offer = run.account_types[group]
    values = {
        "server_id": server,
        "login": row["login"],
        "group_id": group,
        "account_type_id": offer,
        "name": row["name"],
        "currency": row["currency"],
        "leverage": _whole(row["leverage"]),
        "position_mode": row["position_mode"],
        "status": row["status"],
        "is_demo": row["is_demo"] == "yes",
        "opened_at": moment(row["opened_at"]),
    }
    return values if client is None else {**values, "client_id": client}


def _account_was_assigned(run: Run, account: Any, differences: dict[str, Any]) -> None:
    if "client_id" in differences:
        outbox.publish(topic=ACCOUNT_ASSIGNED, payload={"account_id": account.pk}, shard_key=f"account:{account.pk}")


def _dimension(run: Run, row: Row, ids: Ids) -> dict[str, Any] | None:
    account = _id(ids, "accounts", row["server"], row["login"])
    if account is None:
        return None
    return {
        "account_id": account,
        "dimension": row["dimension"],
        "value": row["value"],
        "validity": _validity(row),
    }


TARGETS: dict[str, Target] = {
    "symbol_groups": Target("platform_ops.SymbolGroup", _symbol_group),
    "symbols": Target(
        "platform_ops.Symbol",
        _symbol,
        frozen=frozenset({"asset_class", "group_id", "base_asset", "profit_currency"}),
    ),
    "servers": Target("platform_ops.TradingServer", _server, frozen=frozenset({"platform", "zone"})),
    "server_symbols": Target(
        "platform_ops.ServerSymbol",
        _server_symbol,
        once=frozenset({"symbol_id"}),
        ignored=frozenset({"mapped_by", "mapped_at"}),
        updated=_symbol_was_mapped,
    ),
    "account_types": Target("platform_ops.AccountType", _account_type),
    "account_groups": Target("platform_ops.AccountGroup", _account_group, frozen=frozenset({"currency"})),
    "clients": Target(
        "crm.Client",
        _client,
        frozen=frozenset({"brand_id", "registered_at"}),
        is_keyed=True,
        prepare=_number_clients,
    ),
    "partners": Target(
        "ib.Partner",
        _partner,
        frozen=frozenset({"brand_id", "currency"}),
        is_keyed=True,
        final=("status", "closed"),
        prepare=_number_partners,
        created=_open_partner_accounts,
    ),
    "plans": Target("ib.Plan", _plan),
    "plan_rules": Target("ib.PlanRule", _rule, frozen=frozenset({"rate", "currency"})),
    "accounts": Target(
        "platform_ops.TradingAccount",
        _account,
        frozen=frozenset({"currency", "position_mode", "is_demo", "opened_at"}),
        once=frozenset({"client_id"}),
        updated=_account_was_assigned,
    ),
}
DATED: dict[str, DatedTarget] = {
    "symbol_specs": DatedTarget("platform_ops.SymbolSpec", _specification, ("symbol_id",)),
    "partner_edges": DatedTarget("ib.PartnerEdge", _edge, ("child_id",)),
    "client_referrals": DatedTarget("ib.ClientReferral", _referral, ("client_id",)),
    "plan_versions": DatedTarget("ib.PlanVersion", _plan_version, ("plan_id",)),
    "agreements": DatedTarget("ib.Agreement", _agreement, ("partner_id",)),
    "account_dimensions": DatedTarget("platform_ops.AccountDimension", _dimension, ("account_id", "dimension")),
}
