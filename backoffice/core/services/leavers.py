"""When a person leaves: one use case that closes every way in, hands their work to a successor and keeps the evidence.

What a desk must do then it registers as a duty (`register_leaver_duty`); the ground's own duties stand below. All of
it happens in one transaction: a departure is whole or has not happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from allauth.mfa.models import Authenticator
from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.locks import lock_administrators
from backoffice.core.models import ApiKey, LeaverRecord, TeamMembership, User, UserSession, WorkItem
from backoffice.core.services import api_keys, audit, sessions, work_items
from backoffice.core.services.users import require_another_administrator
from backoffice.core.types import PORTAL_ROLES, Actor
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from backoffice.kernel.registry import Registry

MAX_ITEMS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class LeaverDuty:
    """What is to be done about one kind of thing that a leaver holds.

    `count(user)` says how much there is, without changing anything. `carry_out(user, successor, actor, reason)` does it
    and returns the evidence. `needs_successor` tells that it cannot be done without somebody who takes over.
    """

    key: str
    label: str
    count: Callable[[User], int]
    carry_out: Callable[[User, User | None, Actor, str], dict[str, Any]]
    needs_successor: bool = False


@dataclass(frozen=True, slots=True)
class LeaverStep:
    """A line of the preview: what will be done to how many things."""

    key: str
    label: str
    count: int
    needs_successor: bool


_duties: Registry[LeaverDuty] = Registry("leaver duties")


def register_leaver_duty(duty: LeaverDuty) -> None:
    """Adds what a desk does when somebody leaves. Duties run in the order of registration, the ground's own first."""
    _duties.register(duty.key, duty)


def preview_leaver(*, user_id: int, successor_id: int | None, actor: Actor) -> list[LeaverStep]:
    """What the departure would do, step by step. Raises as `record_leaver` would, as far as can be told beforehand."""
    authorise(actor, "core.run_leaver")
    user = get_visible(User.objects.all(), actor, pk=user_id)
    _check(user, actor)
    successor = _successor(successor_id, user)
    require_another_administrator(user)
    steps = _steps(user)
    _check_successor(steps, successor)
    return steps


def record_leaver(*, user_id: int, successor_id: int | None, actor: Actor, reason: str) -> LeaverRecord:
    """Closes the login, ends sessions, revokes API keys, hands work over, takes every exception back; keeps evidence.

    Raises Conflict for somebody who has left already (`already_left`) or is the last administrator
    (`last_administrator`), InvalidInput when somebody must take over and nobody is named or the person cannot,
    Denied for oneself and for people of entities that are not the actor's.
    """
    authorise(actor, "core.run_leaver")
    if not reason.strip():
        raise InvalidInput("Say why the person leaves.", field="reason")
    with transaction.atomic():
        lock_administrators()
        user = get_visible(User.objects.select_for_update(of=("self",)), actor, pk=user_id)
        _check(user, actor)
        successor = _successor(successor_id, user)
        require_another_administrator(user)
        steps = _steps(user)
        _check_successor(steps, successor)
        evidence: dict[str, Any] = {
            "roles": sorted(user.roles),
            "entities": sorted(user.entities.values_list("code", flat=True)),
        }
        for duty in _all_duties():
            evidence[duty.key] = duty.carry_out(user, successor, actor, reason)
        user.is_active, user.roles = False, []
        user.set_unusable_password()
        user.save(update_fields=["is_active", "roles", "password"])
        record = LeaverRecord.objects.create(
            user=user,
            successor=successor,
            done_by=actor.label,
            done_by_id_of_user=actor.user_id,
            reason=reason.strip(),
            evidence=evidence,
        )
        audit.record(actor=actor, action="core.record_leaver", target=user, reason=reason, changes=evidence)
    return record


def possible_successors(*, user_id: int, actor: Actor) -> list[User]:
    """Active staff whom the actor sees and who work for every legal entity of the leaver."""
    authorise(actor, "core.run_leaver")
    user = get_visible(User.objects.all(), actor, pk=user_id)
    wanted = set(user.entities.values_list("pk", flat=True))
    colleagues = User.objects.filter(is_active=True, is_service=False, entities__in=wanted).exclude(pk=user.pk)
    colleagues = colleagues.distinct().prefetch_related("entities").order_by("full_name", "email")
    return [
        colleague
        for colleague in colleagues
        if colleague.is_staff and wanted <= {entity.pk for entity in colleague.entities.all()}
    ]


def _all_duties() -> list[LeaverDuty]:
    return [duty for _, duty in _duties.items()]


