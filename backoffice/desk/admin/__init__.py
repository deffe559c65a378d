"""The desk's own pages: the organisation, its people, the audit trail, and the machinery."""

from backoffice.desk.admin import (
    audit,
    files,
    inbox,
    inbox_pages,
    message_templates,
    messages,
    organisation,
    people,
    switches,
    work,
)

__all__ = [
    "audit",
    "files",
    "inbox",
    "inbox_pages",
    "message_templates",
    "messages",
    "organisation",
    "people",
    "switches",
    "work",
]
