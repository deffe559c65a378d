"""`devstack exec`: exit status, output, data, joining, signals, and the death of every process involved."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from backoffice.devstack.process import process_began, wait_until
from tests.devstack.conftest import Devstack, wait_for_file, wait_for_state

SQL = """
import os, sys, psycopg2
connection = psycopg2.connect(os.environ["DATABASE_URL"])
connection.autocommit = True
cursor = connection.cursor()
for statement in sys.argv[1:]:
    cursor.execute(statement)
    if cursor.description:
        print(cursor.fetchone()[0])
"""


def sql(*statements: str) -> list[str]:
    return [sys.executable, "-c", SQL, *statements]


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["no-such-program-anywhere"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_exit_status_is_the_commands(devstack: Devstack, command: list[str], status: int) -> None:
    done = devstack.run("exec", "--no-migrate", "--", *command)

    assert done.returncode == status


def test_only_the_command_writes_on_standard_output(devstack: Devstack) -> None:
    done = devstack.run("exec", "--no-migrate", "--", "echo", "--data", "is mine")

    assert done.stdout == "--data is mine\n"
    assert "starting PostgreSQL and Valkey" in done.stderr
    assert "stopping PostgreSQL and Valkey" in done.stderr


def test_exec_without_a_command_is_a_usage_error(devstack: Devstack) -> None:
    done = devstack.run("exec", "--no-migrate")

    assert done.returncode == 2
    assert "exec needs a command after --" in done.stderr


def test_without_data_folder_nothing_is_left(devstack: Devstack) -> None:
    done = devstack.run("exec", "--no-migrate", "--", "sh", "-c", 'echo "$BACKOFFICE_PRIVATE_FILES"')

    folder = Path(done.stdout.strip()).parent
    assert folder.name.startswith("backoffice-devstack-")
    assert not folder.exists()


def test_data_is_kept_between_runs(devstack: Devstack, data_folder: Path) -> None:
    remember = (
        "import os, redis; client = redis.from_url(os.environ['REDIS_URL']); "
        "print(client.get('word')); client.set('word', 'kept')"
    )
    at_data = ("exec", "--data", str(data_folder), "--no-migrate", "--")

    devstack.run(*at_data, *sql("CREATE TABLE kept AS SELECT 42 AS answer"))
    first = devstack.run(*at_data, sys.executable, "-c", remember)
    second = devstack.run(*at_data, sys.executable, "-c", remember)
    table = devstack.run(*at_data, *sql("SELECT answer FROM kept"))

    assert (first.stdout, second.stdout, table.stdout) == ("None\n", "b'kept'\n", "42\n")


def test_servers_are_durable_private_and_set_as_written(devstack: Devstack) -> None:
    names = ["fsync", "data_checksums", "full_page_writes", "jit", "max_locks_per_transaction", "wal_level"]
    names += ["listen_addresses", "shared_buffers", "server_encoding", "datcollate", "upper", "current_user"]
    queries = [f"SHOW {name}" for name in names[:9]]
    queries += ["SELECT datcollate FROM pg_database WHERE datname = current_database()"]
    queries += ["SELECT upper('žluťoučký')", "SELECT current_user"]

    done = devstack.run("exec", "--no-migrate", "--", *sql(*queries))

    assert dict(zip(names, done.stdout.split("\n"), strict=False)) == {
        "fsync": "on",
        "data_checksums": "on",
        "full_page_writes": "on",
        "jit": "off",
        "max_locks_per_transaction": "1024",
        "wal_level": "replica",
        "listen_addresses": "",
        "shared_buffers": "32MB",  # from the environment
        "server_encoding": "UTF8",
        "datcollate": "C",
        "upper": "ŽLUŤOUČKÝ",
        "current_user": "backoffice",
    }


def test_only_what_is_thrown_away_need_not_outlive_a_power_cut(devstack: Devstack, data_folder: Path) -> None:
    quick = devstack.run("exec", "--no-migrate", "--not-durable", "--", *sql("SHOW fsync", "SHOW synchronous_commit"))
    kept = devstack.run("exec", "--data", str(data_folder), "--not-durable", "--", "true")

    assert quick.stdout == "off\non\n"
    assert kept.returncode != 0 and "thrown away" in kept.stderr


def test_sockets_and_data_are_closed_to_other_users(devstack: Devstack, data_folder: Path) -> None:
    look = 'ls -d $(dirname $(python -c \'import os;print(os.environ["REDIS_URL"][7:].split("?")[0])\'))'
    done = devstack.run("exec", "--data", str(data_folder), "--no-migrate", "--", "sh", "-c", f"stat -c %a $({look})")

    assert done.stdout == "700\n"
    assert stat.S_IMODE((data_folder / "postgres").stat().st_mode) == 0o700
    assert stat.S_IMODE((data_folder / "valkey").stat().st_mode) == 0o700


def test_second_command_joins_and_the_first_waits_for_it(devstack: Devstack, data_folder: Path, tmp_path: Path) -> None:
    at_data = ("exec", "--data", str(data_folder), "--no-migrate", "--")
    first = devstack.start(*at_data, "sh", "-c", f"while [ ! -e {tmp_path}/joined ]; do sleep 0.02; done")
    wait_for_state(data_folder)

    second = devstack.start(
        *at_data, "sh", "-c", f"touch {tmp_path}/joined; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; exit 5"
    )
    wait_for_file(tmp_path / "joined")
    assert first.stderr is not None
    for line in first.stderr:
        if "waiting for commands that joined" in line:
            break
    third = devstack.run(*at_data, *sql("SELECT 'still served'"))
    (tmp_path / "go").touch()

    _, second_errors = second.communicate(timeout=60)
    first.communicate(timeout=60)
    assert (third.stdout, second.returncode, first.returncode) == ("still served\n", 5, 0)
    assert f"joining the servers that run on {data_folder}" in second_errors
    assert "stopping" not in second_errors
    assert not (data_folder / "state.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_is_passed_on_and_everything_stops(
    devstack: Devstack, data_folder: Path, number: signal.Signals
) -> None:
    running = devstack.start("exec", "--data", str(data_folder), "--no-migrate", "--", "sleep", "300")
    state = wait_for_state(data_folder)

    running.send_signal(number)
    running.communicate(timeout=60)

    assert running.returncode == 128 + number
    assert [process_began(pid) for pid, _ in state["children"].values()] == [None, None]


@pytest.mark.faults
@pytest.mark.parametrize(("name", "other"), [("postgres", "valkey"), ("valkey", "postgres")])
def test_dead_server_is_named_and_stops_all(devstack: Devstack, data_folder: Path, name: str, other: str) -> None:
    running = devstack.start("exec", "--data", str(data_folder), "--no-migrate", "--", "sleep", "300")
    children = wait_for_state(data_folder)["children"]

    os.kill(children[name][0], signal.SIGKILL)
    _, errors = running.communicate(timeout=60)

    assert running.returncode == 125
    assert f"error: {name} was ended by SIGKILL unexpectedly" in errors
    assert process_began(children[other][0]) is None


@pytest.mark.faults
def test_killed_supervisor_leaves_no_process_and_no_damage(devstack: Devstack, data_folder: Path) -> None:
    at_data = ("exec", "--data", str(data_folder), "--no-migrate", "--")
    devstack.run(*at_data, *sql("CREATE TABLE kept AS SELECT 1 AS one"))
    running = devstack.start(*at_data, "sleep", "300")
    children = wait_for_state(data_folder)["children"]

    running.kill()
    running.communicate(timeout=60)
    after = devstack.run(*at_data, *sql("SELECT one FROM kept"))

    assert after.stdout == "1\n"
    for pid, began in children.values():
        assert wait_until(lambda pid=pid, began=began: process_began(pid) != began, seconds=30)


def test_second_supervisor_is_refused(devstack: Devstack, data_folder: Path) -> None:
    running = devstack.start("exec", "--data", str(data_folder), "--no-migrate", "--", "sleep", "300")
    state = wait_for_state(data_folder)

    refused = [devstack.run(*arguments, "--data", str(data_folder)) for arguments in (("up",), ("reset", "--yes"))]
    running.terminate()
    running.communicate(timeout=60)

    for done in refused:
        assert done.returncode == 125
        assert f"already in use by process {state['pid']}" in done.stderr


def test_named_servers_are_used_and_none_is_started(devstack: Devstack, data_folder: Path) -> None:
    addresses = {"DATABASE_URL": "postgresql://somebody@elsewhere/books", "REDIS_URL": "redis://elsewhere/0"}
    show = "import json, os; print(json.dumps({name: os.environ.get(name) for name in "
    show += "('DATABASE_URL', 'REDIS_URL', 'BACKOFFICE_DEVSTACK')}))"

    done = devstack.run(
        "exec", "--data", str(data_folder), "--no-migrate", "--", sys.executable, "-c", show, **addresses
    )

    assert json.loads(done.stdout) == {**addresses, "BACKOFFICE_DEVSTACK": None}
    assert done.stderr == ""
    assert not data_folder.exists()


def test_one_address_without_the_other_is_refused(devstack: Devstack) -> None:
    done = devstack.run("exec", "--no-migrate", "--", "true", DATABASE_URL="postgresql://somebody@elsewhere/books")

    assert done.returncode == 125
    assert "REDIS_URL is not set" in done.stderr


def test_sockets_move_when_the_data_path_is_too_long(devstack: Devstack, data_folder: Path) -> None:
    deep = data_folder.parent / ("long-" * 12) / ("path-" * 12)
    done = devstack.run("exec", "--data", str(deep), "--no-migrate", "--", *sql("SHOW unix_socket_directories"))

    sockets = Path(done.stdout.strip())
    assert sockets.name.startswith("backoffice-run-")
    assert not sockets.exists()
    assert devstack.run("reset", "--yes", "--data", str(deep)).returncode == 0
