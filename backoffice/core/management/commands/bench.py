"""Measures the product on this machine: ratios against limits and rivals, side by side."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.bench import SIZES, machine_fingerprint, run_suite, suite_names


class Command(BaseCommand):
    """`bench [SUITE …] [--size smoke|std|big] [--rounds N] [--json FILE] [--gate]`."""

    help = "Runs the benchmark suites; prints a table and writes bench.json."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("suites", nargs="*", help="suites to run; default: all")
        parser.add_argument("--size", choices=SIZES, default="std")
        parser.add_argument("--rounds", type=int, default=3)
        parser.add_argument("--json", default="bench.json", metavar="FILE", help="where the rows are written")
        parser.add_argument("--gate", action="store_true", help="exit with 1 when a ratio misses its target")

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the suites one after another."""
        chosen = [name for name in options["suites"] if name != "all"] or suite_names()
        unknown = set(chosen) - set(suite_names())
        if unknown:
            raise CommandError(f"No such suite: {', '.join(sorted(unknown))}. There are: {', '.join(suite_names())}")
        fingerprint = machine_fingerprint(Path(tempfile.gettempdir()))
        self.stdout.write(f"{fingerprint['processor']}, {fingerprint['cores']} cores, size {options['size']}")
        rows: list[dict[str, Any]] = []
        for name in chosen:
            rows += run_suite(name, size=options["size"], rounds=options["rounds"], say=self.stderr.write)
        self._print(rows)
        Path(options["json"]).write_text(json.dumps({"machine": fingerprint, "rows": rows}, indent=2), encoding="utf-8")
        missed = [row for row in rows if row["target"] is not None and row["ratio"] > row["target"]]
        if missed and options["gate"]:
            raise CommandError(f"{len(missed)} ratios miss their target.")

    def _print(self, rows: list[dict[str, Any]]) -> None:
        header = f"{'job':<34}{'against':<34}{'ours s':>9}{'peer s':>9}{'ratio':>10}{'target':>9}  per second"
        self.stdout.write(header)
        self.stdout.write("-" * (len(header) + 8))
        for row in rows:
            target = "" if row["target"] is None else f"{row['target']:g}"
            verdict = "" if row["target"] is None or row["ratio"] <= row["target"] else "  missed"
            self.stdout.write(
                f"{row['job']:<34}{row['peer_name']:<34}{row['ours']:>9.3f}{row['peer']:>9.3f}{row['ratio']:>10.4g}"
                f"{target:>9}  {row['ours_per_second']:,} {row['unit']}{verdict}"
            )
