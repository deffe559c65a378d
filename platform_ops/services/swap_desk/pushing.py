"""Telling the servers: each push is written down before it is sent, sent outside of any transaction, and read back afterwards.

Setting a swap is repeatable, but never repeated blindly: what a server has is read first, and what it already has is not
sent again. So a lost answer, a killed worker and two workers at once all end in the same place. A newer push of the same
symbol supersedes an older one that has not arrived. What is planned, and by whom it may be moved on, is in `pushes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from backoffice.core import crash_points
from backoffice.core.models import ChangeRequest, Job
from backoffice.core.services import audit, changes
from backoffice.core.services.switches import Switch, SwitchedOff, require_open
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import DomainError, NotFound
from platform_ops.gateways.errors import GatewayRefused, GatewayUncertain, NotOffered
from platform_ops.gateways.group_symbols import GroupSymbolChanging, GroupSymbolReading
from platform_ops.gateways.types import Ability, ReadingGateway, SwapMode, SymbolTerms, TradingGateway
from platform_ops.models import SwapPush, TradingServer
from platform_ops.rules.swap_desk import Rates, mode_words
from platform_ops.rules.swap_sheets import MAX_DECIMALS, plain
from platform_ops.rules.swaps import REOPEN_MODES
from platform_ops.services.connections import open_gateway

PUSHER = Actor.system("swap pushes")
CLAIM = timedelta(minutes=2)
PAUSE = timedelta(seconds=20)
MAX_SENDS = 5
MAX_PUSHES_AT_ONCE = 1_000
MAX_SERVERS = 200
MAX_MESSAGE = 400
_POINT_MODES = REOPEN_MODES | {SwapMode.POINTS}
State = SwapPush.State

crash_points.declare("platform.swap_push.before_send", "platform.swap_push.after_send")
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Pass:
    """One pass over a server: its claimed pushes, and whether the session was lost on the way."""

    server: TradingServer
    pushes: list[SwapPush]
    is_broken: bool = False


_SWAP_TERMS = frozenset({"swap_mode", "swap_long", "swap_short"})


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a server has: the symbol's terms, or a group's with what it follows where it states nothing (`own`) itself."""

    terms: SymbolTerms
    follows: SymbolTerms | None = None
    own: frozenset[str] = frozenset()

    def has_all_of(self, push: SwapPush) -> bool:
        """Whether the server has what the push wants. A group's figures are its own: ones that only follow the symbol would
        move with it; unless it is to follow, for then it has none of its own."""
        if push.follows and push.direction == SwapPush.Direction.REVERT:
            return not self.own & _SWAP_TERMS
        is_stated = self.follows is None or push.direction == SwapPush.Direction.REVERT or self.own >= _SWAP_TERMS
        return is_stated and _is_equal(_ours(self.terms, push.digits), push)


def push_due(*, change_id: int | None = None) -> int:
    """Tells every server what is due for it (of one change, if named); returns how many pushes are on their server now.

    Called outside of any transaction. A server that does not answer keeps its pushes, to be tried again after a pause.
    """
    waiting = SwapPush.objects.filter(_due(clock.now()))
    if change_id is not None:
        waiting = waiting.filter(change_id=change_id)
    servers = list(waiting.order_by("server_id").values_list("server_id", flat=True).distinct()[:MAX_SERVERS])
    return sum(push_server(server_id=server_id) for server_id in servers)


def push_server(*, server_id: int) -> int:
    """One pass over a server: claim, send what it does not have yet, read back; how many are verified by it."""
    server = TradingServer.objects.get(pk=server_id)
    try:
        going = _Pass(server, _claim(server))
    except SwitchedOff as error:
        SwapPush.objects.filter(_due(clock.now()), server=server).update(message=error.message[:MAX_MESSAGE])
        return 0
    if not going.pushes:
        return 0
    try:
        with open_gateway(server_id=server.pk, writing=True) as gateway:
            _send_all(gateway, going)
    except (NotOffered, NotFound) as error:
        _settle(going.pushes, State.BY_HAND, f"{error.message} Set it on the server by hand.")
    except DomainError as error:
        _pause(going.pushes, error, is_stopped=isinstance(error, SwitchedOff))
    _read_back(going)
    return _finish(going)


