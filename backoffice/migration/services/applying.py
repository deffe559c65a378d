"""Writing staged rows: what is new is created, what says the same is left alone, what differs is updated or refused.

One engine for all contents; each says which model it becomes, how a row is found again, and which of its facts a later
package may change. Rows of other desks are written through their models, found by name: no desk lends its models to an
import. Policies are the desks' own: no dated row, published rule, currency or owner is ever rewritten by a file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import DatabaseError, OperationalError, connection, models, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.services import outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.migration.formats import CONTENTS, Row, specification_values
from backoffice.migration.models import MigrationKey, MigrationPackage
from backoffice.migration.staging import SEPARATOR, ids_of, mark_bad, staged_chunks
from backoffice.migration.types import FileCounts, Problems
from funding.ledger.services.accounts import get_accounts_bulk
from ib.services.partners import account_specs
from platform_ops.events import ACCOUNT_ASSIGNED, SYMBOL_MAPPED
from platform_ops.rules.specifications import FIELDS
from platform_ops.services.specifications import read_specification

WRITE_ROWS = 1_000
"""Rows of one INSERT or UPDATE."""

Ids = dict[str, dict[str, int]]
"""Ids by content and key, of what the rows of a chunk refer to."""


@dataclass(slots=True)
class Run:
    """One application of a package, kept or rolled back."""

    entity_id: int
    package: MigrationPackage
    actor: Actor
    problems: Problems
    counts: dict[str, FileCounts]
    created_versions: dict[int, Any] = field(default_factory=dict)
    """Plan versions of this package, which are published once their rules are in."""
    progress: Callable[[str, int], None] = lambda content, rows: None
    only_brand: list[int | None] = field(default_factory=list)
    """The entity's brand where it has exactly one; asked once."""
    account_types: dict[int, int | None] = field(default_factory=dict)
    """Account types of groups; each asked once."""

    def refuse(self, content: str, row: int, code: str, message: str, mend: str, *, name: str, value: object) -> None:
        """Notes a row that contradicts what the back office holds."""
        self.counts[content].refused += 1
        self.problems.add(self.counts[content].file, code, message, mend, row=row, field=name, value=value)
        mark_bad(content, [row])


@dataclass(frozen=True, slots=True)
class Target:
    """What the rows of a content become."""

    model: str
    values: Callable[[Run, Row, Ids], dict[str, Any] | None]
    """The fields of the row; None when something that it refers to was refused."""
    frozen: frozenset[str] = frozenset()
    """Fields that a repeat may not change."""
    once: frozenset[str] = frozenset()
    """Fields that a repeat may fill while they are empty."""
    ignored: frozenset[str] = frozenset()
    """Fields that are written once and not compared."""
    is_keyed: bool = False
    """Whether the external id is the only way to find the row again."""
    final: tuple[str, str] | None = None
    """A field and the value that it never leaves again."""
    prepare: Callable[[Run, list[models.Model]], None] | None = None
    created: Callable[[Run, list[models.Model]], None] | None = None
    updated: Callable[[Run, models.Model, dict[str, Any]], None] | None = None


@dataclass(frozen=True, slots=True)
class DatedTarget:
    """What the rows of a dated content become: never changed, only added where nothing stands."""

    model: str
    values: Callable[[Run, Row, Ids], dict[str, Any] | None]
    owner: tuple[str, ...]
    """Fields of which one combination has one row at a time."""


def apply_content(run: Run, content: str) -> None:
    """Writes the rows of a content."""
    if content in DATED:
        for chunk in staged_chunks(content):
            _apply_dated(run, content, DATED[content], chunk)
            run.progress(content, chunk[-1][0])
        return
    for chunk in staged_chunks(content):
        _apply_chunk(run, content, TARGETS[content], chunk)
        run.progress(content, chunk[-1][0])


def _references(run: Run, content: str, chunk: Sequence[tuple[int, str, Row]]) -> Ids:
    wanted: dict[str, set[str]] = defaultdict(set)
    for reference in CONTENTS[content].references:
        for _, _, row in chunk:
            if all(row[column] for column in reference.columns):
                wanted[reference.content].add(SEPARATOR.join(row[column] for column in reference.columns))
    return {name: ids_of(name, keys, run.entity_id) for name, keys in wanted.items()}


