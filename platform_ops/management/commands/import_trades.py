"""Imports trading statements: MT4 Statement and DetailedStatement (HTML), MT5 ReportHistory (XLSX), deals as CSV."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError
from platform_ops.gateways.statements import MAX_FILE_BYTES
from platform_ops.selectors.imports import import_report
from platform_ops.services.imports import ensure_server, import_statement

MAX_FILES = 1_000
_COLUMNS = (
    "file",
    "format",
    "account",
    "currency",
    "closed_trades",
    "open_positions",
    "closed_pl",
    "balance",
    "equity",
    "new_deals",
    "corrected_deals",
    "matches_statement",
)


class Command(BaseCommand):
    """`import_trades --server CODE [--json] FILE…`; exit status 1 when a file was refused."""

    help = "Imports trading statements in the order given. A damaged file is refused whole and kept in quarantine."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("--server", required=True, metavar="CODE", help="code of the trading server")
        parser.add_argument("--json", action="store_true", help="print a list with one object per file")
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        """Imports each file on its own; a refused one does not stop the next."""
        files: list[Path] = options["files"]
        if len(files) > MAX_FILES:
            raise CommandError(f"At most {MAX_FILES} files in one run.")
        actor = Actor.system("import_trades")
        try:
            ensure_server(code=options["server"], actor=actor)
        except DomainError as error:
            raise CommandError(error.message) from error
        reports = [self._import(file, server=options["server"], actor=actor) for file in files]
        if options["json"]:
            self.stdout.write(json.dumps(reports, indent=2, ensure_ascii=False))
        else:
            self._write_table(reports)
        if any("error" in report for report in reports):
            sys.exit(1)

    def _import(self, file: Path, *, server: str, actor: Actor) -> dict[str, Any]:
        log = structlog.get_logger(__name__).bind(file=str(file), server=server)
        try:
            if file.stat().st_size > MAX_FILE_BYTES:
                return _error(file, "too_large", f"The file is larger than {MAX_FILE_BYTES} bytes.")
            data = file.read_bytes()
        except OSError as error:
            log.error("file_unreadable", reason=str(error))
            return _error(file, "unreadable", f"The file cannot be read: {error.strerror}.")
        try:
            imported = import_statement(server_code=server, data=data, file_name=file.name, actor=actor)
        except DomainError as error:
            log.error("import_failed", code=error.code, reason=error.message)
            return _error(file, error.code, error.message)
        report = import_report(imported, file=str(file))
        if "error" in report:
            log.error("statement_refused", **imported.error)
        else:
            log.info(
                "statement_imported",
                account=report["account"],
                new_deals=imported.new_deals,
                corrected_deals=imported.corrected_deals,
                stale_deals=imported.stale_deals,
                matches_statement=imported.matches_statement,
            )
        return report

    def _write_table(self, reports: list[dict[str, Any]]) -> None:
        rows = [list(_COLUMNS)]
        for report in reports:
            named = report | {"file": Path(report["file"]).name}
            rows.append([_cell(named[name]) for name in _COLUMNS] if "error" not in report else [_cell(named["file"])])
        widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(_COLUMNS))]
        for row in rows:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())
        for report in reports:
            self._write_findings(report)

    def _write_findings(self, report: dict[str, Any]) -> None:
        name = Path(report["file"]).name
        if "error" in report:
            self.stdout.write(f"{name}: refused: {report['error']['message']}")
            return
        for difference in report["differences"]:
            self.stdout.write(
                f"{name}: {difference['field']}: the file states {difference['stated']}, "
                f"its rows give {difference['recomputed']}"
            )
        if report["unmatched_symbols"]:
            self.stdout.write(f"{name}: without a canonical symbol: {', '.join(report['unmatched_symbols'])}")


def _error(file: Path, code: str, message: str) -> dict[str, Any]:
    return {"file": str(file), "error": {"code": code, "message": message, "row": None, "field": None}}


def _cell(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
