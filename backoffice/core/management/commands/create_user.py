"""`manage.py create_user`: the first administrator, or any other login, from the command line."""

from __future__ import annotations

import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from backoffice.core.services.users import create_user, set_up_one_time_codes
from backoffice.core.types import PORTAL_ROLES, Actor, Role
from backoffice.kernel.errors import DomainError

PASSWORD_BYTES = 15


class Command(BaseCommand):
    """Makes a login with a random password, shown once; staff get one-time codes at once."""

    help = "Creates a login and prints its password and its one-time code set-up."

    def add_arguments(self, parser: CommandParser) -> None:
        """See the help texts."""
        parser.add_argument("email")
        parser.add_argument("--name", required=True, help="full name")
        parser.add_argument("--role", action="append", required=True, choices=Role.values, help="repeatable")
        parser.add_argument("--entity", action="append", default=[], help="code of a legal entity; repeatable")

    def handle(self, *args: Any, **options: Any) -> None:
        """Creates the login and prints what its owner needs, once."""
        actor = Actor.system("create_user")
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        try:
            with transaction.atomic():
                user = create_user(
                    email=options["email"],
                    full_name=options["name"],
                    roles=options["role"],
                    entity_codes=options["entity"],
                    password=password,
                    actor=actor,
                )
                staff = bool(set(options["role"]) - PORTAL_ROLES)
                setup = set_up_one_time_codes(user_id=user.pk, actor=actor) if staff else None
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"Login:     {user.email}")
        self.stdout.write(f"Password:  {password}")
        if setup is not None:
            self.stdout.write(f"One-time code key for the authenticator app:  {setup.secret}")
            self.stdout.write(f"The same as an address:  {setup.url}")
        self.stdout.write("This is shown once. Hand it over safely and have the password changed.")
