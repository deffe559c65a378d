"""`devstack up`: the whole demo on one machine, from empty folder to login page.

Servers, migrations, seed, then web, worker, beat and market under one supervisor. Ctrl-C stops them in reverse order.
"""

from __future__ import annotations

import http.client
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg2

from backoffice.devstack import preflight
from backoffice.devstack.console import Step, say
from backoffice.devstack.errors import DevstackError
from backoffice.devstack.execute import PROJECT_FOLDER, command_environment, manage, migrate
from backoffice.devstack.process import Child, spawn
from backoffice.devstack.runtime_dir import create_data_folder
from backoffice.devstack.servers import Addresses, EmbeddedServers, addresses_from_environment, take_folder
from backoffice.devstack.supervisor import EndRequested, Supervisor

DEMO_LABEL = "Demo"
HOST = "127.0.0.1"
DEFAULT_PORT = 8000
READY_SECONDS = 120.0
REQUEST_SECONDS = 5.0
SEEDING_NAME = "seeding"
WEB_PROCESSES = 2
WEB_THREADS = 4
WORKER_PROCESSES = 2


@dataclass(frozen=True)
class Service:
    """One long-running process of the demo."""

    name: str
    argv: list[str]
    is_renewed: bool = False
    """Started again when it dies, while the rest goes on."""


def run_demo(*, data: Path, port: int) -> int:
    """Runs the demo until Ctrl-C (returns 0) or until one of its processes dies (raises DevstackError, which names it)."""
    say("the embedded servers are for demo, tests and bench only: not for production")
    folder = create_data_folder(data)
    servers = take_folder(folder)
    try:
        preflight.check_python()
        preflight.check_pdf_libraries()
        preflight.check_port(HOST, port)
        preflight.check_port(HOST, streams_port(port))
        preflight.check_port(HOST, trading_port(port))
        for number in provider_ports(port):
            preflight.check_port(HOST, number)
        with Supervisor(announce_stops=True) as supervisor:
            try:
                with _addresses(servers, supervisor) as addresses:
                    _run(servers, supervisor, addresses, port)
            except EndRequested as request:
                say(f"{request.number.name} received: stopping")
    finally:
        servers.release()
    say("stopped; the data is kept")
    return 0


@contextmanager
def _addresses(servers: EmbeddedServers, supervisor: Supervisor) -> Iterator[Addresses]:
    given = addresses_from_environment()
    yield given if given is not None else servers.start(supervisor)


def _run(servers: EmbeddedServers, supervisor: Supervisor, addresses: Addresses, port: int) -> None:
    environment = command_environment(addresses, servers.data)
    if addresses_from_environment() is not None:
        environment.pop("BACKOFFICE_DEVSTACK", None)
    # Nobody may take a demo for the real thing: every page of the desk says so, unless it was given another name.
    environment.setdefault("BACKOFFICE_ENVIRONMENT", DEMO_LABEL)
    # Nothing stands in front of the demo, so its streams answer on a port of their own, to the site's pages alone.
    environment.setdefault("BACKOFFICE_STREAMS", str(streams_port(port)))
    environment.setdefault("BACKOFFICE_PUBLIC_URL", f"http://{HOST}:{port}")
    environment.setdefault("BACKOFFICE_TRUSTED_ORIGINS", f"http://{HOST}:{port},http://localhost:{port}")
    migrate(supervisor, environment)
    _seed(servers, supervisor, environment)
    for service in services(servers.data, port):
        start = partial(_start, service, servers, environment)
        supervisor.add(start(), renew=start if service.is_renewed else None)
    url = f"http://{HOST}:{port}"
    _wait_until_ready(supervisor, port)
    servers.note_value("url", url)
    _show_box(supervisor, environment, url)
    supervisor.run_until_ended()


def _start(service: Service, servers: EmbeddedServers, environment: Mapping[str, str]) -> Child:
    child = spawn(
        service.name,
        service.argv,
        environment={**environment, "BACKOFFICE_PROCESS": service.name},
        folder=PROJECT_FOLDER,
        log=servers.data / "logs" / f"{service.name}.log",
        stop_signals=(signal.SIGTERM, signal.SIGQUIT),
    )
    servers.note(child)
    return child


