"""API keys: what they open, and everything that they do not."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.test import Client as Browser

from backoffice.core.models import ApiKey, AuditRecord
from backoffice.core.services import api_keys, users
from backoffice.core.services.api_keys import is_within
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from crm.models import Client
from tests.api.world import (
    SYSTEM,
    Caller,
    caller_for,
    make_administrator,
    make_brand,
    make_client,
    make_service,
    service_caller,
)
from tests.logins import log_in, make_actor, make_entity, make_user

pytestmark = pytest.mark.django_db


def test_a_key_acts_as_its_owner_within_its_scopes() -> None:
    # given
    caller = service_caller(Role.FINANCE, scopes=["crm.view_clients"])
    make_client(make_entity())

    # when
    me = caller.get("me/").json()

    # then
    assert me["capabilities"] == ["crm.view_clients"]
    assert [row["full_name"] for row in caller.get("clients/").json()["results"]] == ["Ann Example"]
    assert caller.get("ledger-accounts/").json()["code"] == "permission_denied"


def test_the_secret_is_kept_only_as_a_hash() -> None:
    caller = service_caller(Role.FINANCE)
    assert caller.key is not None
    secret = caller.text.split("_", 2)[2]
    row = ApiKey.objects.values().get(pk=caller.key.pk)
    assert len(bytes(row["secret_hash"])) == 32
    assert secret not in repr(row)
    assert secret not in repr(list(AuditRecord.objects.values()))


@pytest.mark.parametrize("text", ["", "bo_", "bo_aaaaaaaaaaaa_x", "nonsense", "bo_" + "a" * 500, "bo_ä_ö"])
def test_a_text_that_is_no_key_opens_nothing(text: str) -> None:
    service_caller(Role.FINANCE)
    answer = Caller(text).get("me/")
    assert (answer.status_code, answer.json()["code"]) == (401, "key_refused")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_right_prefix_with_another_secret_opens_nothing() -> None:
    caller = service_caller(Role.FINANCE)
    other = Caller("_".join([*caller.text.split("_")[:2], "A" * 43]))
    assert (caller.get("me/").status_code, other.get("me/").status_code) == (200, 401)


def test_another_scheme_is_refused_and_never_falls_back_to_the_session() -> None:
    # given
    browser = log_in(Browser(), make_user("fin@house.test", Role.FINANCE, entities=(make_entity(),)))

    # when
    answers = [
        browser.get("/api/v1/me/", headers={"Authorization": text}).status_code for text in ("Basic YTpi", "Bearer x")
    ]

    # then
    assert answers == [401, 401]


def test_a_key_ends() -> None:
    caller = service_caller(Role.FINANCE, expires_at=clock.now() + timedelta(hours=1))
    assert caller.get("me/").status_code == 200
    with time_machine.travel(clock.now() + timedelta(hours=1, seconds=1)):
        assert caller.get("me/").status_code == 401


def test_a_revoked_key_opens_nothing_and_revoking_is_in_the_audit() -> None:
    # given
    caller = service_caller(Role.FINANCE)
    administrator = make_actor(make_administrator(make_entity()))

    # when
    for _ in range(2):
        api_keys.revoke_key(key_id=caller.key.pk, actor=administrator, reason="leaked")

    # then
    assert caller.get("me/").status_code == 401
    assert AuditRecord.objects.filter(action="core.revoke_api_key", reason="leaked").count() == 1


def test_rights_follow_the_owner_at_once() -> None:
    # given
    owner = make_service(Role.FINANCE, entities=(make_entity(),))
    caller = caller_for(owner)
    make_client(make_entity())

    # when the owner loses the role
    users.change_access(
        user_id=owner.pk, roles=[Role.MARKETING], entity_codes=["nova"], actor=SYSTEM, reason="another system"
    )

    # then
    assert caller.get("ledger-accounts/").status_code == 403

    # when the owner loses the entity
    users.change_access(user_id=owner.pk, roles=[Role.FINANCE], entity_codes=[], actor=SYSTEM, reason="moved")

    # then
    assert caller.get("clients/").json()["results"] == []

    # when the login is closed
    users.set_active(user_id=owner.pk, active=False, actor=SYSTEM, reason="gone")

    # then
    assert caller.get("me/").status_code == 401


def test_a_key_of_one_entity_sees_no_other_even_of_what_is_opened_by_name() -> None:
    # given an owner of two entities, to whom a client of the second was opened by name
    first, second = make_entity(), make_entity("orbis")
    owner = make_service(Role.SALES, entities=(first, second))
    hidden = make_client(second, "Bea Beyond")
    from crm.services.clients import grant_client_exception

    grant_client_exception(client_id=hidden.pk, user_id=owner.pk, actor=SYSTEM, reason="holiday cover")
    wide, narrow = caller_for(owner), caller_for(owner, entity_codes=["nova"])

    # then
    assert wide.get(f"clients/{hidden.public_id}/").status_code == 200
    assert narrow.get(f"clients/{hidden.public_id}/").status_code == 404
    assert [row["code"] for row in narrow.get("entities/").json()["results"]] == ["nova"]
    body = {"entity": "orbis", "brand": make_brand(second).code, "full_name": "X", "email": "x@y.test", "country": "CY"}
    answer = narrow.post("clients/", body)
    assert (answer.status_code, list(answer.json()["details"]["fields"])) == (400, ["entity", "brand"])
    assert Client.objects.filter(email="x@y.test").count() == 0


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        (["192.0.2.0/24"], "192.0.2.7", True),
        (["192.0.2.0/24"], "192.0.3.7", False),
        (["192.0.2.7/32"], "::ffff:192.0.2.7", True),
        (["2001:db8::/32"], "2001:db8:1::5", True),
        (["2001:db8::/32"], "192.0.2.7", False),
        (["192.0.2.0/24"], "", False),
        (["192.0.2.0/24"], "nonsense", False),
        ([], "", True),
    ],
)
def test_networks(networks: list[str], address: str, allowed: bool) -> None:
    assert is_within(address, networks) is allowed


def test_a_key_works_from_its_networks_only() -> None:
    caller = service_caller(Role.FINANCE, addresses=["192.0.2.0/24", "2001:db8::1"])
    inside, outside = Caller(caller.text, address="192.0.2.9"), Caller(caller.text, address="198.51.100.1")
    assert (inside.get("me/").status_code, outside.get("me/").status_code) == (200, 401)


def test_a_made_up_forwarded_address_is_not_believed(settings) -> None:  # type: ignore[no-untyped-def]
    caller = service_caller(Role.FINANCE, addresses=["192.0.2.0/24"])
    outside = Caller(caller.text, address="198.51.100.1")
    assert outside.get("me/", **{"X-Forwarded-For": "192.0.2.9"}).status_code == 401
    # behind one proxy, its own entry counts, not what the caller wrote before it
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    assert outside.get("me/", **{"X-Forwarded-For": "192.0.2.9, 198.51.100.1"}).status_code == 401
    assert outside.get("me/", **{"X-Forwarded-For": "198.51.100.1, 192.0.2.9"}).status_code == 200
    # two are trusted but only one spoke: the request did not come through them
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 2
    assert outside.get("me/", **{"X-Forwarded-For": "192.0.2.9"}).status_code == 401


def test_the_time_of_use_is_noted_at_most_once_a_minute() -> None:
    caller = service_caller(Role.FINANCE)
    with time_machine.travel("2026-11-20T12:00:00Z", tick=False) as traveller:
        caller = service_caller_again(caller)
        for seconds, expected in ((0, 0), (30, 0), (61, 61)):
            traveller.move_to(f"2026-11-20T12:0{seconds // 60}:{seconds % 60:02d}Z")
            caller.get("me/")
            noted = ApiKey.objects.get(pk=caller.key.pk).last_used_at
            assert noted is not None
            assert (noted.minute * 60 + noted.second) == expected


def service_caller_again(caller: Caller) -> Caller:
    """Another key of the same owner, made now."""
    return caller_for(caller.key.owner)


def test_rotation_overlaps_and_then_ends_the_old_key() -> None:
    # given
    old = service_caller(Role.FINANCE, scopes=["crm.view_clients"], addresses=["127.0.0.1"])

    # when
    issued = api_keys.rotate_key(key_id=old.key.pk, overlap=timedelta(hours=2), actor=SYSTEM, reason="yearly")
    new = Caller(issued.text)

    # then both work, the new one within the same bounds
    assert [caller.get("me/").status_code for caller in (old, new)] == [200, 200]
    assert (issued.key.scopes, issued.key.addresses) == (["crm.view_clients"], ["127.0.0.1/32"])
    with time_machine.travel(clock.now() + timedelta(hours=2, seconds=1)):
        assert [caller.get("me/").status_code for caller in (old, new)] == [401, 200]
    with pytest.raises(Conflict):
        api_keys.rotate_key(key_id=old.key.pk, overlap=timedelta(0), actor=SYSTEM, reason="again")


def test_rotation_without_overlap_ends_the_old_key_at_once() -> None:
    old = service_caller(Role.FINANCE)
    issued = api_keys.rotate_key(key_id=old.key.pk, overlap=timedelta(0), actor=SYSTEM, reason="leaked")
    assert [caller.get("me/").status_code for caller in (old, Caller(issued.text))] == [401, 200]


def test_nobody_makes_a_key_that_acts_as_a_colleague() -> None:
    # given
    entity = make_entity()
    administrator = make_actor(make_administrator(entity))
    colleague = make_user("fin@house.test", Role.FINANCE, entities=(entity,))

    # when, then
    with pytest.raises(Denied):
        api_keys.issue_key(owner_id=colleague.pk, name="x", scopes=["crm.view_clients"], actor=administrator)
    own = api_keys.issue_key(owner_id=administrator.user_id, name="x", scopes=["core.view_users"], actor=administrator)
    assert ApiKey.objects.get() == own.key
    with pytest.raises(Denied):
        api_keys.issue_key(owner_id=colleague.pk, name="x", scopes=["crm.view_clients"], actor=make_actor(colleague))


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": []},
        {"scopes": ["core.manage_users"]},
        {"scopes": ["no.such"]},
        {"scopes": ["crm.view_clients"], "addresses": ["300.1.1.1"]},
        {"scopes": ["crm.view_clients"], "addresses": ["192.0.2.1/24"]},
        {"scopes": ["crm.view_clients"], "entity_codes": ["orbis"]},
        {"scopes": ["crm.view_clients"], "expires_at": clock.now() - timedelta(seconds=1)},
        {"scopes": ["crm.view_clients"], "expires_at": clock.now() + timedelta(days=800)},
        {"scopes": ["crm.view_clients"], "name": " "},
    ],
)
def test_bounds_that_cannot_be_are_refused(wrong: dict) -> None:
    owner = make_service(Role.FINANCE, entities=(make_entity(),))
    make_entity("orbis")
    with pytest.raises(InvalidInput):
        api_keys.issue_key(**({"owner_id": owner.pk, "name": "test", "actor": SYSTEM} | wrong))
    assert ApiKey.objects.count() == 0


def test_a_service_login_can_do_nothing_in_a_browser() -> None:
    # given a session of the service login, with a second factor, however it came about
    service = make_service(Role.ADMINISTRATOR, entities=(make_entity(),))
    browser = log_in(Browser(), service)

    # then
    assert browser.get("/api/v1/me/").json()["code"] == "service_login"
    assert browser.get("/desk/").status_code in (302, 403)
    assert not service.has_usable_password()


def test_keys_can_be_listed_and_revoked_by_api_but_never_issued() -> None:
    admin = service_caller(Role.ADMINISTRATOR)
    rows = admin.get("api-keys/").json()["results"]
    assert "secret_hash" not in rows[0]
    assert admin.post("api-keys/", {}).status_code == 405
    answer = admin.post(f"api-keys/{rows[0]['id']}/revoke/", {"reason": "drill"})
    assert answer.json()["state"] == "revoked"
    assert admin.get("me/").status_code == 401
