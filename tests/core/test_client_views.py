"""Looking as a client: only clients, only whom one sees, for a quarter of an hour, and without changing anything."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client as Browser
from django.urls import get_resolver, reverse

from backoffice.core.models import AuditRecord, ClientView, User
from backoffice.core.services import client_views
from backoffice.kernel import clock
from backoffice.kernel.errors import Denied, InvalidInput, NotFound
from backoffice.ui import portal
from crm.models import Client
from tests.factories.platform import make_brand, make_client
from tests.logins import log_in, make_actor, make_entity, make_user

pytestmark = pytest.mark.django_db


def _client_with_login(name: str = "tom", role: str = "trader", **fields: Any) -> tuple[Client, User]:
    brand = make_brand(make_entity(fields.pop("entity", "nova")))
    user = make_user(f"{name}@example.com", *role.split("+"))
    return make_client(brand, user=user, full_name=name.title(), **fields), user


def _compliance(*codes: str) -> User:
    return make_user("compliance@example.com", "compliance", entities=tuple(make_entity(c) for c in codes or ("nova",)))


def _looking(person: User, staff: User | None = None) -> tuple[Browser, User]:
    """A browser in which compliance looks as the person, begun by the button of the desk."""
    staff = staff or _compliance()
    browser = log_in(Browser(), staff)
    client = Client.objects.get(user=person)
    url = reverse("admin:crm_client_view-as-client", args=[client.pk])
    answer = browser.post(url, {"reason": "Ticket 4711: sees no account", "confirmed": "yes"})
    assert answer.status_code == 302, answer.content.decode()[:500]
    assert answer.headers["Location"] == reverse("portal:home")
    return browser, staff


def test_the_portal_is_the_clients_with_a_banner_and_without_their_security(client: Browser) -> None:
    _, person = _client_with_login()
    browser, staff = _looking(person)
    page = browser.get(reverse("portal:home")).content.decode()
    assert "You are looking as Tom" in page
    assert reverse("mfa_index") not in page
    assert reverse("account_logout") not in page
    # outside of the portal the session is the viewer's own
    assert person.email not in browser.get(reverse("mfa_index")).content.decode()
    assert browser.get("/desk/").status_code == 200
    # and every step is written down
    records = AuditRecord.objects.filter(user_id=staff.pk, object_id=str(person.pk)).order_by("id")
    assert list(records.values_list("action", flat=True)) == ["core.start_client_view", "core.see_page_as_client"]
    assert {record.reason for record in records} == {"Ticket 4711: sees no account"}
    assert records.last().changes == {"path": "/portal/"}


def _portal_paths() -> list[str]:
    """Every page of the portal that has no variable part, and one that does not exist."""
    patterns = list(get_resolver("backoffice.portal.urls").url_patterns)
    paths = [f"/portal/{pattern.pattern}" for pattern in patterns if "<" not in str(pattern.pattern)]
    assert len(paths) > 3
    return [*paths, "/portal/no-such-page/"]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_whatever_could_change_something_is_refused_at_the_door(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a view as a client who is trader and partner, and pages that would do anything when asked
    _, person = _client_with_login()
    browser, staff = _looking(person)
    reached: list[str] = []
    monkeypatch.setattr(portal.PortalView, "dispatch", lambda self, request, *a, **k: reached.append(request.path))
    for path in _portal_paths():
        # when each is asked by an unsafe method
        answer = getattr(browser, method)(path, {"amount": "100"}, HTTP_ACCEPT="text/html")
        # then no view is reached, and the attempt is written down
        assert answer.status_code == 403, path
        assert "nothing can be changed" in answer.content.decode()
    assert reached == []
    refused = AuditRecord.objects.filter(user_id=staff.pk, action="core.refuse_in_client_view")
    assert refused.count() == len(_portal_paths())


def test_a_page_that_writes_when_it_is_only_read_is_refused_by_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    _, person = _client_with_login()
    browser, _ = _looking(person)

    def writes(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        User.objects.filter(pk=person.pk).update(full_name="Changed")
        return HttpResponse("written")

    monkeypatch.setattr(portal.PortalView, "dispatch", writes)
    answer = browser.get(reverse("portal:home"))
    assert answer.status_code == 403
    assert "nothing can be changed" in answer.content.decode()
    person.refresh_from_db()
    assert person.full_name == "Tom"
    # and afterwards the connection writes again
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only")
        assert cursor.fetchone() == ("off",)


def test_after_a_quarter_of_an_hour_it_is_over() -> None:
    _, person = _client_with_login()
    browser, staff = _looking(person)
    with time_machine.travel(clock.now() + timedelta(minutes=14, seconds=50), tick=False):
        assert browser.get(reverse("portal:home")).status_code == 200
    with time_machine.travel(clock.now() + timedelta(minutes=15, seconds=1), tick=False):
        answer = browser.get(reverse("portal:home"))
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        assert browser.get(reverse("portal:home")).status_code == 403, "the viewer has no portal of their own"
    assert ClientView.objects.get(staff=staff).end_reason == "expired"
    ended = AuditRecord.objects.get(action="core.end_client_view")
    assert ended.changes == {"ended": "expired"}


def test_the_viewer_ends_it() -> None:
    _, person = _client_with_login()
    browser, staff = _looking(person)
    assert browser.post(reverse("end_client_view")).status_code == 302
    assert browser.get(reverse("portal:home")).status_code == 403
    assert ClientView.objects.get(staff=staff).end_reason == "ended"


@pytest.mark.parametrize("what", ["role", "entity", "person became staff", "person closed"])
def test_it_ends_when_it_is_no_longer_allowed(what: str) -> None:
    _, person = _client_with_login()
    browser, staff = _looking(person)
    if what == "role":
        User.objects.filter(pk=staff.pk).update(roles=["finance"])
    elif what == "entity":
        staff.entities.clear()
    elif what == "person became staff":
        User.objects.filter(pk=person.pk).update(roles=["trader", "sales"])
    else:
        User.objects.filter(pk=person.pk).update(is_active=False)
    assert browser.get(reverse("portal:home")).status_code == 302
    assert ClientView.objects.get(staff=staff).end_reason == "revoked"


def test_another_session_of_the_viewer_is_not_looking() -> None:
    _, person = _client_with_login()
    _, staff = _looking(person)
    other = log_in(Browser(), staff)
    assert other.get(reverse("portal:home")).status_code == 403


def test_a_second_view_ends_the_first() -> None:
    _, first = _client_with_login()
    _, second = _client_with_login("eva")
    _, staff = _looking(first)
    browser, _ = _looking(second, staff)
    assert "You are looking as Eva" in browser.get(reverse("portal:home")).content.decode()
    assert sorted(ClientView.objects.values_list("end_reason", flat=True)) == ["", "replaced"]


@pytest.mark.parametrize(
    "who", ["staff", "staff and client", "other entity", "closed", "no client", "oneself", "system"]
)
def test_only_clients_that_one_sees_are_looked_at(who: str) -> None:
    staff = _compliance()
    make_entity("other")
    person = make_user("x@example.com", "trader")
    if who == "staff":
        person = make_user("colleague@example.com", "sales", entities=(make_entity(),))
    elif who == "staff and client":
        _, person = _client_with_login("both", "trader+sales")
    elif who == "other entity":
        _, person = _client_with_login("far", entity="other")
    elif who == "closed":
        _, person = _client_with_login("closed")
        User.objects.filter(pk=person.pk).update(is_active=False)
    elif who == "oneself":
        person = staff
    elif who == "system":
        _, person = _client_with_login("robot")
        User.objects.filter(pk=person.pk).update(is_service=True)
    with pytest.raises(NotFound):
        client_views.start_client_view(user_id=person.pk, actor=make_actor(staff), reason="curious")
    assert not ClientView.objects.exists()
    assert not AuditRecord.objects.exists()


def test_who_is_client_and_partner_is_looked_at_only_by_who_sees_both() -> None:
    from ib.models import Partner

    entity = make_entity()
    sales = make_user("sales@example.com", "sales", entities=(entity,))
    _, person = _client_with_login("both", "trader+ib", owner=sales)
    assert client_views.may_view(actor=make_actor(sales), person=person)
    brand = make_brand(entity)
    Partner.objects.create(
        reference="IB-0001", entity=entity, brand=brand, user=person, name="Both", currency="EUR", country="CY"
    )
    assert not client_views.may_view(actor=make_actor(sales), person=person)


def test_it_needs_a_reason_and_the_verb() -> None:
    _, person = _client_with_login()
    with pytest.raises(InvalidInput):
        client_views.start_client_view(user_id=person.pk, actor=make_actor(_compliance()), reason="  ")
    finance = make_user("finance@example.com", "finance", entities=(make_entity(),))
    with pytest.raises(Denied):
        client_views.start_client_view(user_id=person.pk, actor=make_actor(finance), reason="curious")
    browser = log_in(Browser(), finance)
    url = reverse("admin:crm_client_view-as-client", args=[Client.objects.get(user=person).pk])
    assert browser.get(url).status_code == 403
    assert not ClientView.objects.exists()


def test_views_that_nobody_came_back_to_are_closed() -> None:
    _, person = _client_with_login()
    _looking(person)
    with time_machine.travel(clock.now() + timedelta(minutes=20), tick=False):
        assert client_views.end_expired_views() == 1
        assert client_views.end_expired_views() == 0
    assert ClientView.objects.get().end_reason == "expired"
