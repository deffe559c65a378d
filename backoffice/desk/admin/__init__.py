"""The desk's own pages: the organisation, its people, the audit trail, and the machinery."""

from backoffice.desk.admin import audit, organisation, people, work

__all__ = ["audit", "organisation", "people", "work"]
