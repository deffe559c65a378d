"""Nothing of one legal entity reaches the staff, clients and partners of another: every list, detail, export, search, action,
page, card, portal page and endpoint is opened as somebody of the first broker, and its bytes are searched for the second.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.contrib import admin
from django.test import Client as Browser
from django.urls import NoReverseMatch, reverse

from backoffice.core.access import scoped_models, visible_to
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.api_registry import endpoints, viewsets
from backoffice.ui.portal import pages_for
from backoffice.ui.views import desk_pages
from tests.access.shares import asked
from tests.access.two_entities import SHARED, Broker, make_broker, missing_tables, secrets_of
from tests.logins import log_in, make_actor

pytestmark = pytest.mark.django_db

OURS, THEIRS = "alphabroker", "betabroker"
ROWS_TRIED = 1
# The machinery's pages carry ids and never names: they are for who looks after the machines of all entities.
MACHINERY = {"Job", "JobRun", "OutboxEvent", "ProcessHeartbeat", "AuditSeal", "RateCardVersion"}
# Tables whose rows come about only by two people, within minutes, or by a settlement, and have tests of their own.
NOT_FILLED = {
    "core.ClientView",
    "core.ApprovalPolicy",
    "migration.MigrationKey",
    "migration.MigrationPackage",
    "ib.CommissionLine",
    "ib.SettlementBatch",
}


@pytest.fixture
def brokers() -> Iterator[tuple[Broker, Broker]]:
    """Ours and theirs."""
    with time_machine.travel("2026-03-06 12:00:00+00:00", tick=True):
        yield make_broker(OURS, currency="USD", rate="1.25"), make_broker(THEIRS, currency="SEK", rate="11.5")


class Search:
    """Opens addresses as somebody and keeps where a secret was found."""

    def __init__(self, browser: Browser, ours: Broker, theirs: Broker) -> None:
        self.browser = browser
        self.secrets = sorted(secrets_of(theirs, ours), key=len, reverse=True)
        assert len(self.secrets) > 100, "there is nothing to look for"
        # Of their money there is a currency that we have not at all.
        self.currency = re.compile(r"\bSEK\b")
        self.found: list[tuple[str, str]] = []
        self.opened = 0

    def open(self, address: str, data: dict[str, str] | None = None, *, has_currency: bool = True) -> int:
        """The status of the answer; what it holds of theirs is kept. What was asked for is echoed and does not count."""
        answer = self.browser.get(address, data or {})
        body = whole_text(answer)
        for given in (data or {}).values():
            body = body.replace(given, "")
        rest = body.replace(address, "")
        hits = [secret for secret in self.secrets if secret in rest]  # many times as fast as one long pattern
        if has_currency and self.currency.search(body):
            hits.append("SEK")
        self.found += [(f"{address} {data or ''}", hit) for hit in hits[:1]]
        self.opened += 1
        return int(answer.status_code)


def whole_text(answer: Any) -> str:
    """The text of an answer; of a packed file, that of its parts."""
    data = b"".join(answer.streaming_content) if getattr(answer, "streaming", False) else answer.content
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            return "\n".join(packed.read(name).decode("utf-8", "replace") for name in packed.namelist())
    return str(data.decode("utf-8", "replace")) + " ".join(str(value) for value in answer.headers.values())


def desk_lists() -> list[DeskModelAdmin]:
    return [item for item in admin.site._registry.values() if isinstance(item, DeskModelAdmin)]


def test_the_desk_of_one_entity_holds_nothing_of_another(brokers: tuple[Broker, Broker], client: Browser) -> None:
    # given: somebody with every role of the staff, of our entity alone
    ours, theirs = brokers
    log_in(client, ours.staff)
    search = Search(client, ours, theirs)
    opened: list[str] = []

    # when: lists, searches, exports, details, histories and actions
    for item in desk_lists():
        if type(item.model).__name__ != "ModelBase" or item.model.__name__ in MACHINERY:
            continue
        name = f"admin:{item.opts.app_label}_{item.opts.model_name}"
        has_currency = not item.is_reference_data
        listing = reverse(f"{name}_changelist")
        search.open(listing, has_currency=has_currency)
        search.open(listing, {"q": THEIRS}, has_currency=has_currency)
        # the two kinds of files are written from the same rows
        for kind in ("csv", "xlsx") if asked(listing, "xlsx", share=4) else ("csv",):
            search.open(reverse(f"{name}_export", args=[kind]), has_currency=has_currency)
        for row in ours.rows.get(item.model, [])[:ROWS_TRIED]:
            search.open(reverse(f"{name}_change", args=[row.pk]), has_currency=has_currency)
            if asked(listing, "history", share=3):
                search.open(reverse(f"{name}_history", args=[row.pk]))
            for view in item.object_actions:
                search.open(reverse(f"{name}_{view.slug}", args=[row.pk]), has_currency=has_currency)
        for view in item.list_actions:
            search.open(reverse(f"{name}_{view.slug}"), has_currency=has_currency)
        if item.is_reference_data or item.model._meta.label in SHARED:
            continue
        for row in theirs.rows.get(item.model, [])[:ROWS_TRIED]:
            addresses = [reverse(f"{name}_{page}", args=[row.pk]) for page in ("change", "history")]
            addresses += [reverse(f"{name}_{view.slug}", args=[row.pk]) for view in item.object_actions]
            opened += [address for address in addresses if search.open(address) == 200]
            opened += [address for address in addresses[2:] if client.post(address).status_code == 200]

    # then
    assert search.found == []
    assert opened == []
    assert search.opened > 200


def test_the_pages_of_the_desk_hold_nothing_of_another(brokers: tuple[Broker, Broker], client: Browser) -> None:
    ours, theirs = brokers
    log_in(client, ours.staff)
    search = Search(client, ours, theirs)

    # when: the first page with its cards, the search, and every page of a desk, whatever number it is asked for
    search.open(reverse("admin:index"))
    search.open(reverse("admin:search"), {"s": THEIRS, "extended": "1"})
    numbers = sorted({row.pk for rows in theirs.rows.values() for row in rows if isinstance(row.pk, int)})[:6]
    for page in desk_pages():
        if "<" not in page.route:
            address = page.url()
            search.open(address)
            search.open(address, {"export": "csv"})
            search.open(address, {"entity": str(theirs.entity.pk)})
            continue
        for number in numbers:
            try:
                address = page.url(
                    **dict.fromkeys(re.findall(r"<int:(\w+)>", page.route), number), **_words(page.route)
                )
            except NoReverseMatch:
                continue
            search.open(address)

    # then
    assert search.found == []


def _words(route: str) -> dict[str, str]:
    return dict.fromkeys(re.findall(r"<str:(\w+)>", route), "file")


def test_the_door_the_portal_and_the_interface_give_nothing_of_another(
    brokers: tuple[Broker, Broker], client: Browser
) -> None:
    # given: rows of theirs in every table that has a scope
    ours, theirs = brokers
    assert missing_tables(theirs, SHARED | NOT_FILLED) == {}
    shared = {label.lower() for label in SHARED}

    # when, then: the door
    for user in (ours.staff, ours.trader, ours.partner_login):
        actor = make_actor(user)
        seen = {
            model._meta.label: visible_to(model._default_manager.all(), actor)
            .filter(pk__in=[row.pk for row in rows])
            .count()
            for model, rows in theirs.rows.items()
            if model._meta.label_lower in scoped_models()
        }
        assert {label: count for label, count in seen.items() if count} == {}, user.email

    # when, then: the portal, as a client and as a partner
    for user in (ours.trader, ours.partner_login):
        log_in(client, user)
        search = Search(client, ours, theirs)
        search.open("/")
        for page in pages_for(make_actor(user)):
            search.open(page.url)
        assert search.found == [], user.email

    # when, then: the interface, every collection and every row of theirs by its public address
    log_in(client, ours.staff)
    search = Search(client, ours, theirs)
    opened = []
    for registered in viewsets():
        collection = f"/api/v1/{registered.prefix}/"
        model = getattr(getattr(registered.viewset, "queryset", None), "model", None)
        if model is not None and model.__name__ in MACHINERY:
            continue
        is_shared = model is not None and model._meta.label_lower in shared
        search.open(collection, has_currency=not is_shared)
        lookup = getattr(registered.viewset, "lookup_field", "pk")
        for row in theirs.rows.get(model, [])[:ROWS_TRIED] if model is not None else []:
            address = f"{collection}{getattr(row, lookup, row.pk)}/"
            if search.open(address) == 200:
                opened.append(address)
    for endpoint in endpoints():
        if "<" not in endpoint.route:
            search.open(f"/api/v1/{endpoint.route}")
    assert search.found == []
    assert opened == []