def run_push_job(job: Job, owner: str) -> dict[str, Any]:
    """The job that follows an application at once; what it cannot do is left to the next tick."""
    return {"verified": push_due(change_id=job.payload.get("change_id"))}


def _due(now: datetime) -> Q:
    return Q(state__in=SwapPush.OPEN_STATES, due_at__lte=now) & (
        Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)
    )


@transaction.atomic
def _claim(server: TradingServer) -> list[SwapPush]:
    """Takes the due pushes of a server for this pass; older ones of a symbol are superseded by newer ones."""
    require_open(Switch.SERVER_PUSHES, entity_id=server.entity_id)
    now = clock.now()
    mine = SwapPush.objects.filter(_due(now), server=server)
    for is_symbols_own, same_group in ((True, Q(group__isnull=True)), (False, Q(group=OuterRef("group")))):
        newer = SwapPush.objects.filter(
            same_group, server_symbol=OuterRef("server_symbol"), pk__gt=OuterRef("pk"), due_at__lte=now
        ).exclude(state=State.SUPERSEDED)
        older = mine.filter(Exists(newer), group__isnull=is_symbols_own)
        older.update(state=State.SUPERSEDED, message="A newer change of this symbol goes before it.")
    claimed = list(
        mine.select_for_update(of=("self",), skip_locked=True)
        .select_related("server_symbol", "server", "group")
        # The symbol's own rate first: a group's is measured by what it would have without one.
        .order_by(F("group").asc(nulls_first=True), "pk")[:MAX_PUSHES_AT_ONCE]
    )
    SwapPush.objects.filter(pk__in=[push.pk for push in claimed]).update(claimed_until=now + CLAIM)
    return claimed


def _send_all(gateway: TradingGateway, going: _Pass) -> None:
    if Ability.SYMBOL_CHANGES not in gateway.abilities:
        raise NotOffered(f"The connection of {going.server.code} cannot change symbols.")
    known = _symbols_of(gateway, going.pushes)
    for push in going.pushes:
        name = name_of(push)
        if push.group is not None and not isinstance(gateway, GroupSymbolChanging):
            _settle(
                [push], State.BY_HAND, f"The connection cannot set swaps of a group: set {name} on the server by hand."
            )
            continue
        seen = _seen_by(gateway, push, known)
        if seen is None:
            _settle([push], State.REFUSED, f"{going.server.code} has no symbol {name}.")
            continue
        if not _begin(push, seen):
            continue
        crash_points.reach("platform.swap_push.before_send")
        try:
            _send(gateway, push, seen)
        except GatewayUncertain as error:
            # Whether it arrived is found out by reading back, in a session of its own; nothing more is sent in this one.
            _settle([push], State.UNCERTAIN, error.message)
            going.is_broken = True
            return
        except GatewayRefused as error:
            _settle([push], State.REFUSED, f"{going.server.code} refused {name}: {error.message}")
        crash_points.reach("platform.swap_push.after_send")


def _send(gateway: TradingGateway, push: SwapPush, seen: _Seen) -> None:
    """Tells the server. A group states all three itself, or none where it is to follow the symbol again."""
    wanted, symbol = _wanted(push, seen.terms), push.server_symbol.name
    if push.group is None:
        gateway.change_symbol(name=symbol, changes=_changes(wanted, seen.terms))
        return
    assert isinstance(gateway, GroupSymbolChanging)
    values: dict[str, object] = {"swap_mode": wanted.mode, "swap_long": wanted.long, "swap_short": wanted.short}
    if push.follows and push.direction == SwapPush.Direction.REVERT:
        values = dict.fromkeys(values)
    gateway.change_group_symbol(name=symbol, group=push.group.name, changes=values)


