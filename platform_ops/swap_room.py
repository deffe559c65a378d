"""Registers the swap engine's room: its work items, proofs, bench, screens and endpoints."""

from __future__ import annotations


def register() -> None:
    """Called once when the application starts."""
    from backoffice.core.measuring.bench import register_suite
    from backoffice.core.schedule import register_periodic
    from backoffice.core.services import outbox
    from platform_ops.admin import swap_policies  # noqa: F401 - its screens register themselves
    from platform_ops.admin import swaps as screens
    from platform_ops.api import swap_policies as policy_endpoints
    from platform_ops.api import swaps as endpoints
    from platform_ops.events import OPERATION_FINISHED
    from platform_ops.services.swaps import checks, sending, work

    work.register()
    checks.register()
    screens.register()
    endpoints.register()
    policy_endpoints.register()
    outbox.subscribe(OPERATION_FINISHED, "platform.settle_swap_charge", sending.settle_operation)
    register_periodic("platform.swap_charges", "platform_ops.tasks.send_swap_charges", 15)
    register_suite("swap", "platform_ops.bench_swaps.swap")
