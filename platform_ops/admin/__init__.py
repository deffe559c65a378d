"""The platform desk's screens, by subject. Django finds them here; each module registers its own."""

from platform_ops.admin import (  # noqa: F401 - importing registers them
    account_operations,
    accounts,
    complaints,
    days,
    execution,
    imports,
    liquidity,
    market,
    reconciliation,
    servers,
    swap_markup,
    trading,
)
