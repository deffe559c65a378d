"""What there is to say about an imported statement file."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from backoffice.core.models import Job
from platform_ops.models import ServerSymbol, StatementImport
from platform_ops.types import IMPORT_JOB_KIND

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


def import_progress(imported: StatementImport) -> dict[str, Any]:
    """How far an upload is: state, share done in percent, and once it is done what it gave or why it was refused."""
    states = StatementImport.State
    is_done = imported.state in (states.STORED, states.REFUSED)
    share = {states.QUEUED: 5, states.RUNNING: 40}.get(states(imported.state), 0)
    problem = imported.error.get("message", "") or _failed_job(imported)
    return {
        "id": imported.pk,
        "file": imported.file_name,
        "state": imported.state,
        "state_shown": "Failed" if problem and not is_done else imported.get_state_display(),
        "percent": 100 if is_done or problem else share,
        "is_done": is_done or bool(problem),
        "rows": imported.rows_total,
        "new_deals": imported.new_deals,
        "corrected_deals": imported.corrected_deals,
        "matches_statement": imported.matches_statement if imported.state == states.STORED else None,
        "problem": problem,
        "row": imported.error.get("row"),
        "field": imported.error.get("field"),
        "url": reverse("admin:platform_ops_statementimport_change", args=[imported.pk]),
    }


def _failed_job(imported: StatementImport) -> str:
    """Why the job of an import gave up, if it did."""
    if imported.state not in (StatementImport.State.QUEUED, StatementImport.State.RUNNING):
        return ""
    job = Job.objects.filter(kind=IMPORT_JOB_KIND, key=str(imported.pk), state=Job.State.FAILED).first()
    return "" if job is None else f"The import could not be finished: {job.last_error}"
