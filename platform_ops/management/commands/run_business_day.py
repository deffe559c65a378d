"""Runs the gated steps of business days by hand, the same way as beat does."""

from __future__ import annotations

import sys
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.types import Actor
from backoffice.kernel.business_day import is_business_day, next_business_day
from backoffice.kernel.errors import DomainError
from platform_ops.models import BusinessDay, TradingServer
from platform_ops.services.business_day import run_business_day

MAXIMUM_DAYS = 400


class Command(BaseCommand):
    """`run_business_day --day D [--through D] [--server CODE]`; exit status 1 when a day waits."""

    help = "Runs the steps of one or more business days; stops at the first day that cannot be proved."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("--day", required=True, type=date.fromisoformat, help="first business day, YYYY-MM-DD")
        parser.add_argument("--through", type=date.fromisoformat, help="last business day; default: only --day")
        parser.add_argument("--server", help="code of a trading server; default: all")

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the days in order, each for every chosen server."""
        servers = TradingServer.objects.all()
        if options["server"]:
            servers = servers.filter(code=options["server"])
            if not servers.exists():
                raise CommandError(f"No trading server has the code {options['server']}.")
        last = options["through"] or options["day"]
        if (last - options["day"]).days > MAXIMUM_DAYS:
            raise CommandError(f"At most {MAXIMUM_DAYS} days in one run.")
        day = options["day"] if is_business_day(options["day"]) else next_business_day(options["day"])
        while day <= last:
            for server in servers:
                self._run(server, day)
            day = next_business_day(day)

    def _run(self, server: TradingServer, day: date) -> None:
        try:
            business_day = run_business_day(server_id=server.pk, day=day, actor=Actor.system("business_day"))
        except DomainError as error:
            raise CommandError(f"{day} {server.code}: {error.message}") from error
        for step in business_day.steps.all():
            self.stderr.write(f"{day} {server.code} {step.step}: {step.state} {step.problem}")
        if business_day.state != BusinessDay.State.CLOSED:
            self.stderr.write(f"{day} {server.code} waits.")
            sys.exit(1)
        self.stdout.write(f"{day} {server.code} closed")
