"""Following a provider's drop copy: messages, executions and sequence numbers are kept in one transaction.

A message that was not kept is not answered and not counted: after a crash the numbers stand where the last commit left
them, the provider is asked for everything since, and what is told once more changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.db import DataError, IntegrityError, transaction
from django.db.models import F

from backoffice.core import crash_points
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, DomainError, InvalidInput, Retryable
from platform_ops.gateways.errors import GatewayUnavailable
from platform_ops.gateways.fix.connector import THEIRS, check_options, provider_names
from platform_ops.gateways.fix.drop_copy import DropCopyGateway, Numbers, Received
from platform_ops.gateways.fix.messages import FixMessage
from platform_ops.gateways.fix.session import Entry, Refused
from platform_ops.gateways.types import ReadingGateway
from platform_ops.models import (
    DropCopyMessage,
    DropCopySession,
    LiquidityProvider,
    LiquiditySymbol,
    ServerConnection,
    ServerSync,
    Symbol,
    SyncGap,
)
from platform_ops.rules.executions import EXECUTION_REPORT, TRADE_CAPTURE
from platform_ops.services.liquidity import work as liquidity_work
from platform_ops.services.liquidity.intake import FileIntake, bring_up_to_date, store_messages
from platform_ops.services.liquidity.providers import set_side
from platform_ops.services.sync import state

SECONDS_AT_ONCE = 5.0
MAX_NOTE = 300
BEFORE_COMMIT, AFTER_COMMIT = "platform.drop_copy.before_commit", "platform.drop_copy.after_commit"
crash_points.declare(BEFORE_COMMIT, AFTER_COMMIT)
_State = DropCopySession.State
_CANNOT_BE = (DataError, IntegrityError, ArithmeticError, ValueError)


@dataclass(slots=True)
class Told:
    """What came in one step: executions that are new, and those that were changed or taken back."""

    fills: int = 0
    corrected: int = 0


class NumbersChanged(Retryable):
    """Somebody set the sequence numbers while the session ran."""

    default_code = "numbers_changed"


def follow(connection: ServerConnection, sync: ServerSync, gateway: ReadingGateway) -> Told:
    """Follows the session for some seconds. Raises DomainError for what keeps it from being followed."""
    session = session_of(connection)
    told = Told()
    state.note_started(sync, connection, now=clock.now())
    try:
        standing = cast(DropCopyGateway, gateway).follow(
            numbers=Numbers(session.next_in, session.next_out),
            keep=_Keeper(session, told).keep,
            seconds=min(float(connection.interval_seconds), SECONDS_AT_ONCE),
        )
    except DomainError as error:
        away = isinstance(error, GatewayUnavailable | Retryable)
        _note_state(session.pk, _State.AWAY if away else _State.REFUSED, error.message)
        raise
    if not standing.is_logged_on:
        _note_state(session.pk, _State.STOPPED, "Logged out.")
        return told
    now = clock.now()
    is_whole = standing.gap_to == 0
    if told.fills and not is_whole:
        SyncGap.objects.filter(server_id=sync.server_id, filled_at__isnull=True).update(deals=F("deals") + told.fills)
    session.refresh_from_db()
    state.note_window(
        sync,
        cursor=now if is_whole else sync.cursor_at or connection.started_at,
        is_live=is_whole,
        last_deal_at=session.last_execution_at,
        deals=told.fills,
        now=now,
    )
    return told


def session_of(connection: ServerConnection) -> DropCopySession:
    """The session's row, in line with the connection's options. Raises InvalidInput or Conflict where these cannot be."""
    options = check_options(connection.options)
    provider = LiquidityProvider.objects.filter(
        code=options["provider"], entity_id=connection.server.entity_id, is_active=True
    ).first()
    if provider is None:
        raise InvalidInput(
            f"{connection.server.code}: there is no active liquidity provider {options['provider']} in its legal entity.",
            field="options",
            value="provider",
        )
    if provider.comp_id != options["target_comp_id"]:
        raise InvalidInput(
            f"{connection.server.code}: {provider.code} sends as {provider.comp_id}, the connection says "
            f"{options['target_comp_id']}.",
            field="options",
            value="target_comp_id",
        )
    parties = {"sender_comp_id": options["sender_comp_id"], "target_comp_id": options["target_comp_id"]}
    session = DropCopySession.objects.select_related("provider").filter(provider=provider).first()
    if session is None:
        _settle_provider(provider, options)
        return DropCopySession.objects.create(provider=provider, server=connection.server, **parties)
    if session.server_id != connection.server_id:
        raise Conflict(
            f"The drop copy of {provider.code} comes over {session.server.code} already.", code="drop_copy_elsewhere"
        )
    if session.state != _State.LIVE:
        _settle_provider(provider, options)
    if any(getattr(session, name) != value for name, value in parties.items()):
        # Numbers belong to the two names; others begin with one.
        for name, value in parties.items():
            setattr(session, name, value)
        session.next_in = session.next_out = 1
        session.gap_to = None
        session.note = "The names of the session were changed: its numbers begin with 1."
        session.save()
    return session


@transaction.atomic
def _settle_provider(provider: LiquidityProvider, options: dict[str, Any]) -> None:
    """Whose side is stated, and what the names mean that the connection maps. A person's own mapping is left alone."""
    is_own = options["side"] == THEIRS
    if provider.states_own_side != is_own:
        set_side(provider, states_own_side=is_own)
        provider.save(update_fields=["states_own_side"])
    wanted = provider_names(options["symbols"])
    if not wanted:
        return
    symbols = dict(Symbol.objects.filter(code__in=set(wanted.values())).values_list("code", "pk"))
    unknown = sorted(set(wanted.values()) - set(symbols))
    if unknown:
        raise InvalidInput(
            f"The drop copy of {provider.code} maps a name to {unknown[0]}, and there is no such symbol.",
            field="options",
            value="symbols",
        )
    known = {(row.id_source, row.name): row for row in provider.symbols.all()}
    changed: list[LiquiditySymbol] = []
    for name, code in wanted.items():
        row = known.get((name.id_source, name.name))
        if row is None:
            LiquiditySymbol.objects.create(
                provider=provider, id_source=name.id_source, name=name.name, symbol_id=symbols[code]
            )
        elif row.symbol_id is None:
            row.symbol_id = symbols[code]
            row.save(update_fields=["symbol"])
            changed.append(row)
    if changed:
        orders = provider.fills.filter(lp_symbol__in=changed).order_by().values_list("order_id", flat=True).distinct()
        bring_up_to_date(provider, list(orders), FileIntake())
    liquidity_work.note_names(provider)


