"""What the desk says about itself on every page: the installation, and whose books these are."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from backoffice.core.actors import actor_of
from backoffice.core.models import LegalEntity


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
