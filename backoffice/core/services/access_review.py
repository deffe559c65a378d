"""Who may do what, as a table that a reviewer reads, exports and signs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta

from allauth.mfa.models import Authenticator
from django.db import transaction
from django.db.models import Count, Q, QuerySet

from backoffice.core.access import authorise, visible_to
from backoffice.core.models import AccessReview, ApiKey, TeamMembership, User
from backoffice.core.services import audit
from backoffice.core.types import STAFF_ROLES, Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput
from backoffice.kernel.registry import Registry

DORMANT_AFTER = timedelta(days=90)
MAX_ROWS = 5_000

ExceptionCounter = Callable[[list[int]], dict[int, int]]
_counters: Registry[ExceptionCounter] = Registry("exception counters")


@dataclass(frozen=True, slots=True)
class AccessRow:
    """One login: what it may do, whose data it sees, how it is protected, and whether it is used."""

    user_id: int
    email: str
    full_name: str
    kind: str
    is_open: bool
    roles: str
    entities: str
    teams: str
    exceptions: int
    api_keys: int
    second_factor: str
    last_login: str
    is_dormant: bool
    remark: str


def register_exception_counter(name: str, count: ExceptionCounter) -> None:
    """Adds a desk's named exceptions: `count(user_ids)` says how many objects are opened by name to each login."""
    _counters.register(name, count)


def review_rows(*, actor: Actor) -> list[AccessRow]:
    """Every staff or system login that the actor sees, open ones first, by name. At most `MAX_ROWS`."""
    authorise(actor, "core.review_access")
    people = list(_reviewed(actor)[:MAX_ROWS])
    ids = [person.pk for person in people]
    factors = _second_factors(ids)
    exceptions: dict[int, int] = {}
    for count in [count for _, count in _counters.items()]:
        for user_id, number in count(ids).items():
            exceptions[user_id] = exceptions.get(user_id, 0) + number
    keys = dict(
        ApiKey.objects.filter(owner_id__in=ids, revoked_at__isnull=True, expires_at__gt=clock.now())
        .values_list("owner_id")
        .annotate(number=Count("pk"))
    )
    teams: dict[int, list[str]] = {}
    for membership in TeamMembership.objects.filter(user_id__in=ids).select_related("team").order_by("team__name"):
        name = f"{membership.team.name} (lead)" if membership.is_lead else membership.team.name
        teams.setdefault(membership.user_id, []).append(name)
    return [
        _row(
            person,
            factor=factors.get(person.pk, []),
            exceptions=exceptions.get(person.pk, 0),
            keys=keys.get(person.pk, 0),
            teams=teams.get(person.pk, []),
        )
        for person in people
    ]


def digest_of(rows: list[AccessRow]) -> str:
    """The SHA-256 of the rows: what exactly was signed."""
    text = json.dumps([asdict(row) for row in rows], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sign_review(*, actor: Actor, note: str, digest: str) -> AccessReview:
    """Records that the actor has read the rows of *digest* and what they think of them.

    Raises Conflict (`changed_since`) when the rows are others by now, InvalidInput without a note.
    """
    authorise(actor, "core.sign_access_review")
    if not note.strip():
        raise InvalidInput("Say what you found, if only that all is well.", field="note")
    with transaction.atomic():
        reviewer = User.objects.select_for_update(of=("self",)).get(pk=actor.user_id or 0)
        rows = review_rows(actor=actor)
        if digest_of(rows) != digest:
            raise Conflict("Access has changed since you opened the page; read it again.", code="changed_since")
        review = AccessReview.objects.create(
            reviewer=reviewer,
            entity_ids=sorted(actor.entity_ids),
            row_count=len(rows),
            digest=digest,
            rows=[asdict(row) for row in rows],
            note=note.strip(),
        )
        changes = {"rows": len(rows), "digest": digest}
        audit.record(actor=actor, action="core.sign_access_review", target=review, reason=note.strip(), changes=changes)
    return review


def reviews(*, actor: Actor) -> QuerySet[AccessReview]:
    """Signed reviews that the actor may see: those whose legal entities are all the actor's."""
    authorise(actor, "core.review_access")
    return visible_to(AccessReview.objects.select_related("reviewer").defer("rows"), actor)


def _reviewed(actor: Actor) -> QuerySet[User]:
    staff = Q(roles__overlap=sorted(STAFF_ROLES)) | Q(is_service=True)
    return (
        visible_to(User.objects.filter(staff), actor)
        .prefetch_related("entities")
        .order_by("-is_active", "full_name", "email")
    )


def _row(person: User, *, factor: list[str], exceptions: int, keys: int, teams: list[str]) -> AccessRow:
    since = person.last_login or person.created_at
    is_dormant = person.is_active and not person.is_service and clock.now() - since > DORMANT_AFTER
    remarks = []
    if is_dormant:
        remarks.append("not used for 90 days")
    if person.is_active and not person.is_service and not factor:
        remarks.append("no second factor")
    if not person.is_active and (keys or exceptions):
        remarks.append("closed, but holds keys or exceptions")
    return AccessRow(
        user_id=person.pk,
        email=person.email,
        full_name=person.full_name,
        kind="system" if person.is_service else "person",
        is_open=person.is_active,
        roles=", ".join(str(label) for value, label in Role.choices if value in person.roles),
        entities=", ".join(sorted(entity.code for entity in person.entities.all())),
        teams=", ".join(teams),
        exceptions=exceptions,
        api_keys=keys,
        second_factor=", ".join(factor) or "none",
        last_login=f"{person.last_login:%Y-%m-%d %H:%M}" if person.last_login else "never",
        is_dormant=is_dormant,
        remark="; ".join(remarks),
    )


_FACTOR_NAMES = {
    Authenticator.Type.TOTP.value: "one-time codes",
    Authenticator.Type.WEBAUTHN.value: "passkey",
}


def _second_factors(user_ids: list[int]) -> dict[int, list[str]]:
    found: dict[int, set[str]] = {}
    rows = Authenticator.objects.filter(user_id__in=user_ids, type__in=list(_FACTOR_NAMES)).values_list(
        "user_id", "type"
    )
    for user_id, kind in rows:
        found.setdefault(user_id, set()).add(_FACTOR_NAMES[kind])
    return {user_id: sorted(names) for user_id, names in found.items()}
