"""Mails in tests: sends what waits in the queue, as a worker would."""

from __future__ import annotations

from django.core import mail
from django.core.mail import EmailMultiAlternatives

from backoffice.core.services import jobs
from backoffice.core.services.messages import SEND_JOB_KIND


def mails() -> list[EmailMultiAlternatives]:
    """Every mail sent so far in the test, after working off the queue."""
    jobs.run_ready(kind=SEND_JOB_KIND, owner="test")
    return list(mail.outbox)  # type: ignore[arg-type]
