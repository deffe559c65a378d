"""`manage.py list_roles`: who may do what, as declared by the desks."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from backoffice.core.access import capabilities
from backoffice.core.types import Role


class Command(BaseCommand):
    """One line per role and capability."""

    help = "Lists every role with the capabilities it holds."

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints the list."""
        declared = capabilities()
        for role in Role:
            self.stdout.write(f"{role.value} ({role.label})")
            for name, roles in declared.items():
                if role.value in roles:
                    self.stdout.write(f"    {name}")
