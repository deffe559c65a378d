"""What outer connectors, the comparison with servers and liquidity providers register; called once at the start."""

from __future__ import annotations

from backoffice.core.schedule import register_periodic
from backoffice.core.services.jobs import register_runner

SECONDS_BETWEEN_LOOKS = 60


def register() -> None:
    """Verbs and scopes, connectors, kinds of work, jobs and ticks."""
    from platform_ops import outer_permissions
    from platform_ops.gateways.report_database import connector as report_database
    from platform_ops.services.liquidity import work as liquidity_work
    from platform_ops.services.reconciliation import runs
    from platform_ops.services.reconciliation import work as reconciliation_work

    outer_permissions.register()
    report_database.register()
    reconciliation_work.register()
    liquidity_work.register()
    register_runner(runs.JOB_KIND, runs.run_job)
    register_periodic("platform.reconcile", "platform_ops.tasks.reconcile_due", SECONDS_BETWEEN_LOOKS)
