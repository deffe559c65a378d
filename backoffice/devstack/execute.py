"""`devstack exec`: runs one command with servers at hand and returns its exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from backoffice.devstack.console import Step, say
from backoffice.devstack.process import spawn
from backoffice.devstack.runtime_dir import create_data_folder, temporary_data_folder
from backoffice.devstack.servers import Addresses, addresses_from_environment, end_status, serving
from backoffice.devstack.supervisor import EndRequested, Supervisor

PROJECT_FOLDER = Path(__file__).resolve().parents[2]
DEFAULT_DATA_FOLDER = PROJECT_FOLDER / "var" / "devstack"
OWN_FAILURE_STATUS = 125
CANNOT_RUN_STATUS = 126
NOT_FOUND_STATUS = 127
DEVSTACK_VARIABLE = "BACKOFFICE_DEVSTACK"
# Any fixed number: two migrations of one database wait for each other.
MIGRATION_LOCK_KEY = 5_203_117_402


def manage(*arguments: str) -> list[str]:
    """The command line of one of the project's own management commands."""
    return [sys.executable, str(PROJECT_FOLDER / "manage.py"), *arguments]


def command_environment(addresses: Addresses, data: Path | None) -> dict[str, str]:
    """This process's environment with the servers' addresses; with own servers also where files and mail go."""
    environment = dict(os.environ)
    environment.update(addresses.environment())
    folder = str(Path(sys.executable).parent)
    path = environment.get("PATH", "/usr/bin:/bin")
    if folder not in path.split(os.pathsep):
        environment["PATH"] = folder + os.pathsep + path
    if data is not None:
        environment[DEVSTACK_VARIABLE] = "1"
        environment.setdefault("BACKOFFICE_PRIVATE_FILES", str(data / "files"))
        environment.setdefault("BACKOFFICE_EMAIL_FOLDER", str(data / "mail"))
    return environment


def run_command(command: Sequence[str], *, data: Path | None, migrate_first: bool, is_durable: bool = True) -> int:
    """Runs *command* with servers on *data* (None: a temporary folder, or those the environment names).

    Returns the command's exit status; 127 or 126 when it cannot be started; 128+n when signal n ended the work before it.
    Raises DevstackError when the servers fail.
    """
    with Supervisor() as supervisor:
        try:
            with _addresses(data, supervisor, is_durable) as (addresses, folder):
                environment = command_environment(addresses, folder)
                if migrate_first:
                    migrate(supervisor, environment)
                return _run(command, supervisor, environment)
        except EndRequested as request:
            return end_status(request.number)


@contextmanager
def _addresses(data: Path | None, supervisor: Supervisor, is_durable: bool) -> Iterator[tuple[Addresses, Path | None]]:
    given = addresses_from_environment()
    if given is not None:
        yield given, None
        return
    folder = temporary_data_folder() if data is None else create_data_folder(data)
    with serving(folder, supervisor, throw_away=data is None, is_durable=is_durable) as addresses:
        yield addresses, folder


def migrate(supervisor: Supervisor, environment: Mapping[str, str]) -> None:
    """Brings the database to the code's schema, one process at a time. What it prints goes to standard error."""
    with Step("migrating the database") as step:
        connection = psycopg2.connect(environment["DATABASE_URL"])
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK_KEY])
            child = spawn(
                "migrate",
                manage("migrate", "--noinput", "--verbosity", "0"),
                environment=environment,
                own_session=False,
                output_to_stderr=True,
            )
            supervisor.run_part(child, tick=step.tick)
        finally:
            connection.close()


def _run(command: Sequence[str], supervisor: Supervisor, environment: Mapping[str, str]) -> int:
    supervisor.raise_if_ended()
    try:
        child = spawn(command[0], command, environment=environment, own_session=False, stdin_closed=False)
    except FileNotFoundError:
        say(f"{command[0]}: command not found")
        return NOT_FOUND_STATUS
    except PermissionError:
        say(f"{command[0]}: not executable")
        return CANNOT_RUN_STATUS
    return supervisor.run(child)
