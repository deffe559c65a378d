"""Servers' names of symbols: registered when a source first uses them, mapped by documented rules or by people."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput, NotFound
from platform_ops.events import SYMBOL_MAPPED
from platform_ops.models import ServerSymbol, Symbol
from platform_ops.permissions import MAP_SYMBOLS
from platform_ops.rules.symbol_names import match_symbol
from platform_ops.services import work
from platform_ops.services.symbol_names import rules_of


@transaction.atomic(durable=True)
def map_server_symbol(*, server_symbol_id: int, symbol_id: int, actor: Actor, reason: str) -> ServerSymbol:
    """Says which canonical symbol a server's name means. A reason is needed to change a mapping that stands."""
    authorise(actor, MAP_SYMBOLS)
    visible = get_visible(ServerSymbol.objects.all(), actor, pk=server_symbol_id)
    symbol = Symbol.objects.filter(pk=symbol_id).first()
    if symbol is None:
        raise NotFound("No such symbol.", symbol_id=symbol_id)
    mapped = ServerSymbol.objects.select_for_update(of=("self",)).select_related("server", "symbol").get(pk=visible.pk)
    if mapped.symbol_id == symbol.pk:
        return mapped
    if mapped.symbol_id is not None and not reason.strip():
        raise InvalidInput("Say why the mapping changes.", field="reason")
    changes = {"symbol": [str(mapped.symbol) if mapped.symbol else None, symbol.code]}
    _map(mapped, symbol, rule=f"by {actor.label}"[:200])
    audit.record(
        actor=actor,
        action="platform.map_server_symbol",
        target=mapped,
        reason=reason,
        changes=changes,
        entity_id=mapped.server.entity_id,
    )
    return mapped


def register_server_symbols(*, server_id: int, stage: str) -> None:
    """Registers the names of a staging table that the server has not used yet, and maps what the rules can map."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT symbol FROM {stage} WHERE symbol IS NOT NULL")  # noqa: S608 -- a constant table
        names = [name for (name,) in cursor.fetchall()]
    register_names(server_id=server_id, names=names)


def register_names(*, server_id: int, names: Iterable[str]) -> None:
    """Makes sure that each name is a ServerSymbol. A name without a canonical symbol stays in the queue of unmatched."""
    wanted = set(names)
    known = dict(ServerSymbol.objects.filter(server_id=server_id, name__in=wanted).values_list("name", "symbol_id"))
    if not (unmapped := {name for name in wanted if known.get(name) is None}):
        return
    new = [ServerSymbol(server_id=server_id, name=name) for name in sorted(unmapped - known.keys())]
    ServerSymbol.objects.bulk_create(new, ignore_conflicts=True)
    symbols = {symbol.code: symbol for symbol in Symbol.objects.all()}
    rules = rules_of(server_id)
    for waiting in ServerSymbol.objects.filter(server_id=server_id, name__in=unmapped, symbol__isnull=True):
        if match := match_symbol(waiting.name, symbols, rules):
            _map(waiting, symbols[match.code], rule=match.rule, announce=waiting.name in known)


def _map(server_symbol: ServerSymbol, symbol: Symbol, *, rule: str, announce: bool = True) -> None:
    """Writes the mapping; it is news only for a name that trades may already carry."""
    server_symbol.symbol = symbol
    server_symbol.mapped_by = rule
    server_symbol.mapped_at = clock.now()
    server_symbol.save(update_fields=["symbol", "mapped_by", "mapped_at"])
    if announce:
        work.note_mapped_symbol(server_symbol)
        outbox.publish(
            topic=SYMBOL_MAPPED,
            payload={"server_symbol_id": server_symbol.pk},
            shard_key=f"server:{server_symbol.server_id}",
        )