@transaction.atomic
def _begin(push: SwapPush, seen: _Seen) -> bool:
    """Writes down that the push is about to be sent; False when it need not be, or no longer may be."""
    row = SwapPush.objects.select_for_update(of=("self",)).get(pk=push.pk)
    require_open(Switch.SERVER_PUSHES, entity_id=push.server.entity_id)
    if row.state not in SwapPush.OPEN_STATES:
        return False
    now = clock.now()
    has = _ours(seen.terms, row.digits)
    if row.before_mode is None:
        row.before_mode, row.before_long, row.before_short = int(has.mode), has.long, has.short
        if row.direction == SwapPush.Direction.APPLY:
            row.follows = seen.follows is not None and not seen.own & _SWAP_TERMS
    _note_reading(row, has)
    if seen.has_all_of(row):
        row.state, row.verified_at, row.message, row.claimed_until = State.VERIFIED, now, "", None
    elif row.attempts >= MAX_SENDS:
        row.state, row.claimed_until = State.DIFFERS, None
        row.message = f"Sent {row.attempts} times; {_difference(push, has)}"[:MAX_MESSAGE]
    else:
        row.state, row.sent_at, row.attempts, row.message = State.SENDING, now, row.attempts + 1, ""
        row.claimed_until = now + CLAIM
    row.save()
    return row.state == State.SENDING


def _read_back(going: _Pass) -> None:
    """Asks the server what it has now, in a session of its own, and judges every push that was sent or may have been."""
    sent = list(
        SwapPush.objects.select_related("server_symbol", "server", "group").filter(
            pk__in=[push.pk for push in going.pushes], state__in=[State.SENDING, State.UNCERTAIN]
        )
    )
    if not sent:
        return
    try:
        with open_gateway(server_id=going.server.pk) as gateway:
            known = _symbols_of(gateway, sent)
            seen = {push.pk: _seen_by(gateway, push, known) for push in sent}
    except DomainError as error:
        going.is_broken = True
        _pause(sent, error, state=State.UNCERTAIN)
        return
    for push in sent:
        _judge(push, seen[push.pk])


@transaction.atomic
def _judge(push: SwapPush, seen: _Seen | None) -> None:
    row = SwapPush.objects.select_for_update(of=("self",)).get(pk=push.pk)
    if row.state not in (State.SENDING, State.UNCERTAIN):
        return
    row.claimed_until = None
    if seen is None:
        row.state, row.message = State.DIFFERS, f"{push.server.code} has no symbol {name_of(push)} any more."
        row.save()
        return
    has = _ours(seen.terms, row.digits)
    _note_reading(row, has)
    had = (row.before_mode, row.before_long, row.before_short)
    if seen.has_all_of(row):
        row.state, row.verified_at, row.message = State.VERIFIED, clock.now(), ""
    elif row.state == State.UNCERTAIN and had == (int(has.mode), has.long, has.short) and row.attempts < MAX_SENDS:
        row.state, row.message = State.QUEUED, "The answer was lost; read back: it had not arrived. It is sent again."
    else:
        row.state, row.message = State.DIFFERS, _difference(push, has)[:MAX_MESSAGE]
    row.save()


def _finish(going: _Pass) -> int:
    """Gives the claims back, lets the changes be verified, writes down what was done; how many arrived."""
    mine = SwapPush.objects.filter(pk__in=[push.pk for push in going.pushes])
    rested = Q(state=State.QUEUED) if not going.is_broken else Q(state__in=[State.QUEUED, State.SENDING])
    mine.filter(rested, claimed_until__isnull=False, message="").update(claimed_until=None)
    states = Counter(mine.values_list("state", flat=True))
    with transaction.atomic():
        audit.record(
            actor=PUSHER,
            action="platform.push_swaps",
            target=going.server,
            changes={"states": dict(states), "symbols": [name_of(push) for push in going.pushes][:100]},
            entity_id=going.server.entity_id,
        )
    applied = mine.filter(direction=SwapPush.Direction.APPLY).order_by("change_id").values_list("change_id", flat=True)
    for change_id in applied.distinct():
        verify_pushed(change_id)
    _log.info("swaps_pushed", server=going.server.code, **{str(name): count for name, count in states.items()})
    return states[State.VERIFIED]


def verify_pushed(change_id: int) -> None:
    """Has the change request look again at what is still wrong."""
    if ChangeRequest.objects.filter(pk=change_id, state="applied").exists():
        changes.verify_change(change_id=change_id, actor=PUSHER)


def name_of(push: SwapPush) -> str:
    """The symbol as people read it, with the group where the rate is a group's."""
    name = push.server_symbol.name
    return name if push.group is None else f"{name} in {push.group.name}"


