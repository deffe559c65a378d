"""A list of clients leaves the house only with who may take it."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import AuditRecord
from backoffice.core.types import Role
from tests.logins import log_in, make_entity, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.COMPLIANCE, Role.FINANCE])
def test_some_roles_take_the_list_of_clients_home(role: Role) -> None:
    browser = log_in(Browser(), make_user("may@house.test", role, entities=(make_entity(),)))
    assert browser.get(reverse("admin:crm_client_export", args=["csv"])).status_code == 200


@pytest.mark.parametrize("role", [Role.SALES, Role.RETENTION, Role.MARKETING, Role.DEALING, Role.AUDITOR])
def test_others_see_clients_without_the_export(role: Role) -> None:
    # given somebody who may look at clients
    browser = log_in(Browser(), make_user("may-not@house.test", role, entities=(make_entity(),)))
    page = browser.get(reverse("admin:crm_client_changelist"))
    # then no link is offered, and the address refuses, and nothing left the house
    assert page.status_code == 200
    assert reverse("admin:crm_client_export", args=["csv"]) not in page.content.decode()
    assert browser.get(reverse("admin:crm_client_export", args=["csv"])).status_code == 403
    assert not AuditRecord.objects.filter(action__contains="export").exists()
