"""Exposure in the desk and over the API: the same figures, one's own entities only, nothing for others."""

from __future__ import annotations

import csv
import io

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import AuditRecord
from backoffice.core.types import Actor, Role
from backoffice.ui.dashboards import cards_for
from risk.services.exposure import calculate_exposure
from tests.logins import log_in, make_actor, make_user
from tests.risk import world

pytestmark = pytest.mark.django_db
PAGE, DATA, API = "admin:risk_exposure", "admin:risk_exposure_data", "/api/v1/risk/exposure/"


@pytest.fixture
def broker():
    entity = world.make_entity()
    server = world.make_server(entity)
    symbol = world.make_symbol("EURUSD", "EUR", "USD")
    world.quote(symbol, "1.10")
    world.rate("USD", "1.10", None)
    for book, lots in (("A", "1"), ("B", "2.5")):
        world.open_position(world.make_account(server, book=book), world.named(server, symbol), 1, lots, "1.09")
    return entity


@pytest.fixture(autouse=True)
def frozen(time_machine):
    time_machine.move_to(world.NOW, tick=True)


@pytest.fixture
def calculated(broker):
    return calculate_exposure(entity_id=broker.pk, actor=Actor.system("test"))


def sign_in(client: Browser, *entities, role: str = Role.DEALING):
    user = make_user("dealer@house.test", role, entities=entities)
    log_in(client, user)
    return user


def test_the_page_shows_each_symbol_and_currency(client: Browser, broker, calculated):
    sign_in(client, broker)
    text = client.get(reverse(PAGE)).content.decode()
    assert "385,000.00" in text
    assert "3.50" in text
    assert "<script" not in text.split('id="risk-exposure"')[1].split("</main>")[0]


def test_the_page_says_so_before_the_first_calculation(client: Browser, broker):
    sign_in(client, broker)
    assert "No exposure has been calculated yet" in client.get(reverse(PAGE)).content.decode()
    assert client.get(reverse(DATA)).json()["age_seconds"] is None
    assert client.get(API).status_code == 404


def test_the_page_refreshes_from_json_for_the_same_book(client: Browser, broker, calculated):
    sign_in(client, broker)
    answer = client.get(reverse(DATA), {"book": "A"})
    assert "no-store" in answer.headers["Cache-Control"]
    assert "110,000.00" in answer.json()["html"]
    assert "385,000.00" not in answer.json()["html"]
    assert answer.json()["age_seconds"] <= 5
    assert (
        'data-url="/desk/pages/risk/exposure/data/?book=A"' in client.get(reverse(PAGE), {"book": "A"}).content.decode()
    )


def test_the_export_holds_symbols_and_currencies_and_is_written_down(client: Browser, broker, calculated):
    # given
    sign_in(client, broker)
    # when
    data = b"".join(client.get(reverse(PAGE), {"export": "csv"}).streaming_content).decode("utf-8-sig")
    # then
    rows = list(csv.DictReader(io.StringIO(data)))
    assert [(row["Axis"], row["Symbol or currency"]) for row in rows] == [
        ("symbol", "EURUSD"),
        ("currency", "EUR"),
        ("currency", "USD"),
    ]
    assert rows[0]["Notional"].startswith("385000")
    assert AuditRecord.objects.get(action="desk.export").changes["page"] == "exposure"


def test_another_entitys_exposure_is_not_there(client: Browser, broker, calculated):
    # given
    other = world.make_entity("beta")
    sign_in(client, other)
    # then
    for query in ({}, {"entity": broker.pk}):
        text = client.get(reverse(PAGE), query).content.decode()
        assert "EURUSD" not in text
        assert "No exposure has been calculated yet" in text
    assert client.get(API, {"entity": "alpha"}).status_code == 404


@pytest.mark.parametrize("role", [Role.SALES, Role.FINANCE, Role.MARKETING, Role.COMPLIANCE])
def test_other_roles_see_nothing(client: Browser, broker, calculated, role):
    sign_in(client, broker, role=role)
    assert client.get(reverse(PAGE)).status_code == 403
    assert client.get(reverse(DATA)).status_code == 403
    assert client.get(API).status_code == 403


def test_the_api_answers_what_the_command_prints(client: Browser, broker, calculated):
    # given
    sign_in(client, broker, role=Role.AUDITOR)
    # when
    document = client.get(API, {"entity": "alpha", "book": "B"}).json()
    # then
    assert document["report_currency"] == "USD"
    assert [(row["symbol"], row["net_lots"], row["notional"]) for row in document["symbols"]] == [
        ("EURUSD", "2.5", "275000.00")
    ]
    assert document["books"] == ["A", "B"]
    assert client.get(API, {"entity": "nobody"}).status_code == 404


def test_the_dashboard_card_shows_the_size_of_the_book(client: Browser, broker, calculated):
    card = next(card for card in cards_for(make_actor(sign_in(client, broker))) if card.title == "Clients' exposure")
    assert card.figure == "385,000.00 USD"
    assert "EURUSD" in card.chart
