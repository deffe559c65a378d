"""Use cases of the mark-up rules. They only shape drafts: what comes of them is approved row by row."""

from __future__ import annotations

from decimal import Decimal

from django.db import IntegrityError, transaction

from backoffice.core.access import authorise
from backoffice.core.organisation.scope import require_stands_for
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from platform_ops.models import SwapMarkupRule
from platform_ops.permissions import MANAGE_SWAPS
from platform_ops.rules.swap_desk import DEFAULT_FLAG_PERCENT, Markup, MarkupKind, check_markup

MAX_RULES = 500
MAX_FLAG_PERCENT = Decimal(1_000)


@transaction.atomic
def set_markup_rule(
    *,
    kind: str,
    long_value: Decimal,
    short_value: Decimal,
    actor: Actor,
    symbol_id: int | None = None,
    symbol_group_id: int | None = None,
    account_group_id: int | None = None,
    flag_percent: Decimal = DEFAULT_FLAG_PERCENT,
    rule_id: int | None = None,
) -> SwapMarkupRule:
    """Writes a rule, or changes the one of *rule_id*. Raises InvalidInput naming the field, Conflict for a second rule
    about the same symbols and accounts."""
    authorise(actor, MANAGE_SWAPS)
    require_stands_for(actor, None)
    _check(kind, long_value, short_value, flag_percent)
    if symbol_id is not None and symbol_group_id is not None:
        raise InvalidInput("A rule speaks of one symbol or of a group of them.", field="symbol_group")
    rule = SwapMarkupRule() if rule_id is None else _locked(rule_id)
    if rule_id is None and SwapMarkupRule.objects.count() >= MAX_RULES:
        raise Conflict(f"At most {MAX_RULES} rules.", code="too_many_rules")
    before = _terms(rule) if rule_id is not None else None
    rule.symbol_id, rule.symbol_group_id, rule.account_group_id = symbol_id, symbol_group_id, account_group_id
    rule.kind, rule.long_value, rule.short_value, rule.flag_percent = kind, long_value, short_value, flag_percent
    rule.changed_by, rule.changed_at = actor.label[:200], clock.now()
    try:
        with transaction.atomic():
            rule.save()
    except IntegrityError as error:
        if "platform_swapmarkup_unique" not in str(error):
            raise InvalidInput("No such symbol or group.", field="symbol") from error
        raise Conflict("There is a rule about the same symbols and accounts already.", code="rule_exists") from error
    audit.record(
        actor=actor, action="platform.set_swap_markup", target=rule, changes={"before": before, "after": _terms(rule)}
    )
    return rule


@transaction.atomic
def remove_markup_rule(*, rule_id: int, actor: Actor, reason: str) -> None:
    """Removes a rule; drafts that it shaped keep their figures."""
    authorise(actor, MANAGE_SWAPS)
    require_stands_for(actor, None)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    rule = _locked(rule_id)
    audit.record(
        actor=actor, action="platform.remove_swap_markup", target=rule, reason=reason, changes={"before": _terms(rule)}
    )
    rule.delete()


def markup_of(rule: SwapMarkupRule) -> Markup:
    """The stored rule as the pure rules know it."""
    return Markup(MarkupKind(rule.kind), rule.long_value, rule.short_value)


def _check(kind: str, long_value: Decimal, short_value: Decimal, flag_percent: Decimal) -> None:
    if kind not in set(MarkupKind):
        raise InvalidInput("No such kind of mark-up.", field="kind", value=kind)
    check_markup(Markup(MarkupKind(kind), long_value, short_value))
    if not flag_percent.is_finite() or not 0 < flag_percent <= MAX_FLAG_PERCENT:
        raise InvalidInput(
            f"A change is flagged above a percentage between 0 and {MAX_FLAG_PERCENT}.", field="flag_percent"
        )


def _locked(rule_id: int) -> SwapMarkupRule:
    rule = SwapMarkupRule.objects.select_for_update(of=("self",)).filter(pk=rule_id).first()
    if rule is None:
        raise NotFound("No such rule.", rule_id=rule_id)
    return rule


def _terms(rule: SwapMarkupRule) -> dict[str, str | int | None]:
    return {
        "symbol_id": rule.symbol_id,
        "symbol_group_id": rule.symbol_group_id,
        "account_group_id": rule.account_group_id,
        "kind": rule.kind,
        "long_value": str(rule.long_value),
        "short_value": str(rule.short_value),
        "flag_percent": str(rule.flag_percent),
    }
