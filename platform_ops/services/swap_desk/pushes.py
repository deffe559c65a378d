"""Which pushes there are: planned by an application or its reversal, tried again or declared done by a person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.models import ChangeRequest
from backoffice.core.services import audit, jobs
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from backoffice.kernel.ids import uuid7
from platform_ops.models import AccountGroup, ServerConnection, ServerSymbol, SwapPush, SymbolSpec
from platform_ops.permissions import MANAGE_SWAPS
from platform_ops.rules.swaps import RateDraft
from platform_ops.services.swap_desk.pushing import name_of, verify_pushed
from platform_ops.services.swaps.rates import RateKey

PUSH_JOB_KIND = "platform.push_swaps"
MAX_PROBLEMS = 50
SYMBOLS_NAMED = 4
State = SwapPush.State


def plan_pushes(*, change: ChangeRequest, rates: Sequence[RateDraft], due_at: datetime) -> int:
    """Writes down what each server is to be told, in the caller's transaction; how many pushes.

    A symbol's own rate goes to every server that names the symbol, the rate of an account group to its own server as the
    group's settings of the symbol. A server without a connection that takes changes is for a person.
    """
    symbol_ids = {rate.symbol_id for rate in rates}
    named: dict[int, list[ServerSymbol]] = defaultdict(list)
    for row in ServerSymbol.objects.filter(symbol_id__in=symbol_ids).order_by("server__code", "name"):
        assert row.symbol_id is not None
        named[row.symbol_id].append(row)
    digits = dict(
        SymbolSpec.objects.filter(symbol_id__in=symbol_ids, validity__contains=due_at).values_list(
            "symbol_id", "digits"
        )
    )
    group_ids = {rate.group_id for rate in rates if rate.group_id is not None}
    group_servers = dict(AccountGroup.objects.filter(pk__in=group_ids).values_list("pk", "server_id"))
    reachable = _reachable()
    pushes = []
    for rate in rates:
        for row in named[rate.symbol_id]:
            if rate.group_id is not None and group_servers.get(rate.group_id) != row.server_id:
                continue
            push = _push(change.pk, SwapPush.Direction.APPLY, row.server_id, row.pk, rate, due_at)
            push.digits = digits.get(rate.symbol_id, 0)
            if row.server_id not in reachable:
                push.state, push.message = State.BY_HAND, "The server has no connection that takes changes."
            pushes.append(push)
    return _queue(change.pk, SwapPush.Direction.APPLY, pushes, due_at)


def plan_reversal(*, change_id: int, before: Mapping[RateKey, RateDraft | None], due_at: datetime) -> int:
    """Writes down what each server is to be told back, in the caller's transaction: what it had before it was told, else
    the rate that stood *before*. What was never sent is not sent any more."""
    told = list(
        SwapPush.objects.select_for_update(of=("self",))
        .select_related("server_symbol")
        .filter(change_id=change_id, direction=SwapPush.Direction.APPLY)
        .order_by("pk")
    )
    back = []
    for push in told:
        was_told = push.sent_at is not None or push.state in (State.VERIFIED, State.DONE_BY_HAND)
        if push.state not in SwapPush.FINAL_STATES:
            push.state, push.message, push.claimed_until = State.SUPERSEDED, "Taken back.", None
            push.save(update_fields=["state", "message", "claimed_until"])
        assert push.server_symbol.symbol_id is not None
        rate = before.get((push.server_symbol.symbol_id, push.group_id))
        restored = _restoring(push, rate, due_at) if was_told else None
        if restored is not None:
            back.append(restored)
    return _queue(change_id, SwapPush.Direction.REVERT, back, due_at)


def _restoring(push: SwapPush, rate: RateDraft | None, due_at: datetime) -> SwapPush | None:
    """The push that puts back what the server had; what it had may have been the new rate already."""
    had = (push.before_mode, push.before_long, push.before_short)
    if None not in had and (push.follows or had != (push.mode, push.long, push.short)):
        rate = RateDraft(symbol_id=0, mode=push.before_mode, long=push.before_long, short=push.before_short)  # type: ignore[arg-type]
    if rate is None:
        return None
    back = _push(push.change_id, SwapPush.Direction.REVERT, push.server_id, push.server_symbol_id, rate, due_at)
    back.group_id, back.digits, back.follows = push.group_id, push.digits, push.follows
    if push.state == State.DONE_BY_HAND:
        back.state, back.message = State.BY_HAND, "It was set by hand, and is taken back by hand."
    return back


@transaction.atomic
def retry_pushes(*, change_id: int, actor: Actor) -> int:
    """Has what failed or waits for an answer be tried again at once; how many pushes. Repeating it is harmless."""
    authorise(actor, MANAGE_SWAPS)
    change = get_visible(ChangeRequest.objects.all(), actor, pk=change_id)
    mine = visible_to(SwapPush.objects.filter(change=change), actor)
    failed = list(mine.filter(state__in=SwapPush.FAILED_STATES).values_list("pk", flat=True))
    waiting = [State.UNREACHABLE, State.UNCERTAIN, State.QUEUED]
    held = list(mine.filter(state__in=waiting).values_list("pk", flat=True))
    count = SwapPush.objects.filter(pk__in=failed).update(
        state=State.QUEUED, attempts=0, claimed_until=None, message=""
    )
    count += SwapPush.objects.filter(pk__in=held, state__in=waiting).update(claimed_until=None)
    if count:
        audit.record(actor=actor, action="platform.retry_swap_pushes", target=change, changes={"pushes": count})
        jobs.enqueue(kind=PUSH_JOB_KIND, key=f"{change_id}:{uuid7()}", payload={"change_id": change_id})
    return count


@transaction.atomic
def confirm_by_hand(*, change_id: int, server_id: int, actor: Actor, reason: str) -> int:
    """A person says that the figures were set on a server by hand, and how they saw that; how many pushes."""
    authorise(actor, MANAGE_SWAPS)
    if not reason.strip():
        raise InvalidInput("Say how you saw that the server has them.", field="reason")
    change = get_visible(ChangeRequest.objects.all(), actor, pk=change_id)
    waiting = visible_to(SwapPush.objects.filter(change=change, server_id=server_id), actor)
    if not waiting.exists():
        raise NotFound("Nothing of this change goes to that server.")
    open_ones = waiting.filter(state__in=[State.BY_HAND, *SwapPush.FAILED_STATES])
    if not open_ones.exists():
        raise Conflict("Nothing waits to be set by hand there.", code="nothing_by_hand")
    count = SwapPush.objects.filter(pk__in=list(open_ones.values_list("pk", flat=True))).update(
        state=State.DONE_BY_HAND, message=f"{actor.label}: {reason.strip()}"[:400], claimed_until=None
    )
    audit.record(
        actor=actor, action="platform.confirm_swaps_by_hand", target=change, reason=reason,
        changes={"server_id": server_id, "pushes": count},
    )  # fmt: skip
    verify_pushed(change.pk)
    return count


def problems_of_pushes(*, change_id: int) -> list[str]:
    """What keeps a change from being on every server: one line per server and cause, with its symbols."""
    waiting = (
        SwapPush.objects.filter(change_id=change_id, direction=SwapPush.Direction.APPLY)
        .exclude(state__in=SwapPush.FINAL_STATES)
        .select_related("server", "server_symbol", "group")
    )
    named: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for push in waiting:
        named[push.server.code, push.get_state_display().lower(), push.message].append(name_of(push))
    lines = []
    for (server, state, message), symbols in named.items():
        more = f" and {len(symbols) - SYMBOLS_NAMED:,} more" if len(symbols) > SYMBOLS_NAMED else ""
        lines.append(f"{server} {', '.join(symbols[:SYMBOLS_NAMED])}{more}: {state}. {message}".strip())
    return lines[:MAX_PROBLEMS]


def _reachable() -> set[int]:
    return set(ServerConnection.objects.filter(is_enabled=True).values_list("server_id", flat=True))


def _push(
    change_id: int, direction: str, server_id: int, server_symbol_id: int, rate: RateDraft, due_at: datetime
) -> SwapPush:
    return SwapPush(
        change_id=change_id,
        direction=direction,
        server_id=server_id,
        server_symbol_id=server_symbol_id,
        group_id=rate.group_id,
        mode=int(rate.mode),
        long=rate.long,
        short=rate.short,
        due_at=due_at,
        digits=0,
    )


def _queue(change_id: int, direction: str, pushes: Iterable[SwapPush], due_at: datetime) -> int:
    rows = SwapPush.objects.bulk_create(pushes)
    if any(row.state == State.QUEUED for row in rows):
        payload: dict[str, Any] = {"change_id": change_id}
        jobs.enqueue(kind=PUSH_JOB_KIND, key=f"{change_id}:{direction}", payload=payload, run_after=due_at)
    return len(rows)
