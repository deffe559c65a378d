"""This desk's work items: what waits for a person on the platform, read from the books.

The use cases call the notes below in their own transaction; the sweep and `verify_books` read the same conditions. A
server on which very much waits at once has one item for all of it instead of one each.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, Max, Min, OuterRef, Value
from django.db.models.functions import Concat

from backoffice.core.models import Severity, WorkItem
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel import clock
from backoffice.kernel.business_day import day_bounds
from platform_ops.models import (
    BusinessDay,
    BusinessDayStep,
    IngestBatch,
    ServerSymbol,
    StatementImport,
    Trade,
    TradingAccount,
    TradingServer,
)

UNMATCHED_SYMBOL = "platform.unmatched_symbol"
UNASSIGNED_ACCOUNT = "platform.unassigned_account"
QUARANTINED_IMPORT = "platform.quarantined_import"
WAITING_DAY = "platform.waiting_day"

MAX_SEPARATE_ITEMS = 200
"""Above this many of a kind on one server, one item stands for all of them."""

STEP_MAY_WAIT = timedelta(hours=2)
"""How long a step of a finished business day may wait for its start."""

_ALL = "*"


def register() -> None:
    """Adds the kinds; called once when the application starts."""
    operations, administrator = Role.PLATFORM_OPERATIONS.value, Role.ADMINISTRATOR.value
    dealing, finance, compliance = Role.DEALING.value, Role.FINANCE.value, Role.COMPLIANCE.value
    register_work_kind(
        WorkKind(
            kind=UNMATCHED_SYMBOL,
            label="Name without a symbol",
            desk="platform_ops",
            roles=(operations, administrator),
            due_hours=4,
            severity=Severity.HIGH,
            escalate_after_hours=4,
            escalate_to_roles=(dealing,),
            action_slug="map",
            action_label="Map to a symbol",
            conditions=unmatched_symbols,
            closes_by_hand=False,
        )
    )
    register_work_kind(
        WorkKind(
            kind=UNASSIGNED_ACCOUNT,
            label="Account without a client",
            desk="platform_ops",
            roles=(operations, administrator),
            due_hours=24,
            escalate_after_hours=24,
            escalate_to_roles=(compliance,),
            action_slug="assign",
            action_label="Assign to a client",
            conditions=unassigned_accounts,
            closes_by_hand=False,
        )
    )
    register_work_kind(
        WorkKind(
            kind=QUARANTINED_IMPORT,
            label="Refused file",
            desk="platform_ops",
            roles=(operations, administrator),
            due_hours=8,
            escalate_after_hours=24,
            escalate_to_roles=(finance,),
            action_label="Open the import",
            conditions=quarantined_imports,
        )
    )
    register_work_kind(
        WorkKind(
            kind=WAITING_DAY,
            label="Business day that waits",
            desk="platform_ops",
            roles=(operations, finance, administrator),
            due_hours=2,
            severity=Severity.HIGH,
            escalate_after_hours=4,
            escalate_to_roles=(compliance,),
            action_slug="run",
            action_label="Run the day now",
            conditions=waiting_days,
            closes_by_hand=False,
        )
    )


# Names without a symbol


def note_unmatched_symbols(*, server_id: int, batch_id: int | None) -> None:
    """Opens an item for each name of the server that has no symbol. Trades of the batch that wait for one count again."""
    unmatched = list(_unmatched(server_id=server_id))
    if not unmatched:
        return
    server = unmatched[0].server
    opened = _reconcile_symbols(server, reason="The name has a symbol.")
    if batch_id is None or len(unmatched) > MAX_SEPARATE_ITEMS:
        return
    traded = Trade.objects.filter(batch_id=batch_id, server_symbol__in=unmatched).order_by()
    again = set(traded.values_list("server_symbol_id", flat=True).distinct())
    repeated = [name for name in unmatched if name.pk in again and f"{server.code}:{name.name}" not in opened]
    work_items.open_items(kind=UNMATCHED_SYMBOL, conditions=_symbol_conditions(server, repeated))


def note_mapped_symbol(server_symbol: ServerSymbol) -> None:
    """Closes the item of a name that has a symbol now."""
    _reconcile_symbols(server_symbol.server, reason=f"{server_symbol.name} means {server_symbol.symbol}.")


def _reconcile_symbols(server: TradingServer, *, reason: str) -> set[str]:
    return work_items.reconcile(
        kind=UNMATCHED_SYMBOL,
        prefix=f"{server.code}:",
        conditions=lambda: _symbol_conditions(server, list(_unmatched(server_id=server.pk))),
        reason=reason,
    )


def unmatched_symbols(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every name without a symbol."""
    by_server: dict[TradingServer, list[ServerSymbol]] = {}
    for name in _unmatched(codes=_server_codes(group_keys)):
        by_server.setdefault(name.server, []).append(name)
    return [condition for server, names in by_server.items() for condition in _symbol_conditions(server, names)]


