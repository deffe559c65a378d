"""What the database itself refuses about change requests and policies, whoever writes to the tables and however."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.changes.rules import ChangeState, allowed_steps
from backoffice.core.models import ApprovalPolicy, ChangeRequest
from backoffice.core.services import changes
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from tests.core.test_changes import Desk
from tests.factories import changes as board
from tests.factories.changes import make_person

pytestmark = pytest.mark.django_db

APPROVED = "checker_id = %s, checked_by = 'x', approved_at = now() + interval '1 minute', approved_hash = payload_hash, approval_reason = 'x'"


@pytest.fixture
def desk() -> Desk:
    return Desk()


def run(sql: str, *parameters: object) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def refused(sql: str, *parameters: object) -> str:
    with pytest.raises(DatabaseError) as error:
        run(sql, *parameters)
    return str(error.value)


def set_on(change: ChangeRequest, assignments: str, *parameters: object) -> str:
    return refused(f"UPDATE core_changerequest SET {assignments} WHERE id = %s", *parameters, change.pk)


def test_a_maker_is_never_the_checker(desk):
    change = desk.submitted()
    assert "core_change_maker_is_not_checker" in set_on(change, f"state = 'approved', {APPROVED}", desk.maker.user_id)
    assert "never changes" in set_on(desk.approved("two"), "maker_id = checker_id")


def test_what_is_approved_has_exactly_one_approval(desk):
    change = desk.submitted()
    assert "core_change_one_approval" in set_on(
        change, "state = 'approved', approved_at = now(), approved_hash = payload_hash"
    )
    assert "core_change_one_approval" in set_on(change, "state = 'approved', checker_id = %s", desk.checker.user_id)
    policy = published_policy(desk)
    assert "core_change_one_approval" in set_on(
        change, f"state = 'approved', policy_id = %s, {APPROVED}", policy.pk, desk.checker.user_id
    )
    assert "an approval never changes" in set_on(change, APPROVED, desk.checker.user_id)
    service = make_person(Role.DEALING, entities=[desk.entity], is_service=True)
    assert "approved by a person" in set_on(change, f"state = 'approved', {APPROVED}", service.user_id)


def test_a_policy_approves_only_its_kind_and_while_it_is_in_force(desk):
    change = desk.submitted("far too long for the policy")
    policy = published_policy(desk)
    by_policy = "state = 'approved', policy_id = %s, approved_at = {}, approved_hash = payload_hash"
    assert "not in force" in set_on(change, by_policy.format("now() - interval '1 day'"), policy.pk)
    other = ChangeRequest.objects.get(pk=policy.change_id)
    assert other.kind != change.kind
    changes.end_policy(policy_id=policy.pk, actor=desk.administrator, reason="enough")
    assert "not in force" in set_on(change, by_policy.format("now() + interval '1 hour'"), policy.pk)


def test_payload_and_hash_belong_together_and_never_change_after_submission(desk):
    draft, submitted = desk.draft("one"), desk.submitted("two")
    assert "not that of its payload" in set_on(draft, """payload = '{"word": "evil"}'""")
    assert "not that of its payload" in set_on(draft, "payload_hash = repeat('0', 64)")
    recomputed = "encode(sha256(convert_to('{\"word\": \"evil\"}'::jsonb::text, 'UTF8')), 'hex')"
    for change in (submitted, desk.approved("three")):
        assert "a submitted change request never changes" in set_on(
            change, f"""payload = '{{"word": "evil"}}', payload_hash = {recomputed}"""
        )
        for column in ("reason = 'x'", "title = 'x'", "target_id = '9'"):
            assert "a submitted change request never changes" in set_on(change, column)
    assert "never changes" in set_on(draft, "kind = 'ib.tree_move'")
    assert "an approved diff never changes" in set_on(desk.approved("four"), "after = '{}'")


def test_what_was_carried_out_is_what_was_approved(desk):
    change = desk.approved()
    done = "applied_at = now(), outcome = '{}'"
    assert "core_change_executed_as_approved" in set_on(
        change, f"state = 'applied', executed_hash = repeat('0', 64), {done}"
    )
    assert "core_change_executed_as_approved" in set_on(change, f"state = 'applied', {done}")
    applied = changes.apply_change(change_id=desk.approved("two").pk, actor=desk.maker)
    assert "an execution never changes" in set_on(applied, "outcome = '{}'")
    assert "an approval never changes" in set_on(applied, "checker_id = NULL")


def test_only_the_steps_of_the_table_exist(desk):
    """Every pair of states that is not a step is refused by that rule, whatever else the row says."""
    rows = {
        "draft": desk.draft("a"),
        "submitted": desk.submitted("b"),
        "approved": desk.approved("c"),
    }
    for start, change in rows.items():
        for end in ChangeState.values:
            if end != start and (start, end) not in allowed_steps():
                assert "no such step" in set_on(change, "state = %s", end), (start, end)
    for change in (
        changes.withdraw_change(change_id=desk.submitted("d").pk, actor=desk.maker, reason="x"),
        changes.reject_change(change_id=desk.submitted("e").pk, actor=desk.checker, reason="x"),
    ):
        for end in ChangeState.values:
            if end != change.state:
                assert "closed change request" in set_on(change, "state = %s", end)
        assert "closed change request" in set_on(change, "error = 'x'")
    assert "no such step" in set_on(desk.draft("f"), "state = 'blessed'")


def test_the_table_of_steps_has_no_way_past_the_approval():
    """Without a step that needs an approval, no walk through the table leads from a draft to an application."""
    edges = {pair for pair in allowed_steps() if pair != ("submitted", "approved")}
    reached = {"draft"}
    for _ in ChangeState.values:
        reached |= {end for start, end in edges if start in reached}
    assert not reached & {"approved", "failed", "applied", "verified", "reverted"}
    assert len(edges) < len(list(itertools.product(ChangeState.values, repeat=2)))


def test_requests_begin_as_drafts_and_stay(desk):
    change = desk.approved()
    copy = ChangeRequest.objects.get(pk=change.pk)
    copy.pk, copy.reference = None, "CR-999999"
    copy.public_id = uuid7()
    with pytest.raises(DatabaseError, match="begins as a draft"), transaction.atomic():
        copy.save(force_insert=True)
    assert "Cannot delete" in refused("DELETE FROM core_changerequest WHERE id = %s", change.pk)
    assert "its rows never change" in refused("UPDATE core_changeevent SET text = 'x' WHERE change_id = %s", change.pk)
    assert "its rows never change" in refused("DELETE FROM core_changeevent WHERE change_id = %s", change.pk)


# Policies


def published_policy(desk: Desk, longest: int = 4) -> ApprovalPolicy:
    """A policy that approves short words, made and checked by two people."""
    desk.administrator = make_person(Role.ADMINISTRATOR, entities=[desk.entity])
    compliance = make_person(Role.COMPLIANCE, entities=[desk.entity])
    change = changes.request_policy(
        kind=board.KIND,
        bounds={"longest": longest},
        actor=desk.administrator,
        reason="small words are harmless",
        entity_id=desk.entity.pk,
    )
    changes.submit_change(change_id=change.pk, actor=desk.administrator)
    changes.approve_change(change_id=change.pk, actor=compliance, reason="agreed")
    changes.apply_change(change_id=change.pk, actor=desk.administrator)
    return ApprovalPolicy.objects.get(change=change)


def test_a_published_policy_never_changes_and_only_ends(desk):
    policy = published_policy(desk)
    table = "core_approvalpolicy"
    for assignment in (
        """bounds = '{"longest": 99}'""",
        "checker_id = maker_id",
        "kind = 'ib.tree_move'",
        "entity_id = NULL",
        "validity = tstzrange(now() - interval '1 year', NULL)",
    ):
        assert "never changes" in refused(f"UPDATE {table} SET {assignment} WHERE id = %s", policy.pk)
    run(f"UPDATE {table} SET validity = tstzrange(lower(validity), now() + interval '1 hour') WHERE id = %s", policy.pk)
    assert "never changes" in refused(
        f"UPDATE {table} SET validity = tstzrange(lower(validity), NULL) WHERE id = %s", policy.pk
    )
    assert "Cannot delete" in refused(f"DELETE FROM {table} WHERE id = %s", policy.pk)


def test_policies_of_a_kind_do_not_overlap_and_have_two_people(desk):
    policy = published_policy(desk)
    second = {
        "kind": policy.kind,
        "entity": policy.entity,
        "number": 7,
        "bounds": {"longest": 9},
        "validity": DateTimeTZRange(clock.now() + timedelta(days=3), None),
        "change": desk.draft("x"),
        "maker_id": policy.maker_id,
        "checker_id": policy.checker_id,
    }
    with pytest.raises(DatabaseError, match="core_policy_no_overlap"), transaction.atomic():
        ApprovalPolicy.objects.create(**second)
    with pytest.raises(DatabaseError, match="core_policy_two_people"), transaction.atomic():
        ApprovalPolicy.objects.create(**{**second, "kind": "other", "checker_id": policy.maker_id})
