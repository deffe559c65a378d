"""Platform operations over HTTP. Prices and swaps are put there by their own rooms."""

from __future__ import annotations


def register() -> None:
    """Puts the desk's endpoints on the API. Called once, when the process starts."""
    from platform_ops.api import (
        account_catalogue,
        account_operations,
        accounts,
        catalogue,
        complaints,
        days,
        drop_copies,
        execution,
        imports,
        liquidity,
        market,
        reconciliation,
        servers,
        sessions,
        specifications,
        swap_rates,
        swap_sheets,
        symbol_names,
        symbols,
        topics,
    )

    for part in (
        catalogue,
        account_catalogue,
        specifications,
        accounts,
        account_operations,
        complaints,
        market,
        imports,
        days,
        execution,
        servers,
        symbols,
        symbol_names,
        sessions,
        swap_sheets,
        swap_rates,
        topics,
        reconciliation,
        liquidity,
        drop_copies,
    ):
        part.register()
