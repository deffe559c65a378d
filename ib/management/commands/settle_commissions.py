"""Settles the partner commissions of a range of days, or proves the stored lines."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from datetime import date, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError, InvalidInput
from ib.services.periods import prove_periods
from ib.services.proof import MAXIMUM_ROWS, days_of_book, prove_range
from ib.services.settlement import MAXIMUM_DAYS, settle_range
from ib.types import ProofResult


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"'{text}' is not a day such as 2025-03-01") from error


def _together(one: ProofResult, other: ProofResult) -> ProofResult:
    rows = (*one.rows, *other.rows)[:MAXIMUM_ROWS]
    return ProofResult(one.trades + other.trades, one.lines + other.lines, rows, one.count + other.count)


class Command(BaseCommand):
    """`settle_commissions --from 2025-03-01 --to 2025-03-31 [--json] [--prove]`; a proof without days is of the whole book."""

    help = (
        "Books target minus booked for every trade closed on the business days of the range; a second run books zero. "
        "With --prove it books nothing: every stored line is derived anew, and what differs is listed (exit 1); without days it proves the whole book."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The range, and what to do with it."""
        parser.add_argument("--from", dest="from_day", type=_day, help="first business day, such as 2025-03-01")
        parser.add_argument("--to", dest="to_day", type=_day, help="last business day")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--prove", action="store_true", help="derive every stored line anew and compare")

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the use case and prints its result."""
        actor = Actor.system("settle_commissions")
        if not options["prove"] and None in (options["from_day"], options["to_day"]):
            raise CommandError("To settle, say from which day to which: --from D --to D.")
        try:
            if options["prove"]:
                self._prove(actor, options)
            else:
                self._settle(actor, options)
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message}") from error

    def _settle(self, actor: Actor, options: dict[str, Any]) -> None:
        result = settle_range(from_day=options["from_day"], to_day=options["to_day"], actor=actor)
        if options["json"]:
            self.stdout.write(json.dumps(result.as_dict()))
            return
        booked = ", ".join(f"{amount} {currency}" for currency, amount in result.booked.items()) or "nothing"
        self.stdout.write(f"{result.trades} trades, {result.lines} lines, booked {booked}, {result.seconds} s")

    def _prove(self, actor: Actor, options: dict[str, Any]) -> None:
        first, last = days_of_book()
        from_day, to_day = options["from_day"] or first, options["to_day"] or last
        if to_day < from_day:
            raise InvalidInput("The range ends before it begins.", field="to_day", value=to_day.isoformat())
        proof = ProofResult(trades=0, lines=0, rows=(), count=0)
        for start in range(0, (to_day - from_day).days + 1, MAXIMUM_DAYS):
            begin = from_day + timedelta(days=start)
            end = min(begin + timedelta(days=MAXIMUM_DAYS - 1), to_day)
            proof = _together(proof, prove_range(from_day=begin, to_day=end, actor=actor))
        by_period = prove_periods(from_day=from_day, to_day=to_day, actor=actor)
        found = (*proof.rows, *by_period.rows)
        rows = [{name: None if value is None else str(value) for name, value in row.items()} for row in found]
        lines, count = proof.lines + by_period.lines, proof.count + by_period.count
        if options["json"]:
            self.stdout.write(
                json.dumps({"ok": not count, "trades": proof.trades, "lines": lines, "count": count, "rows": rows})
            )
        else:
            self.stdout.write(f"{lines} lines of {proof.trades} trades and their months derived anew, {count} differ")
            for row in rows:
                self.stdout.write(
                    "  " + ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)
                )
        if count:
            raise SystemExit(1)
