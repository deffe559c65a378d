"""Sessions of people: listing them, ending them, and whether one still opens what it opened.

Ending a session deletes the framework's own row, so the browser that held it is out at its next request; the record of
it stays. The processes that hold streams are told at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from backoffice.core.access import authorise, get_visible
from backoffice.core.actors import actor_of
from backoffice.core.identity.browsers import origin_of
from backoffice.core.models import User, UserSession
from backoffice.core.services import audit
from backoffice.core.streams import announce_access_changed
from backoffice.core.types import NOBODY, Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import NotFound

EndReason = UserSession.EndReason
SEEN_EVERY_SECONDS = 60
MAX_SESSIONS_CHECKED = 5_000
TIDIED_AT_ONCE = 5_000
_NOTE = "_session_record"


def begin_session(*, user: User, request: HttpRequest) -> UserSession:
    """Names the session that has just begun, and remembers the name in it."""
    origin = origin_of(request)
    if request.session.session_key is None:
        # Another person's session was emptied for this one, and has no key of its own yet.
        request.session.create()
    record, _ = UserSession.objects.update_or_create(
        session_key=request.session.session_key,
        defaults={
            "user": user,
            "address": origin.address,
            "country": origin.country,
            "device": origin.device,
            "user_agent": origin.user_agent,
            "last_seen_at": clock.now(),
        },
    )
    _remember(request, record.pk)
    return record


def note_seen(request: HttpRequest) -> None:
    """Notes, at most once a minute, that the session of a request is in use, and from where.

    A session that was ended while the request ran is emptied instead, so that saving it revives nothing.
    """
    session = request.session
    note = session.get(_NOTE) or {}
    if note.get("key") == session.session_key and time.time() - note.get("seen", 0) < SEEN_EVERY_SECONDS:
        return
    origin = origin_of(request)
    seen = UserSession.objects.filter(pk=note.get("row") or 0, ended_at__isnull=True).update(
        session_key=session.session_key,
        last_seen_at=clock.now(),
        address=origin.address,
        country=origin.country,
        user_agent=origin.user_agent,
    )
    if seen:
        _remember(request, note["row"])
    elif note:
        session.flush()
    elif (user := getattr(request, "user", None)) is not None and isinstance(user, User) and session.session_key:
        begin_session(user=user, request=request)


def own_sessions(*, actor: Actor) -> QuerySet[UserSession]:
    """The open sessions of the actor, the last used first."""
    return UserSession.objects.filter(user_id=actor.user_id or 0, ended_at__isnull=True).order_by(
        "-last_seen_at", "-pk"
    )


def end_own_session(*, public_id: UUID, actor: Actor, current_key: str | None) -> None:
    """Ends one other session of the actor's. Raises NotFound for one that is not theirs, has ended, or is this one."""
    with transaction.atomic():
        record = (
            UserSession.objects.select_for_update()
            .filter(public_id=public_id, user_id=actor.user_id or 0, ended_at__isnull=True)
            .exclude(session_key=current_key)
            .first()
        )
        if record is None:
            raise NotFound("That session has ended already.", public_id=str(public_id))
        _end([record], EndReason.ENDED)
        audit.record(actor=actor, action="core.end_own_session", target=record.user)


def end_own_other_sessions(*, actor: Actor, current_key: str | None) -> int:
    """Ends every session of the actor's but the present one; how many there were."""
    with transaction.atomic():
        ended = _end_all(user_id=actor.user_id or 0, reason=EndReason.ENDED, but_key=current_key)
        if ended:
            person = User.objects.get(pk=actor.user_id or 0)
            changes = {"sessions": ended}
            audit.record(actor=actor, action="core.end_own_sessions", target=person, changes=changes)
    return ended


def end_sessions_of(*, user_id: int, actor: Actor, reason: str) -> int:
    """Ends every session of another person, as when a device was lost; how many there were."""
    authorise(actor, "core.manage_users")
    with transaction.atomic():
        person = get_visible(User.objects.all(), actor, pk=user_id)
        ended = _end_all(user_id=user_id, reason=EndReason.ADMINISTRATOR)
        changes = {"sessions": ended}
        audit.record(actor=actor, action="core.end_sessions", target=person, reason=reason, changes=changes)
    return ended


