"""Long-running processes say here that they live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from backoffice.core.models import ProcessHeartbeat
from backoffice.kernel import clock


def beat(name: str, detail: dict[str, Any] | None = None) -> None:
    """Notes that the process *name* (`beat`, `worker`, `market`) lives now."""
    ProcessHeartbeat.objects.bulk_create(
        [ProcessHeartbeat(name=name, beat_at=clock.now(), detail=detail or {})],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["beat_at", "detail"],
    )


def age_of(name: str) -> timedelta | None:
    """How long ago the process last said that it lives; None if it never did."""
    row = ProcessHeartbeat.objects.filter(name=name).first()
    return None if row is None else clock.now() - row.beat_at
