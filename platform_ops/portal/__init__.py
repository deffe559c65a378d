"""What traders do themselves: open demo accounts, change their leverage, make passwords, complain about a price."""

from __future__ import annotations


def register() -> None:
    """Mounts the pages; called once when the application starts."""
    from platform_ops.portal import accounts, complaints

    accounts.register()
    complaints.register()
