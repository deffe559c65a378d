"""The Celery application. Beat ticks in UTC; what is due is decided in the database (`core.JobRun`, due rows)."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_init
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

app = Celery("backoffice")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Carries the trace id of whoever sent a task into the worker's log lines and audit records.
app.steps["worker"].add(DjangoStructLogInitStep)


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Celery would set logging up anew; having a receiver here leaves it as the settings made it."""


@worker_init.connect
def refuse_to_work_without_keys(**_: Any) -> None:
    """A worker that cannot open what is stored would fail in the middle of its work."""
    from backoffice.core.services.key_rotation import refuse_to_start_without_keys

    refuse_to_start_without_keys()