def _apply_chunk(run: Run, content: str, target: Target, chunk: Sequence[tuple[int, str, Row]]) -> None:
    model = apps.get_model(target.model)
    counts = run.counts[content]
    ids = _references(run, content, chunk)
    known_ids = _known(run, content, chunk, ids)
    known = model._default_manager.in_bulk(list(known_ids.values()))
    new: list[tuple[str, models.Model]] = []
    changed: list[models.Model] = []
    names: set[str] = set()
    for number, key, row in chunk:
        values = target.values(run, row, ids)
        if values is None:
            counts.refused += 1
            continue
        standing = known.get(known_ids.get(key, 0))
        if standing is None:
            if _may_create(run, content, number, values):
                new.append((key, model(**values)))
            continue
        differences = _differences(run, content, number, standing, values, target)
        if differences is None:
            continue
        if not differences:
            counts.unchanged += 1
            continue
        for name, value in differences.items():
            setattr(standing, name, value)
        if target.updated is not None:
            target.updated(run, standing, differences)
        changed.append(standing)
        names.update(differences)
        counts.updated += 1
    _create(run, content, target, model, new)
    if changed:
        model._default_manager.bulk_update(changed, sorted(names), batch_size=WRITE_ROWS)


def _known(run: Run, content: str, chunk: Sequence[tuple[int, str, Row]], ids: Ids) -> dict[str, int]:
    if content == "plan_rules":
        return _known_rules(chunk, ids)
    return ids_of(content, {key for _, key, _ in chunk}, run.entity_id)


def _known_rules(chunk: Sequence[tuple[int, str, Row]], ids: Ids) -> dict[str, int]:
    versions = ids.get("plan_versions", {})
    rules = apps.get_model("ib.PlanRule")._default_manager.filter(version_id__in=versions.values())
    standing: dict[tuple[int | None, int | None, int], int] = {
        (version, group, level): pk
        for pk, version, group, level in rules.values_list("pk", "version_id", "symbol_group_id", "level")
    }
    found = {}
    for _, key, row in chunk:
        version = versions.get(SEPARATOR.join((row["plan"], row["number"])))
        group = ids.get("symbol_groups", {}).get(row["symbol_group"])
        pk = standing.get((version, group, int(row["level"])))
        if pk is not None:
            found[key] = pk
    return found


def _may_create(run: Run, content: str, number: int, values: dict[str, Any]) -> bool:
    if content == "plan_rules" and values["version_id"] not in run.created_versions:
        run.refuse(
            content,
            number,
            "published_version",
            "The version is published and takes no further rule.",
            "Give the plan a new version.",
            name="number",
            value=values["level"],
        )
        return False
    return True


def _differences(
    run: Run, content: str, number: int, standing: models.Model, values: dict[str, Any], target: Target
) -> dict[str, Any] | None:
    """What the row would change; None when it would change what must stand (which is noted)."""
    different = {
        name: value for name, value in values.items() if name not in target.ignored and getattr(standing, name) != value
    }
    for name in sorted(different):
        held = getattr(standing, name)
        is_set = name in target.once and held not in (None, "")
        if name in target.frozen or is_set or (name, held) == target.final:
            run.refuse(
                content,
                number,
                "would_rewrite",
                f"The back office holds {held!s} as {name.removesuffix('_id')}, and a package does not change that.",
                "Correct the file, or make the change on the desk, where it is dated and approved.",
                name=name.removesuffix("_id"),
                value=different[name],
            )
            return None
    return different


def _create(
    run: Run, content: str, target: Target, model: type[models.Model], new: list[tuple[str, models.Model]]
) -> None:
    if not new:
        return
    rows = [row for _, row in new]
    if target.prepare is not None:
        target.prepare(run, rows)
    if not _written(run, content, model, rows):
        return
    if target.is_keyed:
        MigrationKey.objects.bulk_create(
            [
                MigrationKey(
                    entity_id=run.entity_id, content=content, external_id=key, object_id=row.pk, package=run.package
                )
                for key, row in new
            ],
            batch_size=WRITE_ROWS,
        )
    if target.created is not None:
        target.created(run, rows)
    run.counts[content].created += len(rows)