def end_because(*, user_id: int, reason: str, but_key: str | None = None) -> int:
    """Ends sessions as a consequence of something else that is audited by itself; how many there were."""
    with transaction.atomic():
        return _end_all(user_id=user_id, reason=reason, but_key=but_key)


def note_logout(*, session_key: str | None) -> None:
    """Notes that a person signed out; the framework has ended the session itself."""
    ended = UserSession.objects.filter(session_key=session_key, ended_at__isnull=True)
    user_id = ended.values_list("user_id", flat=True).first()
    ended.update(ended_at=clock.now(), end_reason=EndReason.LOGOUT, session_key=None)
    if user_id is not None:
        announce_access_changed(user_id)


def live_actors(session_keys: Iterable[str]) -> dict[str, Actor]:
    """Who acts by each session, as of now: sessions that opened nothing any more are left out.

    The same rules as for a page: the session exists and has not expired, its password is still the person's, the
    login is open, and staff have shown their second factor in it.
    """
    keys = list(session_keys)[:MAX_SESSIONS_CHECKED]
    stored = Session.objects.filter(session_key__in=keys, expire_date__gt=clock.now())
    data = {session.session_key: session.get_decoded() for session in stored}
    people = User.objects.filter(is_active=True).in_bulk(
        {int(values[SESSION_KEY]) for values in data.values() if str(values.get(SESSION_KEY, "")).isdigit()}
    )
    actors: dict[str, Actor] = {}
    for key, values in data.items():
        user_id = str(values.get(SESSION_KEY, ""))
        user = people.get(int(user_id)) if user_id.isdigit() else None
        if user is None or not _password_unchanged(user, str(values.get(HASH_SESSION_KEY, ""))):
            continue
        request = HttpRequest()
        request.session = values  # type: ignore[assignment]  # read like a session, never written
        request.user = user
        actor = actor_of(request)
        if actor is not NOBODY and actor.roles:
            actors[key] = actor
    return actors


def tidy_sessions(*, limit: int = TIDIED_AT_ONCE) -> int:
    """Closes the records of sessions that ran out, and forgets those whose retention is over; how many were closed."""
    now = clock.now()
    alive = Session.objects.filter(session_key=OuterRef("session_key"), expire_date__gt=now)
    open_records = UserSession.objects.filter(ended_at__isnull=True)
    run_out = list(open_records.exclude(Exists(alive)).values_list("pk", flat=True)[:limit])
    closed = UserSession.objects.filter(pk__in=run_out).update(
        ended_at=now, end_reason=EndReason.EXPIRED, session_key=None
    )
    before = now - timedelta(days=settings.LOGIN_EVENT_DAYS)
    old = list(UserSession.objects.filter(ended_at__lt=before).values_list("pk", flat=True)[:limit])
    UserSession.objects.filter(pk__in=old).delete()
    return closed


def _remember(request: HttpRequest, row: int) -> None:
    request.session[_NOTE] = {"row": row, "key": request.session.session_key, "seen": int(time.time())}


def _password_unchanged(user: User, session_hash: str) -> bool:
    if constant_time_compare(session_hash, user.get_session_auth_hash()):
        return True
    return any(constant_time_compare(session_hash, older) for older in user.get_session_auth_fallback_hash())


def _end_all(*, user_id: int, reason: str, but_key: str | None = None) -> int:
    records = UserSession.objects.select_for_update().filter(user_id=user_id, ended_at__isnull=True)
    if but_key:
        records = records.exclude(session_key=but_key)
    return _end(list(records.order_by("pk")), reason)


def _end(records: list[UserSession], reason: str) -> int:
    now = clock.now()
    for record in records:
        if record.session_key:
            SessionStore(record.session_key).delete()
        record.ended_at, record.end_reason, record.session_key = now, reason, None
    UserSession.objects.bulk_update(records, ["ended_at", "end_reason", "session_key"])
    for user_id in {record.user_id for record in records}:
        announce_access_changed(user_id)
    return len(records)
