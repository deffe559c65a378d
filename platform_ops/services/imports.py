"""Statement files: read, booked and proved against their own summary in one transaction, or refused and kept aside.

The bytes are kept before anything is booked, so whatever stands in the books can be read again. A damaged file never
raises: it becomes a refused import with the row and field, its bytes in quarantine, and nothing booked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.db.models import Max, Q

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import Brand, LegalEntity
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, DomainError, InvalidInput
from platform_ops.events import STATEMENT_REFUSED
from platform_ops.gateways.files import clean_name, digest_of, keep_file
from platform_ops.gateways.statements import Statement, read_statement
from platform_ops.locks import lock_server
from platform_ops.models import CurrentDeal, OpenPositionMark, StatementImport, TradingAccount, TradingServer
from platform_ops.permissions import IMPORT_STATEMENTS
from platform_ops.services import work
from platform_ops.services.execution import store_orders
from platform_ops.services.ingest import ingest_statement_records
from platform_ops.services.statement_figures import check_stored_statement
from platform_ops.services.statement_records import first_money_at, ingest_records_of, link_positions, orders_of
from platform_ops.services.symbols import register_names

DEFAULT_ENTITY_CODE = "house"
DEFAULT_ENTITY_NAME = "House"
UNKNOWN_COUNTRY = "ZZ"
"""The code that ISO 3166 leaves to users; a person fills in the real one."""

STATEMENTS_FOLDER = "statements"
QUARANTINE_FOLDER = "quarantine"
INSERT_BATCH_SIZE = 2_000

_SERVER_CODE = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A file that somebody gave us for a server."""

    server: TradingServer
    name: str
    data: bytes
    digest: str

    @classmethod
    def of(cls, *, server: TradingServer, file_name: str, data: bytes) -> GivenFile:
        """The file under the last part of its name."""
        return cls(server=server, name=clean_name(file_name), data=data, digest=digest_of(data))


def import_statement(*, server_code: str, data: bytes, file_name: str, actor: Actor) -> StatementImport:
    """Books a statement file on a server, which is registered if nobody knew it.

    Never raises for a bad file: the import is then REFUSED, with `error` {code, message, row, field}. The same bytes
    again change nothing and return the first import with no new deals. Raises Denied, InvalidInput for an impossible
    server code, Conflict when the server is unknown and it is not clear whose it would be, Retryable while another load
    of the server runs too long.
    """
    authorise(actor, IMPORT_STATEMENTS)
    server = ensure_server(code=server_code, actor=actor)
    given = GivenFile.of(server=server, file_name=file_name, data=data)
    return process_file(given=given, actor=actor)


def process_file(*, given: GivenFile, actor: Actor, queued: StatementImport | None = None) -> StatementImport:
    """Books or refuses a file. *queued* is the row that stands for it already, when it was uploaded on the desk."""
    twin = stored_twin(given)
    if twin is not None:
        return _repeat(twin, queued)
    try:
        statement = told_account(given.server, read_statement(given.data, filename=given.name))
        Currency.of(statement.currency)
        path = keep_file(folder=STATEMENTS_FOLDER, server_code=given.server.code, file_name=given.name, data=given.data)
        if queued is not None:
            StatementImport.objects.filter(pk=queued.pk).update(
                rows_total=len(statement.deals), rows_done=0, state=StatementImport.State.RUNNING
            )
        return _store(given=given, statement=statement, path=path, actor=actor, queued=queued)
    except (InvalidInput, Conflict) as error:
        return refuse_file(given=given, error=error, actor=actor, queued_id=None if queued is None else queued.pk)


@transaction.atomic
def ensure_server(*, code: str, actor: Actor) -> TradingServer:
    """The server of a code. An unknown one is registered for the only legal entity, or for a house made for it.

    Raises InvalidInput for an impossible code, NotFound for a server of a legal entity that is not the actor's, and
    Conflict when there are several legal entities to choose from.
    """
    if not _SERVER_CODE.fullmatch(code):
        raise InvalidInput("A server code has letters, digits, - and _ only, at most 40.", field="server", value=code)
    if TradingServer.objects.filter(code=code).exists():
        return get_visible(TradingServer.objects.all(), actor, code=code)
    entities = list(LegalEntity.objects.order_by("pk")[:2])
    if len(entities) > 1:
        raise Conflict(
            f"Server {code} is unknown, and several legal entities could own it: register it first.",
            code="unknown_server",
            server=code,
        )
    entity = entities[0] if entities else _default_entity(actor)
    server, created = TradingServer.objects.get_or_create(code=code, defaults={"entity": entity, "name": code})
    if created:
        audit.record(actor=actor, action="platform.register_server", target=server, entity_id=entity.pk)
    return get_visible(TradingServer.objects.all(), actor, pk=server.pk)