def trading_port(port: int) -> int:
    """Where the simulated trading server answers, beside the site and its streams."""
    return port + 2


def provider_ports(port: int) -> tuple[int, int]:
    """Where the simulated liquidity provider tells its executions, and where it takes orders."""
    return port + 3, port + 4


def streams_port(port: int) -> int:
    """Where the streams answer, beside the site."""
    return port + 1


def services(data: Path, port: int) -> list[Service]:
    """The processes of the demo in the order of their start."""
    (data / "beat").mkdir(exist_ok=True)
    celery = [sys.executable, "-m", "celery", "-A", "backoffice"]
    worker = [*celery, "worker", f"--concurrency={WORKER_PROCESSES}", "--loglevel=INFO"]
    beat = [*celery, "beat", f"--schedule={data / 'beat' / 'schedule'}", "--pidfile=", "--loglevel=INFO"]
    web = [sys.executable, "-m", "gunicorn", "backoffice.wsgi:application", f"--bind={HOST}:{port}"]
    web += [f"--workers={WEB_PROCESSES}", f"--threads={WEB_THREADS}", "--access-logfile=-", "--graceful-timeout=5"]
    streams = [sys.executable, "-m", "gunicorn", "-k", "asgi", "backoffice.streams.asgi:application"]
    streams += [f"--bind={HOST}:{streams_port(port)}", "--workers=1", "--graceful-timeout=2"]
    wanted = [
        Service("worker", worker),
        Service("beat", beat),
        Service("web", web),
        Service("streams", streams),
    ]
    trading_folder = data / "trading_server"
    trading_server = manage("trading_server", f"--port={trading_port(port)}", f"--folder={trading_folder}")
    provider_folder = data / "drop_copy"
    provider = manage("drop_copy_provider", f"--port={provider_ports(port)[0]}", f"--folder={provider_folder}")
    wanted += [
        # It stands for a server outside the house: it may die and come back, and the house must find what it missed.
        Service("trading_server", trading_server, is_renewed=True),
        Service("drop_copy_provider", provider, is_renewed=True),
        Service("sync_servers", manage("sync_servers")),
        Service("market", manage("market", "--over-the-wire")),
    ]
    return wanted


def _seed(servers: EmbeddedServers, supervisor: Supervisor, environment: Mapping[str, str]) -> None:
    """Fills an empty database with the demo broker; a seed that was interrupted is said, not built upon."""
    marker = servers.data / SEEDING_NAME
    if marker.exists():
        raise DevstackError(
            "an earlier seed of this data folder did not finish: run `make demo-reset`, then `make demo`"
        )
    if _has_legal_entity(environment["DATABASE_URL"]):
        return
    marker.touch()
    with Step("seeding the demo broker", in_place=False) as step:
        child = spawn(
            "seed_demo", manage("seed_demo"), environment=environment, own_session=False, output_to_stderr=True
        )
        supervisor.run_part(child, tick=step.tick)
    marker.unlink()


def _has_legal_entity(url: str) -> bool:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT 1 FROM core_legalentity)")
            return cursor.fetchone() == (True,)
    finally:
        connection.close()


def _wait_until_ready(supervisor: Supervisor, port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    answer = "no answer"
    with Step(f"waiting for http://{HOST}:{port}/readyz") as step:
        while True:
            supervisor.raise_if_ended()
            status, answer = ask(port, "/readyz")
            if status == 200:
                return
            if time.monotonic() > deadline:
                raise DevstackError(f"the site did not become ready in {READY_SECONDS:.0f} s: {status} {answer}")
            step.tick()
            supervisor.wait()


def ask(port: int, path: str) -> tuple[int, str]:
    """The status and the start of the body of one GET; status 0 when nothing answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=REQUEST_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(2000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def _show_box(supervisor: Supervisor, environment: Mapping[str, str], url: str) -> None:
    arguments = manage("devstack", "logins", "--url", url)
    with Step("reading the logins") as step:
        supervisor.run_part(spawn("logins", arguments, environment=environment, own_session=False), tick=step.tick)
