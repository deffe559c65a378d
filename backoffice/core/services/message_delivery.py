"""Sends queued messages, each by a job, outside any transaction.

What a killed process leaves behind decides what the next one does. A message that is `sending` without
`handed_over_at` has not been given to the mail server: it is sent. With it, nobody knows whether the server took it:
security and service messages are sent again under the same Message-ID (rather twice than never), marketing is not
(rather never than twice). A provider that was down or said "later" is asked again with growing pauses, ten times.
"""

from __future__ import annotations

import smtplib
from email.utils import formataddr, parseaddr
from typing import Any

import structlog
from anymail.exceptions import AnymailAPIError, AnymailError, AnymailRecipientsRefused
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.urls import reverse

from backoffice.core import crash_points
from backoffice.core.messages.catcher import NUMBER_HEADER
from backoffice.core.messages.kinds import UNSUBSCRIBE_VARIABLE, template_definition
from backoffice.core.messages.rendering import RenderedMail, render
from backoffice.core.models import Job, Message, MessageCategory
from backoffice.core.services import consents, jobs
from backoffice.core.services.message_templates import choose_version, house_values
from backoffice.core.services.messages import SEND_JOB_KIND, enqueue_sending, is_marketing, values_of
from backoffice.core.services.switches import Switch, SwitchedOff, is_stopped, register_guard, require_open
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import DomainError, Retryable

MAX_RELEASED_AT_ONCE = 500
MAX_OUTCOME = 300
MAIL_TIMEOUT_SECONDS = 20
_PERMANENT_FROM = 500
_CLIENT_ERRORS = range(400, 500)
_TOO_MANY = 429
crash_points.declare("core.messages.before_send", "core.messages.after_send")
register_guard("backoffice.core.services.message_delivery.claim", Switch.SENDS)


class _NotTaken(Exception):  # noqa: N818 - a verdict of the mail server
    """The server did not take the mail. *is_final*: asking again is useless; *is_certain*: it surely did not go out."""

    def __init__(self, detail: str, *, is_final: bool, is_certain: bool = True, bounced: bool = False) -> None:
        super().__init__(detail)
        self.detail, self.is_final, self.is_certain, self.bounced = detail, is_final, is_certain, bounced


def run_send_job(job: Job, owner: str) -> dict[str, Any]:
    """Sends the message of a job. Repeating it is harmless once the message came to an end."""
    message = claim(message_id=job.payload["message_id"], owner=owner)
    if message is None:
        return {"sent": False}
    try:
        mail = compose(message)
    except DomainError as error:
        _end(message, Message.State.FAILED, outcome=error.message)
        return {"sent": False, "code": error.code}
    try:
        provider_id = _hand_over(message, mail)
    except _NotTaken as refusal:
        return _refused(message, refusal, job)
    _end(message, Message.State.SENT, provider_id=provider_id)
    return {"sent": True}


def claim(*, message_id: int, owner: str) -> Message | None:
    """Takes a message for sending, or settles it: held by the switch, not wanted, or not to be risked a second time."""
    with transaction.atomic():
        message = (
            Message.objects.select_for_update(of=("self",))
            .select_related("brand", "entity", "version")
            .filter(pk=message_id, state__in=[Message.State.QUEUED, Message.State.SENDING])
            .first()
        )
        if message is None:
            return None
        if message.handed_over_at is not None and is_marketing(message):
            _close(message, Message.State.FAILED, "The process died while the mail server was taking this message.")
            return None
        if message.category != MessageCategory.SECURITY:
            try:
                require_open(Switch.SENDS, entity_id=message.entity_id)
            except SwitchedOff:
                message.state, message.held_at = Message.State.QUEUED, clock.now()
                message.save(update_fields=["state", "held_at"])
                return None
        unwanted = consents.why_unwanted(message)
        if unwanted:
            _close(message, Message.State.SUPPRESSED, unwanted)
            return None
        message.state, message.lease_owner, message.held_at = Message.State.SENDING, owner[:120], None
        message.attempts += 1
        if message.version is None:
            message.version = choose_version(
                code=message.template, brand_id=message.brand_id, language=message.language
            )
        message.save(update_fields=["state", "lease_owner", "held_at", "attempts", "version"])
    return message


