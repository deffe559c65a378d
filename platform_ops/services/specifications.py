"""Dated specifications of symbols: how a symbol is traded from a moment on.

Margin, notional and swap of every open position hang on them, so a person sets one by a change request
(`platform.symbol_specification`) that another person, or a policy within its bounds, approved. The first specification
of a new symbol comes with the symbol itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.access import authorise
from backoffice.core.models import ChangeRequest
from backoffice.core.services import audit, changes
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from platform_ops.models import Symbol, SymbolSpec
from platform_ops.permissions import MANAGE_CATALOGUE
from platform_ops.rules.specifications import BY_NAME, check_specification, read_value, specification_terms
from platform_ops.services.catalogue import Specification

SPECIFICATION_KIND = "platform.symbol_specification"
_FIELDS = tuple(field.name for field in fields(Specification))


def request_specification(
    *,
    symbol_id: int,
    specification: Specification,
    valid_from: datetime,
    actor: Actor,
    reason: str,
    apply_at: datetime | None = None,
    submit: bool = True,
) -> ChangeRequest:
    """A change request for the specification of a symbol from a moment on, until further notice.

    It concerns the whole broker, for symbols belong to no legal entity. It is handed in at once unless *submit* is False;
    a policy in force may then approve and apply it. Raises as `draft_change` does.
    """
    authorise(actor, MANAGE_CATALOGUE)
    if valid_from.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field="valid_from")
    standing = specification_at(symbol_id=_symbol(symbol_id).pk, moment=valid_from)
    payload = {
        "symbol_id": symbol_id,
        "valid_from": valid_from.isoformat(),
        "specification": specification_terms(specification),
        "replaces": specification_terms(standing) if standing else {},
    }
    change = changes.draft_change(
        kind=SPECIFICATION_KIND, payload=payload, actor=actor, reason=reason, apply_at=apply_at
    )
    return changes.submit_change(change_id=change.pk, actor=actor) if submit else change


@transaction.atomic
def set_specification(
    *,
    symbol_id: int,
    specification: Specification,
    valid_from: datetime,
    actor: Actor,
    reason: str = "",
    approval: Any = None,
) -> SymbolSpec:
    """Makes a specification the valid one from a moment on; the one before ends then, later ones are removed.

    *approval* is the change request that carries this out. Raises Denied (`approval_needed`) for a person without one,
    InvalidInput for a specification that nothing can be traded by.
    """
    if approval is not None:
        changes.require_approved(
            approval,
            kind=SPECIFICATION_KIND,
            symbol_id=symbol_id,
            valid_from=valid_from.isoformat(),
            specification=specification_terms(specification),
        )
    else:
        authorise(actor, MANAGE_CATALOGUE)
        if not actor.is_system:
            raise Denied(
                "A specification is set by a change request that another person approved.", code="approval_needed"
            )
    check_specification(specification, symbol=_symbol(symbol_id).code)
    symbol = _locked_symbol(symbol_id)
    before = specifications_of(symbol.pk)
    write_specification(symbol_id=symbol.pk, specification=specification, valid_from=valid_from)
    written = SymbolSpec.objects.get(symbol=symbol, validity__contains=valid_from)
    audit.record(
        actor=actor,
        action="platform.set_specification",
        target=symbol,
        reason=reason,
        changes={"valid_from": valid_from.isoformat(), "before": before, "after": specifications_of(symbol.pk)},
    )
    return written


def write_specification(*, symbol_id: int, specification: Specification, valid_from: datetime) -> None:
    """Writes the specification, unchecked. For the use case above."""
    for row in SymbolSpec.objects.filter(symbol_id=symbol_id).order_by("validity"):
        if row.validity.upper is not None and row.validity.upper <= valid_from:
            continue
        if row.validity.lower is None or row.validity.lower < valid_from:
            row.validity = DateTimeTZRange(row.validity.lower, valid_from)
            row.save(update_fields=["validity"])
        else:
            row.delete()
    values = {name: getattr(specification, name) for name in _FIELDS}
    SymbolSpec.objects.create(symbol_id=symbol_id, validity=DateTimeTZRange(valid_from, None), **values)


def specification_at(*, symbol_id: int, moment: datetime) -> SymbolSpec | None:
    """The specification that counts at a moment."""
    return SymbolSpec.objects.filter(symbol_id=symbol_id, validity__contains=moment).first()


def specifications_of(symbol_id: int) -> list[dict[str, Any]]:
    """Every specification of a symbol as plain data, in the order of time."""
    return [
        {
            "from": row.validity.lower.isoformat() if row.validity.lower else None,
            "to": row.validity.upper.isoformat() if row.validity.upper else None,
            **specification_terms(row),
        }
        for row in SymbolSpec.objects.filter(symbol_id=symbol_id).order_by("validity")
    ]


def restore_specifications(
    *, symbol_id: int, expected: list[dict[str, Any]], before: list[dict[str, Any]], actor: Actor, reason: str
) -> None:
    """Puts the specifications of a symbol back to what they were *before*. In the caller's transaction.

    Raises Conflict when they are no longer the *expected* ones.
    """
    symbol = _locked_symbol(symbol_id)
    if specifications_of(symbol.pk) != expected:
        raise Conflict(f"{symbol} was specified again since; revert that first.", code="moved_on")
    SymbolSpec.objects.filter(symbol=symbol).delete()
    for row in before:
        start, end = (datetime.fromisoformat(row[name]) if row[name] else None for name in ("from", "to"))
        values = read_specification(row)
        SymbolSpec.objects.create(
            symbol=symbol,
            validity=DateTimeTZRange(start, end),
            **{name: getattr(values, name) for name in _FIELDS},
        )
    audit.record(
        actor=actor,
        action="platform.restore_specifications",
        target=symbol,
        reason=reason,
        changes={"before": expected, "after": before},
    )


def read_specification(terms: Mapping[str, Any]) -> Specification:
    """A specification from plain data. Fields with a default may be missing.

    Raises InvalidInput, naming the field, when one without a default is missing or a value is not of its kind.
    """
    values: dict[str, Any] = {}
    for given in fields(Specification):
        if given.name in terms:
            values[given.name] = read_value(BY_NAME[given.name], terms[given.name])
        elif given.default is MISSING and given.default_factory is MISSING:
            raise InvalidInput(f"{given.name} is missing.", field=given.name)
    return Specification(**values)


def _symbol(symbol_id: int) -> Symbol:
    symbol = Symbol.objects.filter(pk=symbol_id).first()
    if symbol is None:
        raise NotFound("No such symbol.", symbol_id=symbol_id)
    return symbol


def _locked_symbol(symbol_id: int) -> Symbol:
    symbol = Symbol.objects.select_for_update(of=("self",), no_key=True).filter(pk=symbol_id).first()
    if symbol is None:
        raise NotFound("No such symbol.", symbol_id=symbol_id)
    return symbol
