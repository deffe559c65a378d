"""Logins: who they are, what they may do, and whose data they may see."""

from __future__ import annotations

from collections.abc import Iterable

from allauth.mfa.models import Authenticator
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.identity import one_time_codes
from backoffice.core.identity.one_time_codes import TotpSetup
from backoffice.core.locks import lock_administrators
from backoffice.core.models import LegalEntity, User, UserSession
from backoffice.core.services import audit, sessions
from backoffice.core.streams import announce_access_changed
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput

MANAGE_USERS = "core.manage_users"


def create_user(
    *,
    email: str,
    full_name: str,
    roles: Iterable[str],
    entity_codes: Iterable[str],
    actor: Actor,
    password: str | None = None,
    language: str = "en",
) -> User:
    """A new login. Without a password it opens only after a password reset by e-mail.

    Raises InvalidInput for an unknown role or entity, a taken address or a weak password; Denied for an entity that
    is not the actor's.
    """
    authorise(actor, MANAGE_USERS)
    roles = _known_roles(roles)
    entities = _own_entities(entity_codes, actor)
    with transaction.atomic():
        try:
            if password is not None:
                validate_password(password, User(email=email, full_name=full_name))
            user = User.objects.create_user(
                email=email, password=password, full_name=full_name, roles=roles, language=language
            )
        except ValidationError as error:
            raise InvalidInput(" ".join(error.messages), field=_field_of(error)) from None
        user.entities.set(entities)
        changes = {"roles": roles, "entities": sorted(entity.code for entity in entities)}
        audit.record(actor=actor, action="core.create_user", target=user, changes=changes)
    return user


def change_access(
    *, user_id: int, roles: Iterable[str], entity_codes: Iterable[str], actor: Actor, reason: str
) -> User:
    """Sets the roles and legal entities of a login. Nobody changes their own: a second person must."""
    authorise(actor, MANAGE_USERS)
    roles = _known_roles(roles)
    entities = _own_entities(entity_codes, actor)
    with transaction.atomic():
        lock_administrators()
        user = _lock_other_user(user_id, actor)
        if Role.ADMINISTRATOR.value not in roles:
            require_another_administrator(user)
        before = {"roles": sorted(user.roles), "entities": sorted(user.entities.values_list("code", flat=True))}
        after = {"roles": roles, "entities": sorted(entity.code for entity in entities)}
        user.roles = roles
        user.save(update_fields=["roles"])
        user.entities.set(entities)
        changes = {key: [before[key], after[key]] for key in before if before[key] != after[key]}
        audit.record(actor=actor, action="core.change_access", target=user, reason=reason, changes=changes)
        announce_access_changed(user.pk)
    return user


def set_active(*, user_id: int, active: bool, actor: Actor, reason: str) -> User:
    """Opens or closes a login. A closed one is out at its next request; its sessions end.

    Raises Conflict (`last_administrator`) for the one login that can administer others.
    """
    authorise(actor, MANAGE_USERS)
    with transaction.atomic():
        lock_administrators()
        user = _lock_other_user(user_id, actor)
        if user.is_active == active:
            return user
        if not active:
            require_another_administrator(user)
            sessions.end_because(user_id=user.pk, reason=UserSession.EndReason.CLOSED)
        user.is_active = active
        user.save(update_fields=["is_active"])
        action = "core.activate_user" if active else "core.deactivate_user"
        audit.record(actor=actor, action=action, target=user, reason=reason)
    return user


def set_up_one_time_codes(*, user_id: int, actor: Actor, secret: str | None = None) -> TotpSetup:
    """Gives a login one-time codes on the person's behalf. Raises Conflict when it has some already."""
    authorise(actor, MANAGE_USERS)
    with transaction.atomic():
        user = _lock_other_user(user_id, actor)
        if Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists():
            raise Conflict("This login has one-time codes already; reset them first.", user_id=user_id)
        setup = one_time_codes.enrol(user, secret=secret)
        audit.record(actor=actor, action="core.set_up_second_factor", target=user)
    return setup


def reset_second_factor(*, user_id: int, actor: Actor, reason: str) -> None:
    """Takes one-time codes, passkeys and recovery codes from a login, as when the phone is lost, and ends its sessions;
    the person sets them up anew."""
    authorise(actor, MANAGE_USERS)
    with transaction.atomic():
        user = _lock_other_user(user_id, actor)
        removed, _ = Authenticator.objects.filter(user=user).delete()
        sessions.end_because(user_id=user.pk, reason=UserSession.EndReason.ADMINISTRATOR)
        audit.record(
            actor=actor, action="core.reset_second_factor", target=user, reason=reason, changes={"removed": removed}
        )


def require_another_administrator(user: User) -> None:
    """Raises Conflict when nobody else could administer logins, or those of a legal entity of this administrator's.

    Meaningful under `lock_administrators`, so that two administrators cannot remove each other at once.
    """
    if not user.is_active or Role.ADMINISTRATOR.value not in user.roles:
        return
    others = User.objects.filter(is_active=True, is_service=False, roles__contains=[Role.ADMINISTRATOR.value])
    others = others.exclude(pk=user.pk)
    if not others.exists():
        raise Conflict("This is the last administrator; make another one first.", code="last_administrator")
    served = LegalEntity.objects.filter(staff__in=others)
    orphaned = user.entities.exclude(pk__in=served.values("pk")).values_list("name", flat=True)
    if names := ", ".join(orphaned.order_by("name")):
        raise Conflict(f"Nobody else administers {names}; make another one first.", code="last_administrator")


def _field_of(error: ValidationError) -> str:
    """The field that the model refused; a refusal without fields comes from the password's rules."""
    return ", ".join(sorted(error.message_dict)) if hasattr(error, "error_dict") else "password"


def _known_roles(roles: Iterable[str]) -> list[str]:
    wanted = sorted(set(roles))
    unknown = [role for role in wanted if role not in Role.values]
    if unknown:
        raise InvalidInput(f"There is no role {', '.join(unknown)}.", field="roles", value=unknown)
    return wanted


def _own_entities(codes: Iterable[str], actor: Actor) -> list[LegalEntity]:
    wanted = sorted(set(codes))
    entities = list(LegalEntity.objects.filter(code__in=wanted))
    unknown = sorted(set(wanted) - {entity.code for entity in entities})
    if unknown:
        raise InvalidInput(f"There is no legal entity {', '.join(unknown)}.", field="entities", value=unknown)
    if not actor.is_system and any(entity.pk not in actor.entity_ids for entity in entities):
        raise Denied("You may give access only to your own legal entities.")
    return entities


def _lock_other_user(user_id: int, actor: Actor) -> User:
    if user_id == actor.user_id:
        raise Denied("Nobody changes their own access; ask a colleague.")
    return get_visible(User.objects.select_for_update(of=("self",)), actor, pk=user_id)