def _written(run: Run, content: str, model: type[models.Model], rows: list[models.Model]) -> bool:
    """Inserts rows; what the database refuses, such as a code that another legal entity uses, becomes a problem."""
    try:
        with transaction.atomic():
            model._default_manager.bulk_create(rows, batch_size=WRITE_ROWS)
    except OperationalError:
        raise
    except DatabaseError as error:
        diagnosis = getattr(error.__cause__, "diag", None)
        said = getattr(diagnosis, "message_detail", None) or getattr(diagnosis, "message_primary", None) or str(error)
        run.counts[content].refused += len(rows)
        run.problems.add(
            run.counts[content].file,
            "refused_by_the_database",
            f"The database refused rows of this file: {said}",
            "The name is used by something else, or the row contradicts one that stands. Change it in the file.",
        )
        return False
    return True


def _apply_dated(run: Run, content: str, target: DatedTarget, chunk: Sequence[tuple[int, str, Row]]) -> None:
    model = apps.get_model(target.model)
    counts = run.counts[content]
    ids = _references(run, content, chunk)
    built = [(number, target.values(run, row, ids)) for number, _, row in chunk]
    first = target.owner[0]
    owners = {values[first] for _, values in built if values is not None}
    standing: dict[tuple[Any, ...], list[models.Model]] = defaultdict(list)
    for held in model._default_manager.filter(**{f"{first}__in": owners}):
        standing[tuple(getattr(held, name) for name in target.owner)].append(held)
    new: list[models.Model] = []
    for number, values in built:
        if values is None:
            counts.refused += 1
            continue
        verdict = _dated_verdict(standing[tuple(values[name] for name in target.owner)], values)
        if verdict == "same":
            counts.unchanged += 1
        elif verdict == "new":
            new.append(model(**values))
        else:
            run.refuse(
                content,
                number,
                verdict,
                "The back office holds another row for this time, and dated rows are not rewritten by a package.",
                "Correct the file, or make the change on the desk, from a moment on.",
                name="valid_from",
                value=values["validity"].lower,
            )
    drafts = [_drafted(version) for version in new] if content == "plan_versions" else []
    if new and _written(run, content, model, new):
        if content == "plan_versions":
            run.created_versions.update({version.pk: validity for version, validity in zip(new, drafts, strict=True)})
        counts.created += len(new)


def _drafted(version: Any) -> Any:
    """Makes the version a draft until its rules are in, because a published one takes none; its validity."""
    validity = version.validity
    version.state, version.validity, version.published_at, version.published_by = "draft", None, None, ""
    return validity


def publish_versions(run: Run) -> None:
    """Publishes the versions of the package, whose rules are all in."""
    versions = list(apps.get_model("ib.PlanVersion")._default_manager.filter(pk__in=run.created_versions))
    for version in versions:
        version.state, version.validity = "published", run.created_versions[version.pk]
        version.published_at, version.published_by = clock.now(), f"package {run.package.digest[:12]}"
        version.save(update_fields=["state", "validity", "published_at", "published_by"])


def _dated_verdict(standing: list[Any], values: dict[str, Any]) -> str:
    validity = values["validity"]
    for held in standing:
        if getattr(held, "number", None) != values.get("number") and (held.validity is None or held.validity.isempty):
            continue
        if "number" not in values and held.validity.isempty:
            continue
        if held.validity is None or held.validity.isempty:
            return "would_rewrite"
        if held.validity.lower == validity.lower and held.validity.upper == validity.upper:
            return "same" if all(getattr(held, name) == value for name, value in values.items()) else "would_rewrite"
        if _overlap(held.validity, validity):
            return "overlaps_existing"
        if getattr(held, "number", None) is not None and held.number == values["number"]:
            return "would_rewrite"
    return "new"


def _overlap(one: Any, other: Any) -> bool:
    starts_before = one.lower is None or other.upper is None or one.lower < other.upper
    ends_after = one.upper is None or other.lower is None or other.lower < one.upper
    return starts_before and ends_after


# What each content becomes.


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
        "kind": "per_lot",
        "symbol_group_id": group,
        "level": int(row["level"]),
        "amount_per_lot": _number(row["amount_per_lot"]),
        "currency": row["currency"],
    }


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
    "plan_rules": Target("ib.PlanRule", _rule, frozen=frozenset({"amount_per_lot", "currency"})),
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
