"""The desk's own pages: the organisation, its people, the audit trail, and the machinery."""

from backoffice.desk.admin import audit, inbox, inbox_pages, organisation, people, switches, work

__all__ = ["audit", "inbox", "inbox_pages", "organisation", "people", "switches", "work"]