def render_message(message: Message) -> RenderedMail:
    """The message as its reader sees it. Raises InvalidInput when its values were erased or do not fit any more."""
    definition = template_definition(message.template)
    version = message.version
    values = {**house_values(entity=message.entity, brand=message.brand), **values_of(message)}
    if is_marketing(message):
        values[UNSUBSCRIBE_VARIABLE] = unsubscribe_url(message)
    return render(
        definition,
        subject=version.subject if version else definition.subject,
        mjml=version.mjml if version else definition.mjml,
        values=values,
    )


def unsubscribe_url(message: Message) -> str:
    """Where the message's reader unsubscribes, without signing in."""
    return settings.PUBLIC_URL + reverse("unsubscribe", args=[consents.unsubscribe_token(message)])


def compose(message: Message) -> EmailMultiAlternatives:
    """The mail as it is handed to the provider."""
    rendered = render_message(message)
    sender_name, sender = parseaddr(settings.DEFAULT_FROM_EMAIL)
    brand = message.brand
    headers = {
        "Message-ID": f"<{message.public_id}@{sender.rpartition('@')[2] or 'localhost'}>",
        NUMBER_HEADER: str(message.public_id),
    }
    if is_marketing(message):
        headers["List-Unsubscribe"] = f"<{unsubscribe_url(message)}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    else:
        headers["Auto-Submitted"] = "auto-generated"
    mail = EmailMultiAlternatives(
        subject=rendered.subject,
        body=rendered.text,
        from_email=formataddr((brand.name if brand else sender_name, sender)),
        to=[message.address],
        reply_to=[brand.support_email] if brand and brand.support_email else None,
        headers=headers,
    )
    mail.attach_alternative(rendered.html, "text/html")
    # Providers report by these; the plain backends know nothing of them.
    mail.metadata = {"message": str(message.public_id)}  # type: ignore[attr-defined]
    mail.tags = [message.template]  # type: ignore[attr-defined]
    return mail


def _hand_over(message: Message, mail: EmailMultiAlternatives) -> str:
    """Gives the mail to the provider; returns the provider's number for it. Raises _NotTaken."""
    connection = get_connection()
    try:
        connection.open()
    except (OSError, smtplib.SMTPException, AnymailError) as error:
        raise _NotTaken(_telling(error), is_final=False) from error
    # From here on nobody knows for certain, until the server has answered.
    Message.objects.filter(pk=message.pk, attempts=message.attempts).update(handed_over_at=clock.now())
    crash_points.reach("core.messages.before_send")
    try:
        _send(connection, mail)
    finally:
        connection.close()
    crash_points.reach("core.messages.after_send")
    status = getattr(mail, "anymail_status", None)
    return str(getattr(status, "message_id", "") or "")[:200]


def _send(connection: BaseEmailBackend, mail: EmailMultiAlternatives) -> None:
    try:
        connection.send_messages([mail])
    except (smtplib.SMTPRecipientsRefused, AnymailRecipientsRefused) as error:
        codes = (
            [code for code, _ in error.recipients.values()]
            if isinstance(error, smtplib.SMTPRecipientsRefused)
            else [550]
        )
        is_final = all(code >= _PERMANENT_FROM for code in codes)
        raise _NotTaken("The address was refused.", is_final=is_final, bounced=is_final) from error
    except smtplib.SMTPResponseException as error:
        raise _NotTaken(_telling(error), is_final=error.smtp_code >= _PERMANENT_FROM) from error
    except AnymailAPIError as error:
        code = error.status_code
        is_final = code in _CLIENT_ERRORS and code != _TOO_MANY
        raise _NotTaken(_telling(error), is_final=is_final, is_certain=code is not None) from error
    except AnymailError as error:
        raise _NotTaken(_telling(error), is_final=True) from error
    except (OSError, smtplib.SMTPException) as error:
        # The line broke while the server was talking: perhaps it has taken the mail.
        raise _NotTaken(_telling(error), is_final=False, is_certain=False) from error


