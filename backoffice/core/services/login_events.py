"""What happens at the front door: who came, or tried to, when, from which address, country, device and browser.

Kept for the person (their own sign-ins), for the desk, and for risk (accounts that share a device or an address), and
forgotten when the retention is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from backoffice.core.access import authorise, visible_to
from backoffice.core.identity.browsers import origin_of
from backoffice.core.models import LoginEvent
from backoffice.core.models.identity import LOGIN_EVENTS_KEPT_AT_LEAST_DAYS
from backoffice.core.types import Actor
from backoffice.kernel import clock

MAX_SHARERS = 200
FORGOTTEN_AT_ONCE = 10_000
# One address is shared by offices and mobile networks; above this many logins it says nothing about any of them.
MAX_LOGINS_OF_A_TELLING_ADDRESS = 20


@dataclass(frozen=True, slots=True)
class SharedLogin:
    """Another login that was used from the same device or address: an indication, not a proof."""

    user_id: int
    through: str
    value: str
    times: int


def record_login_event(
    *, user_id: int | None, email: str, kind: str, request: HttpRequest, method: str = ""
) -> LoginEvent:
    """Writes down one event. What was typed is kept only if it looks like an address: people type passwords there."""
    origin = origin_of(request)
    return LoginEvent.objects.create(
        user_id=user_id,
        email=_address_or_nothing(email),
        kind=kind,
        method=method,
        address=origin.address,
        country=origin.country,
        device=origin.device,
        user_agent=origin.user_agent,
    )


def is_new_device(*, user_id: int, device: UUID | None) -> bool:
    """Whether a person who has signed in before has never done so with this device."""
    logins = LoginEvent.objects.filter(user_id=user_id, kind=LoginEvent.Kind.LOGIN)
    return logins.exists() and not logins.filter(device=device).exists()


def own_events(*, actor: Actor) -> QuerySet[LoginEvent]:
    """What happened with the actor's own login, newest first."""
    return LoginEvent.objects.filter(user_id=actor.user_id or 0).order_by("-id")


def events_of(*, actor: Actor, user_id: int | None = None) -> QuerySet[LoginEvent]:
    """Events that the actor may see, of one login or of all."""
    authorise(actor, "core.view_login_events")
    events = visible_to(LoginEvent.objects.select_related("user"), actor)
    return events if user_id is None else events.filter(user_id=user_id)


_SHARED_SQL = """
WITH own AS (
    SELECT DISTINCT device, address FROM core_loginevent
    WHERE user_id = %(user)s AND at >= %(since)s AND kind = ANY(%(kinds)s)
), telling AS (
    SELECT own.address FROM own
    WHERE own.address IS NOT NULL
      AND (SELECT count(DISTINCT other.user_id) FROM core_loginevent other
           WHERE other.address = own.address AND other.at >= %(since)s) <= %(most)s
    GROUP BY own.address
)
SELECT user_id, 'device', device::text, count(*) FROM core_loginevent
WHERE device IN (SELECT device FROM own WHERE device IS NOT NULL)
  AND user_id <> %(user)s AND at >= %(since)s AND kind = ANY(%(kinds)s)
GROUP BY user_id, device
UNION ALL
SELECT user_id, 'address', host(address), count(*) FROM core_loginevent
WHERE address IN (SELECT address FROM telling)
  AND user_id <> %(user)s AND at >= %(since)s AND kind = ANY(%(kinds)s)
GROUP BY user_id, address
ORDER BY 2 DESC, 4 DESC, 1 LIMIT %(limit)s
"""


def logins_sharing(*, user_id: int, actor: Actor, days: int = 180) -> list[SharedLogin]:
    """Other logins that succeeded from a device or an address of this one within *days*, devices first.

    Addresses that more than `MAX_LOGINS_OF_A_TELLING_ADDRESS` logins use are left out. For risk's use: the caller
    narrows the result to what its reader may see.
    """
    authorise(actor, "core.compare_logins")
    parameters: dict[str, Any] = {
        "user": user_id,
        "since": clock.now() - timedelta(days=days),
        "kinds": [LoginEvent.Kind.LOGIN.value, LoginEvent.Kind.SECOND_FACTOR_PASSED.value],
        "most": MAX_LOGINS_OF_A_TELLING_ADDRESS,
        "limit": MAX_SHARERS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SHARED_SQL, parameters)
        return [SharedLogin(*row) for row in cursor.fetchall()]


def forget_old_events(*, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """Deletes events whose retention (`LOGIN_EVENT_DAYS`) is over, oldest first, at most *limit*; how many."""
    kept = max(settings.LOGIN_EVENT_DAYS, LOGIN_EVENTS_KEPT_AT_LEAST_DAYS + 1)
    before = clock.now() - timedelta(days=kept)
    with transaction.atomic():
        old = list(LoginEvent.objects.filter(at__lt=before).order_by("at").values_list("pk", flat=True)[:limit])
        deleted, _ = LoginEvent.objects.filter(pk__in=old).delete()
    return deleted


def _address_or_nothing(text: str) -> str:
    cleaned = text.strip().lower()[:254]
    try:
        validate_email(cleaned)
    except ValidationError:
        return ""
    return cleaned
