"""Fills an empty database with the demo broker: people, catalogue, partners, clients, sixty business days of trading."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.devstack.demo.accounts import write_accounts
from backoffice.devstack.demo.api import introduce_other_systems
from backoffice.devstack.demo.changes import write_changes
from backoffice.devstack.demo.disputes import write_disputes
from backoffice.devstack.demo.entities import write_entities
from backoffice.devstack.demo.feeds import seed as seed_feeds
from backoffice.devstack.demo.history import write_history
from backoffice.devstack.demo.identity import write_sign_ins
from backoffice.devstack.demo.liquidity import write_liquidity
from backoffice.devstack.demo.messages import write_messages
from backoffice.devstack.demo.migration import give_example
from backoffice.devstack.demo.partner_applications import write_partner_applications
from backoffice.devstack.demo.partner_events import write_partner_events
from backoffice.devstack.demo.ranks import write_ranks
from backoffice.devstack.demo.seed import write_world
from backoffice.devstack.demo.statements import write_statements
from backoffice.devstack.demo.swap_desk import write_swap_desk
from backoffice.devstack.demo.swaps import set_up_rollovers
from backoffice.devstack.demo.symbols import write_symbols
from backoffice.devstack.demo.trading import write_past_orders
from backoffice.devstack.demo.work import write_work
from backoffice.devstack.demo.world import invent_world
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of, is_business_day, previous_business_day


class Command(BaseCommand):
    """`seed_demo [--last-day D]`; refuses a database that holds a legal entity."""

    help = "Writes the demo broker into an empty database; says what it does on standard error."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument(
            "--last-day", type=date.fromisoformat, help="last business day; default: the last finished one"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Invents the broker and writes it."""
        if LegalEntity.objects.exists():
            raise CommandError("This database is not empty; the demo broker is written into an empty one only.")
        last_day = options["last_day"] or previous_business_day(business_day_of(clock.now()))
        if not is_business_day(last_day):
            raise CommandError(f"{last_day} is not a business day.")
        started = time.monotonic()
        world = invent_world(last_day=last_day)
        seeding = write_world(world, say=self._say)
        set_up_rollovers(seeding)
        write_history(seeding)
        self._say("how the orders of the last days were executed")
        write_past_orders()
        write_entities(seeding)
        write_changes(seeding)
        write_partner_events(seeding)
        write_ranks(seeding)
        write_partner_applications(seeding)
        write_disputes(seeding)
        write_statements(seeding)
        write_swap_desk(seeding)
        write_symbols(seeding)
        write_accounts(seeding)
        write_work(seeding)
        write_sign_ins()
        self._say("three feeds of prices")
        seed_feeds(actor=Actor.system("seed_demo"), now=clock.now())
        write_liquidity(seeding)
        self._say("mails, wishes and papers of some clients")
        write_messages(actor=Actor.system("seed_demo"))
        self._say("a package of a house that is taken over")
        give_example(entity=seeding.entity, brand=seeding.brand)
        introduce_other_systems(entity=seeding.entity, actor=Actor.system("seed_demo"))
        self._say(f"done in {time.monotonic() - started:.0f} s")

    def _say(self, message: str) -> None:
        self.stderr.write(f"demo: {message}")
        self.stderr.flush()
