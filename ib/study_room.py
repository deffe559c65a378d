"""The room of what-if studies: their job, menu entry, panels and endpoints."""

from __future__ import annotations


def register() -> None:
    """Called once, when the process starts."""
    from backoffice.core.services import jobs
    from backoffice.ui.navigation import register_page
    from ib.admin import studies as pages
    from ib.api import studies as endpoints
    from ib.services import studies

    jobs.register_runner(studies.STUDY, studies.run_job)
    register_page("ib", "What if", "admin:ib_whatifstudy_changelist", pages.VIEW, 57, icon="science")
    pages.register_panels()
    endpoints.register()
