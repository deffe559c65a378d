"""A policy is asked for on the desk, in words that are checked before anything is drafted."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import ChangeRequest
from backoffice.core.types import Role
from tests.logins import log_in, make_entity, make_user

pytestmark = pytest.mark.django_db

FORM = {
    "kind": "platform.symbol_specification",
    "bounds": "swap_points = 1.5\nspread_points = 2",
    "reason": "Weekly swaps",
    "idempotency_key": "k1",
}


@pytest.fixture
def url() -> str:
    return f"{reverse('admin:core_approvalpolicy_changelist')}do/request/"


@pytest.fixture
def staff(client: Browser) -> Browser:
    return log_in(client, make_user("boss@example.com", Role.ADMINISTRATOR, entities=(make_entity(),)))


def test_a_policy_is_drafted_as_a_change_request_after_it_was_confirmed(staff: Browser, url: str) -> None:
    asked = staff.post(url, FORM)
    assert asked.status_code == 200
    assert "swap_points at most 1.5" in asked.content.decode()
    assert not ChangeRequest.objects.exists()

    done = staff.post(url, {**FORM, "confirmed": "yes"})

    change = ChangeRequest.objects.get()
    assert done.url == reverse("admin:core_changerequest_change", args=[change.pk])
    assert (change.state, change.kind) == ("draft", "core.approval_policy")
    assert change.payload["bounds"] == {"swap_points": "1.5", "spread_points": "2"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bounds": "swap_points: 1"}, "Line 1 is not of the form"),
        ({"bounds": "swap_points = 1\nswap_points = 2"}, "bounded twice"),
        ({"bounds": "contract_size = 2", "confirmed": "yes"}, "A policy bounds"),
        ({"bounds": "swap_points = much", "confirmed": "yes"}, "swap_points"),
        ({"kind": "ib.publish_plan"}, "Select a valid choice"),
        ({"valid_from": "2026-12-02 00:00", "valid_to": "2026-12-01 00:00", "confirmed": "yes"}, "ends before"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_field(
    staff: Browser, url: str, change: dict[str, str], said: str
) -> None:
    answer = staff.post(url, {**FORM, **change})

    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert not ChangeRequest.objects.exists()


def test_only_those_who_make_policies_are_asked(client: Browser, url: str) -> None:
    dealer = log_in(client, make_user("dealer@example.com", Role.DEALING, entities=(make_entity(),)))

    assert dealer.post(url, {**FORM, "confirmed": "yes"}).status_code == 403
    assert not ChangeRequest.objects.exists()
