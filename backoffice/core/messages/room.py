"""What the ground registers for messages: verbs, scopes, templates of its own, the job that sends, the ticks."""

from __future__ import annotations

from typing import Any

from anymail.signals import EventType, RejectReason, tracking
from django.db.models import Q

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.messages import account_mails
from backoffice.core.schedule import register_periodic
from backoffice.core.services import message_delivery
from backoffice.core.services.jobs import register_runner
from backoffice.core.services.messages import SEND_JOB_KIND, record_delivery_event
from backoffice.core.types import Actor, Role

ADMINISTRATOR, AUDITOR, COMPLIANCE = Role.ADMINISTRATOR.value, Role.AUDITOR.value, Role.COMPLIANCE.value
MARKETING = Role.MARKETING.value
VIEWERS = (ADMINISTRATOR, AUDITOR, COMPLIANCE, MARKETING)
WRITERS = (ADMINISTRATOR, MARKETING)


def register() -> None:
    """Called once, when the process starts."""
    declare_capability("core.view_templates", VIEWERS)
    declare_capability("core.manage_templates", WRITERS)
    declare_capability("core.view_messages", (ADMINISTRATOR, AUDITOR, COMPLIANCE))
    declare_capability("core.manage_messages", (ADMINISTRATOR,))
    declare_capability("core.view_suppressions", VIEWERS)
    declare_capability("core.manage_suppressions", (ADMINISTRATOR, COMPLIANCE, MARKETING))
    declare_capability("core.record_consent", (ADMINISTRATOR, COMPLIANCE, MARKETING, Role.SALES, Role.RETENTION))
    declare_capability("core.view_caught_mail", (ADMINISTRATOR,))
    register_scope("core.MessageTemplateVersion", role_entity_scope("brand__entity", *VIEWERS))
    register_scope("core.MessageTemplateVersion", _of_every_brand)
    register_scope("core.Message", role_entity_scope("entity", ADMINISTRATOR, AUDITOR, COMPLIANCE))
    register_scope("core.Suppression", role_entity_scope("entity", *VIEWERS))
    register_scope("core.Consent", role_entity_scope("entity", ADMINISTRATOR, AUDITOR, COMPLIANCE))
    register_runner(SEND_JOB_KIND, message_delivery.run_send_job)
    register_periodic("core.held_messages", "backoffice.core.tasks.settle_messages", 5)
    account_mails.register()
    tracking.connect(_provider_reported, dispatch_uid="core.provider_reported")


def _provider_reported(*, event: Any, **_: Any) -> None:
    """What anymail's webhook views hand on of a provider's report; they have checked the provider's secret."""
    is_soft = event.event_type == EventType.BOUNCED and event.reject_reason not in (None, RejectReason.BOUNCED)
    names = {EventType.BOUNCED: "bounced", EventType.COMPLAINED: "complained", EventType.UNSUBSCRIBED: "unsubscribed"}
    if event.event_type not in names or is_soft:
        return
    record_delivery_event(
        public_id=str((event.metadata or {}).get("message", "")),
        provider_id=str(event.message_id or ""),
        event=names[event.event_type],
        detail="Reported by the mail provider",
    )


def _of_every_brand(actor: Actor) -> Q | None:
    return Q(brand__isnull=True) if actor.has_role(*VIEWERS) else None
