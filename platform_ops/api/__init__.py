"""Platform operations over HTTP."""

from __future__ import annotations


def register() -> None:
    """Puts the desk's endpoints on the API. Called once, when the process starts."""
    from platform_ops.api import (
        account_operations,
        accounts,
        catalogue,
        days,
        execution,
        imports,
        market,
        reconciliation,
        servers,
        symbols,
        topics,
    )

    for part in (
        catalogue,
        accounts,
        account_operations,
        market,
        imports,
        days,
        execution,
        servers,
        symbols,
        topics,
        reconciliation,
    ):
        part.register()