def _unmatched(*, server_id: int | None = None, codes: set[str] | None = None) -> Iterable[ServerSymbol]:
    names = ServerSymbol.objects.filter(symbol__isnull=True).select_related("server").order_by("server", "name")
    if server_id is not None:
        names = names.filter(server=server_id)
    return names if codes is None else names.filter(server__code__in=codes)


def _symbol_conditions(server: TradingServer, names: list[ServerSymbol]) -> list[WorkCondition]:
    if len(names) > MAX_SEPARATE_ITEMS:
        return [_of_many(server, len(names), "names", "have no symbol", [name.name for name in names])]
    return [
        WorkCondition(
            group_key=f"{server.code}:{name.name}",
            title=f"{name.name} on {server.code} has no symbol",
            evidence=lambda name=name: _waiting_trades(name),  # type: ignore[misc]
            entity_id=server.entity_id,
            target=name,
        )
        for name in names
    ]


def _waiting_trades(name: ServerSymbol) -> dict[str, Any]:
    """How much waits for the symbol. Trades of a name came with loads that are no older than the name."""
    first = IngestBatch.objects.filter(server=name.server_id, created_at__gte=name.first_seen_at).aggregate(Min("pk"))
    figures: dict[str, Any] = {"trades": 0, "first": None, "last": None}
    if first["pk__min"] is not None:
        figures = Trade.objects.filter(
            batch_id__gte=first["pk__min"], server_symbol=name, is_cancelled=False
        ).aggregate(trades=Count("pk"), first=Min("closed_at"), last=Max("closed_at"))
    return {
        "server": name.server.code,
        "name": name.name,
        "waiting_trades": figures["trades"],
        "first_trade": _moment(figures["first"]),
        "last_trade": _moment(figures["last"]),
        "consequence": "These trades earn no commission and are in no exposure until the name is mapped.",
    }


# Accounts without a client


def note_unassigned_accounts(*, server_id: int) -> None:
    """Brings the items of a server's accounts to what is assigned and what is not."""
    server = TradingServer.objects.get(pk=server_id)
    work_items.reconcile(
        kind=UNASSIGNED_ACCOUNT,
        prefix=f"{server.code}:",
        conditions=lambda: _account_conditions(server, list(_unassigned({server.code})[: MAX_SEPARATE_ITEMS + 1])),
        reason="The account has a client.",
    )