def _default_entity(actor: Actor) -> LegalEntity:
    entity, created = LegalEntity.objects.get_or_create(
        code=DEFAULT_ENTITY_CODE,
        defaults={"name": DEFAULT_ENTITY_NAME, "country": UNKNOWN_COUNTRY, "base_currency": "USD"},
    )
    Brand.objects.get_or_create(code=DEFAULT_ENTITY_CODE, defaults={"entity": entity, "name": DEFAULT_ENTITY_NAME})
    if created:
        audit.record(actor=actor, action="platform.register_default_entity", target=entity)
    return entity


def told_account(server: TradingServer, statement: Statement) -> Statement:
    """The statement with its account, which an export of the client's API does not tell: it is the one whose deals or
    positions it holds, where the books know any. Raises InvalidInput where they know none, or those of several.
    """
    if statement.account:
        return statement
    tickets = {deal.ticket for deal in statement.deals} | {order.position for order in statement.orders}
    known = CurrentDeal.objects.filter(server=server).filter(
        Q(ticket__in=tickets, position_ticket__in={deal.position for deal in statement.deals})
        | Q(position_ticket__in={order.position for order in statement.orders} - {0})
    )
    found = list(TradingAccount.objects.filter(pk__in=known.order_by().values("account_id"))[:2])
    if len(found) != 1:
        what = (
            "holds deals of several accounts"
            if found
            else "does not say whose account it is, and none of its deals is known"
        )
        raise InvalidInput(
            f"The export {what}. Import a report of the account first, or use the deals CSV, which names it.",
            field="account",
            row=None,
            code="account_unknown",
        )
    return replace(statement, account=found[0].login, currency=found[0].currency, name=found[0].name)


def stored_twin(given: GivenFile) -> StatementImport | None:
    """The stored import of the same bytes on the same server."""
    return StatementImport.objects.filter(
        server=given.server, sha256=given.digest, state=StatementImport.State.STORED, repeats__isnull=True
    ).first()


def _repeat(twin: StatementImport, queued: StatementImport | None) -> StatementImport:
    """The first import, as a repetition shows it: nothing new. An upload keeps a row that points to it."""
    if queued is None:
        twin.new_deals = twin.corrected_deals = twin.stale_deals = 0
        return twin
    copied = (
        "account_id stored_path format as_of covers_from stated_balance opening_balance opening_credit rows_total "
        "matches_statement figures differences"
    )
    for name in copied.split():
        setattr(queued, name, getattr(twin, name))
    queued.repeats = twin
    queued.rows_done = queued.rows_total
    queued.state = StatementImport.State.STORED
    queued.finished_at = clock.now()
    queued.save()
    return queued


@transaction.atomic(durable=True)
def _store(
    *, given: GivenFile, statement: Statement, path: str, actor: Actor, queued: StatementImport | None
) -> StatementImport:
    """One file, one transaction: the import, its marks, its deals and what follows, the proof, the audit record."""
    lock_server(given.server.pk)
    twin = stored_twin(given)
    if twin is not None:  # Another process stored it while this one was reading.
        return _repeat(twin, queued)
    zone = ServerZone.parse(given.server.zone)
    _learn_platform(given.server, statement)
    account = _register_account(server=given.server, statement=statement, zone=zone)
    stored = queued or StatementImport(created_at=clock.now())
    _describe(stored, given=given, statement=statement, account=account, path=path, zone=zone)
    stored.uploaded_by_id = stored.uploaded_by_id or actor.user_id
    stored.save()
    _keep_marks(stored, statement=statement, zone=zone)
    register_names(server_id=given.server.pk, names=(mark.symbol for mark in statement.open_positions))

    links = link_positions(account=account, statement=statement)
    outcome = ingest_statement_records(
        statement=stored,
        records=ingest_records_of(statement=statement, account=account, zone=zone, links=links),
        roots=links.moved,
    )
    if statement.orders:
        store_orders(server_id=given.server.pk, orders=orders_of(statement=statement, account=account, zone=zone))
    checked = check_stored_statement(stored=stored, statement=statement, zone=zone, stale=outcome.merged.stale)
    stored.new_deals = outcome.batch.new_deals
    stored.corrected_deals = outcome.batch.corrected_deals
    stored.stale_deals = outcome.batch.stale_deals
    stored.figures, stored.differences = checked.figures, checked.differences
    stored.matches_statement = not checked.differences
    stored.rows_done, stored.finished_at = stored.rows_total, clock.now()
    stored.save()
    work.note_stored_file(stored)
    audit.record(
        actor=actor,
        action="platform.import_statement",
        target=stored,
        changes={
            "sha256": stored.sha256,
            "new_deals": stored.new_deals,
            "corrected_deals": stored.corrected_deals,
            "matches_statement": stored.matches_statement,
        },
        entity_id=given.server.entity_id,
    )
    return stored


def _learn_platform(server: TradingServer, statement: Statement) -> None:
    """A server that was registered by its code alone takes the platform of its first statement."""
    if server.platform == TradingServer.Platform.OTHER:
        server.platform = statement.platform.value
        server.save(update_fields=["platform"])


