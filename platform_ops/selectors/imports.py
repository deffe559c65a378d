"""What there is to say about an imported statement file."""

from __future__ import annotations

from typing import Any

from platform_ops.models import ServerSymbol, StatementImport

FIGURES = (
    "closed_trades",
    "open_positions",
    "cancelled_orders",
    "balance_operations",
    "gross_profit",
    "gross_loss",
    "closed_pl",
    "swap",
    "commission",
    "deposits",
    "withdrawals",
    "balance",
    "equity",
)


def import_report(imported: StatementImport, *, file: str) -> dict[str, Any]:
    """The import as one JSON object; *file* is what the caller called it. A refused file has only `file` and `error`."""
    if imported.state == StatementImport.State.REFUSED:
        return {"file": file, "error": imported.error}
    return {
        "file": file,
        "format": imported.format,
        "account": imported.account.login if imported.account else "",
        "currency": imported.account.currency if imported.account else "",
        **{name: imported.figures[name] for name in FIGURES},
        "new_deals": imported.new_deals,
        "corrected_deals": imported.corrected_deals,
        "unmatched_symbols": unmatched_symbols(imported),
        "matches_statement": imported.matches_statement,
        "differences": imported.differences,
    }


def unmatched_symbols(imported: StatementImport) -> list[str]:
    """The server's symbols in the file that nobody has mapped to a canonical symbol yet."""
    return list(
        ServerSymbol.objects.filter(
            server_id=imported.server_id, name__in=imported.figures.get("symbols", []), symbol__isnull=True
        )
        .order_by("name")
        .values_list("name", flat=True)
    )
