"""Logins made and changed by administrators, within their own legal entities, never their own."""

from __future__ import annotations

from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command

from backoffice.core.identity import one_time_codes
from backoffice.core.models import AuditRecord, User
from backoffice.core.services import users
from backoffice.core.types import STAFF_ROLES, Actor, Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from tests.logins import PASSWORD, make_actor, make_entity, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> Actor:
    """An administrator of the entity nova."""
    return make_actor(make_user("admin@example.com", "administrator", entities=(make_entity("nova"),)))


def test_an_administrator_makes_a_login(admin: Actor) -> None:
    made = users.create_user(
        email="Sue@Example.com", full_name="Sue", roles=["sales"], entity_codes=["nova"], actor=admin, password=PASSWORD
    )

    user = User.objects.get(pk=made.pk)
    assert (user.email, user.roles, user.is_staff) == ("sue@example.com", ["sales"], True)
    assert [entity.code for entity in user.entities.all()] == ["nova"]
    assert user.check_password(PASSWORD)
    record = AuditRecord.objects.get(action="core.create_user")
    assert (record.user_id, record.changes) == (admin.user_id, {"roles": ["sales"], "entities": ["nova"]})


@pytest.mark.parametrize("role", sorted(set(Role.values) - {"administrator"}))
def test_nobody_else_makes_a_login(role: str) -> None:
    actor = make_actor(make_user("x@example.com", role, entities=(make_entity(),)))

    with pytest.raises(Denied):
        users.create_user(email="y@example.com", full_name="Y", roles=["sales"], entity_codes=[], actor=actor)

    assert User.objects.count() == 1
    assert not AuditRecord.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"roles": ["king"]}, "roles"),
        ({"entity_codes": ["nowhere"]}, "entities"),
        ({"email": "no address"}, "email"),
        ({"email": "ADMIN@example.com"}, "email"),
        ({"password": "short"}, "password"),
    ],
)
def test_bad_input_is_refused_with_its_field_and_makes_nothing(admin: Actor, changes: dict, field: str) -> None:
    given = {
        "email": "s@example.com",
        "full_name": "S",
        "roles": ["sales"],
        "entity_codes": ["nova"],
        "password": PASSWORD,
    }

    with pytest.raises(InvalidInput) as refused:
        users.create_user(**(given | changes), actor=admin)

    assert refused.value.details["field"] in {field, "email, __all__", "__all__"}
    assert User.objects.count() == 1


def test_access_to_a_foreign_entity_cannot_be_given(admin: Actor) -> None:
    make_entity("other")

    with pytest.raises(Denied):
        users.create_user(email="s@example.com", full_name="S", roles=["sales"], entity_codes=["other"], actor=admin)

    assert User.objects.count() == 1


def test_access_is_changed_with_reason_and_trace(admin: Actor) -> None:
    user = make_user("sue@example.com", "sales", entities=(make_entity("nova"),))

    users.change_access(user_id=user.pk, roles=["finance"], entity_codes=["nova"], actor=admin, reason="moved")

    user.refresh_from_db()
    assert user.roles == ["finance"]
    record = AuditRecord.objects.get(action="core.change_access")
    assert (record.reason, record.changes) == ("moved", {"roles": [["sales"], ["finance"]]})


def test_nobody_changes_their_own_access(admin: Actor) -> None:
    assert admin.user_id is not None
    with pytest.raises(Denied):
        users.change_access(
            user_id=admin.user_id, roles=sorted(STAFF_ROLES), entity_codes=["nova"], actor=admin, reason="mine"
        )

    assert User.objects.get(pk=admin.user_id).roles == ["administrator"]


def test_a_login_of_another_entity_does_not_exist_for_an_administrator(admin: Actor) -> None:
    stranger = make_user("s@example.com", "sales", entities=(make_entity("other"),))

    with pytest.raises(NotFound):
        users.set_active(user_id=stranger.pk, active=False, actor=admin, reason="")

    assert User.objects.get(pk=stranger.pk).is_active


def test_a_closed_login_acts_as_nobody(admin: Actor) -> None:
    user = make_user("sue@example.com", "sales", entities=(make_entity("nova"),))

    users.set_active(user_id=user.pk, active=False, actor=admin, reason="left")
    users.set_active(user_id=user.pk, active=False, actor=admin, reason="left")

    user.refresh_from_db()
    assert (user.is_staff, make_actor(user).roles) == (False, frozenset())
    assert AuditRecord.objects.filter(action="core.deactivate_user").count() == 1


def test_one_time_codes_are_set_up_and_reset(admin: Actor) -> None:
    user = make_user("sue@example.com", "sales", entities=(make_entity("nova"),))

    setup = users.set_up_one_time_codes(user_id=user.pk, actor=admin)
    assert setup.url.startswith("otpauth://totp/")
    assert setup.secret in setup.url
    assert len(one_time_codes.current_code(user)) == 6
    with pytest.raises(Conflict):
        users.set_up_one_time_codes(user_id=user.pk, actor=admin)

    users.reset_second_factor(user_id=user.pk, actor=admin, reason="phone lost")
    assert not Authenticator.objects.exists()
    with pytest.raises(NotFound):
        one_time_codes.current_code(user)
    assert AuditRecord.objects.get(action="core.reset_second_factor").reason == "phone lost"


def test_the_command_makes_a_login_that_can_sign_in() -> None:
    make_entity("nova")
    out = StringIO()

    call_command("create_user", "Boss@example.com", "--name=Boss", "--role=administrator", "--entity=nova", stdout=out)

    shown = dict(line.split(":", 1) for line in out.getvalue().splitlines() if ":" in line)
    user = User.objects.get()
    assert user.check_password(shown["Password"].strip())
    assert shown["One-time code key for the authenticator app"].strip()
    assert len(one_time_codes.current_code(user)) == 6
    with pytest.raises(CommandError, match="already exists"):
        call_command("create_user", "boss@example.com", "--name=Boss", "--role=administrator", stdout=out)
    with pytest.raises(CommandError, match="no legal entity"):
        call_command("create_user", "b@example.com", "--name=B", "--role=sales", "--entity=x", stdout=out)
    assert User.objects.count() == 1


def test_the_roles_and_their_capabilities_are_listed() -> None:
    out = StringIO()
    call_command("list_roles", stdout=out)

    lines = out.getvalue().splitlines()
    assert "administrator (Administrator)" in lines
    assert "    core.manage_users" in lines
