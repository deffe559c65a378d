"""Every address of the site × every role × every verb: who gets in stands in a table, and a new address fails until it does.

Every run holds the list of addresses against the table, and asks for a share of the pairs of address and role, the same
one each time; ADDRESSES_FULL=1 asks for all of them (some minutes).

`addresses.json` is the table: who is let in by GET, for each address, on an object of the own legal entity, and how many
statements the page takes for an administrator. After a deliberate change write it anew, and read the difference:

    ADDRESSES_WRITE=1 pytest tests/access/test_every_address.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from backoffice.core.access import visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import PORTAL_ROLES, STAFF_ROLES, Actor, Role
from platform_ops.models import TradingServer
from tests.access.shares import WRITE, asked
from tests.factories.platform import MONDAY, make_account, make_client, noon
from tests.faults.harness import work_until_idle
from tests.faults.world import FaultWorld
from tests.logins import log_in, make_user

pytestmark = pytest.mark.django_db

TABLE = Path(__file__).parent / "addresses.json"
ROLES = sorted([*STAFF_ROLES, *PORTAL_ROLES])
ANYBODY = "anybody"
PUBLISHED = {"reports/keys/", "portal/apply/", "portal/apply/<slug:brand>/"}
"""Meant for everybody: the keys by which an issued report is checked, and the form of who wants to become a partner."""
UNSAFE = ("post", "put", "patch", "delete")
NOWHERE = {
    "int": "987654321",
    "uuid": "00000000-0000-7000-8000-000000000000",
    "str": "nothing",
    "slug": "nothing",
    "path": "987654321",
}
# Addresses whose GET ends or changes the session of who asks, that belong to a library's own pages, or that take seconds
# (the API's schema, which has tests of its own).
NOT_WALKED = re.compile(
    r"^(account/(?!login|security|sessions)|desk/(logout|login|jsi18n|autocomplete|password_change|r/)|api/v1/(schema|docs)/)"
)


@dataclass(frozen=True)
class Address:
    """A pattern of the URL configuration."""

    route: str
    name: str

    @property
    def model(self) -> Any:
        """The model whose object stands in the address of a desk page; None elsewhere."""
        found = re.match(r"desk/([a-z_]+)/([a-z_]+)/", self.route)
        if not found or "<path:object_id>" not in self.route:
            return None
        for model in admin.site._registry:
            if (model._meta.app_label, model._meta.model_name) == (found[1], found[2]):
                return model
        return None

    def url(self, object_id: object = None) -> str:
        """The address with an object in it; with nothing that exists where none is given."""

        def fill(match: re.Match[str]) -> str:
            kind = match[1] or "str"
            if object_id is not None and match[2] in {"object_id", "pk"}:
                return str(object_id)
            return NOWHERE.get(kind, "nothing")

        return "/" + re.sub(r"<(?:(\w+):)?(\w+)>", fill, self.route)


def addresses() -> list[Address]:
    """Every address, in the order of the URL configuration."""
    found = {}
    for route, name in _walk(get_resolver().url_patterns, ""):
        if "(?P" not in route and "\\" not in route and "^" not in route and not NOT_WALKED.match(route):
            found.setdefault(route, Address(route, name))
    return list(found.values())


def _walk(patterns: list[Any], before: str) -> Iterator[tuple[str, str]]:
    for item in patterns:
        route = before + str(item.pattern).removesuffix("$").removesuffix("\\Z")
        if isinstance(item, URLResolver):
            yield from _walk(item.url_patterns, route)
        elif isinstance(item, URLPattern):
            yield route, item.name or ""


@pytest.fixture
def two_brokers() -> tuple[LegalEntity, LegalEntity]:
    """Two legal entities with partners, clients, accounts, trades, lines and entries of their own."""
    entities = []
    for _ in range(2):
        world = FaultWorld()
        world.feed(world.deals(per_day=1))
        entities.append(world.broker.entity)
    work_until_idle()
    return entities[0], entities[1]


def person(role: str, entity: LegalEntity) -> Browser:
    """A browser of somebody with one role in one entity, with a second factor shown."""
    browser = Browser(raise_request_exception=False)
    entities = (entity,) if role in STAFF_ROLES else ()
    return log_in(browser, make_user(f"{role}{entity.pk}@house.test", role, entities=entities))


def ask(browser: Browser, verb: str, url: str) -> int:
    """The status of an answer; what it did to the database is undone."""
    cache.clear()
    point = transaction.savepoint()
    try:
        response = getattr(browser, verb)(url)
        if getattr(response, "streaming", False) and not getattr(response, "is_async", False):
            for _ in response.streaming_content:
                break
        return int(response.status_code)
    finally:
        transaction.savepoint_rollback(point)


def own_and_other(model: Any, entity: LegalEntity) -> tuple[object, object]:
    """An object that an administrator of the entity sees, and one that exists and is not seen; None where there is none."""
    if model is None:
        return None, None
    boss = Actor(
        label="door", user_id=0, roles=frozenset({Role.ADMINISTRATOR.value}), entity_ids=frozenset({entity.pk})
    )
    seen = visible_to(model._default_manager.all(), boss)
    own = seen.order_by("pk").values_list("pk", flat=True).first()
    hidden = model._default_manager.exclude(pk__in=seen.order_by().values("pk"))
    return own, hidden.order_by("pk").values_list("pk", flat=True).first()


def known() -> dict[str, Any]:
    return json.loads(TABLE.read_text("utf-8")) if TABLE.exists() else {}


def write(kind: str, found: dict[str, Any]) -> None:
    """Puts what was found into the table."""
    TABLE.write_text(json.dumps({**known(), kind: found}, indent=1, sort_keys=True) + "\n", "utf-8")


def compare_doors(found: dict[str, list[str]]) -> None:
    """Holds who was let in against the table; or writes it there, when asked to."""
    if WRITE:
        write("get", found)
        return
    wrong = {}
    for route, who in found.items():
        expected = [role for role in known()["get"][route] if asked(route, role)]
        if who != expected:
            wrong[route] = (who, expected)
    assert wrong == {}


def test_every_address_stands_in_the_table() -> None:
    expected, found = set(known().get("get", {})), {place.route for place in addresses()}
    assert WRITE or (sorted(found - expected), sorted(expected - found)) == ([], []), "read the module's docstring"


def test_who_gets_in_is_as_the_table_says_and_nobody_sees_an_error(
    two_brokers: tuple[LegalEntity, LegalEntity],
) -> None:
    ours, _ = two_brokers
    places = addresses()
    objects = {place: own_and_other(place.model, ours)[0] for place in places if place.model is not None}
    urls = {place: place.url(objects.get(place)) for place in places}
    let_in: dict[str, list[str]] = {place.route: [] for place in places}
    errors = []
    stranger = Browser(raise_request_exception=False)
    for who, browser in [(ANYBODY, stranger), *((role, person(role, ours)) for role in ROLES)]:
        for place in places:
            if not asked(place.route, who):
                continue
            status = ask(browser, "get", urls[place])
            if status >= 500 and not (place.route == "readyz" and status == 503):
                errors.append((who, urls[place], status))
            if status == 200:
                let_in[place.route].append(who)
    assert errors == []
    compare_doors({route: sorted(who) for route, who in let_in.items()})
    # Whatever the table says: portal people never stand in the desk, and strangers only at the doors
    inside = {route: set(who) for route, who in let_in.items()}
    assert [
        route for route, who in inside.items() if route.startswith("desk/") and who & {*PORTAL_ROLES, ANYBODY}
    ] == []
    assert [
        route
        for route, who in inside.items()
        if route.startswith(("api/", "portal/", "reports/")) and ANYBODY in who and route not in PUBLISHED
    ] == []


def test_an_object_of_another_entity_is_not_there_for_anybody(two_brokers: tuple[LegalEntity, LegalEntity]) -> None:
    ours, _ = two_brokers
    hidden = {}
    for place in addresses():
        other = own_and_other(place.model, ours)[1] if place.model is not None else None
        if other is not None:
            hidden[place] = place.url(other)
    assert len(hidden) > 30
    browsers = {role: person(role, ours) for role in sorted(STAFF_ROLES)}
    seen = [
        (role, verb, url)
        for role, browser in browsers.items()
        for place, url in hidden.items()
        for verb in ("get", "post")
        if asked(place.route, role, verb) and ask(browser, verb, url) not in {302, 403, 404, 405}
    ]
    assert seen == []


def test_no_verb_makes_an_error_or_a_change_for_who_may_not(two_brokers: tuple[LegalEntity, LegalEntity]) -> None:
    ours, _ = two_brokers
    places = addresses()
    objects = {place: own_and_other(place.model, ours)[0] for place in places if place.model is not None}
    stranger = Browser(raise_request_exception=False)
    trader, boss = person(Role.TRADER, ours), person(Role.ADMINISTRATOR, ours)
    wrong = []
    for place in places:
        url = place.url(objects.get(place))
        for verb in UNSAFE:
            for who, browser in ((ANYBODY, stranger), ("trader", trader), ("administrator", boss)):
                if not asked(place.route, verb, who):
                    continue
                status = ask(browser, verb, url)
                inside = who != "administrator" and url.startswith("/desk/") and status not in {302, 403, 404, 405}
                if (status >= 500 and status != 503) or inside:
                    wrong.append((who, verb, url, status))
    assert wrong == []


def test_pages_take_no_more_statements_for_more_rows_than_the_table_allows(
    two_brokers: tuple[LegalEntity, LegalEntity],
) -> None:
    ours, _ = two_brokers
    boss = person(Role.ADMINISTRATOR, ours)
    doors = known().get("get", {})
    places = [
        place
        for place in addresses()
        if Role.ADMINISTRATOR in doors.get(place.route, []) and asked(place.route, "statements")
    ]
    objects = {place: own_and_other(place.model, ours)[0] for place in places if place.model is not None}
    for place in places:  # the first call fills the process's own caches
        ask(boss, "get", place.url(objects.get(place)))
    few = {place.route: statements(boss, place.url(objects.get(place))) for place in places}
    more_rows(ours)
    many = {place.route: statements(boss, place.url(objects.get(place))) for place in places}
    grown = {route: (few[route], many[route]) for route in few if many[route] > few[route] + SLACK}
    assert grown == {}
    table = known()
    if WRITE:
        write("statements", few)
        return
    slower = {
        route: (table["statements"].get(route), count)
        for route, count in few.items()
        if count > table["statements"].get(route, -1) + SLACK
    }
    assert slower == {}


SLACK = 3
"""Statements that a page may take more for a first row of something, such as the look-up of what it links to."""


def statements(browser: Browser, url: str) -> int:
    """How many times a page reads; what the session writes down now and then is not the page's own."""
    with CaptureQueriesContext(connection) as captured:
        ask(browser, "get", url)
    return sum(query["sql"].lstrip().startswith(("SELECT", "WITH")) for query in captured.captured_queries)


def more_rows(entity: LegalEntity) -> None:
    """Many times as many clients, accounts, deals, trades, lines and entries, in the same entity."""
    world = FaultWorld()
    server, brand = TradingServer.objects.filter(entity=entity).first(), entity.brands.first()
    world.broker.server = server
    records = []
    for number in range(12):
        account = make_account(server, client=make_client(brand))
        at = noon(MONDAY) + timedelta(minutes=number)
        records += world.round_trip(ticket=90_001 + 2 * number, at=at, account=account)
    world.feed(records)
    work_until_idle()
