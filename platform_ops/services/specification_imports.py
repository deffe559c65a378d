"""Specifications that come in a file: read, matched with the house's symbols, compared field by field, then proposed.

Reading changes nothing. What a row would change is asked by a change request of its own, whose preview shows it on open
positions. A file is kept with what was read of it, whoever proposes from it later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.db import transaction

from backoffice.core.access import authorise
from backoffice.core.models import ChangeRequest
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import DomainError, InvalidInput, NotFound
from platform_ops.gateways.symbol_specs import MAX_BYTES, StatedSymbol, read_specifications
from platform_ops.models import SpecificationImport, Symbol, SymbolSpec
from platform_ops.permissions import MANAGE_CATALOGUE
from platform_ops.rules.specifications import BY_NAME, FIELDS, check_specification, plain_value, read_value
from platform_ops.rules.symbol_names import match_symbol
from platform_ops.services.catalogue import Specification
from platform_ops.services.specifications import request_specification, specification_at
from platform_ops.services.symbol_names import rules_of

MAX_PROPOSED = 100
MAX_READ = MAX_BYTES + 1
"""As much of an upload as is looked at: one byte more than may be, so that too much is seen."""


@transaction.atomic
def import_specifications(
    *, data: bytes, file_name: str, actor: Actor, server_id: int | None = None
) -> SpecificationImport:
    """Reads a file and compares it with what is approved now. A server's naming rules read the names, if it is given.

    Raises InvalidInput for a file that is of no known form; a bad row is kept with what is wrong in it.
    """
    authorise(actor, MANAGE_CATALOGUE)
    read = read_specifications(data, file_name=file_name)
    now = clock.now()
    symbols = {symbol.code: symbol for symbol in Symbol.objects.all()}
    specs = {spec.symbol_id: spec for spec in SymbolSpec.objects.filter(validity__contains=now)}
    rules = rules_of(server_id)
    rows = []
    for stated in read.rows:
        match = match_symbol(stated.name, symbols, rules)
        symbol = symbols[match.code] if match else None
        rows.append(_row(stated, symbol, specs.get(symbol.pk) if symbol else None, file_name))
    kept = SpecificationImport.objects.create(
        format=read.format,
        file_name=file_name[:200],
        digest=hashlib.sha256(data).hexdigest(),
        rows=rows,
        imported_by=actor.label[:200],
    )
    audit.record(
        actor=actor,
        action="platform.import_specifications",
        target=kept,
        changes={"file": file_name, "format": read.format, "rows": len(rows)},
    )
    return kept


def propose(
    *, import_id: int, rows: Sequence[int], actor: Actor, reason: str
) -> tuple[list[ChangeRequest], list[tuple[str, str]]]:
    """A change request for each chosen row of a file; and (name, why) of those that could not be asked for."""
    authorise(actor, MANAGE_CATALOGUE)
    kept = SpecificationImport.objects.filter(pk=import_id).first()
    if kept is None:
        raise NotFound("No such file.", import_id=import_id)
    if not 0 < len(set(rows)) <= MAX_PROPOSED:
        raise InvalidInput(f"Choose between 1 and {MAX_PROPOSED} symbols.", field="rows")
    by_row = {row["row"]: row for row in kept.rows}
    asked, refused = [], []
    now = clock.now()
    for number in sorted(set(rows)):
        row = by_row.get(number)
        if row is None or row["problem"] or not row["changes"] or not row["code"]:
            refused.append((row["name"] if row else str(number), row["problem"] if row else "There is no such row."))
            continue
        symbol = Symbol.objects.get(code=row["code"])
        standing = specification_at(symbol_id=symbol.pk, moment=now)
        if standing is None:
            refused.append((row["name"], "The symbol has no specification to change."))
            continue
        try:
            asked.append(
                request_specification(
                    symbol_id=symbol.pk,
                    specification=_with(standing, row["changes"]),
                    valid_from=now,
                    actor=actor,
                    reason=f"{reason} ({kept.file_name}, row {number})"[:500],
                    submit=False,
                )
            )
        except DomainError as error:
            refused.append((row["name"], error.message))
    return asked, refused


def _row(stated: StatedSymbol, symbol: Symbol | None, spec: SymbolSpec | None, file_name: str) -> dict[str, Any]:
    """A row as it is kept: what it would change of the approved specification, or what is wrong with it."""
    row: dict[str, Any] = {
        "row": stated.row,
        "name": stated.name,
        "description": stated.description,
        "code": symbol.code if symbol else "",
        "changes": {},
        "terms": {name: plain_value(value) for name, value in stated.terms.items()},
        "problem": "",
        "field": "",
    }
    if stated.problem:
        return row | {"problem": f"{file_name}, {stated.name}: {stated.problem}", "field": stated.problem_field}
    if symbol is None or spec is None:
        return row
    currency = stated.terms.get("profit_currency")
    if currency and currency != symbol.profit_currency:
        problem = f"{file_name}, {stated.name}: profit is in {currency}, that of {symbol} in {symbol.profit_currency}."
        return row | {"problem": problem, "field": "profit_currency"}
    changes = {
        name: [plain_value(getattr(spec, name)), plain_value(value)]
        for name, value in stated.terms.items()
        if name in FIELDS and _differs(getattr(spec, name), value)
    }
    try:
        check_specification(_with(spec, changes), server=file_name, symbol=stated.name)
    except InvalidInput as error:
        return row | {"problem": error.message, "field": str(error.details.get("field", "")), "changes": changes}
    return row | {"changes": changes}


def _differs(standing: Any, stated: Any) -> bool:
    if isinstance(stated, Decimal) and isinstance(standing, Decimal | int):
        return Decimal(standing) != stated
    return bool(plain_value(standing) != plain_value(stated))


def _with(spec: SymbolSpec, changed: dict[str, list[Any]]) -> Specification:
    values = {name: getattr(spec, name) for name in FIELDS}
    values |= {name: read_value(BY_NAME[name], new) for name, (_, new) in changed.items()}
    return Specification(**values)
