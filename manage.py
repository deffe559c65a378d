#!/usr/bin/env python
"""Runs the management commands of the back office."""

import os
import sys


def main() -> None:
    """Hands the command line to Django with the site's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
