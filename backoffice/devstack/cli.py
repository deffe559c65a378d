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
from backoffice.devstack.execute import DEFAULT_DATA_FOLDER, OWN_FAILURE_STATUS, manage, run_command
from backoffice.devstack.reset import reset
from backoffice.devstack.servers import addresses_from_environment
from backoffice.devstack.up import DEFAULT_PORT, HOST, run_demo


def build_parser(prog: str) -> argparse.ArgumentParser:
    """The parser of everything before `--`."""
    parser = argparse.ArgumentParser(
        prog=prog, description="Embedded PostgreSQL and Valkey for demo, tests and bench. Not for production."
    )
    actions = parser.add_subparsers(dest="action", required=True)
    execute = actions.add_parser("exec", help="run COMMAND with servers; usage: exec [--data DIR] -- COMMAND …")
    execute.add_argument("--data", type=Path, default=None, help="keep the data here (default: a temporary folder)")
    execute.add_argument("--no-migrate", action="store_true", help="leave the database as it is")
    execute.add_argument(
        "--not-durable",
        action="store_true",
        help="quicker: nothing waits for the disk; only where the data is thrown away",
    )
    up = actions.add_parser("up", help="run the whole demo: servers, seed, web, worker, beat, market")
    up.add_argument("--port", type=int, default=DEFAULT_PORT)
    logins = actions.add_parser("logins", help="show the demo's logins with their current one-time codes")
    logins.add_argument("--url", default=f"http://{HOST}:{DEFAULT_PORT}", help="the address to show in the box")
    code = actions.add_parser("code", help="print a user's current one-time code")
    code.add_argument("user", metavar="USER", help="e-mail address")
    reset_ = actions.add_parser("reset", help="remove the demo's data")
    reset_.add_argument("--yes", action="store_true", help="do not ask")
    for action in (up, logins, code, reset_):
        action.add_argument("--data", type=Path, default=DEFAULT_DATA_FOLDER, help=f"default: {DEFAULT_DATA_FOLDER}")
    return parser


def main(arguments: Sequence[str], *, prog: str = "devstack") -> int:
    """Runs one action and returns the exit status of the process."""
    own, command = _split(arguments)
    parser = build_parser(prog)
    options = parser.parse_args(own)
    if options.action == "exec" and not command:
        parser.error("exec needs a command after --")
    if options.action == "exec" and options.not_durable and options.data is not None:
        parser.error("--not-durable is for data that is thrown away: leave out --data")
    if options.action != "exec" and command:
        parser.error(f"{options.action} takes nothing after --")
    try:
        return _act(options, command)
    except DevstackError as error:
        say(f"error: {error}")
        return OWN_FAILURE_STATUS


def _act(options: argparse.Namespace, command: list[str]) -> int:
    match options.action:
        case "exec":
            return run_command(
                command,
                data=options.data,
                migrate_first=not options.no_migrate,
                is_durable=not options.not_durable,
            )
        case "up":
            return run_demo(data=options.data, port=options.port)
        case "reset":
            return reset(data=options.data, confirmed=options.yes)
        case _:
            return _ask_database(options)


def _ask_database(options: argparse.Namespace) -> int:
    """Answers from a live database: in this process when the environment names one, else in a child beside the servers."""
    if addresses_from_environment() is None:
        if not options.data.exists():
            raise DevstackError(f"there is no demo in {options.data}: start it with `make demo`")
        arguments = ["code", options.user] if options.action == "code" else ["logins", "--url", options.url]
        return run_command(manage("devstack", *arguments), data=options.data, migrate_first=False)
    from backoffice.devstack import banner, codes  # they load Django

    if options.action == "code":
        current = codes.current_code(options.user)
        say(f"current for {current.seconds_left} more seconds; each code works once")
        print(current.code)
    else:
        print(banner.demo_box(url=options.url, rows=codes.login_rows()))
    return 0


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first `--`, and the command after it."""
    given = list(arguments)
    if "--" not in given:
        return given, []
    cut = given.index("--")
    return given[:cut], given[cut + 1 :]
