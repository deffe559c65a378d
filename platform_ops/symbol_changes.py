"""Two more changes of symbols that need four eyes: a group's own terms, and telling a server the approved terms."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backoffice.core.changes.kinds import ChangeKind, Impact, register_change_kind
from backoffice.core.models import ChangeRequest
from backoffice.core.services import changes, jobs
from backoffice.core.services.switches import Switch, require_open
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.models import AccountGroup, Position, ServerSymbol, Symbol, SymbolDrift
from platform_ops.permissions import APPROVE_SPECIFICATIONS, MANAGE_CATALOGUE
from platform_ops.rules.specifications import BY_NAME, GROUP_FIELDS, LABELS, SERVER_FIELDS, value_in_words
from platform_ops.services import symbol_drift, symbol_overrides
from platform_ops.services.specifications import specification_at

Payload = dict[str, Any]
PUSHER = Actor.system("symbol repairs")


def register() -> None:
    """Registers both kinds and the job that tells the server. Called once, when the process starts."""
    register_change_kind(
        ChangeKind(
            kind=symbol_overrides.OVERRIDE_KIND,
            label="Symbol terms of a group",
            desk="platform_ops",
            maker_capability=MANAGE_CATALOGUE,
            checker_capability=APPROVE_SPECIFICATIONS,
            title=lambda payload: (
                f"{_symbol(payload)} for {_group(payload)} from {_moment(payload):%Y-%m-%d %H:%M} UTC"
            ),
            current=lambda payload: _words(payload, payload.get("replaces") or {}),
            proposed=lambda payload: _words(payload, payload.get("terms") or {}),
            preview=_override_preview,
            apply=_override_apply,
            verify=_override_verify,
            revert=_override_revert,
            check=_override_check,
            target=lambda payload: _group(payload),
            entity_of=lambda payload: _group(payload).server.entity_id,
        )
    )
    register_change_kind(
        ChangeKind(
            kind=symbol_drift.REPAIR_KIND,
            label="Symbol on a server put right",
            desk="platform_ops",
            maker_capability=MANAGE_CATALOGUE,
            checker_capability=APPROVE_SPECIFICATIONS,
            title=lambda payload: f"Put {_named(payload)} right",
            current=lambda payload: _of_server(payload.get("stated") or {}),
            proposed=lambda payload: _of_server(payload.get("changes") or {}),
            preview=_repair_preview,
            apply=_repair_apply,
            verify=_repair_verify,
            check=_repair_check,
            target=lambda payload: _named(payload),
            entity_of=lambda payload: _named(payload).server.entity_id,
        )
    )
    jobs.register_runner(symbol_drift.REPAIR_JOB, _run_repair)


def _override_check(payload: Payload) -> None:
    group, symbol, moment = _group(payload), _symbol(payload), _moment(payload)
    terms = payload.get("terms")
    if not isinstance(terms, dict):
        raise InvalidInput("The terms are missing.", field="terms")
    symbol_overrides.check_override(group_id=group.pk, symbol_id=symbol.pk, terms=terms, moment=moment)
    standing = symbol_overrides.standing_terms(group_id=group.pk, symbol_id=symbol.pk, moment=moment)
    if standing != payload.get("replaces"):
        raise Conflict(f"{symbol} has other terms for {group} by now: withdraw this and ask anew.", code="terms_moved")
    if terms == standing:
        raise InvalidInput("Nothing changes by this.", field="terms")


def _words(payload: Payload, own: dict[str, Any]) -> dict[str, Any]:
    """The terms that the group would trade by: its own, else the symbol's."""
    spec = specification_at(symbol_id=_symbol(payload).pk, moment=_moment(payload))
    names = [
        name
        for name in GROUP_FIELDS
        if name in own or name in (payload.get("terms") or {}) | (payload.get("replaces") or {})
    ]
    return {
        LABELS[name]: value_in_words(name, own[name])
        if name in own
        else f"as the symbol: {value_in_words(name, getattr(spec, name))}"
        for name in names
    }


def _override_preview(payload: Payload, actor: Actor) -> Impact:
    group, symbol = _group(payload), _symbol(payload)
    open_now = Position.objects.filter(account__group=group, server_symbol__symbol=symbol)
    positions, accounts = open_now.count(), open_now.values("account").distinct().count()
    words = (
        f"{positions:,} open {'position' if positions == 1 else 'positions'} of {accounts:,} accounts in {group.name}"
    )
    return Impact(
        f"{words} are traded by these terms." if positions else f"Nothing is open in {symbol} in {group.name}.",
        [],
        {"Open positions": positions, "Accounts": accounts},
    )


