"""The desk's own pages: the organisation, its people, the audit trail, and the machinery."""

from backoffice.desk.admin import (
    api_keys,
    audit,
    changes,
    files,
    inbox,
    inbox_pages,
    message_templates,
    messages,
    organisation,
    people,
    policies,
    switches,
    webhooks,
    work,
)

__all__ = [
    "api_keys",
    "audit",
    "changes",
    "files",
    "inbox",
    "inbox_pages",
    "message_templates",
    "messages",
    "organisation",
    "people",
    "policies",
    "switches",
    "webhooks",
    "work",
]
