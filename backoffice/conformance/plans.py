"""A version of a plan from the file to the services: drafted, filled rule by rule, published."""

from __future__ import annotations

from typing import Any

from backoffice.conformance import scenario as form
from backoffice.core.types import Actor
from ib.rules.ranks import Condition
from ib.services import plans as services
from ib.services.plan_drafts import set_rank
from ib.types import RuleTerms, VersionTerms

Known = dict[str, dict[str, int]]
"""Primary keys by what a rule may name, and by code."""


def publish_version(*, plan_id: int, version: form.Version, known: Known, actor: Actor) -> None:
    """Drafts a version of the plan with everything in it, and publishes it. What the services refuse is raised."""
    draft = services.draft_version(plan_id=plan_id, actor=actor)
    for rule_id in draft.rules.values_list("pk", flat=True):
        services.remove_rule(rule_id=rule_id, actor=actor)
    services.set_version_terms(version_id=draft.pk, terms=VersionTerms(**version.policy), actor=actor)
    standing = set(draft.ranks.values_list("code", flat=True))
    for rank in version.ranks:
        if rank.code not in standing:
            services.add_rank(version_id=draft.pk, code=rank.code, name=rank.name or rank.code, actor=actor)
        set_rank(
            version_id=draft.pk,
            code=rank.code,
            conditions=[
                Condition(item.measure, item.scope, item.window, item.threshold, item.currency)
                for item in rank.conditions
            ],
            keep_months=rank.keep_months,
            actor=actor,
        )
    for weight in version.weights:
        services.set_weight(
            version_id=draft.pk,
            weight=weight.weight,
            symbol_group_id=known["symbol_group"].get(weight.symbol_group),
            account_group_id=known["account_group"].get(weight.account_group),
            actor=actor,
        )
    for position, rule in enumerate(version.rules, start=1):
        services.add_rule(version_id=draft.pk, terms=_terms(rule, position, known), actor=actor)
    services.publish_version(version_id=draft.pk, valid_from=version.valid_from, actor=actor)


def _terms(rule: form.Rule, position: int, known: Known) -> RuleTerms:
    """The rule as the service takes it. Rules stand in the file in the order in which they are tried."""
    values: dict[str, Any] = {"position": position}
    for name, value in rule.terms.items():
        values[f"{name}_id" if name in known else name] = known[name][value] if name in known else value
    values["tiers"] = tuple((tier.from_value, tier.rate) for tier in rule.tiers)
    return RuleTerms(**values)