def _telling(error: Exception) -> str:
    """What went wrong, without the words of the server, which may repeat the address."""
    code = getattr(error, "smtp_code", None) or getattr(error, "status_code", None)
    return f"{type(error).__name__}{f' {code}' if code else ''}"


def _refused(message: Message, refusal: _NotTaken, job: Job) -> dict[str, Any]:
    """Ends the message, or leaves it for the job's next attempt."""
    if refusal.bounced:
        _end(message, Message.State.BOUNCED, outcome=refusal.detail)
        return {"sent": False, "bounced": True}
    is_risky = not refusal.is_certain and is_marketing(message)
    if refusal.is_final or is_risky or job.attempts >= jobs.MAX_ATTEMPTS:
        _end(message, Message.State.FAILED, outcome=refusal.detail)
        return {"sent": False}
    changes: dict[str, Any] = {"state": Message.State.QUEUED, "outcome": refusal.detail[:MAX_OUTCOME]}
    if refusal.is_certain:
        changes["handed_over_at"] = None
    Message.objects.filter(pk=message.pk, attempts=message.attempts).update(**changes)
    raise Retryable(f"The mail server did not take the message: {refusal.detail}", code="mail_not_taken")


def _end(message: Message, state: Message.State, *, outcome: str = "", provider_id: str = "") -> None:
    """Writes the end of this attempt, unless a later one has taken the message over."""
    with transaction.atomic():
        current = Message.objects.select_for_update().filter(
            pk=message.pk, attempts=message.attempts, state=Message.State.SENDING
        )
        found = current.first()
        if found is None:
            return
        found.provider_id = provider_id
        _close(found, state, outcome)
        if state == Message.State.BOUNCED:
            consents.suppress_for_event(message=found, event="bounced", detail=outcome, actor=Actor.system("mail"))
    log = structlog.get_logger(__name__)
    log.info("message_ended", message=str(message.public_id), template=message.template, state=state.value)


def _close(message: Message, state: Message.State, outcome: str) -> None:
    message.state, message.outcome = state, outcome[:MAX_OUTCOME]
    message.finished_at, message.held_at, message.lease_owner = clock.now(), None, ""
    if state == Message.State.SENT and message.category == MessageCategory.SECURITY:
        message.variables = ""
    message.save()


def release_held() -> int:
    """Queues the messages again that a switch held, once it is open; a bounded number. Returns how many."""
    released = 0
    entities = Message.objects.filter(held_at__isnull=False).order_by().values_list("entity_id", flat=True).distinct()
    for entity_id in list(entities):
        if is_stopped(Switch.SENDS, entity_id=entity_id):
            continue
        with transaction.atomic():
            held = Message.objects.select_for_update(skip_locked=True).filter(
                held_at__isnull=False, entity_id=entity_id, state=Message.State.QUEUED
            )
            for message in held.order_by("id")[: MAX_RELEASED_AT_ONCE - released]:
                message.held_at, message.rounds = None, message.rounds + 1
                message.save(update_fields=["held_at", "rounds"])
                enqueue_sending(message)
                released += 1
    return released


def fail_abandoned() -> int:
    """Ends the messages whose job was given up (its workers died ten times); returns how many."""
    given_up = Job.objects.filter(kind=SEND_JOB_KIND, state=Job.State.FAILED).order_by("-id")
    numbers = list(given_up.values_list("payload__message_id", flat=True)[:MAX_RELEASED_AT_ONCE])
    ended = 0
    with transaction.atomic():
        open_messages = Message.objects.select_for_update(skip_locked=True).filter(
            pk__in=numbers, state__in=[Message.State.QUEUED, Message.State.SENDING], held_at__isnull=True
        )
        for message in open_messages:
            key = f"{message.public_id}:{message.rounds}"
            if Job.objects.filter(kind=SEND_JOB_KIND, key=key, state=Job.State.FAILED).exists():
                _close(message, Message.State.FAILED, "Every attempt to send this message died.")
                ended += 1
    return ended
