"""The API root: who am I, problems, the second factor, the schema's page."""

from __future__ import annotations

import pytest
from django.test import Client as Browser

from backoffice.core.types import Role
from tests.logins import log_in, make_entity, make_user

pytestmark = pytest.mark.django_db

PROBLEM = "application/problem+json"


def test_me_tells_roles_entities_and_capabilities(client: Browser) -> None:
    # given
    user = make_user("fin@house.test", Role.FINANCE, entities=(make_entity(),))
    log_in(client, user)

    # when
    answer = client.get("/api/v1/me/").json()

    # then
    assert answer["id"] == str(user.public_id)
    assert answer["roles"] == ["finance"]
    assert [entity["code"] for entity in answer["entities"]] == ["nova"]
    assert "crm.view_clients" in answer["capabilities"]
    assert "core.manage_users" not in answer["capabilities"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/me/", 401, "not_authenticated"),
        ("/api/v1/clients/", 401, "not_authenticated"),
        ("/api/v1/nowhere/", 404, "not_found"),
    ],
)
def test_a_refusal_is_a_problem(client: Browser, path: str, status: int, code: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
    assert (answer.json()["status"], answer.json()["code"]) == (status, code)


def test_staff_without_a_second_factor_are_refused(client: Browser) -> None:
    # given
    log_in(client, make_user("fin@house.test", Role.FINANCE, entities=(make_entity(),)), second_factor=False)

    # when
    answers = [client.get(path) for path in ("/api/v1/me/", "/api/v1/clients/")]

    # then
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "second_factor_required")] * 2
    assert [client.get(path).status_code for path in ("/api/v1/schema/", "/api/v1/docs/")] == [403, 403]


def test_a_trader_reads_neither_clients_nor_the_schema(client: Browser) -> None:
    log_in(client, make_user("t@world.test", Role.TRADER))
    assert [client.get(f"/api/v1/{path}/").status_code for path in ("me", "clients", "schema", "docs")] == [
        200,
        403,
        403,
        403,
    ]


def test_an_unknown_filter_value_is_a_problem_that_names_the_field(client: Browser) -> None:
    log_in(client, make_user("fin@house.test", Role.FINANCE, entities=(make_entity(),)))
    answer = client.get("/api/v1/clients/", {"stage": "nonsense"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert list(answer.json()["details"]["fields"]) == ["stage"]


def test_the_docs_page_needs_no_inline_script(client: Browser) -> None:
    # given
    log_in(client, make_user("fin@house.test", Role.FINANCE, entities=(make_entity(),)))

    # when
    page = client.get("/api/v1/docs/").content.decode()

    # then
    assert "<script>" not in page
    assert "cdn" not in page
