"""Measures the product on this machine: ratios against limits and rivals, side by side."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.measuring.bench import SIZES, machine_fingerprint, run_suite, suite_names
from backoffice.kernel.errors import DomainError

HEADER = f"{'job':<44}{'against':<44}{'ours s':>9}{'peer s':>9}{'ratio':>10}{'target':>9}  per second"


class Command(BaseCommand):
    """`bench [SUITE …] [--size smoke|std|big] [--rounds N] [--json FILE] [--gate]`."""

    help = "Runs the benchmark suites; prints a table and writes bench.json."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("suites", nargs="*", help="suites to run; default: all")
        parser.add_argument("--size", choices=SIZES, default="std")
        parser.add_argument("--rounds", type=int, help="rounds of every contest; default: what each contest says")
        parser.add_argument("--json", default="bench.json", metavar="FILE", help="where the rows are written")
        parser.add_argument("--gate", action="store_true", help="exit with 1 when a target is missed")

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the suites one after another."""
        if options["rounds"] is not None and options["rounds"] < 1:
            raise CommandError("At least one round.")
        chosen = [name for name in options["suites"] if name != "all"] or suite_names()
        unknown = set(chosen) - set(suite_names())
        if unknown:
            raise CommandError(f"No such suite: {', '.join(sorted(unknown))}. There are: {', '.join(suite_names())}")
        fingerprint = machine_fingerprint(Path(tempfile.gettempdir()))
        self.stdout.write(
            f"{fingerprint['processor']}, {fingerprint['cores']} cores, a synced 8 kB write"
            f" {fingerprint['fdatasync_microseconds']} µs, size {options['size']}"
        )
        rows: list[dict[str, Any]] = []
        try:
            for name in chosen:
                rows += run_suite(name, size=options["size"], rounds=options["rounds"], say=self.stderr.write)
        except DomainError as error:
            raise CommandError(error.message) from error
        self._print(rows)
        Path(options["json"]).write_text(json.dumps({"machine": fingerprint, "rows": rows}, indent=2), encoding="utf-8")
        missed = sum(bool(row["missed"]) for row in rows)
        if missed and options["gate"]:
            raise CommandError(f"{missed} of {len(rows)} rows miss a target.")

    def _print(self, rows: list[dict[str, Any]]) -> None:
        self.stdout.write(HEADER)
        self.stdout.write("-" * (len(HEADER) + 12))
        for row in rows:
            target = "" if row["target"] is None else f"{row['target']:.4g}"
            verdict = f"  missed: {', '.join(row['missed'])}" if row["missed"] else ""
            self.stdout.write(
                f"{row['job']:<44}{row['peer_name']:<44}{row['ours']:>9.3f}{row['peer']:>9.3f}{row['ratio']:>10.4g}"
                f"{target:>9}  {row['ours_per_second']:,} {row['unit']}{verdict}"
            )
            for note in _notes(row):
                self.stdout.write(f"    {note}")


def _notes(row: dict[str, Any]) -> list[str]:
    """What the row says beside its times: bytes of log per line, and every figure that has a limit."""
    found = [
        f"{row[f'{side}_name']}: {row[f'{side}_notes']['lines']:,.0f} lines,"
        f" {row[f'{side}_notes']['wal_bytes_per_line']:.0f} bytes of log each"
        for side in ("ours", "peer")
        if row[f"{side}_notes"].get("wal_bytes_per_line")
    ]
    return found + [f"{name}: {row['ours_notes'][name]:,g}, at most {most:,g}" for name, most in row["limits"].items()]
