"""Sign-ins of the demo broker's people: where they come from, a wrong password, a shared device, somebody dormant.

The events are those that the front door would have written; their times lie in the past, so that the lists are alive.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from backoffice.core.models import LoginEvent, User
from backoffice.kernel import clock

SEED = 20260301
DAYS = 21
OFFICE = ("203.0.113.24", "CY", "Chrome 138 on Windows")
HOMES = (
    ("198.51.100.17", "CY", "Safari 18 on macOS"),
    ("198.51.100.81", "GB", "Firefox 140 on Linux"),
    ("192.0.2.44", "AE", "Chrome 138 on Android"),
    ("192.0.2.130", "MT", "Safari 18 on iPhone"),
)
Kind = LoginEvent.Kind


def write_sign_ins() -> int:
    """Three weeks of sign-ins; how many events."""
    chance = random.Random(SEED)  # noqa: S311 - invented habits
    now = clock.now()
    people = list(User.objects.filter(is_active=True, is_service=False).order_by("pk")[:60])
    events = [event for person in people for event in _habits(person, now, chance)]
    events += _attack(people, now, chance)
    clients = [person for person in people if not person.is_staff]
    if len(clients) > 1:
        events += _shared_device(clients[:2], now, chance)
    events.sort(key=lambda event: event.at)
    with transaction.atomic():
        LoginEvent.objects.bulk_create(events)
        _note_last_logins(events)
    return len(events)


def _habits(person: User, now: datetime, chance: random.Random) -> list[LoginEvent]:
    """A sign-in on most days from the office or one home, sometimes a slip of the finger before."""
    home, device = chance.choice(HOMES), _device(chance)
    events = []
    for days_ago in range(DAYS, 0, -1):
        if chance.random() < 0.35:
            continue
        at = now - timedelta(days=days_ago, minutes=chance.randrange(480))
        place = OFFICE if person.is_staff and chance.random() < 0.8 else home
        if chance.random() < 0.06:
            events.append(_event(person, Kind.FAILED, at - timedelta(seconds=20), place, device, ""))
        if person.is_staff:
            events.append(_event(person, Kind.SECOND_FACTOR_PASSED, at, place, device, "totp"))
        events.append(
            _event(
                person, Kind.LOGIN, at + timedelta(seconds=1), place, device, "totp" if person.is_staff else "password"
            )
        )
        if chance.random() < 0.5:
            events.append(_event(person, Kind.LOGOUT, at + timedelta(hours=7), place, device, ""))
    return events


def _attack(people: list[User], now: datetime, chance: random.Random) -> list[LoginEvent]:
    """Somebody tries passwords against the administrator, and is made to wait."""
    target = next((person for person in people if "administrator" in person.roles), None)
    if target is None:
        return []
    place, device, at = ("203.0.113.200", "", "curl 8"), _device(chance), now - timedelta(days=2, hours=3)
    tries = [_event(target, Kind.FAILED, at + timedelta(seconds=7 * each), place, device, "") for each in range(5)]
    return [*tries, _event(target, Kind.LOCKED, at + timedelta(seconds=40), place, device, "")]


def _shared_device(pair: list[User], now: datetime, chance: random.Random) -> list[LoginEvent]:
    """Two clients in one browser: what risk looks for."""
    device = _device(chance)
    return [
        _event(person, Kind.LOGIN, now - timedelta(days=3, minutes=30 * each), HOMES[3], device, "password")
        for each, person in enumerate(pair)
    ]


def _event(person: User, kind: str, at: datetime, place: tuple[str, str, str], device: UUID, method: str) -> LoginEvent:
    address, country, browser = place
    return LoginEvent(
        user=person, email=person.email, kind=kind, at=at, address=address, country=country, user_agent=browser,
        device=device, method=method,
    )  # fmt: skip


def _device(chance: random.Random) -> UUID:
    return UUID(int=chance.getrandbits(128), version=4)


def _note_last_logins(events: list[LoginEvent]) -> None:
    last = {event.user_id: event.at for event in events if event.kind == Kind.LOGIN}
    for user_id, at in last.items():
        User.objects.filter(pk=user_id or 0, last_login__isnull=True).update(last_login=at)
