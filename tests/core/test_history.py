"""Triggers keep every version of the rows that matter, whatever path changed them."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction

from backoffice.core.models import Brand, Team, TeamMembership, User
from crm.models import Client
from tests.logins import make_entity, make_user

pytestmark = pytest.mark.django_db


def versions(model: str) -> list[str]:
    """The labels of a version table's rows, oldest first."""
    return list(apps.get_model(model).objects.order_by("pgh_id").values_list("pgh_label", flat=True))


def test_a_team_and_its_members_keep_their_versions() -> None:
    entity = make_entity()
    team = Team.objects.create(entity=entity, name="North")
    membership = TeamMembership.objects.create(team=team, user=make_user("a@example.com", "sales"))

    membership.is_lead = True
    membership.save()
    membership.delete()

    assert versions("core.TeamVersion") == ["insert"]
    assert versions("core.TeamMembershipVersion") == ["insert", "update", "delete"]


def test_a_version_is_kept_of_changes_by_plain_sql_too() -> None:
    entity = make_entity()
    Brand.objects.create(entity=entity, code="blue", name="Blue")

    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_brand SET name = 'Sky'")

    assert list(apps.get_model("core.BrandVersion").objects.order_by("pgh_id").values_list("name", flat=True)) == [
        "Blue",
        "Sky",
    ]


def test_saving_without_a_change_makes_no_version() -> None:
    brand = Brand.objects.create(entity=make_entity(), code="blue", name="Blue")

    brand.save()

    assert versions("core.BrandVersion") == ["insert"]


def test_secrets_and_last_logins_are_in_no_version() -> None:
    columns = {field.name for field in apps.get_model("core.UserVersion")._meta.fields}

    assert {"email", "roles", "is_active"} <= columns
    assert columns & {"password", "last_login"} == set()


def test_a_new_password_makes_no_version() -> None:
    user = make_user("a@example.com", "sales")

    user.set_password("another battery horse")
    user.save()

    assert versions("core.UserVersion") == ["insert"]


def test_roles_and_entities_given_to_a_person_are_kept() -> None:
    entity = make_entity()
    user = make_user("a@example.com", "sales", entities=(entity,))
    User.objects.filter(pk=user.pk).update(roles=["finance"])
    user.entities.clear()

    assert list(apps.get_model("core.UserVersion").objects.order_by("pgh_id").values_list("roles", flat=True)) == [
        ["sales"],
        ["finance"],
    ]
    assert versions("core.UserEntityVersion") == ["insert", "delete"]


def test_many_clients_changed_by_one_statement_keep_a_version_each() -> None:
    entity = make_entity()
    brand = Brand.objects.create(entity=entity, code="blue", name="Blue")
    Client.objects.bulk_create(
        Client(reference=f"C-{number}", entity=entity, brand=brand, full_name="X") for number in range(3)
    )

    Client.objects.exclude(reference="C-0").update(stage=Client.Stage.FUNDED)

    assert versions("crm.ClientVersion") == ["insert"] * 3 + ["update"] * 2


def test_versions_are_append_only() -> None:
    make_entity()

    for sql in ("UPDATE core_legalentityversion SET name = 'x'", "DELETE FROM core_legalentityversion"):
        with pytest.raises(DatabaseError, match="Cannot"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)

    assert versions("core.LegalEntityVersion") == ["insert"]
