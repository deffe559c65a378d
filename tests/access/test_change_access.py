"""Whose business a change request is: by kind and legal entity, in lists, pages, exports and acts alike."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.access import capabilities
from backoffice.core.changes.kinds import change_kinds
from backoffice.core.models import ChangeRequest
from backoffice.core.types import STAFF_ROLES, Role
from tests.core.test_changes import Desk
from tests.logins import log_in, make_user

pytestmark = pytest.mark.django_db

SEES = {Role.ADMINISTRATOR, Role.AUDITOR, Role.COMPLIANCE, Role.PLATFORM_OPERATIONS, Role.DEALING}
ACTS = ("submit", "approve", "reject", "withdraw", "apply", "schedule", "revert", "refresh")


def body(response) -> str:
    return (b"".join(response.streaming_content) if response.streaming else response.content).decode()


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_a_request_is_seen_by_who_makes_checks_or_oversees_its_kind(role):
    desk = Desk()
    change = desk.submitted()
    browser = log_in(Browser(), make_user(f"{role}@house.test", Role(role), entities=(desk.entity,)))
    page = browser.get(reverse("admin:core_changerequest_change", args=[change.pk]))
    listed = body(browser.get(reverse("admin:core_changerequest_changelist")))
    exported = body(browser.get(reverse("admin:core_changerequest_export", args=["csv"])))
    if Role(role) in SEES:
        assert page.status_code == 200
        assert change.reference in listed and change.reference in exported
    else:
        assert page.status_code in (302, 404)
        assert change.reference not in listed + exported


@pytest.mark.parametrize("act", ACTS)
def test_staff_of_another_entity_find_nothing_to_act_on(act):
    desk, other = Desk(), Desk()
    change = desk.submitted()
    browser = log_in(Browser(), make_user("else@house.test", Role.ADMINISTRATOR, entities=(other.entity,)))
    url = reverse(f"admin:core_changerequest_{act}", args=[change.pk])
    assert browser.get(url).status_code == 404
    assert browser.post(url, {"reason": "x", "confirmed": "yes"}).status_code == 404
    assert ChangeRequest.objects.get(pk=change.pk).state == "submitted"


@pytest.mark.parametrize("act", ACTS)
def test_who_only_oversees_is_refused_every_act(act):
    desk = Desk()
    change = desk.submitted()
    browser = log_in(Browser(), make_user("audit@house.test", Role.AUDITOR, entities=(desk.entity,)))
    url = reverse(f"admin:core_changerequest_{act}", args=[change.pk])
    data = {"reason": "x", "apply_at": "2030-01-01T10:00", "confirmed": "yes"}
    assert browser.post(url, data).status_code in (403, 409)
    after = ChangeRequest.objects.get(pk=change.pk)
    assert (after.state, after.apply_at, after.diff_hash) == ("submitted", None, change.diff_hash)
    assert after.events.count() == change.events.count() == 2


def test_every_kind_names_declared_capabilities_and_more_than_one_role_may_check():
    declared = capabilities()
    for kind in change_kinds():
        assert {kind.maker_capability, kind.checker_capability, kind.who_reverts} <= set(declared)
        assert declared[kind.checker_capability] - {Role.IB.value, Role.TRADER.value}
        assert Role.AUDITOR.value not in declared[kind.checker_capability]
