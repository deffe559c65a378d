"""No option of a plan without a scenario that shows it changing what is paid.

The files in `options/` give partners in the same situation plans that differ in one thing. What differs is found by
comparing the plans, not by a list, so an option that somebody adds to the models fails here until it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps

from backoffice.conformance import scenario as form
from backoffice.conformance.reading import NEVER, read_file
from backoffice.conformance.running import run_scenario

FILES = sorted((Path(__file__).parent / "options").glob("*.yaml"))
COMPANIONS = {
    "basis": {"currency", "rank", "bonus_for"},
    "currency": {"basis"},
    "dimension": {"dimension_value"},
    "distribution": {"override_of", "funded_by", "rate", "currency"},
    "tier_measure": {"tier_mode", "tier_window", "tier_scope", "tiers"},
}
"""What can only be stated, or has to change, together with another field."""

Shown = set[tuple[str, str]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_books_are_as_the_file_expects(file: Path) -> None:
    result = run_scenario(read_file(file))

    assert result.error == ""
    assert [row for row in result.rows if not row.ok] == []
    assert len(result.rows) >= 3


def test_every_option_is_shown_to_change_what_is_paid() -> None:
    shown = {option for file in FILES for option in _shown_by(read_file(file))}

    unshown = sorted(option for option in _options() if option not in shown)
    assert unshown == []


def test_a_pair_of_plans_that_pay_the_same_shows_nothing() -> None:
    """The finder is not blind: with equal results, or with two things changed at once, nothing is shown."""
    read = read_file(Path(__file__).parent / "options" / "rewards.yaml")
    assert ("minimum_deposit", "") in set(_shown_by(read))

    assert _changed(read.plans[0], read.plans[1]) == {"minimum_deposit"}
    assert _one_option({"minimum_deposit", "window_hours"}) is None
    assert _one_option({"dimension", "dimension_value"}) == "dimension"


def _options() -> Iterator[tuple[str, str]]:
    """Every field of the models that a plan is made of; each choice of those that have choices."""
    for name in ("PlanVersion", "PlanRule", "PlanTier", "PlanWeight"):
        for field in apps.get_model("ib", name)._meta.concrete_fields:
            if field.primary_key or field.name in {*NEVER, "rule", "published_by"} - {"position"}:
                continue
            if name == "PlanTier":
                yield f"tiers.{field.name}", ""
            elif name == "PlanWeight":
                yield f"weights.{field.name}", ""
            else:
                yield from ((field.name, str(choice)) for choice, _ in field.choices or [("", "")])


def _shown_by(read: form.Scenario) -> Iterator[tuple[str, str]]:
    """The options in which two plans of the file differ while the partners on them are to be paid differently."""
    for first, other in combinations(read.plans, 2):
        option = _one_option(_changed(first, other))
        if option is None or _paid(read, first.code) == _paid(read, other.code):
            continue
        if option.partition(".")[0] in {"tiers", "weights", "position"}:
            yield option, ""
            continue
        choices = _has_choices(option)
        for plan in (first, other):
            for value in _values(plan, option):
                yield option, value if choices else ""


def _paid(read: form.Scenario, plan: str) -> list[tuple[str, str]]:
    """What the partners on a plan are to be paid in all, in the order of the file."""
    assert read.expect is not None and read.expect.totals is not None
    on_plan = [partner.code for partner in read.partners if any(signed.plan == plan for signed in partner.plans)]
    totals = {total.partner: (str(total.amount.normalize()), total.currency) for total in read.expect.totals}
    return [totals.get(code, ("0", "")) for code in on_plan]


def _one_option(changed: set[str]) -> str | None:
    """The option that the changes are about, if it is one."""
    if not changed <= {name for name, _ in _options()}:
        return None
    if len(changed) == 1:
        return next(iter(changed))
    found = [name for name, others in COMPANIONS.items() if name in changed and changed <= {name, *others}]
    return found[0] if found else None


def _changed(first: form.Plan, other: form.Plan) -> set[str]:
    changed: set[str] = set()
    one, two = first.versions[0], other.versions[0]
    changed |= {name for name in one.policy.keys() | two.policy.keys() if one.policy.get(name) != two.policy.get(name)}
    if one.ranks != two.ranks:
        changed.add("ranks")
    changed |= _changed_weights(one.weights, two.weights)
    rules, others = [_terms(rule) for rule in one.rules], [_terms(rule) for rule in two.rules]
    if len(rules) != len(others):
        return changed | {"rules"}
    if rules != others and all(rule in others for rule in rules):
        return changed | {"position"}
    for rule, twin in zip(rules, others, strict=True):
        changed |= {name for name in rule.keys() | twin.keys() if rule.get(name) != twin.get(name)} - {"tiers"}
        changed |= _changed_tiers(rule["tiers"], twin["tiers"])
    return changed


def _changed_weights(one: tuple[form.Weight, ...], two: tuple[form.Weight, ...]) -> set[str]:
    if one == two:
        return set()
    if len(one) == len(two) == 1 and one[0].weight != two[0].weight:
        return {"weights.weight"}
    return {"weights.account_group" if weight.account_group else "weights.symbol_group" for weight in (*one, *two)}


def _changed_tiers(one: tuple[form.Tier, ...], two: tuple[form.Tier, ...]) -> set[str]:
    if one == two:
        return set()
    if len(one) != len(two):
        return {"tiers"}
    pairs = list(zip(one, two, strict=True))
    return {
        f"tiers.{name}"
        for name in ("from_value", "rate")
        if any(getattr(a, name) != getattr(b, name) for a, b in pairs)
    }


def _terms(rule: form.Rule) -> dict[str, Any]:
    return {**rule.terms, "tiers": rule.tiers}


def _has_choices(option: str) -> bool:
    return any(choice for name, choice in _options() if name == option)


def _values(plan: form.Plan, option: str) -> Iterator[str]:
    """The values that the option has in a plan; the field's own where nothing is stated."""
    version = plan.versions[0]
    model = (
        "PlanVersion"
        if option in {field.name for field in apps.get_model("ib", "PlanVersion")._meta.fields}
        else "PlanRule"
    )
    default = apps.get_model("ib", model)._meta.get_field(option).get_default()
    if model == "PlanVersion":
        yield str(version.policy.get(option, default))
        return
    for rule in version.rules:
        yield str(rule.terms.get(option, default))
