"""Celery's beat, without a file of its own and with a heartbeat."""

from __future__ import annotations

import os
import time
from typing import Any

from celery.beat import Scheduler
from django.db import Error as DatabaseFailure
from django.db import connection

from backoffice.core.schedule import beat_schedule
from backoffice.core.services import heartbeats

HEARTBEAT_SECONDS = 5


class HeartbeatScheduler(Scheduler):
    """Keeps the schedule in memory, as the database decides what is due, and notes in it that beat still ticks."""

    _next_heartbeat = 0.0

    def setup_schedule(self) -> None:
        """Takes over the ticks that the desks registered while the process started."""
        super().setup_schedule()
        self.merge_inplace(beat_schedule())  # type: ignore[arg-type]  # plain dictionaries are what it reads

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Sends what is due; returns the seconds until the next call."""
        pause = float(super().tick(*args, **kwargs))
        if time.monotonic() >= self._next_heartbeat:
            self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
            self._beat()
        return min(pause, HEARTBEAT_SECONDS)

    def _beat(self) -> None:
        try:
            heartbeats.beat("beat", {"pid": os.getpid()})
        except DatabaseFailure:
            # Ticks go on without the database; /readyz shows the missing heartbeat.
            self.logger.warning("beat could not reach the database")  # type: ignore[attr-defined]
            connection.close()
