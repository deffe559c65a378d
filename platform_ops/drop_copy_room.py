"""What live drop copies register: their pages, and the tick that removes the log of sessions after its time."""

from __future__ import annotations

from backoffice.core.schedule import register_periodic

SECONDS_BETWEEN_PRUNINGS = 3_600


def register() -> None:
    """Called once, when the application starts."""
    from platform_ops.admin import drop_copies

    drop_copies.register()
    register_periodic("platform.drop_copy_log", "platform_ops.tasks.prune_drop_copies", SECONDS_BETWEEN_PRUNINGS)
