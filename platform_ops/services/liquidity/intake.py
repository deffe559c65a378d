"""Messages in: each kept once, then the executions of every order it touches worked out anew and brought up to date.

Target minus booked: what the messages of an order say is compared with the revisions that stand, and only differences
are written. So a message that comes twice, late or out of order changes nothing that it should not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.locks import advisory_key
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.errors import GatewayGarbled
from platform_ops.gateways.fix import FixMessage, read_message, split_messages
from platform_ops.gateways.fix.framing import original_of
from platform_ops.models import LiquidityFill, LiquidityMessage, LiquidityProvider
from platform_ops.outer_permissions import MANAGE_LIQUIDITY
from platform_ops.rules.executions import NO_ORDER, Fill, FillState, Report, executions_of, reports_of
from platform_ops.services.liquidity import work
from platform_ops.services.liquidity.names import Names

PORTION = 2_000
MAX_NAMED_PROBLEMS = 20
_COMPARED = ("quantity", "price", "units", "symbol_id", "lp_symbol_id", "state", "side", "exec_id", "is_price_derived")


@dataclass(slots=True)
class FileIntake:
    """What came of messages: how many, how many were new, what they changed, and those that could not be read."""

    messages: int = 0
    new: int = 0
    repeated: int = 0
    fills: int = 0
    corrected: int = 0
    busted: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)

    def refuse(self, problem: str) -> None:
        """Counts a message that could not be read; the first ones are told."""
        self.refused += 1
        if len(self.problems) < MAX_NAMED_PROBLEMS:
            self.problems.append(problem)


def import_fix_log(*, provider_id: int, data: bytes, file_name: str, actor: Actor) -> FileIntake:
    """Takes in a session log or capture. Messages that do not hold together are counted and named; the others count.

    Raises Denied, NotFound, and InvalidInput for a file without any message or of another provider.
    """
    authorise(actor, MANAGE_LIQUIDITY)
    provider = get_visible(LiquidityProvider.objects.all(), actor, pk=provider_id)
    intake = FileIntake()
    good: list[FixMessage] = []
    try:
        for raw in split_messages(data):
            intake.messages += 1
            try:
                message = read_message(raw)
                _check_sender(provider, message)
                reports_of(message)
            except GatewayGarbled as error:
                intake.refuse(error.message)
            else:
                good.append(message)
    except GatewayGarbled as error:
        raise InvalidInput(error.message, field="file") from error
    if not intake.messages:
        raise InvalidInput(f"{file_name} holds no FIX message.", field="file")
    for start in range(0, len(good), PORTION):
        _store(provider, good[start : start + PORTION], intake)
    with transaction.atomic():
        work.note_log(provider, file_name=file_name, refused=intake.refused, problems=intake.problems)
        audit.record(
            actor=actor,
            action="platform.import_fix_log",
            target=provider,
            entity_id=provider.entity_id,
            changes={
                "file": file_name[:200],
                "messages": intake.messages,
                "new": intake.new,
                "executions": intake.fills,
                "refused": intake.refused,
            },
        )
    return intake


def accept_messages(*, provider: LiquidityProvider, messages: Sequence[FixMessage]) -> FileIntake:
    """Takes in messages that a session received. Repeating it changes nothing."""
    intake = FileIntake(messages=len(messages))
    for start in range(0, len(messages), PORTION):
        _store(provider, messages[start : start + PORTION], intake)
    return intake


def _check_sender(provider: LiquidityProvider, message: FixMessage) -> None:
    if message.get(49) != provider.comp_id:
        message.refuse(49, f"the provider sends as {provider.comp_id}", message.get(49))


@transaction.atomic(durable=True)
def _store(provider: LiquidityProvider, messages: Sequence[FixMessage], intake: FileIntake) -> None:
    store_messages(provider, messages, intake)


def store_messages(provider: LiquidityProvider, messages: Sequence[FixMessage], intake: FileIntake) -> None:
    """Keeps messages and what follows from them, in the transaction that is open. What is told once more is the same
    message: it changes nothing."""
    if not messages:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key("platform", "liquidity", str(provider.pk))])
    rows = [_row(provider, message) for message in messages]
    known = set(
        LiquidityMessage.objects.filter(provider=provider, digest__in=[row.digest for row in rows]).values_list(
            "digest", flat=True
        )
    )
    fresh = list({row.digest: row for row in rows if row.digest not in known}.values())
    LiquidityMessage.objects.bulk_create(fresh)
    intake.new += len(fresh)
    intake.repeated += len(rows) - len(fresh)
    touched = {order for row in fresh for order in _orders_of(row)}
    bring_up_to_date(provider, touched, intake)


def _row(provider: LiquidityProvider, message: FixMessage) -> LiquidityMessage:
    told = original_of(message)
    text = told.shown()
    reports = reports_of(told)
    return LiquidityMessage(
        provider=provider,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        kind=message.kind[:8],
        order_id=reports[0].order_id if reports else "",
        exec_id=(message.get(17) or message.get(571))[:64],
        exec_type=message.get(150)[:4],
        client_order_id=message.get(11)[:64],
        symbol=(message.get(55) or message.get(48))[:64],
        sequence=told.sequence,
        sent_at=told.sent_at,
        text=text,
    )


def _orders_of(row: LiquidityMessage) -> set[str]:
    return {report.order_id for report in reports_of(_parsed(row), row.pk)} - NO_ORDER


def _parsed(row: LiquidityMessage) -> FixMessage:
    """The message as it was kept. A value that holds the separator itself was split; no field that counts holds one."""
    pairs = (part.partition("=") for part in row.text.split("|") if "=" in part)
    return FixMessage(tuple((int(tag), value) for tag, _, value in pairs if tag.isdigit()))


def bring_up_to_date(provider: LiquidityProvider, order_ids: Iterable[str], intake: FileIntake) -> None:
    """Works out the executions of orders and writes what differs from the revisions that stand."""
    wanted = sorted(order_ids)
    if not wanted:
        return
    reports = _reports(provider, wanted)
    standing: dict[tuple[str, int], LiquidityFill] = {}
    for row in LiquidityFill.objects.filter(provider=provider, order_id__in=wanted).order_by("revision"):
        standing[row.order_id, row.number] = row
    names = Names(provider)
    changed: list[LiquidityFill] = []
    problems: dict[str, list[str]] = {}
    for order_id in wanted:
        found = executions_of(reports.get(order_id, []))
        problems[order_id] = found.problems
        for fill in found.fills:
            target = _target(provider, order_id, fill, names)
            if target is None:
                problems[order_id].append(f"Execution {fill.number} tells no side.")
                continue
            before = standing.pop((order_id, fill.number), None)
            _compare(before, target, changed, intake)
        for key in [key for key in standing if key[0] == order_id]:
            before = standing.pop(key)
            if before.state != LiquidityFill.State.BUSTED:
                changed.append(_revised(before, state=LiquidityFill.State.BUSTED))
                intake.busted += 1
    LiquidityFill.objects.bulk_create(changed)
    work.note_problems(provider, problems)
    work.note_names(provider)


def _reports(provider: LiquidityProvider, order_ids: Sequence[str]) -> dict[str, list[Report]]:
    """Every report about the orders."""
    plain = {order_id.partition("/")[0] for order_id in order_ids} | set(order_ids)
    found: dict[str, list[Report]] = {}
    for row in LiquidityMessage.objects.filter(provider=provider, order_id__in=plain).order_by("pk"):
        for report in reports_of(_parsed(row), row.pk):
            if report.order_id in order_ids:
                found.setdefault(report.order_id, []).append(report)
    return found


def _target(provider: LiquidityProvider, order_id: str, fill: Fill, names: Names) -> LiquidityFill | None:
    report = fill.report
    if report.side is None:
        return None
    name = names.of(report.symbol, report.id_source)
    return LiquidityFill(
        provider=provider,
        order_id=order_id,
        number=fill.number,
        state=fill.state.value,
        client_order_id=report.client_order_id,
        exec_id=report.exec_id if report.exec_id in fill.exec_ids else min(fill.exec_ids, default=""),
        account=report.account,
        lp_symbol=name,
        symbol_id=name.symbol_id,
        side=-report.side.value if provider.states_own_side else report.side.value,
        quantity=fill.quantity,
        units=fill.quantity * (name.units_per_quantity or provider.units_per_quantity),
        price=fill.price,
        is_price_derived=fill.is_price_derived,
        cumulative=fill.cumulative,
        currency=report.currency,
        executed_at=report.at,
        trade_date=report.trade_date,
        settlement_date=report.settlement_date,
        parties=[list(party) for party in report.parties],
        reports=fill.reports,
        message_id=report.message_id,
    )


def _compare(
    before: LiquidityFill | None, target: LiquidityFill, changed: list[LiquidityFill], intake: FileIntake
) -> None:
    if before is None:
        changed.append(target)
        intake.fills += 1
        intake.busted += target.state == FillState.BUSTED
        return
    if all(getattr(before, name) == getattr(target, name) for name in _COMPARED):
        return
    target.revision = before.revision + 1
    changed.append(target)
    if target.state == FillState.BUSTED:
        intake.busted += before.state != FillState.BUSTED
    else:
        intake.corrected += 1


def _revised(before: LiquidityFill, **values: Any) -> LiquidityFill:
    fields = {item.attname: getattr(before, item.attname) for item in LiquidityFill._meta.concrete_fields}
    for name in ("id", "recorded_at"):
        fields.pop(name)
    return LiquidityFill(**{**fields, "revision": before.revision + 1, **values})
