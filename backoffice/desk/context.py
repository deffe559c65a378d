"""What the desk says on every page: the installation, whose books these are, what waits, and what is stopped."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from backoffice.core.access import holds
from backoffice.core.actors import actor_of
from backoffice.core.models import LegalEntity
from backoffice.core.services.switches import standing_stops
from backoffice.core.streams import streams_url
from backoffice.core.work.inbox import badge_count, delivery_of


def environment_label(request: HttpRequest) -> list[str] | None:
    """The name of a non-production installation, as unfold draws it."""
    return [settings.ENVIRONMENT_LABEL, "warning"] if settings.ENVIRONMENT_LABEL else None


def entities_line(request: HttpRequest) -> str:
    """The legal entities whose data the viewer sees."""
    known = getattr(request, "_desk_entities_line", None)
    if known is None:
        names = list(LegalEntity.objects.filter(pk__in=actor_of(request).entity_ids).values_list("name", flat=True)[:3])
        known = names[0] if len(names) == 1 else ", ".join(names) if names else "No legal entity"
        request._desk_entities_line = known  # type: ignore[attr-defined]
    return str(known)


def work_and_switches(request: HttpRequest) -> dict[str, Any]:
    """How much waits for the viewer, and which flows are stopped, for the frame of each page: one query each."""
    known = getattr(request, "_desk_work", None)
    if known is None:
        actor = actor_of(request)
        known = {}
        if holds(actor, "core.view_inbox"):
            known = {
                "inbox_url": reverse("admin:work_inbox"),
                "inbox_state_url": reverse("admin:work_inbox-state"),
                "inbox_waiting": badge_count(actor),
                "inbox_plays_sound": delivery_of(actor).plays_sound,
                "stopped_switches": standing_stops(actor=actor),
                "streams_url": streams_url(request),
                "streams_channel": f"desk:{actor.user_id}",
                "switches_url": reverse("admin:work_switches"),
            }
        request._desk_work = known  # type: ignore[attr-defined]
    return dict(known)