def unassigned_accounts(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every account without a client."""
    codes = _server_codes(group_keys)
    waiting = TradingAccount.objects.filter(client__isnull=True).order_by().values("server").distinct()
    servers = TradingServer.objects.filter(pk__in=waiting)
    conditions: list[WorkCondition] = []
    for server in servers if codes is None else servers.filter(code__in=codes):
        conditions += _account_conditions(server, list(_unassigned({server.code})[: MAX_SEPARATE_ITEMS + 1]))
    return conditions


def _unassigned(codes: set[str]) -> Any:
    accounts = TradingAccount.objects.filter(client__isnull=True, server__code__in=codes)
    return accounts.select_related("server").order_by("login")


def _account_conditions(server: TradingServer, accounts: list[TradingAccount]) -> list[WorkCondition]:
    if len(accounts) > MAX_SEPARATE_ITEMS:
        count = TradingAccount.objects.filter(client__isnull=True, server=server).count()
        return [_of_many(server, count, "accounts", "have no client", [account.login for account in accounts])]
    return [
        WorkCondition(
            group_key=f"{server.code}:{account.login}",
            title=f"Account {account.login} on {server.code} has no client",
            evidence={
                "server": server.code,
                "login": account.login,
                "currency": account.currency,
                "consequence": "Its trades earn nobody commission and nobody sees them in the portal.",
            },
            entity_id=server.entity_id,
            target=account,
        )
        for account in accounts
    ]


# Refused files


def note_refused_file(refused: StatementImport) -> None:
    """Opens an item for a file that was refused; the same file again is counted on it."""
    work_items.open_items(kind=QUARANTINED_IMPORT, conditions=[_import_condition(refused)])


def note_refused_again(refused: StatementImport) -> None:
    """Counts a file that was given once more, while somebody still has to look at it."""
    condition = _import_condition(refused)
    waiting = WorkItem.objects.filter(kind=QUARANTINED_IMPORT, group_key=condition.group_key)
    if waiting.exclude(state=WorkItem.State.CLOSED).exists():
        work_items.open_items(kind=QUARANTINED_IMPORT, conditions=[condition])


def note_stored_file(stored: StatementImport) -> None:
    """Closes the items of earlier files of the same name that were refused."""
    refused = StatementImport.objects.filter(
        server=stored.server_id, file_name=stored.file_name, state=StatementImport.State.REFUSED
    ).select_related("server")
    if keys := sorted({_import_key(earlier) for earlier in refused}):
        work_items.clear_items(
            kind=QUARANTINED_IMPORT, group_keys=keys, reason=f"{stored.file_name} was stored afterwards."
        )


def quarantined_imports(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every refused file that nobody has settled, and of which no later version was stored."""
    stored_later = StatementImport.objects.filter(
        server=OuterRef("server"),
        file_name=OuterRef("file_name"),
        state=StatementImport.State.STORED,
        finished_at__gte=OuterRef("finished_at"),
    )
    settled = WorkItem.objects.filter(
        kind=QUARANTINED_IMPORT,
        group_key=OuterRef("item_key"),
        state=WorkItem.State.CLOSED,
        closed_at__gte=OuterRef("finished_at"),
    )
    refused = (
        StatementImport.objects.filter(~Exists(stored_later), state=StatementImport.State.REFUSED)
        .annotate(item_key=Concat("server__code", Value(":"), "sha256"))
        .filter(~Exists(settled))
        .select_related("server")
        .order_by("pk")
    )
    if group_keys is not None:
        refused = refused.filter(item_key__in=group_keys)
    return [_import_condition(found) for found in refused]


def _import_key(refused: StatementImport) -> str:
    return f"{refused.server.code}:{refused.sha256}"


def _import_condition(refused: StatementImport) -> WorkCondition:
    problem = refused.error.get("message", "It could not be read.")
    return WorkCondition(
        group_key=_import_key(refused),
        title=f"{refused.file_name} for {refused.server.code} was refused",
        evidence={
            "server": refused.server.code,
            "file": refused.file_name,
            "bytes": refused.size_bytes,
            "problem": problem,
            "row": refused.error.get("row"),
            "field": refused.error.get("field"),
            "consequence": "Nothing of the file was booked; its bytes are kept.",
        },
        entity_id=refused.server.entity_id,
        target=refused,
        since=refused.finished_at,
    )


# Business days that wait


def note_day(*, business_day_id: int) -> None:
    """Brings the item of a business day to where the day stands."""
    day = BusinessDay.objects.select_related("server").get(pk=business_day_id)
    work_items.reconcile(
        kind=WAITING_DAY, prefix=f"{_day_key(day)}:", conditions=lambda: _day_conditions([day]), reason="It went on."
    )


def waiting_days(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """The first step of each open day that failed, or that waits longer than a day may."""
    return _day_conditions(
        BusinessDay.objects.filter(state=BusinessDay.State.OPEN).select_related("server").order_by("day", "server")
    )


def _day_conditions(days: Iterable[BusinessDay]) -> list[WorkCondition]:
    unfinished = [day for day in days if day.state == BusinessDay.State.OPEN]
    first: dict[int, BusinessDayStep] = {}
    went_on: dict[int, datetime] = {}
    for step in BusinessDayStep.objects.filter(business_day__in=[day.pk for day in unfinished]).order_by("order"):
        if step.state != BusinessDayStep.State.DONE:
            first.setdefault(step.business_day_id, step)
        elif step.finished_at is not None:
            went_on[step.business_day_id] = max(step.finished_at, went_on.get(step.business_day_id, step.finished_at))
    conditions = [_day_condition(day, first[day.pk], went_on.get(day.pk)) for day in unfinished if day.pk in first]
    return [condition for condition in conditions if condition is not None]


def _day_condition(day: BusinessDay, step: BusinessDayStep, went_on: datetime | None) -> WorkCondition | None:
    """The step has failed, or has waited too long since the day ended, was taken up, or went on for the last time."""
    waits_since = max(day_bounds(day.day)[1], day.created_at, went_on or day.created_at)
    late_from = waits_since + STEP_MAY_WAIT
    has_failed = step.state == BusinessDayStep.State.FAILED
    if not has_failed and clock.now() < late_from:
        return None
    title = step.step.replace("_", " ")
    why = step.problem if has_failed else f"Held: {day.hold_reason}" if day.is_held else "It has not started."
    return WorkCondition(
        group_key=f"{_day_key(day)}:{step.step}",
        title=f"{day.day} on {day.server.code} waits at “{title}”",
        evidence={
            "server": day.server.code,
            "day": day.day.isoformat(),
            "step": title,
            "state": "failed" if has_failed else "held" if day.is_held else "waiting",
            "problem": why,
            "attempts": step.attempts,
            "consequence": "No later step of this day starts, and the day does not close.",
        },
        entity_id=day.entity_id,
        target=day,
        since=None if has_failed else late_from,
    )


def _day_key(day: BusinessDay) -> str:
    return f"{day.server.code}:{day.day}"


def _of_many(server: TradingServer, count: int, noun: str, what: str, examples: list[str]) -> WorkCondition:
    """One item for very many of the same on one server."""
    return WorkCondition(
        group_key=f"{server.code}:{_ALL}",
        title=f"{count:,} {noun} on {server.code} {what}",
        evidence={"server": server.code, "count": count, "examples": sorted(examples)[:20]},
        entity_id=server.entity_id,
        target=server,
        severity=Severity.HIGH,
    )


def _server_codes(group_keys: list[str] | None) -> set[str] | None:
    return None if group_keys is None else {key.partition(":")[0] for key in group_keys}


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
