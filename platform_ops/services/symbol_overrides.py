"""A group's own terms of a symbol, dated: set by an approved change request, like the specification they stand over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import ChangeRequest
from backoffice.core.services import audit, changes
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from platform_ops.models import AccountGroup, GroupSymbolOverride, Symbol
from platform_ops.permissions import MANAGE_CATALOGUE
from platform_ops.rules.specifications import (
    BY_NAME,
    FIELDS,
    GROUP_FIELDS,
    check_specification,
    check_value,
    plain_value,
    read_value,
)
from platform_ops.services.catalogue import Specification
from platform_ops.services.specifications import specification_at

OVERRIDE_KIND = "platform.group_symbol_terms"


def request_override(
    *,
    group_id: int,
    symbol_id: int,
    terms: Mapping[str, Any],
    valid_from: datetime,
    actor: Actor,
    reason: str,
    submit: bool = True,
) -> ChangeRequest:
    """A change request for a group's own terms from a moment on; empty *terms* end them. Raises as `draft_change` does."""
    authorise(actor, MANAGE_CATALOGUE)
    if valid_from.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field="valid_from")
    get_visible(AccountGroup.objects.all(), actor, pk=group_id)
    payload = {
        "group_id": group_id,
        "symbol_id": symbol_id,
        "valid_from": valid_from.isoformat(),
        "terms": {name: plain_value(value) for name, value in terms.items() if value is not None},
        "replaces": standing_terms(group_id=group_id, symbol_id=symbol_id, moment=valid_from),
    }
    change = changes.draft_change(kind=OVERRIDE_KIND, payload=payload, actor=actor, reason=reason)
    return changes.submit_change(change_id=change.pk, actor=actor) if submit else change


def read_override(terms: Mapping[str, Any]) -> dict[str, Any]:
    """A group's own terms from plain data. Raises InvalidInput for a field that no group can have its own of."""
    values = {}
    for name, value in terms.items():
        if name not in GROUP_FIELDS:
            raise InvalidInput(f"{name} is the same for every group.", field=name)
        values[name] = read_value(BY_NAME[name], value)
        check_value(BY_NAME[name], values[name])
    return values


def check_override(*, group_id: int, symbol_id: int, terms: Mapping[str, Any], moment: datetime) -> None:
    """Raises InvalidInput for terms that, over the symbol's specification, nothing can be traded by."""
    values = read_override(terms)
    group = AccountGroup.objects.select_related("server").filter(pk=group_id).first()
    symbol = Symbol.objects.filter(pk=symbol_id).first()
    if group is None or symbol is None:
        raise NotFound("No such group or symbol.", group_id=group_id, symbol_id=symbol_id)
    spec = specification_at(symbol_id=symbol_id, moment=moment)
    if spec is None:
        raise InvalidInput("The symbol has no specification at that time.", field="valid_from")
    whole = Specification(**({name: getattr(spec, name) for name in FIELDS} | values))
    check_specification(whole, server=group.server.code, symbol=f"{symbol.code} for {group.name}")


@transaction.atomic
def set_override(
    *,
    group_id: int,
    symbol_id: int,
    terms: Mapping[str, Any],
    valid_from: datetime,
    actor: Actor,
    reason: str = "",
    approval: Any = None,
) -> GroupSymbolOverride | None:
    """Makes terms a group's own from a moment on, or ends them. Raises Denied (`approval_needed`) without an approval."""
    plain = {name: plain_value(value) for name, value in terms.items()}
    if approval is not None:
        changes.require_approved(
            approval,
            kind=OVERRIDE_KIND,
            group_id=group_id,
            symbol_id=symbol_id,
            valid_from=valid_from.isoformat(),
            terms=plain,
        )
    else:
        authorise(actor, MANAGE_CATALOGUE)
        if not actor.is_system:
            raise Denied(
                "A group's terms are set by a change request that another person approved.", code="approval_needed"
            )
    check_override(group_id=group_id, symbol_id=symbol_id, terms=plain, moment=valid_from)
    symbol = Symbol.objects.select_for_update(no_key=True).get(pk=symbol_id)
    before = overrides_of(group_id=group_id, symbol_id=symbol_id)
    for row in GroupSymbolOverride.objects.filter(group_id=group_id, symbol_id=symbol_id).order_by("validity"):
        if row.validity.upper is not None and row.validity.upper <= valid_from:
            continue
        if row.validity.lower is None or row.validity.lower < valid_from:
            row.validity = DateTimeTZRange(row.validity.lower, valid_from)
            row.save(update_fields=["validity"])
        else:
            row.delete()
    written = None
    if plain:
        written = GroupSymbolOverride.objects.create(
            group_id=group_id, symbol=symbol, validity=DateTimeTZRange(valid_from, None), **read_override(plain)
        )
    group = AccountGroup.objects.select_related("server").get(pk=group_id)
    audit.record(
        actor=actor,
        action="platform.set_group_terms",
        target=group,
        reason=reason,
        entity_id=group.server.entity_id,
        changes={
            "symbol": symbol.code, "before": before, "after": overrides_of(group_id=group_id, symbol_id=symbol_id),
        },
    )  # fmt: skip
    return written


def restore_overrides(
    *,
    group_id: int,
    symbol_id: int,
    expected: list[dict[str, Any]],
    before: list[dict[str, Any]],
    actor: Actor,
    reason: str,
) -> None:
    """Puts a group's own terms back to what they were. In the caller's transaction; Conflict when they moved on."""
    Symbol.objects.select_for_update(no_key=True).get(pk=symbol_id)
    if overrides_of(group_id=group_id, symbol_id=symbol_id) != expected:
        raise Conflict("The group's terms were set again since; revert that first.", code="moved_on")
    GroupSymbolOverride.objects.filter(group_id=group_id, symbol_id=symbol_id).delete()
    for row in before:
        start, end = (datetime.fromisoformat(row[name]) if row[name] else None for name in ("from", "to"))
        GroupSymbolOverride.objects.create(
            group_id=group_id, symbol_id=symbol_id, validity=DateTimeTZRange(start, end), **read_override(row["terms"])
        )
    group = AccountGroup.objects.select_related("server").get(pk=group_id)
    audit.record(
        actor=actor, action="platform.restore_group_terms", target=group, reason=reason,
        entity_id=group.server.entity_id, changes={"before": expected, "after": before},
    )  # fmt: skip


def own_terms(row: GroupSymbolOverride) -> dict[str, Any]:
    """What a row says otherwise than the symbol, as plain data."""
    return {name: plain_value(value) for name in GROUP_FIELDS if (value := getattr(row, name)) is not None}


def standing_terms(*, group_id: int, symbol_id: int, moment: datetime) -> dict[str, Any]:
    """A group's own terms at a moment, as plain data; empty where it has none."""
    row = GroupSymbolOverride.objects.filter(group_id=group_id, symbol_id=symbol_id, validity__contains=moment).first()
    return own_terms(row) if row else {}


def overrides_of(*, group_id: int, symbol_id: int) -> list[dict[str, Any]]:
    """All of a group's own terms of a symbol over time."""
    return [
        {
            "from": row.validity.lower.isoformat() if row.validity.lower else None,
            "to": row.validity.upper.isoformat() if row.validity.upper else None,
            "terms": own_terms(row),
        }
        for row in GroupSymbolOverride.objects.filter(group_id=group_id, symbol_id=symbol_id).order_by("validity")
    ]
