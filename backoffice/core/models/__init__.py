"""Tables that every desk needs once."""

from backoffice.core.models.api_keys import ApiKey
from backoffice.core.models.audit import AuditRecord, AuditSeal
from backoffice.core.models.changes import ApprovalPolicy, ChangeEvent, ChangeRequest
from backoffice.core.models.delivery import IdempotencyRecord, OutboxEvent
from backoffice.core.models.entities import Brand, LegalEntity
from backoffice.core.models.files import StoredFile
from backoffice.core.models.identity import AccessReview, ClientView, LeaverRecord, LoginEvent, UserSession
from backoffice.core.models.jobs import Job, JobRun, ProcessHeartbeat
from backoffice.core.models.messages import Consent, Message, MessageCategory, MessageTemplateVersion, Suppression
from backoffice.core.models.organisation import (
    DocumentCounter,
    DocumentNumber,
    DocumentSeries,
    EntityBankAccount,
    TermsVersion,
)
from backoffice.core.models.switches import Switch, SwitchStop
from backoffice.core.models.users import Team, TeamMembership, User
from backoffice.core.models.webhooks import PublicEvent, WebhookDelivery, WebhookEndpoint
from backoffice.core.models.work import Severity, WorkDelivery, WorkItem, WorkItemEvent, WorkItemMute

__all__ = [
    "AccessReview",
    "ApiKey",
    "ApprovalPolicy",
    "AuditRecord",
    "AuditSeal",
    "Brand",
    "ChangeEvent",
    "ChangeRequest",
    "ClientView",
    "Consent",
    "DocumentCounter",
    "DocumentNumber",
    "DocumentSeries",
    "EntityBankAccount",
    "IdempotencyRecord",
    "Job",
    "JobRun",
    "LeaverRecord",
    "LegalEntity",
    "LoginEvent",
    "Message",
    "MessageCategory",
    "MessageTemplateVersion",
    "OutboxEvent",
    "ProcessHeartbeat",
    "PublicEvent",
    "Severity",
    "StoredFile",
    "Suppression",
    "Switch",
    "SwitchStop",
    "Team",
    "TeamMembership",
    "TermsVersion",
    "User",
    "UserSession",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WorkDelivery",
    "WorkItem",
    "WorkItemEvent",
    "WorkItemMute",
]
