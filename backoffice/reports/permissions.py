"""Who may issue, read and check reports, and of which entities."""

from __future__ import annotations

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.types import Role

_READERS = (Role.FINANCE, Role.ADMINISTRATOR, Role.AUDITOR)
_ISSUERS = (Role.FINANCE, Role.ADMINISTRATOR)


def declare() -> None:
    """Called once, when the app is ready."""
    declare_capability("reports.view_report", _READERS)
    declare_capability("reports.download_report", _READERS)
    declare_capability("reports.compare_report", _READERS)
    declare_capability("reports.issue_report", _ISSUERS)
    declare_capability("reports.view_schedule", _READERS)
    declare_capability("reports.manage_schedule", _ISSUERS)
    register_scope("reports.IssuedReport", role_entity_scope("entity", *_READERS))
    register_scope("reports.ReportSchedule", role_entity_scope("entity", *_READERS))
