"""Runs scenarios in a scratch database and tells where the books are not as the files expect."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.conformance.databases import Scratch, ensure_template
from backoffice.conformance.reading import read_file
from backoffice.conformance.running import run_scenario
from backoffice.conformance.scenario import Scenario
from backoffice.conformance.types import Result
from backoffice.kernel.errors import DomainError

MAX_FILES = 1_000
DIFFERS, UNREADABLE, INTERRUPTED = 1, 2, 130


class Command(BaseCommand):
    """`conformance FILE… [--json] [--keep-going]`; exit status 1 for a difference, 2 for a file that is not a scenario."""

    help = (
        "Runs scenarios (YAML, docs/formats/conformance.md) through the services in a scratch database and compares what"
        " stands in the books with what each file expects. A folder stands for the files in it."
    )
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument("--json", action="store_true", help="print a list with one object per file")
        parser.add_argument("--keep-going", action="store_true", help="run the others after a file that failed")

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the files in their order; without --keep-going up to the first that fails."""
        files = list(_files(options["files"]))
        if not 0 < len(files) <= MAX_FILES:
            raise CommandError(f"Between 1 and {MAX_FILES} files in one run, not {len(files)}.", returncode=UNREADABLE)
        reports: list[dict[str, Any]] = []
        try:
            for result, status in run_files(files, keeps_going=options["keep_going"]):
                reports.append({**result.as_dict(), "status": status})
                if not options["json"]:
                    self._write(result)
        except KeyboardInterrupt:
            self.stderr.write("Interrupted; the scratch database is dropped.")
            sys.exit(INTERRUPTED)
        except DomainError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(json.dumps(reports, indent=2, ensure_ascii=False))
        else:
            good = sum(report["status"] == 0 for report in reports)
            self.stdout.write(f"{good} of {len(files)} scenarios as expected")
        if worst := max(report["status"] for report in reports):
            sys.exit(worst)

    def _write(self, result: Result) -> None:
        self.stdout.write(
            f"{'ok  ' if result.ok else 'FAIL'} {result.scenario or result.file}: {result.title} ({result.seconds} s)"
        )
        if result.error:
            self.stdout.write(f"     {result.error}")
        for row in result.rows:
            if not result.ok:
                mark = "  " if row.ok else "≠ "
                self.stdout.write(
                    f"   {mark}{row.step}, {row.section}: {row.key}: expected {row.expected}, got {row.got}"
                )


def _files(given: list[Path]) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            yield from sorted(path.rglob("*.yaml"))
        else:
            yield path


def run_files(files: Sequence[Path], *, keeps_going: bool) -> Iterator[tuple[Result, int]]:
    """The result of each file and its exit status. Every file is read before the first is run; none runs if one is bad,
    unless *keeps_going*.
    """
    read = [_read(file) for file in files]
    bad = [outcome for _, outcome in read if outcome is not None]
    if bad and not keeps_going:
        yield bad[0], UNREADABLE
        return
    if len(bad) == len(files):
        yield from ((outcome, UNREADABLE) for outcome in bad)
        return
    with _ended_by_signals(), Scratch(ensure_template()) as scratch:
        for file, (scenario, outcome) in zip(files, read, strict=True):
            if outcome is not None or scenario is None:
                yield outcome or Result("", "", file=str(file)), UNREADABLE
                continue
            scratch.begin()
            result = run_scenario(scenario, file=str(file))
            yield result, 0 if result.ok else DIFFERS
            if not result.ok and not keeps_going:
                return


def _read(file: Path) -> tuple[Scenario | None, Result | None]:
    try:
        return read_file(file), None
    except DomainError as error:
        name = str(error.details.get("scenario", ""))
        return None, Result(name, "not a scenario", file=str(file), error=error.message)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A termination is an interrupt, so that the scratch database goes with it."""

    def end(number: int, _: Any) -> None:
        raise KeyboardInterrupt(f"signal {number}")

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
