"""The whole API against its own schema: generated calls, sound and unsound, must find nothing.

Every operation is called with a real key on real objects: ids in paths and references in bodies are, half of the time,
those of the small broker below, so that calls reach the use cases and not only the first refusal.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.test import Client as Browser
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi import checks

from backoffice.core.services import webhooks
from backoffice.core.types import Role
from tests.api.world import SYSTEM, caller_for, make_brand, make_client, make_service
from tests.factories.platform import make_account, make_server, make_symbol
from tests.logins import make_entity

pytestmark = pytest.mark.django_db
EXAMPLES = {GenerationMode.POSITIVE: 3, GenerationMode.NEGATIVE: 2}
SECONDS_FOR_AN_OPERATION = 1.0
# On a machine that does something else too, what comes after this time is called once only.
SECONDS_FOR_ALL = 20.0
CHECKED = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# Roles whose verbs together are every verb of staff, and a partner's own.
EVERYBODY = [role for role in Role if role != Role.TRADER]
IDS = ("id", "code", "reference", "symbol")


@pytest.fixture
def key(settings: Any) -> str:
    """A key that may do everything, in a small broker."""
    settings.API_CALLS_PER_MINUTE = settings.API_CALLS_PER_MINUTE_AND_ADDRESS = 1_000_000
    settings.WEBHOOKS_ALLOW_LOCAL = True
    entity = make_entity()
    owner = make_service(*EVERYBODY, entities=(entity,))
    caller = caller_for(owner)
    caller_for(owner, scopes=["crm.view_clients"])  # the newest: this one may be revoked on the way
    make_account(make_server(entity), client=make_client(entity))
    make_symbol()
    webhooks.register_endpoint(entity_id=entity.pk, url="https://127.0.0.1/", topics=["work.item_opened"], actor=SYSTEM)
    body = {"entity": "nova", "brand": make_brand(entity).code, "name": "Partner", "currency": "EUR"}
    assert caller.post("partners/", body).status_code == 201
    return caller.text


@pytest.fixture
def api(key: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The schema, as it is served. The end of a request leaves the test's connection, and so its data, alone."""
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: None)
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/vnd.oai.openapi+json"}
    return schemathesis.openapi.from_wsgi("/api/v1/schema/", get_wsgi_application(), headers=headers)


class _Known:
    """The ids of the small broker: of lists, and of the references that bodies name."""

    def __init__(self, key: str) -> None:
        self.browser = Browser(headers={"Authorization": f"Bearer {key}"})
        self.lists: dict[str, dict[str, Any] | None] = {}
        self.references = {
            "entity": "nova",
            "brand": "nova-brand",
            "client": self._first("/api/v1/clients/", "id"),
            "account": self._first("/api/v1/accounts/", "id"),
            "server": self._first("/api/v1/servers/", "code"),
            "partner": self._first("/api/v1/partners/", "reference"),
            "symbol": self._first("/api/v1/symbols/", "code"),
            "topics": ["work.item_opened"],
            "currency": "EUR",
        }

    def _first(self, path: str, name: str) -> Any:
        row = self.row(path)
        return row.get(name) if row else None

    def row(self, path: str) -> dict[str, Any] | None:
        """The first row of a list."""
        if path not in self.lists:
            answer = self.browser.get(path)
            rows = (
                answer.json().get("results") if answer.status_code == 200 and isinstance(answer.json(), dict) else None
            )
            self.lists[path] = rows[0] if rows else None
        return self.lists[path]

    def path_value(self, path: str, name: str) -> Any:
        """A real value of a path's parameter, if its list has a row."""
        row = self.row(path.partition("{")[0])
        wanted = "id" if name in {"public_id", "pk"} else name
        return row.get(wanted) if row and wanted in IDS else None


def _made_real(case: Any, known: _Known, choose: Any) -> Any:
    for name in list(case.path_parameters or {}):
        value = known.path_value(case.operation.full_path, name)
        if value is not None and choose():
            case.path_parameters[name] = str(value)
    if isinstance(case.body, dict):
        for name, value in known.references.items():
            if name in case.body and value is not None and choose():
                case.body[name] = value
    return case


def _findings(operation: Any, mode: GenerationMode, examples: int, key: str, known: _Known) -> Iterator[str]:
    """What generated calls of one operation find."""
    found: list[str] = []
    until = time.monotonic() + SECONDS_FOR_AN_OPERATION

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode), st.randoms(use_true_random=False))
    def call(case: Any, random: Any) -> None:
        if time.monotonic() > until or found:
            return
        case = _made_real(case, known, lambda: random.random() < 0.5)
        response = case.call(headers={"Authorization": f"Bearer {key}"})
        try:
            case.validate_response(response, checks=CHECKED)
        except (FailureGroup, Failure) as error:
            found.append(f"{operation.label} [{mode.value}] {response.status_code}: {error}\n{response.text[:600]}")

    # Nothing can be wrong about the parameters of an operation that has none.
    with contextlib.suppress(hypothesis.errors.Unsatisfiable):
        call()
    yield from found


def test_generated_calls_find_nothing(api: Any, key: str) -> None:
    known = _Known(key)
    started, findings, called = time.monotonic(), [], set()
    for result in api.get_all_operations():
        operation = result.ok()
        is_late = time.monotonic() - started > SECONDS_FOR_ALL
        modes = {GenerationMode.POSITIVE: 1} if is_late else EXAMPLES
        for mode, examples in modes.items():
            findings += _findings(operation, mode, examples, key, known)
        called.add(operation.label)
    assert not findings, f"{len(findings)} findings\n\n" + "\n\n".join(findings[:15])
    assert len(called) > 150


def test_no_operation_answers_without_a_key_or_with_a_wrong_one(api: Any) -> None:
    browser, answered = Browser(), []
    for result in api.get_all_operations():
        operation = result.ok()
        path = operation.full_path
        for name in [parameter.name for parameter in operation.path_parameters]:
            path = path.replace(f"{{{name}}}", "00000000-0000-7000-8000-000000000000")
        for headers in ({}, {"Authorization": "Bearer bo_aaaaaaaaaaaa_" + "x" * 43}):
            answer = browser.generic(operation.method.upper(), path, "{}", "application/json", headers=headers)
            if answer.status_code not in (401, 404) or answer.headers["Content-Type"] != "application/problem+json":
                answered.append((operation.label, answer.status_code))
    assert answered == []
