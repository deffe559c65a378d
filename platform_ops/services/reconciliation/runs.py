"""Runs a comparison and writes what came of it: new breaks opened, known ones counted, those that are gone resolved."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import F

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import Job
from backoffice.core.services import audit, jobs, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import day_bounds
from backoffice.kernel.errors import Conflict, DomainError, InvalidInput
from platform_ops.events import RECONCILIATION_BREAK_OPENED
from platform_ops.gateways.types import ReadingGateway
from platform_ops.models import ReconciliationBreak, ReconciliationRun, TradingAccount, TradingServer
from platform_ops.outer_permissions import RECONCILE
from platform_ops.rules.reconciliation import DEAL_KINDS, BreakKind, Difference
from platform_ops.services.connections import connection_of, open_gateway, refuse_within_transaction
from platform_ops.services.nightly_look import look_after_day
from platform_ops.services.reconciliation import work
from platform_ops.services.reconciliation.reading import Comparison, compare

JOB_KIND = "platform.reconcile"
LOOK_BACK = timedelta(days=3)
"""How far before a business day deals are compared again: late corrections come within days."""
ABANDONED_AFTER = timedelta(hours=2)
MAX_DAYS_OF_BREAKS = 60
BATCH = 1_000
MAX_TOLD = 50
"""So many breaks of a kind are named in the event of a run; how many there are is told besides."""
_State = ReconciliationBreak.State


def request_reconciliation(
    *, server_id: int, actor: Actor, from_time: datetime | None = None
) -> ReconciliationRun | None:
    """Has a server compared as soon as a worker is free. None: the run is seen on the board once it has begun."""
    authorise(actor, RECONCILE)
    server = get_visible(TradingServer.objects.all(), actor, pk=server_id)
    connection_of(server.pk)
    with transaction.atomic():
        audit.record(actor=actor, action="platform.request_reconciliation", target=server, entity_id=server.entity_id)
        payload = {"server_id": server.pk, "from": None if from_time is None else from_time.isoformat()}
        jobs.enqueue(kind=JOB_KIND, key=f"{server.pk}:{clock.now():%Y%m%d%H%M%S%f}", payload=payload)
    return None


def run_job(job: Job, owner: str) -> dict[str, Any]:
    """Carries out a request."""
    payload = job.payload
    start = payload.get("from")
    day = payload.get("day")
    run = reconcile_server(
        server_id=payload["server_id"],
        actor=Actor.system("reconciliation"),
        business_day=None if day is None else date.fromisoformat(day),
        from_time=None if start is None else datetime.fromisoformat(start),
    )
    outcome: dict[str, Any] = {"run_id": run.pk, "state": run.state, "breaks": run.breaks_open}
    if day is not None and run.state == ReconciliationRun.State.DONE:
        outcome |= _looked_after(payload["server_id"], date.fromisoformat(day))
    return outcome


def _looked_after(server_id: int, day: date) -> dict[str, Any]:
    """What the server is asked besides. The comparison stands whether or not it answers that."""
    try:
        return look_after_day(server_id=server_id, day=day, actor=Actor.system("reconciliation"))
    except DomainError as error:
        structlog.get_logger(__name__).warning(
            "nightly_look_failed", server_id=server_id, day=str(day), code=error.code
        )
        return {"problem": error.message}


def reconcile_server(
    *, server_id: int, actor: Actor, business_day: date | None = None, from_time: datetime | None = None
) -> ReconciliationRun:
    """Compares a server with the books, over the door that its connection is. A server that does not answer makes a
    failed run, which says so. Raises Denied, NotFound without a connection, Conflict while another run is under way.
    """
    authorise(actor, RECONCILE)
    refuse_within_transaction()
    server = get_visible(TradingServer.objects.all(), actor, pk=server_id)
    connection = connection_of(server.pk)
    low, high = _window(business_day=business_day, from_time=from_time, started_at=connection.started_at)
    run = _start(server, low=low, high=high, business_day=business_day, actor=actor)
    try:
        with open_gateway(server_id=server.pk) as gateway:
            return _run(run, gateway=gateway, actor=actor)
    except DomainError as error:
        return _fail(run, error)


def reconcile_with(
    *,
    server: TradingServer,
    gateway: ReadingGateway,
    actor: Actor,
    from_time: datetime,
    to_time: datetime,
    business_day: date | None = None,
) -> ReconciliationRun:
    """The same with a session that the caller holds."""
    authorise(actor, RECONCILE)
    refuse_within_transaction()
    run = _start(server, low=from_time, high=to_time, business_day=business_day, actor=actor)
    try:
        return _run(run, gateway=gateway, actor=actor)
    except DomainError as error:
        return _fail(run, error)


def _window(
    *, business_day: date | None, from_time: datetime | None, started_at: datetime
) -> tuple[datetime, datetime]:
    """From when to when deals are compared; never from before records were fetched."""
    now = clock.now()
    if business_day is None:
        low, high = from_time or now - LOOK_BACK, now
    else:
        start, high = day_bounds(business_day)
        low = from_time or start - LOOK_BACK
        if high > now:
            raise InvalidInput(f"{business_day} has not ended.", field="business_day", value=str(business_day))
    low = max(low, started_at)
    if low >= high:
        low = high - timedelta(seconds=1)
    return low, high


@transaction.atomic(durable=True)
def _start(
    server: TradingServer, *, low: datetime, high: datetime, business_day: date | None, actor: Actor
) -> ReconciliationRun:
    now = clock.now()
    ReconciliationRun.objects.filter(
        server=server, state=ReconciliationRun.State.RUNNING, started_at__lt=now - ABANDONED_AFTER
    ).update(state=ReconciliationRun.State.FAILED, finished_at=now, problem="It was never finished.")
    try:
        with transaction.atomic():
            return ReconciliationRun.objects.create(
                server=server,
                business_day=business_day,
                window_from=low,
                window_to=high,
                started_at=now,
                started_by=actor.label,
            )
    except IntegrityError as error:
        raise Conflict(f"{server.code} is being compared already.", code="reconciliation_running") from error


def _run(run: ReconciliationRun, *, gateway: ReadingGateway, actor: Actor) -> ReconciliationRun:
    also = _days_of_open_breaks(run)
    compared = compare(server=run.server, gateway=gateway, from_time=run.window_from, to_time=run.window_to, also=also)
    return _write(run, compared, also=also, actor=actor)


def _days_of_open_breaks(run: ReconciliationRun) -> set[date]:
    """Days before the window on which a deal still differs: they are looked at again, or a break would never clear."""
    days: set[date] = set()
    for found in _standing(run).filter(kind__in=[kind.value for kind in DEAL_KINDS]):
        at = _moment_of(found)
        if at is not None and at < run.window_from:
            days.add(at.date())
    return set(sorted(days)[:MAX_DAYS_OF_BREAKS])


@transaction.atomic(durable=True)
def _write(run: ReconciliationRun, compared: Comparison, *, also: Collection[date], actor: Actor) -> ReconciliationRun:
    now = clock.now()
    standing = {(one.kind, one.login, one.ticket, one.leg): one for one in _standing(run).select_for_update()}
    told = {one.key: one for one in compared.differences}
    seen = [(standing[key], one) for key, one in told.items() if key in standing]
    fresh = [one for key, one in told.items() if key not in standing]
    gone = [
        one
        for key, one in standing.items()
        if key not in told and _was_looked_at(one, run=run, compared=compared, also=also)
    ]
    opened = [*_open(run, fresh, now), *_count_again(run, seen, now)]
    ReconciliationBreak.objects.filter(pk__in=[one.pk for one in gone]).update(
        state=_State.RESOLVED, resolved_at=now, last_run=run
    )
    run.state = ReconciliationRun.State.DONE
    run.finished_at = now
    run.figures = {**compared.figures, "by_kind": _by_kind(compared.differences)}
    run.breaks_new, run.breaks_resolved = len(fresh), len(gone)
    run.breaks_open = _standing(run).count()
    run.save()
    work.note_breaks(server_id=run.server_id)
    _tell(run, opened)
    audit.record(
        actor=actor,
        action="platform.reconcile",
        target=run,
        entity_id=run.server.entity_id,
        changes={"open": run.breaks_open, "new": run.breaks_new, "resolved": run.breaks_resolved},
    )
    return run


def _standing(run: ReconciliationRun) -> Any:
    return ReconciliationBreak.objects.filter(server=run.server_id).exclude(state=_State.RESOLVED)


def _was_looked_at(
    one: ReconciliationBreak, *, run: ReconciliationRun, compared: Comparison, also: Collection[date]
) -> bool:
    """Whether this run would have found the break again if it still stood."""
    kind = BreakKind(one.kind)
    if kind not in compared.kinds or one.login in compared.skipped:
        return False
    at = _moment_of(one)
    if kind not in DEAL_KINDS or at is None:
        return True
    return run.window_from <= at < run.window_to or at.date() in also


def _moment_of(one: ReconciliationBreak) -> datetime | None:
    told = one.theirs.get("at") or one.ours.get("at")
    return None if told is None else datetime.fromisoformat(told)


def _tell(run: ReconciliationRun, opened: Iterable[ReconciliationBreak]) -> None:
    """One event for each kind of break that opened: thousands at once are one thing to hear of."""
    by_kind: dict[str, list[int]] = {}
    for one in opened:
        by_kind.setdefault(one.kind, []).append(one.pk)
    outbox.publish_all(
        topic=RECONCILIATION_BREAK_OPENED,
        payloads=[
            {"run_id": run.pk, "kind": kind, "opened": len(ids), "break_ids": sorted(ids)[:MAX_TOLD]}
            for kind, ids in sorted(by_kind.items())
        ],
        shard_key=f"server:{run.server_id}",
    )


def _open(run: ReconciliationRun, fresh: Iterable[Difference], now: datetime) -> list[ReconciliationBreak]:
    wanted = list(fresh)
    accounts = dict(
        TradingAccount.objects.filter(server=run.server_id, login__in={one.login for one in wanted}).values_list(
            "login", "pk"
        )
    )
    return ReconciliationBreak.objects.bulk_create(
        [
            ReconciliationBreak(
                server_id=run.server_id,
                kind=one.kind.value,
                account_id=accounts.get(one.login),
                login=one.login,
                ticket=one.ticket,
                leg=one.leg,
                first_run=run,
                last_run=run,
                first_seen_at=now,
                last_seen_at=now,
                **_figures(one),
            )
            for one in wanted
        ],
        batch_size=BATCH,
    )


def _figures(one: Difference) -> dict[str, Any]:
    return {
        "fields_differing": list(one.fields),
        "ours": one.ours,
        "theirs": one.theirs,
        "amount": one.amount,
        "currency": one.currency,
        "cause": one.cause[:300],
    }


def _count_again(
    run: ReconciliationRun, seen: list[tuple[ReconciliationBreak, Difference]], now: datetime
) -> list[ReconciliationBreak]:
    """Known breaks, seen once more. An accepted one whose figures are others now was not accepted like this: these are
    returned."""
    unchanged = [one.pk for one, told in seen if (one.ours, one.theirs) == (told.ours, told.theirs)]
    ReconciliationBreak.objects.filter(pk__in=unchanged).update(
        last_run=run, last_seen_at=now, times_seen=F("times_seen") + 1
    )
    changed: list[ReconciliationBreak] = []
    reopened: list[ReconciliationBreak] = []
    for one, told in seen:
        if (one.ours, one.theirs) == (told.ours, told.theirs):
            continue
        for name, value in _figures(told).items():
            setattr(one, name, value)
        one.last_run, one.last_seen_at, one.times_seen = run, now, one.times_seen + 1
        if one.state == _State.ACCEPTED:
            one.state, one.accepted_by_id, one.accepted_at = _State.OPEN, None, None
            reopened.append(one)
        changed.append(one)
    ReconciliationBreak.objects.bulk_update(
        changed,
        [
            "fields_differing", "ours", "theirs", "amount", "currency", "cause", "last_run", "last_seen_at", "times_seen",
            "state", "accepted_by", "accepted_at",
        ],
        batch_size=BATCH,
    )  # fmt: skip
    return reopened


def _by_kind(found: Iterable[Difference]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in found:
        counts[one.kind.value] = counts.get(one.kind.value, 0) + 1
    return dict(sorted(counts.items()))


@transaction.atomic(durable=True)
def _fail(run: ReconciliationRun, error: DomainError) -> ReconciliationRun:
    run.state = ReconciliationRun.State.FAILED
    run.finished_at = clock.now()
    run.problem = error.message[:2000]
    run.save()
    work.note_failed(run)
    return run
