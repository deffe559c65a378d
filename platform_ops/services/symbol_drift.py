"""Where servers state a symbol otherwise than approved: found on every look, settled by a person.

A look takes what the server states of every symbol, compares each field with the approved specification, opens and closes
`SymbolDrift` rows and keeps one work item per symbol while something is open. To settle it the server is put right (a
change request that, once approved, tells the server), the specification follows the server (a change request of its own),
or the difference is accepted with a reason. A symbol that cannot be traded by is named, and the others are taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import ChangeRequest, Job, Severity
from backoffice.core.services import audit, changes, outbox, work_items
from backoffice.core.types import Actor, Role
from backoffice.core.work.kinds import WorkKind, register_work_kind
from backoffice.kernel import clock
from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound, Retryable
from platform_ops.events import SYMBOL_DRIFT_FOUND
from platform_ops.gateways.errors import GatewayUncertain
from platform_ops.gateways.types import Ability, GatewaySymbol
from platform_ops.models import ServerSymbol, ServerSymbolTerms, SymbolDrift, SymbolSpec, TradingServer
from platform_ops.permissions import MANAGE_CATALOGUE
from platform_ops.rules.specifications import (
    BY_NAME,
    LABELS,
    SERVER_FIELDS,
    TermKind,
    check_specification,
    plain_value,
    read_value,
    value_in_words,
)
from platform_ops.services.catalogue import Specification
from platform_ops.services.connections import open_gateway
from platform_ops.services.specifications import read_specification, request_specification, specification_at
from platform_ops.services.symbols import register_names

DRIFT_ITEM = "platform.symbol_drift"
REFUSED_ITEM = "platform.symbol_refused"
REPAIR_KIND = "platform.symbol_repair"
REPAIR_JOB = "platform.repair_symbol"
MAX_SYMBOLS = 20_000
MAX_TOLD = 50
"""So many differences are named in the event of a look; how many there are is told besides."""
MONEY_FIELDS = frozenset({"contract_size", "digits", "calculation_mode", "tick_size", "tick_value", "margin_currency"})
"""Fields whose drift makes every figure of the symbol wrong."""


def register_work() -> None:
    """Adds the kinds of work items; called once when the application starts."""
    roles = (Role.PLATFORM_OPERATIONS.value, Role.ADMINISTRATOR.value)
    for kind, label, severity in (
        (DRIFT_ITEM, "Symbol drifts from its specification", Severity.NORMAL),
        (REFUSED_ITEM, "Symbol cannot be traded by", Severity.HIGH),
    ):
        register_work_kind(
            WorkKind(
                kind=kind, label=label, desk="platform_ops", roles=roles, due_hours=8, severity=severity,
                escalate_after_hours=24, escalate_to_roles=(Role.DEALING.value,), action_label="Open the symbol",
            )
        )  # fmt: skip


def look_at_server(*, server_id: int, actor: Actor) -> dict[str, int]:
    """Asks the server for its symbols and compares them. Raises a GatewayError when it cannot be asked."""
    authorise(actor, MANAGE_CATALOGUE)
    server = get_visible(TradingServer.objects.all(), actor, pk=server_id)
    with open_gateway(server_id=server.pk) as gateway:
        if Ability.SYMBOLS not in gateway.abilities:
            raise Conflict(f"{server} cannot be asked for its symbols.", code="not_offered", server=server.code)
        stated = list(gateway.symbols())
    return take_server_symbols(server_id=server.pk, symbols=stated, at=clock.now())


@transaction.atomic
def take_server_symbols(*, server_id: int, symbols: Iterable[GatewaySymbol], at: datetime) -> dict[str, int]:
    """Stores what a server states of its symbols and finds what drifts. Returns counts of symbols, refused, drifting."""
    stated = {symbol.name: symbol for symbol in symbols}
    if len(stated) > MAX_SYMBOLS:
        raise InvalidInput(f"At most {MAX_SYMBOLS} symbols of a server.", field="symbols", value=len(stated))
    server = TradingServer.objects.get(pk=server_id)
    register_names(server_id=server_id, names=stated)
    named = ServerSymbol.objects.select_related("symbol").filter(server_id=server_id, name__in=stated)
    rows = {row.name: row for row in named.select_for_update(of=("self",)).order_by("pk")}
    mapped = [row.symbol_id for row in rows.values() if row.symbol_id]
    specs = {spec.symbol_id: spec for spec in SymbolSpec.objects.filter(symbol_id__in=mapped, validity__contains=at)}
    counts = {"symbols": len(stated), "refused": 0, "drifting": 0}
    found: list[int] = []
    for name in sorted(stated):
        row, symbol = rows[name], stated[name]
        problem = _problem(server, symbol)
        ServerSymbolTerms.objects.update_or_create(
            server_symbol=row,
            defaults={
                "terms": {field: plain_value(getattr(symbol.terms, field)) for field in SERVER_FIELDS},
                "problem": problem[:300], "description": symbol.description[:200], "path": symbol.path[:200],
                "seen_at": at,
            },
        )  # fmt: skip
        _note_refusal(server, row, problem)
        counts["refused"] += bool(problem)
        spec = specs.get(row.symbol_id) if row.symbol_id else None
        if spec is not None:
            found += _note_drift(server, row, spec, symbol, at)
            counts["drifting"] += row.drifts.filter(state=SymbolDrift.State.OPEN).exists()
    if found:
        outbox.publish(
            topic=SYMBOL_DRIFT_FOUND,
            payload={"server_id": server.pk, "found": len(found), "drift_ids": found[:MAX_TOLD]},
            shard_key=f"server:{server.pk}",
        )
    return counts


def drifting_fields(spec: SymbolSpec, stated: GatewaySymbol, server_zone: str) -> list[tuple[str, Any, Any]]:
    """(field, approved, stated) as plain data. Sessions are compared only where both are on one clock."""
    found = []
    for name in SERVER_FIELDS:
        if BY_NAME[name].kind is TermKind.SESSIONS:
            is_said = any(getattr(stated.terms, name))
            if not is_said or ServerZone.parse(spec.sessions_zone) != ServerZone.parse(server_zone):
                continue
        if name == "margin_currency" and not stated.terms.margin_currency:
            continue
        approved, said = plain_value(getattr(spec, name)), plain_value(getattr(stated.terms, name))
        if name == "spread_points":
            approved = plain_value(int(spec.spread_points))
        if str(approved) != str(said):
            found.append((name, approved, said))
    return found


@transaction.atomic
def accept_drift(*, drift_id: int, actor: Actor, reason: str) -> SymbolDrift:
    """Lets a difference stand, with a reason; it opens anew when the server states something else again."""
    authorise(actor, MANAGE_CATALOGUE)
    if not reason.strip():
        raise InvalidInput("Say why the difference may stand.", field="reason")
    drift = _locked(drift_id, actor)
    if drift.state == SymbolDrift.State.ACCEPTED:
        return drift
    if drift.state != SymbolDrift.State.OPEN:
        raise Conflict("The difference is gone.", code="drift_gone")
    drift.state, drift.reason, drift.settled_at = SymbolDrift.State.ACCEPTED, reason.strip()[:500], clock.now()
    drift.save(update_fields=["state", "reason", "settled_at"])
    audit.record(
        actor=actor, action="platform.accept_drift", target=drift, reason=reason,
        changes={"field": drift.field, "approved": drift.approved, "stated": drift.stated},
        entity_id=drift.server_symbol.server.entity_id,
    )  # fmt: skip
    _settle_item(drift.server_symbol)
    return drift


def request_repair(*, server_symbol_id: int, actor: Actor, reason: str) -> ChangeRequest:
    """A change request that, once approved, tells the server the approved values of all that drifts openly."""
    authorise(actor, MANAGE_CATALOGUE)
    row = get_visible(ServerSymbol.objects.all(), actor, pk=server_symbol_id)
    drifts = SymbolDrift.objects.filter(server_symbol=row, state=SymbolDrift.State.OPEN).order_by("field")
    wanted = {drift.field: drift.approved for drift in drifts}
    if not wanted:
        raise Conflict("Nothing drifts.", code="drift_gone")
    payload = {"server_symbol_id": row.pk, "changes": wanted, "stated": {drift.field: drift.stated for drift in drifts}}
    change = changes.draft_change(kind=REPAIR_KIND, payload=payload, actor=actor, reason=reason)
    return changes.submit_change(change_id=change.pk, actor=actor)


def request_adoption(*, server_symbol_id: int, actor: Actor, reason: str) -> ChangeRequest:
    """A change request by which the approved specification becomes what the server states."""
    authorise(actor, MANAGE_CATALOGUE)
    row = get_visible(ServerSymbol.objects.select_related("symbol"), actor, pk=server_symbol_id)
    now = clock.now()
    drifts = list(SymbolDrift.objects.filter(server_symbol=row, state=SymbolDrift.State.OPEN))
    standing = specification_at(symbol_id=row.symbol_id, moment=now) if row.symbol_id else None
    if not drifts or standing is None:
        raise Conflict("Nothing drifts.", code="drift_gone")
    values = {name: getattr(standing, name) for name in Specification.__slots__}
    values |= {drift.field: read_value(BY_NAME[drift.field], drift.stated) for drift in drifts}
    return request_specification(
        symbol_id=standing.symbol_id, specification=Specification(**values), valid_from=now, actor=actor, reason=reason
    )


def run_repair_job(job: Job, owner: str) -> dict[str, Any]:
    """Tells the server, outside of any transaction, and looks at it again. What it says then decides, not its answer.

    Raises Retryable where the answer was lost and the server states the old values: to tell it again changes nothing twice.
    """
    row = ServerSymbol.objects.select_related("server").get(pk=job.payload["server_symbol_id"])
    values: dict[str, object] = {
        name: _gateway_value(name, value) for name, value in sorted(job.payload["changes"].items())
    }
    is_lost = False
    try:
        with open_gateway(server_id=row.server_id, writing=True) as gateway:
            gateway.change_symbol(name=row.name, changes=values)
    except GatewayUncertain:
        is_lost = True
    with open_gateway(server_id=row.server_id) as gateway:
        stated = [symbol for symbol in gateway.symbols() if symbol.name == row.name]
    take_server_symbols(server_id=row.server_id, symbols=stated, at=clock.now())
    left = SymbolDrift.objects.filter(server_symbol=row, state=SymbolDrift.State.OPEN, field__in=job.payload["changes"])
    still = sorted(left.values_list("field", flat=True))
    if still and is_lost:
        raise Retryable(f"{row.server.code} did not take the change of {row.name}: its answer was lost.")
    return {"still_drifting": still}


def open_drifts(server_symbol: ServerSymbol) -> list[SymbolDrift]:
    """What drifts openly or was accepted, in the order of the fields."""
    rows = {row.field: row for row in server_symbol.drifts.exclude(state=SymbolDrift.State.GONE)}
    return [rows[name] for name in SERVER_FIELDS if name in rows]


def _problem(server: TradingServer, symbol: GatewaySymbol) -> str:
    """Why nothing can be traded by what the server states; empty when it can. Names server, symbol and field."""
    values = {name: getattr(symbol.terms, name) for name in SERVER_FIELDS}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    values["margin_currency"] = symbol.terms.margin_currency or symbol.terms.profit_currency
    try:
        given = read_specification({name: plain_value(value) for name, value in values.items()} | {"pip_size": "1"})
        check_specification(given, server=server.code, symbol=symbol.name)
    except InvalidInput as error:
        message = error.message
        return message if symbol.name in message else f"{server.code}, {symbol.name}: {message}"
    return ""


def _note_refusal(server: TradingServer, row: ServerSymbol, problem: str) -> None:
    key = f"symbol:{row.pk}"
    if problem:
        work_items.open_item(
            kind=REFUSED_ITEM, group_key=key, title=f"{problem}"[:200], target=row, entity_id=server.entity_id,
            evidence={"server": server.code, "symbol": row.name, "problem": problem},
        )  # fmt: skip
    else:
        work_items.clear_item(kind=REFUSED_ITEM, group_key=key, reason="The server states it rightly.")


def _note_drift(
    server: TradingServer, row: ServerSymbol, spec: SymbolSpec, stated: GatewaySymbol, at: datetime
) -> list[int]:
    """Opens, carries on and closes the rows of a symbol; returns those that it opened."""
    states = SymbolDrift.State
    standing = {drift.field: drift for drift in row.drifts.select_for_update().exclude(state=states.GONE)}
    found = {name: (approved, said) for name, approved, said in drifting_fields(spec, stated, server.zone)}
    for name, drift in standing.items():
        if name not in found or [drift.approved, drift.stated] != list(found[name]):
            settled = drift.settled_at or at
            SymbolDrift.objects.filter(pk=drift.pk).update(state=states.GONE, settled_at=settled, last_seen_at=at)
        else:
            SymbolDrift.objects.filter(pk=drift.pk).update(last_seen_at=at)
    opened = []
    for name, (approved, said) in found.items():
        if name not in standing or [standing[name].approved, standing[name].stated] != [approved, said]:
            drift = SymbolDrift.objects.create(
                server_symbol=row, field=name, approved=approved, stated=said, first_seen_at=at, last_seen_at=at
            )
            opened.append(drift.pk)
    _settle_item(row)
    return opened


def _settle_item(row: ServerSymbol) -> None:
    """One work item per symbol while something drifts openly."""
    drifts = list(row.drifts.filter(state=SymbolDrift.State.OPEN).order_by("field"))
    key = f"symbol:{row.pk}"
    if not drifts:
        work_items.clear_item(kind=DRIFT_ITEM, group_key=key, reason="Nothing drifts any more.")
        return
    fields = {drift.field for drift in drifts}
    work_items.open_item(
        kind=DRIFT_ITEM,
        group_key=key,
        title=f"{row.name} on {row.server.code}: {', '.join(LABELS[drift.field].lower() for drift in drifts)}"[:200],
        target=row,
        entity_id=row.server.entity_id,
        severity=Severity.HIGH if fields & MONEY_FIELDS else None,
        evidence={
            LABELS[drift.field]: f"approved {value_in_words(drift.field, drift.approved)}, "
            f"server {value_in_words(drift.field, drift.stated)}"[:200]
            for drift in drifts[:20]
        },
    )


def _gateway_value(name: str, plain: Any) -> object:
    value = read_value(BY_NAME[name], plain)
    choices = BY_NAME[name].choices
    if choices is not None:
        return choices(value)
    if BY_NAME[name].kind is TermKind.SESSIONS:
        return tuple(tuple(tuple(session) for session in day) for day in value)
    if name == "spread_points":
        return int(value)
    return tuple(value) if isinstance(value, list) else value


def _locked(drift_id: int, actor: Actor) -> SymbolDrift:
    visible = get_visible(SymbolDrift.objects.all(), actor, pk=drift_id)
    drift = SymbolDrift.objects.select_for_update(of=("self",)).filter(pk=visible.pk).first()
    if drift is None:
        raise NotFound("No such difference.", drift_id=drift_id)
    return drift
