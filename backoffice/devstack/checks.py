"""A deployment on the embedded stack is refused: one machine, no password, no replication."""

from __future__ import annotations

import os
from typing import Any

from django.core.checks import Error, Tags, register

from backoffice.devstack.execute import DEVSTACK_VARIABLE


@register(Tags.security, deploy=True)
def not_in_production(**_: Any) -> list[Error]:
    """The error that `check --deploy` shows when the site runs on the embedded servers."""
    if os.environ.get(DEVSTACK_VARIABLE, "") in {"", "0"}:
        return []
    return [
        Error(
            "The site runs on the embedded PostgreSQL and Valkey of devstack, which are not for production.",
            hint=f"Set DATABASE_URL and REDIS_URL to real servers and unset {DEVSTACK_VARIABLE}.",
            id="devstack.E001",
        )
    ]
