"""The desk speaks to people: headings, values, menu headings, and what an action is about."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django import forms
from django.contrib import admin
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import LegalEntity
from backoffice.core.types import Role
from backoffice.kernel.errors import Misconfigured
from backoffice.ui import navigation
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.formats import format_plain, label_words
from backoffice.ui.forms import desk_widgets
from backoffice.ui.views import DeskActionView
from platform_ops.models import AccountOffer, AccountType, BalanceOperation
from platform_ops.types import DealKind
from tests.factories.platform import make_account, make_batch, make_server
from tests.logins import log_in, make_entity, make_user


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("is active", "Active"),
        ("entity", "Legal entity"),
        ("proposed by id", "Proposed by"),
        ("order id", "Order ID"),
        ("sha256", "SHA-256"),
        ("FX reference rates", "FX reference rates"),
        ("island", "Island"),
    ],
)
def test_a_heading_is_made_of_words(name: str, words: str) -> None:
    assert label_words(name) == words


def test_a_process_is_named_in_words() -> None:
    assert format_plain("system:business_day") == "System: business day"
    assert format_plain("somebody@house.test") == "somebody@house.test"


def test_an_action_cannot_take_the_place_of_a_page() -> None:
    class Change(DeskActionView):
        slug, title, capability = "change", "Change", "core.manage_organisation"

    class EntityAdmin(DeskModelAdmin):
        view_capability = "core.manage_organisation"
        object_actions = (Change,)

    with pytest.raises(Misconfigured, match="change"):
        EntityAdmin(LegalEntity, admin.site)


def test_a_page_stands_under_one_heading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(navigation, "_places", {})
    navigation.arrange([("Work", ["admin:index"])])
    navigation.arrange([("Work", ["admin:index"])])
    with pytest.raises(Misconfigured):
        navigation.arrange([("Other", ["admin:index"])])


@pytest.mark.parametrize(("desk", "outside"), [("platform_ops", 4), ("ib", 0)])
def test_every_heading_of_a_long_part_of_the_menu_has_its_pages(desk: str, outside: int) -> None:
    # given the menu as it is registered
    of_desk = [page for page in navigation.pages() if page.desk == desk]
    headings = [navigation.heading_of(page) for page in of_desk]
    # then each heading is one block, and few pages stand outside of them
    blocks = [heading for place, heading in enumerate(headings) if not place or headings[place - 1] != heading]
    assert len(blocks) == len(set(blocks))
    assert headings.count("") <= outside


def test_a_choice_that_is_open_says_so(db: None) -> None:
    class Form(forms.Form):
        needed = forms.ModelChoiceField(AccountType.objects.none())
        free = forms.ModelChoiceField(AccountOffer.objects.none(), required=False)
        when = forms.DateTimeField()

    form = desk_widgets(Form())
    assert [form.fields[name].empty_label for name in ("needed", "free")] == ["Choose …", "–"]  # type: ignore[attr-defined]
    assert "bo-input" in form.fields["when"].widget.attrs["class"]


def test_pages_of_objects_and_actions_show_figures_words_and_what_is_meant(client: Browser, db: None) -> None:
    # given an operation, whose model keeps eight decimals, and an account to act on
    entity = make_entity()
    server = make_server(entity)
    account = make_account(server, currency="USD")
    operation = BalanceOperation.objects.create(
        server=server, account=account, ticket=5, leg=0, deal_revision=0, batch=make_batch(server), kind=DealKind.BALANCE,
        at=datetime(2026, 7, 1, 9, tzinfo=UTC), amount=Decimal("1500"), currency="USD", business_day="2026-07-01",
    )  # fmt: skip
    log_in(client, make_user("boss@house.test", Role.ADMINISTRATOR, entities=(entity,)))
    # when their pages are opened
    page = client.get(reverse("admin:platform_ops_balanceoperation_change", args=[operation.pk])).content.decode()
    listed = client.get(reverse("admin:platform_ops_balanceoperation_changelist")).content.decode()
    action = client.get(reverse("admin:platform_ops_tradingaccount_assign", args=[account.pk])).content.decode()
    # then nothing is told as the database keeps it
    assert "1,500.00 USD" in page
    assert "1500.00000000" not in page
    assert "<dt>Cancelled</dt><dd>No</dd>" in page
    assert "Is cancelled" not in listed
    # and the form says which account it is about
    assert 'class="bo-facts bo-about"' in action
    assert str(account.login) in action