def _seen_by(gateway: ReadingGateway, push: SwapPush, known: dict[str, SymbolTerms]) -> _Seen | None:
    """What the server has for a push; None where it has no such symbol or group."""
    terms = known.get(push.server_symbol.name)
    if terms is None or push.group is None:
        return None if terms is None else _Seen(terms)
    if not isinstance(gateway, GroupSymbolReading):
        return None
    try:
        found = gateway.symbol_in_group(name=push.server_symbol.name, group=push.group.name)
    except GatewayRefused:
        return None
    return _Seen(found.terms, found.symbol_terms, found.own)


def _symbols_of(gateway: ReadingGateway, pushes: Sequence[SwapPush]) -> dict[str, SymbolTerms]:
    names = {push.server_symbol.name for push in pushes}
    return {symbol.name: symbol.terms for symbol in gateway.symbols() if symbol.name in names}


def _wanted(push: SwapPush, terms: SymbolTerms) -> Rates:
    """The push's figures as the server states them: points of another number of digits are other points."""
    return _scaled(Rates(push.long, push.short, SwapMode(push.mode)), terms.digits - push.digits)


def _ours(terms: SymbolTerms, digits: int) -> Rates:
    """The server's figures as we state them."""
    return _scaled(Rates(terms.swap_long, terms.swap_short, terms.swap_mode), digits - terms.digits)


def _scaled(rates: Rates, places: int) -> Rates:
    if rates.mode not in _POINT_MODES:
        places = 0
    long, short = (round(value.scaleb(places), MAX_DECIMALS) for value in (rates.long, rates.short))
    return Rates(long, short, rates.mode)


def _is_equal(has: Rates, push: SwapPush) -> bool:
    return has == _scaled(Rates(push.long, push.short, SwapMode(push.mode)), 0)


def _changes(wanted: Rates, terms: SymbolTerms) -> dict[str, object]:
    """The fields that differ, and no others."""
    fields: dict[str, object] = {"swap_mode": wanted.mode, "swap_long": wanted.long, "swap_short": wanted.short}
    return {name: value for name, value in fields.items() if getattr(terms, name) != value}


def _note_reading(row: SwapPush, has: Rates) -> None:
    row.read_mode, row.read_long, row.read_short = int(has.mode), has.long, has.short


def _difference(push: SwapPush, has: Rates) -> str:
    """Which server, symbol and field say what instead of what."""
    wanted = _scaled(Rates(push.long, push.short, SwapMode(push.mode)), 0)
    parts = [
        f"{field} {plain(there)}, not {plain(here)}"
        for (field, there), (_, here) in zip(has.sides, wanted.sides, strict=True)
        if there != here
    ]
    if has.mode is not wanted.mode:
        parts.insert(0, f"mode {mode_words(has.mode)}, not {mode_words(wanted.mode)}")
    if not parts:
        return f"{push.server.code}: {name_of(push)} only follows the symbol, and states no swap of its own."
    return f"{push.server.code} {name_of(push)} reads {'; '.join(parts)}."


def _settle(pushes: Sequence[SwapPush], state: str, message: str) -> None:
    """Ends pushes that are still open in a state with a message."""
    SwapPush.objects.filter(pk__in=[push.pk for push in pushes], state__in=SwapPush.OPEN_STATES).update(
        state=state, message=message[:MAX_MESSAGE], claimed_until=None
    )


def _pause(
    pushes: Sequence[SwapPush], error: DomainError, *, state: str = State.UNREACHABLE, is_stopped: bool = False
) -> None:
    """Keeps open pushes for later. What may have been sent stays uncertain; a stop by a person is no fault of the server."""
    open_ones = SwapPush.objects.filter(pk__in=[push.pk for push in pushes], state__in=SwapPush.OPEN_STATES)
    maybe_sent = open_ones.filter(state__in=[State.SENDING, State.UNCERTAIN])
    rest = open_ones.exclude(state__in=[State.SENDING, State.UNCERTAIN])
    open_ones.update(claimed_until=None if is_stopped else clock.now() + PAUSE)
    message = error.message[:MAX_MESSAGE]
    maybe_sent.update(state=State.UNCERTAIN, message=message)
    rest.update(state=State.QUEUED if is_stopped else state, message=message)
