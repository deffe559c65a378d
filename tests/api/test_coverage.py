"""Every use case is on the API, or stands here with the reason why not."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

from backoffice.core.access import capabilities
from backoffice.ui.api_views import ApiView

ROOMS = [
    "backoffice.core.services",
    "backoffice.reports.services",
    "crm.services",
    "platform_ops.services",
    "funding.services",
    "funding.ledger.services",
    "ib.services",
    "risk.services",
    "marketing.services",
]
FOLDERS = ["backoffice/api", "backoffice/reports/api", "crm/api", "platform_ops/api", "funding/api"]
FOLDERS += ["funding/ledger/api", "ib/api", "risk/api", "marketing/api"]
ROOT = Path(__file__).resolve().parents[2]

# A use case is a public function of a services module that takes an `actor`. Each of these is not on the API, because:
BY_PEOPLE = "people's access and the keys themselves are given by people at the desk, never by a machine with a key"
BY_CHANGE = "goes through a change request that a second person approves"
AT_THE_DESK = "a decision of a person in front of its evidence, taken at the desk"
INSIDE = "part of other use cases, which authorise; not called by itself"
MACHINERY = "run by the schedule or by commands on the machine"
SERVED_OTHERWISE = "the API offers the same by another use case"
NOT_ON_THE_API = {
    "backoffice.core.services.consents.suppress_for_event": INSIDE,
    "backoffice.core.services.key_rotation": MACHINERY,
    "backoffice.core.services.login_events": SERVED_OTHERWISE,
    "crm.services.letters": AT_THE_DESK,
    "funding.ledger.services.periods.close_days_again": BY_CHANGE,
    "funding.ledger.services.periods.reopen_days": BY_CHANGE,
    "funding.ledger.services.sums.post_owner_sums": INSIDE,
    "funding.services.journal_files": INSIDE,
    "ib.services.applications.locked_application": INSIDE,
    "ib.services.applications.refuse_own": INSIDE,
    "ib.services.applications.take_step": INSIDE,
    "ib.services.claims.claimable_client": INSIDE,
    "ib.services.name_policies.put_name_policy": BY_CHANGE,
    "ib.services.payment_files.own_money_accounts": INSIDE,
    "ib.services.payouts.book_paid": INSIDE,
    "ib.services.payouts.mark_paid": INSIDE,
    "ib.services.payouts.record": INSIDE,
    "ib.services.plans.take_back_publication": BY_CHANGE,
    "ib.services.referrals.locked_client": INSIDE,
    "ib.services.terms.write_acceptance": INSIDE,
    "ib.services.tree.restore_edges": BY_CHANGE,
    "ib.services.requests.place_or_request": SERVED_OTHERWISE,
    "risk.services.exposure.group_exposure": INSIDE,
    "backoffice.core.services.users": BY_PEOPLE,
    "backoffice.core.services.sessions.end_own_other_sessions": SERVED_OTHERWISE,
    "backoffice.core.services.sessions.end_sessions_of": BY_PEOPLE,
    "backoffice.core.services.identity": BY_PEOPLE,
    "backoffice.core.services.leavers.possible_successors": INSIDE,
    "backoffice.core.services.access_review.sign_review": BY_PEOPLE,
    "backoffice.core.services.access_review.reviews": BY_PEOPLE,
    "backoffice.core.services.client_views": BY_PEOPLE,
    "backoffice.core.services.impersonation": BY_PEOPLE,
    "backoffice.core.services.api_keys.create_service_login": BY_PEOPLE,
    "backoffice.core.services.api_keys.issue_key": BY_PEOPLE,
    "backoffice.core.services.api_keys.rotate_key": BY_PEOPLE,
    "backoffice.core.services.audit": INSIDE,
    "backoffice.core.services.brand_logos.set_brand_logo": AT_THE_DESK,
    "backoffice.core.services.public_events.place_of": INSIDE,
    "backoffice.core.services.public_events.readable_events": INSIDE,
    "backoffice.core.services.changes.common": INSIDE,
    "backoffice.core.services.changes.applying.verify_change": INSIDE,
    "backoffice.core.services.changes.drafting.draft_change": SERVED_OTHERWISE,
    "backoffice.core.services.changes.drafting.edit_change": SERVED_OTHERWISE,
    "backoffice.core.services.switches.may_resume": INSIDE,
    "backoffice.core.services.switches.may_stop": INSIDE,
    "backoffice.core.services.switches.standing_stops": SERVED_OTHERWISE,
    "backoffice.core.services.work_items.put_back": INSIDE,
    "backoffice.core.services.work_items.take_items": SERVED_OTHERWISE,
    "backoffice.core.services.work_items.close_items": SERVED_OTHERWISE,
    "backoffice.core.services.work_delivery": INSIDE,
    "backoffice.core.services.files.erase_file": AT_THE_DESK,
    "backoffice.core.services.message_templates": AT_THE_DESK,
    "backoffice.core.services.message_delivery": MACHINERY,
    "backoffice.core.services.entities": BY_PEOPLE,
    "backoffice.core.services.organisation": BY_PEOPLE,
    "backoffice.core.services.terms": BY_PEOPLE,
    "backoffice.core.services.numbering": INSIDE,
    "backoffice.reports.services.issue.build_report": INSIDE,
    "backoffice.reports.services.issue.keep_report": INSIDE,
    "crm.services.leavers": BY_PEOPLE,
    "platform_ops.services.account_operations.common": INSIDE,
    "platform_ops.services.account_operations.bulk.read_lines": SERVED_OTHERWISE,
    "platform_ops.services.account_operations.limits.why_approval_is_needed": INSIDE,
    "platform_ops.services.connections": BY_PEOPLE,
    "platform_ops.services.nightly_look": MACHINERY,
    "platform_ops.services.prices.history": MACHINERY,
    "platform_ops.services.prices.settings.set_filter": INSIDE,
    "platform_ops.services.prices.settings.restore_settings": INSIDE,
    "platform_ops.services.reconciliation.runs.reconcile_server": MACHINERY,
    "platform_ops.services.reconciliation.runs.reconcile_with": MACHINERY,
    "platform_ops.services.specifications.set_specification": INSIDE,
    "platform_ops.services.specifications.restore_specifications": INSIDE,
    "platform_ops.services.swap_desk.editing.locked_open_sheet": INSIDE,
    "platform_ops.services.swap_desk.figures.night_by_row": INSIDE,
    "platform_ops.services.swap_desk.figures.reporting_currency": INSIDE,
    "platform_ops.services.swaps.charges": MACHINERY,
    "platform_ops.services.swaps.proof.observe_swaps": MACHINERY,
    "platform_ops.services.swaps.proof.reconcile_swaps": MACHINERY,
    "platform_ops.services.swaps.rates": INSIDE,
    "platform_ops.services.symbol_overrides.set_override": INSIDE,
    "platform_ops.services.symbol_overrides.restore_overrides": INSIDE,
    "platform_ops.services.dimensions.set_dimension": INSIDE,
    "platform_ops.services.imports": SERVED_OTHERWISE,
    "platform_ops.services.rates.load_reference_rates": MACHINERY,
    "platform_ops.services.work": INSIDE,
    "funding.services.month_end": MACHINERY,
    "funding.services.journals": BY_CHANGE,
    "funding.services.manual_journals": BY_CHANGE,
    "funding.services.period_control": BY_CHANGE,
    "funding.services.revaluation": AT_THE_DESK,
    "funding.services.revaluations": AT_THE_DESK,
    "funding.services.external_balances": AT_THE_DESK,
    "funding.ledger.services.entries.post_entry": INSIDE,
    "funding.ledger.services.entries.post_entries": INSIDE,
    "funding.ledger.services.entries.write_entries": INSIDE,
    "funding.ledger.services.entries.insert_entries": INSIDE,
    "funding.ledger.services.holds.post_hold": INSIDE,
    "funding.ledger.services.periods.reopen": BY_CHANGE,
    "ib.services.partners.locked_partner": INSIDE,
    "ib.services.tree.place_partner": BY_CHANGE,
    "ib.services.agreed_rates.agree_rate": BY_CHANGE,
    "ib.services.agreed_rates.write_agreed_rate": INSIDE,
    "ib.services.plans.locked_draft": INSIDE,
    "ib.services.rank_requests.give_or_request_rank": SERVED_OTHERWISE,
    "ib.services.ranks.ask_for_rank": INSIDE,
    "ib.services.plans.publish_version": BY_CHANGE,
    "ib.services.settlement.settle_ingest_batch": MACHINERY,
    "ib.services.settlement.settle_day": MACHINERY,
    "ib.services.card.ensure_current_card": INSIDE,
    "ib.services.card.pin_current_card": INSIDE,
    "ib.services.payout_terms.put_payout_terms": BY_CHANGE,
    "ib.services.disputes.common": INSIDE,
    "ib.services.disputes.goodwill.put_goodwill_limit": BY_CHANGE,
    "ib.services.disputes.handling.check_not_first_decider": INSIDE,
    "ib.services.disputes.opening.find_subject": INSIDE,
    "ib.services.posting": INSIDE,
    "ib.services.statements.approve_due_statements": SERVED_OTHERWISE,
    "ib.services.statements.close_statements": SERVED_OTHERWISE,
    "ib.services.statements.hold_line": INSIDE,
    "ib.services.statements.release_line": INSIDE,
    "ib.services.periods.prove_periods": MACHINERY,
    "ib.services.periods.settle_due": SERVED_OTHERWISE,
    "ib.services.settling": INSIDE,
    "ib.services.shards": INSIDE,
    "ib.services.ordered.settle_month": MACHINERY,
    "ib.services.ordered.settle_due": MACHINERY,
    "ib.services.quarantine.set_aside": INSIDE,
    "risk.services.exposure.recalculate_where_changed": MACHINERY,
}


def _modules(name: str) -> Iterator[ModuleType]:
    package = importlib.import_module(name)
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{name}."):
        yield importlib.import_module(found.name)


def _use_cases() -> list[str]:
    found = []
    for room in ROOMS:
        for module in _modules(room):
            for name, value in vars(module).items():
                is_own = inspect.isfunction(value) and inspect.unwrap(value).__module__ == module.__name__
                if is_own and not name.startswith("_") and "actor" in inspect.signature(value).parameters:
                    found.append(f"{module.__name__}.{name}")
    return sorted(found)


def _called() -> set[str]:
    """Names of functions that the API's modules call, however they are imported."""
    names: set[str] = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    function = node.func
                    names.add(function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", ""))
    return names


def _reason(use_case: str) -> str | None:
    parts = use_case.split(".")
    return next(
        (
            NOT_ON_THE_API[".".join(parts[:end])]
            for end in range(len(parts), 1, -1)
            if ".".join(parts[:end]) in NOT_ON_THE_API
        ),
        None,
    )


def test_every_use_case_is_on_the_api_or_has_a_reason() -> None:
    called = _called()
    missing = [name for name in _use_cases() if name.rpartition(".")[2] not in called and _reason(name) is None]
    assert missing == []


def _views(patterns: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _views(pattern.url_patterns, prefix + str(pattern.pattern))
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
            yield prefix + str(pattern.pattern), (view, pattern.callback)


def _api_views() -> list[tuple[str, Any]]:
    return [(path, view) for path, view in _views(get_resolver().url_patterns) if path.startswith("api/v1/")]


def test_every_endpoint_stands_on_the_common_base() -> None:
    """So that parameters are strict, callers counted and errors problems everywhere."""
    own = {"api/v1/schema/", "api/v1/docs/"}
    assert [path for path, (view, _) in _api_views() if path not in own and not issubclass(view, ApiView)] == []


def test_every_verb_names_a_capability_that_is_declared() -> None:
    known, wrong = capabilities(), []
    for path, (view, callback) in _api_views():
        actions = getattr(callback, "actions", None) or {}
        names = set(actions.values()) or {"get", "post", "put", "delete"} & set(dir(view))
        for name in names:
            handler = getattr(view, name)
            capability = getattr(handler, "capability", None) or getattr(view, "capability", "")
            if capability not in known and not getattr(view, "permission_classes", None):
                wrong.append((path, name, capability))
            is_change = name not in {"list", "retrieve", "get"} and actions.get("get") != name
            if is_change and not getattr(handler, "is_use_case", False):
                wrong.append((path, name, "changes something outside of a use case"))
    assert wrong == []


@pytest.mark.parametrize(
    "path", ["deposits/", "withdrawals/", "trading-results/post/", "closed-days/", "commissions/settle/"]
)
def test_money_demands_a_key(path: str) -> None:
    (view,) = {view for found, (view, _) in _api_views() if found == f"api/v1/{path}"}
    handler = getattr(view, "post", None) or view.create
    assert handler.needs_key is True