class _Keeper:
    """Keeps what a session received. The numbers in the table must be those that this session wrote last."""

    def __init__(self, session: DropCopySession, told: Told) -> None:
        self._pk, self._told = session.pk, told
        self._known = (session.next_in, session.next_out)

    def keep(self, received: Received) -> None:
        """One transaction: messages and their executions, the log, the numbers."""
        now = clock.now()
        intake = FileIntake(messages=len(received.messages))
        with transaction.atomic(durable=True):
            session = (
                DropCopySession.objects.select_for_update(of=("self",)).select_related("provider").get(pk=self._pk)
            )
            if (session.next_in, session.next_out) != self._known:
                raise NumbersChanged("The sequence numbers were set by hand: the session begins anew with them.")
            DropCopyMessage.objects.bulk_create(
                [_log_row(session.provider_id, entry, now) for entry in received.entries]
            )
            refused = [*received.refused, *_store(session.provider, received.messages, intake)]
            _note_received(session, received, intake, unreadable=len(refused), now=now)
            if refused:
                liquidity_work.note_unreadable(
                    session.provider, [(one.problem, one.message.shown()) for one in refused]
                )
            crash_points.reach(BEFORE_COMMIT)
        crash_points.reach(AFTER_COMMIT)
        self._known = (received.numbers.next_in, received.numbers.next_out)
        self._told.fills += intake.fills
        self._told.corrected += intake.corrected + intake.busted


