"""Work items of liquidity providers: names without a symbol, orders whose messages do not add up, logs with damage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from backoffice.core.models import Severity
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel import clock
from platform_ops.models import LiquidityOrderProblem, LiquidityProvider, LiquiditySymbol

UNMAPPED_NAME = "platform.lp_name"
ORDER_PROBLEM = "platform.lp_order"
DAMAGED_LOG = "platform.lp_log"
MAX_SHOWN = 300
MAX_EXAMPLES = 5


def register() -> None:
    """Adds the kinds; called once when the application starts."""
    operations, dealing = Role.PLATFORM_OPERATIONS.value, Role.DEALING.value
    administrator = Role.ADMINISTRATOR.value
    for kind, label, slug, action, conditions in (
        (UNMAPPED_NAME, "Provider's name without a symbol", "map-name", "Map to a symbol", unmapped_names),
        (ORDER_PROBLEM, "Provider's order that does not add up", "", "Open the provider", standing_problems),
    ):
        register_work_kind(
            WorkKind(
                kind=kind,
                label=label,
                desk="platform_ops",
                roles=(operations, dealing, administrator),
                due_hours=8,
                severity=Severity.HIGH if kind == ORDER_PROBLEM else Severity.NORMAL,
                action_slug=slug,
                action_label=action,
                conditions=conditions,
                closes_by_hand=False,
            )
        )
    register_work_kind(
        WorkKind(
            kind=DAMAGED_LOG,
            label="Damaged FIX log",
            desk="platform_ops",
            roles=(operations, dealing, administrator),
            due_hours=8,
            action_label="Open the provider",
        )
    )


def note_names(provider: LiquidityProvider) -> None:
    """Brings the items of a provider's names to which of them are mapped."""
    work_items.reconcile(
        kind=UNMAPPED_NAME,
        prefix=f"{provider.code}:",
        conditions=lambda: _names(provider.symbols.select_related("provider")),
        reason="The name has a symbol.",
    )


def unmapped_names(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every name that nothing is known of."""
    names = LiquiditySymbol.objects.select_related("provider")
    if group_keys is not None:
        names = names.filter(provider__code__in={key.partition(":")[0] for key in group_keys})
    return _names(names)


def _names(names: Iterable[LiquiditySymbol]) -> list[WorkCondition]:
    return [
        WorkCondition(
            group_key=f"{name.provider.code}:{name.id_source}:{name.name}",
            title=f"{name.name} at {name.provider.code} has no symbol",
            evidence={
                "provider": name.provider.code,
                "name": name.name,
                "id_source": name.id_source,
                "consequence": "Its executions are kept, but stand beside no exposure of ours.",
            },
            entity_id=name.provider.entity_id,
            target=name,
        )
        for name in names
        if name.symbol_id is None
    ]


def note_problems(provider: LiquidityProvider, problems: Mapping[str, Sequence[str]]) -> None:
    """Writes what does not add up about orders, and settles what does by now."""
    wrong = {order_id: "; ".join(told)[:MAX_SHOWN] for order_id, told in problems.items() if told}
    standing = {
        row.order_id: row
        for row in LiquidityOrderProblem.objects.filter(
            provider=provider, order_id__in=list(problems), settled_at__isnull=True
        )
    }
    for order_id, text in wrong.items():
        known = standing.pop(order_id, None)
        if known is None:
            LiquidityOrderProblem.objects.create(provider=provider, order_id=order_id, problem=text)
        elif known.problem != text:
            known.problem = text
            known.save(update_fields=["problem"])
    for settled in standing.values():
        settled.settled_at = clock.now()
        settled.save(update_fields=["settled_at"])
    work_items.reconcile(
        kind=ORDER_PROBLEM,
        prefix=f"{provider.code}:",
        conditions=lambda: _problems(LiquidityOrderProblem.objects.filter(provider=provider)),
        reason="The messages of the order add up.",
    )


def standing_problems(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every order whose messages do not add up."""
    problems = LiquidityOrderProblem.objects.all()
    if group_keys is not None:
        problems = problems.filter(provider__code__in={key.partition(":")[0] for key in group_keys})
    return _problems(problems)


def _problems(problems: Iterable[LiquidityOrderProblem]) -> list[WorkCondition]:
    return [
        WorkCondition(
            group_key=f"{problem.provider.code}:{problem.order_id}",
            title=f"Order {problem.order_id} at {problem.provider.code} does not add up",
            evidence={
                "provider": problem.provider.code,
                "order": problem.order_id,
                "problem": problem.problem,
                "consequence": "What was really executed must be asked of the provider.",
            },
            entity_id=problem.provider.entity_id,
            target=problem.provider,
        )
        for problem in problems
        if problem.settled_at is None
    ]


def note_log(provider: LiquidityProvider, *, file_name: str, refused: int, problems: Sequence[str]) -> None:
    """Opens an item for a log with messages that could not be read; a later whole copy of it closes the item."""
    key = f"{provider.code}:{file_name}"[:200]
    if not refused:
        work_items.clear_item(kind=DAMAGED_LOG, group_key=key, reason="The file came whole.")
        return
    work_items.open_item(
        kind=DAMAGED_LOG,
        group_key=key,
        title=f"{refused:,} messages of {file_name[:80]} could not be read",
        evidence={
            "provider": provider.code,
            "file": file_name,
            "refused": refused,
            "problems": list(problems),
            "consequence": "Executions that only these messages tell are missing. The others were taken in.",
        },
        entity_id=provider.entity_id,
        target=provider,
    )


def note_unreadable(provider: LiquidityProvider, problems: Sequence[tuple[str, str]]) -> None:
    """Opens an item for messages of a live session that could not be read; each is a problem and the message's text."""
    work_items.open_item(
        kind=DAMAGED_LOG,
        group_key=f"{provider.code}:session",
        title=f"{provider.code} sends messages that cannot be read",
        evidence={
            "provider": provider.code,
            "problems": [problem[:MAX_SHOWN] for problem, _ in problems[:MAX_EXAMPLES]],
            "messages": [text[:MAX_SHOWN] for _, text in problems[:MAX_EXAMPLES]],
            "consequence": "Each was rejected to the provider and left out. Executions that only these tell are missing.",
        },
        entity_id=provider.entity_id,
        target=provider,
    )