def _register_account(*, server: TradingServer, statement: Statement, zone: ServerZone) -> TradingAccount:
    """The account of a statement, unassigned if it is new. What may change is taken from the latest statement only."""
    currency = Currency.of(statement.currency).code
    netting = statement.is_hedging is False
    account, is_new = TradingAccount.objects.get_or_create(
        server=server,
        login=statement.account,
        defaults={
            "currency": currency,
            "name": statement.name,
            "leverage": statement.leverage,
            "position_mode": TradingAccount.PositionMode.NETTING if netting else TradingAccount.PositionMode.HEDGING,
        },
    )
    if is_new:
        work.note_unassigned_accounts(server_id=server.pk)
    if account.currency != currency:
        raise InvalidInput(
            f"Account {account.login} is in {account.currency}, not in {currency}.", field="currency", value=currency
        )
    latest = account.imports.filter(state=StatementImport.State.STORED).aggregate(at=Max("as_of"))["at"]
    if latest is None or latest <= zone.to_utc(statement.as_of):
        account.name = statement.name or account.name
        account.leverage = statement.leverage or account.leverage
        account.save(update_fields=["name", "leverage"])
    return account


def _describe(
    stored: StatementImport,
    *,
    given: GivenFile,
    statement: Statement,
    account: TradingAccount,
    path: str,
    zone: ServerZone,
) -> None:
    """What the file is and what it states."""
    stored.server, stored.account = given.server, account
    stored.file_name, stored.stored_path = given.name, path
    stored.sha256, stored.size_bytes = given.digest, len(given.data)
    stored.format = statement.format.value
    stored.state = StatementImport.State.STORED
    stored.as_of = zone.to_utc(statement.as_of)
    stored.covers_from = zone.to_utc(first_money_at(statement))
    stored.opening_tickets = [deal.ticket for deal in statement.deals if deal.leg == 0]
    stored.closing_tickets = [deal.ticket for deal in statement.deals if deal.leg == 1]
    stored.opening_balance, stored.opening_credit = statement.opening_balance, statement.opening_credit
    stored.stated_balance = statement.summary.balance
    stored.rows_total = len(statement.deals) + len(statement.orders)
    stored.error = {}


def _keep_marks(stored: StatementImport, *, statement: Statement, zone: ServerZone) -> None:
    OpenPositionMark.objects.bulk_create(
        [
            OpenPositionMark(
                statement=stored,
                ticket=mark.ticket,
                position_ticket=mark.position,
                symbol_name=mark.symbol,
                side=mark.side,
                volume_lots=mark.volume_lots,
                opened_at=zone.to_utc(mark.open_time),
                open_price=mark.open_price,
                current_price=mark.current_price,
                swap=mark.swap,
                commission=mark.commission,
                taxes=mark.taxes,
                profit=mark.profit,
            )
            for mark in statement.open_positions
        ],
        batch_size=INSERT_BATCH_SIZE,
    )


def refuse_file(*, given: GivenFile, error: DomainError, actor: Actor, queued_id: int | None) -> StatementImport:
    """Keeps the file aside with the reason. The same file refused for the same reason is kept once."""
    reason = refusal_of(error)
    if queued_id is None:
        known = StatementImport.objects.filter(
            server=given.server, sha256=given.digest, state=StatementImport.State.REFUSED, error=reason
        ).first()
        if known is not None:
            work.note_refused_again(known)
            return known
    path = keep_file(folder=QUARANTINE_FOLDER, server_code=given.server.code, file_name=given.name, data=given.data)
    return _write_refusal(given=given, reason=reason, path=path, actor=actor, queued_id=queued_id)


@transaction.atomic(durable=True)
def _write_refusal(
    *, given: GivenFile, reason: dict[str, Any], path: str, actor: Actor, queued_id: int | None
) -> StatementImport:
    # Read anew: what the failed attempt wrote on its own copy was rolled back.
    refused = (
        StatementImport(server=given.server, created_at=clock.now())
        if queued_id is None
        else StatementImport.objects.select_for_update().get(pk=queued_id)
    )
    refused.file_name, refused.stored_path = given.name, path
    refused.sha256, refused.size_bytes = given.digest, len(given.data)
    refused.state = StatementImport.State.REFUSED
    refused.error = reason
    refused.uploaded_by_id = refused.uploaded_by_id or actor.user_id
    refused.finished_at = clock.now()
    refused.save()
    work.note_refused_file(refused)
    audit.record(
        actor=actor,
        action="platform.refuse_statement",
        target=refused,
        reason=reason["message"],
        changes={"sha256": refused.sha256, "row": reason["row"], "field": reason["field"]},
        entity_id=given.server.entity_id,
    )
    outbox.publish(topic=STATEMENT_REFUSED, payload={"import_id": refused.pk}, shard_key=f"server:{refused.server_id}")
    return refused


def refusal_of(error: DomainError) -> dict[str, Any]:
    """Why a file was refused, as it is kept and shown."""
    return {
        "code": error.code,
        "message": error.message,
        "row": error.details.get("row"),
        "field": error.details.get("field"),
    }