def _store(provider: LiquidityProvider, messages: Sequence[FixMessage], intake: FileIntake) -> list[Refused]:
    """Keeps the messages. One that the tables cannot hold is left out and named; the session goes on without it."""
    try:
        with transaction.atomic():
            _add(intake, _stored(provider, messages))
    except _CANNOT_BE:
        if len(messages) == 1:
            return [Refused(messages[0], "A figure of the message is beyond what can be kept.")]
        return [refused for message in messages for refused in _store(provider, [message], intake)]
    return []


def _stored(provider: LiquidityProvider, messages: Sequence[FixMessage]) -> FileIntake:
    intake = FileIntake()
    store_messages(provider, messages, intake)
    return intake


def _add(intake: FileIntake, more: FileIntake) -> None:
    for name in ("new", "repeated", "fills", "corrected", "busted"):
        setattr(intake, name, getattr(intake, name) + getattr(more, name))


def _note_received(
    session: DropCopySession, received: Received, intake: FileIntake, *, unreadable: int, now: datetime
) -> None:
    before_gap, before_state = session.gap_to, session.state
    heard_before = session.last_received_at
    is_incoming = any(entry.is_incoming for entry in received.entries)
    session.next_in, session.next_out = received.numbers.next_in, received.numbers.next_out
    session.gap_to = received.gap_to or None
    if received.is_logged_on:
        session.state = _State.FETCHING if received.gap_to else _State.LIVE
        if before_state not in (_State.LIVE, _State.FETCHING):
            session.logged_on_at, session.note = now, ""
    if session.state != before_state:
        session.state_since = now
    if is_incoming:
        session.last_received_at = now
    session.messages += intake.new
    session.fills += intake.fills
    session.fetched += sum(message.get(43) == "Y" for message in received.messages)
    session.unreadable += unreadable
    session.garbled += received.garbled
    session.rejects += received.rejects
    session.resets += received.resets
    session.note = (received.garbled_problem or received.problem or session.note)[:MAX_NOTE]
    known = [session.last_execution_at] if session.last_execution_at else []
    session.last_execution_at = max(_executed(received) + known, default=None)
    session.updated_at = now
    if session.gap_to and not before_gap:
        session.gaps += 1
        _open_gap(session, since=heard_before, now=now)
    session.save()


def _executed(received: Received) -> list[datetime]:
    return [
        message.moment(60) if message.get(60) else message.sent_at
        for message in received.messages
        if message.kind in (EXECUTION_REPORT, TRADE_CAPTURE)
    ]


def _open_gap(session: DropCopySession, *, since: datetime | None, now: datetime) -> None:
    """What was missed is a gap of the server, also when it was too short for its clock to tell."""
    if SyncGap.objects.filter(server_id=session.server_id, filled_at__isnull=True).exists():
        return
    SyncGap.objects.create(
        server_id=session.server_id,
        from_at=min(since or now, now - timedelta(seconds=1)),
        to_at=now,
        cause=f"Messages {session.next_in:,} to {session.gap_to:,} of {session.target_comp_id} were missed.",
        found_at=now,
    )


def _log_row(provider_id: int, entry: Entry, now: datetime) -> DropCopyMessage:
    message = entry.message
    return DropCopyMessage(
        provider_id=provider_id,
        is_incoming=entry.is_incoming,
        kind=message.kind[:8],
        sequence=_number(message.get(34)),
        is_repeat=message.get(43) == "Y",
        order_id=message.get(37)[:64],
        client_order_id=message.get(11)[:64],
        exec_id=(message.get(17) or message.get(571))[:64],
        symbol=(message.get(55) or message.get(48))[:64],
        text=entry.text,
        at=now,
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def _note_state(session_pk: int, to: str, note: str) -> None:
    now = clock.now()
    rows = DropCopySession.objects.filter(pk=session_pk)
    rows.exclude(state=to).update(state_since=now)
    rows.update(state=to, note=note[:MAX_NOTE], updated_at=now)