def _override_apply(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    key = {"group_id": _group(payload).pk, "symbol_id": _symbol(payload).pk}
    before = symbol_overrides.overrides_of(**key)
    symbol_overrides.set_override(
        **key,
        terms=payload["terms"],
        valid_from=_moment(payload),
        actor=actor,
        reason=f"{request.reference}: {request.reason}",
        approval=request,
    )
    return {
        **key,
        "valid_from": payload["valid_from"],
        "terms": payload["terms"],
        "before": before,
        "after": symbol_overrides.overrides_of(**key),
    }


def _override_verify(outcome: dict[str, Any]) -> list[str]:
    standing = symbol_overrides.standing_terms(
        group_id=outcome["group_id"],
        symbol_id=outcome["symbol_id"],
        moment=datetime.fromisoformat(outcome["valid_from"]),
    )
    return [] if standing == outcome["terms"] else [f"The group's own terms read {standing}."]


def _override_revert(outcome: dict[str, Any], actor: Actor, reason: str) -> dict[str, Any]:
    symbol_overrides.restore_overrides(
        group_id=outcome["group_id"],
        symbol_id=outcome["symbol_id"],
        expected=outcome["after"],
        before=outcome["before"],
        actor=actor,
        reason=reason,
    )
    return {"restored": len(outcome["before"])}


def _repair_check(payload: Payload) -> None:
    row, wanted = _named(payload), payload.get("changes")
    if not isinstance(wanted, dict) or not wanted or set(wanted) - set(SERVER_FIELDS):
        raise InvalidInput("Say which fields are put right.", field="changes")
    spec = specification_at(symbol_id=row.symbol_id, moment=clock.now()) if row.symbol_id else None
    if spec is None:
        raise InvalidInput("The name has no symbol with a specification.", field="server_symbol_id")
    drifts = SymbolDrift.objects.filter(server_symbol=row, state=SymbolDrift.State.OPEN)
    open_now = {drift.field: drift.approved for drift in drifts}
    if any(open_now.get(name) != value for name, value in wanted.items()):
        raise Conflict(f"{row} drifts otherwise by now: look at it again.", code="drift_moved")


def _of_server(values: dict[str, Any]) -> dict[str, Any]:
    return {LABELS[name]: value_in_words(name, values[name]) for name in SERVER_FIELDS if name in values}


def _repair_preview(payload: Payload, actor: Actor) -> Impact:
    row = _named(payload)
    positions = Position.objects.filter(server_symbol=row)
    count, accounts = positions.count(), positions.values("account").distinct().count()
    fields = ", ".join(LABELS[name].lower() for name in payload.get("changes") or {} if name in BY_NAME)
    return Impact(
        f"{row.server} is told {fields}; {count:,} open positions of {accounts:,} accounts are in {row.name}.",
        [],
        {"Open positions": count, "Accounts": accounts},
    )


def _repair_apply(payload: Payload, actor: Actor, request: ChangeRequest) -> dict[str, Any]:
    row = _named(payload)
    changes.require_approved(
        request, kind=symbol_drift.REPAIR_KIND, server_symbol_id=row.pk, changes=payload["changes"]
    )
    require_open(Switch.SERVER_PUSHES, entity_id=row.server.entity_id)
    jobs.enqueue(
        kind=symbol_drift.REPAIR_JOB,
        key=f"change:{request.pk}",
        payload={"change_id": request.pk, "server_symbol_id": row.pk, "changes": payload["changes"]},
    )
    return {"server_symbol_id": row.pk, "changes": payload["changes"]}


def _repair_verify(outcome: dict[str, Any]) -> list[str]:
    """What the server still states otherwise, as it was last looked at."""
    drifts = SymbolDrift.objects.filter(
        server_symbol_id=outcome["server_symbol_id"], state=SymbolDrift.State.OPEN, field__in=list(outcome["changes"])
    )
    return [
        f"{LABELS[drift.field]}: the server states {value_in_words(drift.field, drift.stated)}."
        for drift in drifts.order_by("field")
    ]


def _run_repair(job: Any, owner: str) -> dict[str, Any]:
    result = symbol_drift.run_repair_job(job, owner)
    changes.verify_change(change_id=job.payload["change_id"], actor=PUSHER)
    return result


def _group(payload: Payload) -> AccountGroup:
    found = AccountGroup.objects.select_related("server").filter(pk=payload.get("group_id") or 0).first()
    if found is None:
        raise InvalidInput("No such group.", field="group_id")
    return found


def _symbol(payload: Payload) -> Symbol:
    found = Symbol.objects.filter(pk=payload.get("symbol_id") or 0).first()
    if found is None:
        raise InvalidInput("No such symbol.", field="symbol_id")
    return found


def _named(payload: Payload) -> ServerSymbol:
    rows = ServerSymbol.objects.select_related("server", "symbol")
    found = rows.filter(pk=payload.get("server_symbol_id") or 0).first()
    if found is None:
        raise InvalidInput("No such symbol on a server.", field="server_symbol_id")
    return found


def _moment(payload: Payload) -> datetime:
    try:
        moment = datetime.fromisoformat(str(payload.get("valid_from")))
    except ValueError as error:
        raise InvalidInput("This is no moment.", field="valid_from") from error
    if moment.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field="valid_from")
    return moment
