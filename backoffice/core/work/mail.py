"""Mail of work items: to the people who look after them, from the severity on that each of them wants.

Of one kind a person gets at most one mail in ten minutes, so that a storm of different items is one mail; a call after
an escalation always goes out. Mails follow the outbox, so none is sent for an item whose transaction failed.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import reverse

from backoffice.core.messages.kinds import MessageTemplateDefinition, register_template
from backoffice.core.models import OutboxEvent, Severity, User, WorkDelivery, WorkItem
from backoffice.core.models.messages import MessageCategory
from backoffice.core.services import outbox
from backoffice.core.services.messages import queue_message
from backoffice.core.services.work_delivery import (
    ITEM_ESCALATED,
    ITEM_OPENED,
    MAX_PEOPLE_TOLD,
    people_of,
    people_who_see,
)
from backoffice.core.work.kinds import is_registered, work_kind

QUIET_SECONDS = 600
DEFAULT_MAIL_FROM = Severity.HIGH

_VARIABLES = {
    "full_name": "Anna Berg",
    "title": "EURUSD.x on MT5-LIVE has no symbol",
    "kind": "Name without a symbol",
    "severity": "High",
    "due": "2026-07-01 13:00 UTC",
    "item_url": "https://example.com/desk/core/workitem/1/change/",
}
_BODY = (
    "<mj-section><mj-column><mj-text>Dear {{ full_name }},</mj-text>"
    "<mj-text>%s</mj-text>"
    "<mj-text><strong>{{ title }}</strong><br/>{{ kind }}, severity {{ severity }}, due {{ due }}</mj-text>"
    '<mj-button href="{{ item_url }}">Open the item</mj-button>'
    "<mj-text>%s</mj-text></mj-column></mj-section>"
)
OPENED = MessageTemplateDefinition(
    code="core.work_item_opened",
    label="Work item opened",
    category=MessageCategory.SERVICE,
    variables=_VARIABLES,
    must_show=("title", "item_url"),
    subject="{{ severity }}: {{ title }}",
    mjml=_BODY
    % (
        "something waits for you or your colleagues.",
        "Further items of this kind within ten minutes are not mailed; they are in the inbox. "
        "There you also choose from which severity on you get mail.",
    ),
)
ESCALATED = MessageTemplateDefinition(
    code="core.work_item_escalated",
    label="Work item escalated",
    category=MessageCategory.SERVICE,
    variables=_VARIABLES,
    must_show=("title", "item_url"),
    subject="Overdue: {{ title }}",
    mjml=_BODY
    % ("an item is overdue and is now yours to see to as well.", "It stays in the inbox until it is closed."),
)


def register() -> None:
    """Adds the messages and the subscriptions; called once when the process starts."""
    register_template(OPENED)
    register_template(ESCALATED)
    outbox.subscribe(ITEM_OPENED, "core.work_mail", mail_opened)
    outbox.subscribe(ITEM_ESCALATED, "core.work_mail", mail_escalated)


def mail_opened(payload: dict[str, Any], event: OutboxEvent) -> None:
    """Mails those who see a new item and want to be told of its severity."""
    item = _open_item(payload)
    if item is None:
        return
    slot = int(item.opened_at.timestamp()) // QUIET_SECONDS
    for person in _who_want(list(people_who_see(item)[:MAX_PEOPLE_TOLD]), item.severity):
        _mail(OPENED, item, person, key=f"work:{item.kind}:{item.entity_id or 0}:{slot}:{person.pk}")


def mail_escalated(payload: dict[str, Any], event: OutboxEvent) -> None:
    """Mails the role that was called in, whatever severity its people asked for; who wants no mail gets none."""
    item = _open_item(payload)
    if item is None:
        return
    called = list(people_of([payload["role"]], item.entity_id)[:MAX_PEOPLE_TOLD])
    level = payload["escalation_level"]
    for person in _who_want(called, Severity.CRITICAL):
        _mail(ESCALATED, item, person, key=f"work:{item.public_id}:{level}:{int(item.due_at.timestamp())}:{person.pk}")


def _open_item(payload: dict[str, Any]) -> WorkItem | None:
    return (
        WorkItem.objects.filter(public_id=payload["item_id"], clears_at__isnull=True)
        .exclude(state=WorkItem.State.CLOSED)
        .first()
    )


def _who_want(people: list[User], severity: int) -> list[User]:
    wanted = dict(WorkDelivery.objects.filter(user__in=people).values_list("user_id", "mail_from"))
    return [
        person
        for person in people
        if (mail_from := wanted.get(person.pk, DEFAULT_MAIL_FROM)) is not None and severity >= mail_from
    ]


def _mail(template: MessageTemplateDefinition, item: WorkItem, person: User, *, key: str) -> None:
    queue_message(
        template=template.code,
        to=person.email,
        variables={
            "full_name": str(person),
            "title": item.title,
            "kind": work_kind(item.kind).label if is_registered(item.kind) else item.kind,
            "severity": item.get_severity_display(),
            "due": f"{item.due_at:%Y-%m-%d %H:%M} UTC",
            "item_url": settings.PUBLIC_URL + reverse("admin:core_workitem_change", args=[item.pk]),
        },
        entity_id=item.entity_id,
        language=person.language,
        recipient_type="core.user",
        recipient_id=person.pk,
        dedupe_key=key,
    )