def _steps(user: User) -> list[LeaverStep]:
    return [LeaverStep(duty.key, duty.label, duty.count(user), duty.needs_successor) for duty in _all_duties()]


def _check(user: User, actor: Actor) -> None:
    if user.pk == actor.user_id:
        raise Denied("Nobody carries out their own departure; ask a colleague.")
    if not set(user.roles) - PORTAL_ROLES:
        raise Conflict("This person does not work here, or has left already.", code="already_left", user_id=user.pk)
    if not actor.is_system and not set(user.entities.values_list("pk", flat=True)) <= actor.entity_ids:
        raise Denied(
            "This person also works for a legal entity that is not yours; ask an administrator of all of them."
        )


def _successor(successor_id: int | None, user: User) -> User | None:
    if successor_id is None:
        return None
    successor = User.objects.filter(pk=successor_id).exclude(pk=user.pk).first()
    if successor is None or not successor.is_staff or successor.is_service:
        raise InvalidInput("The successor must be an active colleague.", field="successor", value=successor_id)
    missing = set(user.entities.values_list("name", flat=True)) - set(successor.entities.values_list("name", flat=True))
    if missing:
        raise InvalidInput(
            f"{successor} does not work for {', '.join(sorted(missing))}.", field="successor", value=successor_id
        )
    return successor


def _check_successor(steps: list[LeaverStep], successor: User | None) -> None:
    open_ends = [f"{step.label.lower()}: {step.count}" for step in steps if step.needs_successor and step.count]
    if open_ends and successor is None:
        raise InvalidInput(f"Somebody must take over ({'; '.join(open_ends)}).", field="successor")


def _end_sessions(user: User, successor: User | None, actor: Actor, reason: str) -> dict[str, Any]:
    return {"ended": sessions.end_because(user_id=user.pk, reason=UserSession.EndReason.CLOSED)}


def _revoke_keys(user: User, successor: User | None, actor: Actor, reason: str) -> dict[str, Any]:
    keys = list(ApiKey.objects.filter(owner=user, revoked_at__isnull=True).order_by("pk"))
    for key in keys:
        api_keys.revoke_key(key_id=key.pk, actor=actor, reason=f"The owner left: {reason}")
    return {"revoked": [key.prefix for key in keys]}


def _remove_factors(user: User, successor: User | None, actor: Actor, reason: str) -> dict[str, Any]:
    removed, _ = Authenticator.objects.filter(user=user).delete()
    return {"removed": removed}


def _leave_teams(user: User, successor: User | None, actor: Actor, reason: str) -> dict[str, Any]:
    memberships = TeamMembership.objects.filter(user=user).select_related("team")
    left = sorted(membership.team.name for membership in memberships)
    TeamMembership.objects.filter(user=user).delete()
    return {"left": left}


def _own_items(user: User) -> list[int]:
    items = WorkItem.objects.filter(owner=user).exclude(state=WorkItem.State.CLOSED)
    return list(items.order_by("pk").values_list("pk", flat=True)[:MAX_ITEMS_AT_ONCE])


def _hand_over_items(user: User, successor: User | None, actor: Actor, reason: str) -> dict[str, Any]:
    """To the successor where they may work on it; back to the desk otherwise."""
    handed, returned = 0, 0
    for item in WorkItem.objects.select_for_update(of=("self",)).filter(pk__in=_own_items(user)).order_by("pk"):
        why = f"{user} left"
        if successor is not None and work_items.may_own(successor, item):
            work_items.assign_item(item_id=item.pk, user_id=successor.pk, actor=actor, reason=why)
            handed += 1
        else:
            work_items.put_back(item, actor=actor, reason=why)
            returned += 1
    return {"handed_over": handed, "put_back": returned}


def register_own() -> None:
    """The duties of the ground itself."""
    register_leaver_duty(
        LeaverDuty("sessions", "Sessions end", lambda user: user.sessions.filter(ended_at=None).count(), _end_sessions)
    )
    register_leaver_duty(
        LeaverDuty(
            "api_keys", "API keys are revoked", lambda user: user.api_keys.filter(revoked_at=None).count(), _revoke_keys
        )
    )
    register_leaver_duty(
        LeaverDuty(
            "second_factors",
            "Second factors and recovery codes are removed",
            lambda user: Authenticator.objects.filter(user=user).count(),
            _remove_factors,
        )
    )
    register_leaver_duty(
        LeaverDuty(
            "teams", "Team memberships end", lambda user: TeamMembership.objects.filter(user=user).count(), _leave_teams
        )
    )
    register_leaver_duty(
        LeaverDuty(
            "work_items", "Work items go to the successor or back", lambda user: len(_own_items(user)), _hand_over_items
        )
    )
