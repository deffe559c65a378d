"""The command line of the embedded stack, shared by `manage.py devstack` and `python -m backoffice.devstack`.

Nothing here, nor in what it starts servers with, imports Django: the database is touched by child processes only, once
the servers are up.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from backoffice.devstack.console import say
from backoffice.devstack.errors import DevstackError
from backoffice.devstack.execute import OWN_FAILURE_STATUS, run_command

USAGE_STATUS = 2


def build_parser(prog: str) -> argparse.ArgumentParser:
    """The parser of everything before `--`."""
    parser = argparse.ArgumentParser(
        prog=prog, description="Embedded PostgreSQL and Valkey for demo, tests and bench. Not for production."
    )
    actions = parser.add_subparsers(dest="action", required=True)
    execute = actions.add_parser("exec", help="run COMMAND with servers; usage: exec [--data DIR] -- COMMAND …")
    execute.add_argument("--data", type=Path, default=None, help="keep the data here (default: a temporary folder)")
    execute.add_argument("--no-migrate", action="store_true", help="leave the database as it is")
    return parser


def main(arguments: Sequence[str], *, prog: str = "devstack") -> int:
    """Runs one action and returns the exit status of the process."""
    own, command = _split(arguments)
    parser = build_parser(prog)
    options = parser.parse_args(own)
    try:
        if options.action == "exec":
            if not command:
                parser.error("exec needs a command after --")
            return run_command(command, data=options.data, migrate_first=not options.no_migrate)
        return USAGE_STATUS
    except DevstackError as error:
        say(f"error: {error}")
        return OWN_FAILURE_STATUS


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first `--`, and the command after it."""
    given = list(arguments)
    if "--" not in given:
        return given, []
    cut = given.index("--")
    return given[:cut], given[cut + 1 :]
