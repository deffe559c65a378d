"""Compose file, image and example environment: what they name is there, and every command of theirs really runs."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from django.core.checks import run_checks
from django.db import connection

from backoffice import settings as site_settings
from backoffice.core.models import ProcessHeartbeat
from tests.faults.harness import MAXIMUM_WAIT_SECONDS, database_url

ROOT = Path(__file__).resolve().parents[2]
SITE = ("migrate", "web", "streams", "worker", "pdf-worker", "sync", "beat")
# Known to Docker only; the site never reads them.
COMPOSE_ONLY = {"POSTGRES_PASSWORD", "BACKOFFICE_PORT", "BACKOFFICE_STREAMS_PORT"}
REQUIRED = {"BACKOFFICE_SECRET_KEY", "BACKOFFICE_ENCRYPTION_KEYS", "BACKOFFICE_SIGNING_KEY", "POSTGRES_PASSWORD"}
KEYS = {
    "BACKOFFICE_SECRET_KEY": "a-key-of-the-tests-that-is-long-enough-and-varied-0123456789",
    "BACKOFFICE_ENCRYPTION_KEYS": "t1:dGVzdHMtb25seS1uZXZlci1wcm9kdWN0aW9uLTAwMDE=",
    "BACKOFFICE_SIGNING_KEY": "dGVzdHMtb25seS1uZXZlci1wcm9kdWN0aW9uLTAwMDI=",
}


def compose() -> dict[str, Any]:
    """The compose file, its anchors resolved."""
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))


def example() -> dict[str, tuple[str, bool]]:
    """(value, whether the line is active) by name, as the example environment has them."""
    found = {}
    for line in (ROOT / ".env.example").read_text("utf-8").splitlines():
        if match := re.fullmatch(r"(#?)([A-Z][A-Z0-9_]*)=(.*)", line):
            assert match[2] not in found, f"{match[2]} is named twice"
            found[match[2]] = (match[3], not match[1])
    return found


def read_by_settings() -> dict[str, str | None]:
    """Every variable that the settings of an installation read, with its default where that is a plain value."""
    found: dict[str, str | None] = {}
    for path in sorted({*(ROOT / "backoffice" / "settings").glob("*.py")} - {ROOT / "backoffice/settings/test.py"}):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = ast.unparse(node.func)
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            if called in {"os.environ.get", "os.getenv", "env_bool", "env_int", "env_list", "env_group"} and name:
                given = [*node.args[1:2], *(keyword.value for keyword in node.keywords if keyword.arg == "default")]
                plain = given[0].value if given and isinstance(given[0], ast.Constant) else None
                found[str(name)] = None if plain is None else str(int(plain) if isinstance(plain, bool) else plain)
    return found


def test_the_compose_file_keeps_the_schema_of_its_specification() -> None:
    schema = json.loads((ROOT / "tests" / "operations" / "compose-spec.json").read_text("utf-8"))
    schema["properties"]["name"] = {"type": "string"}  # came after the edition that is kept here
    found = [f"{'/'.join(map(str, error.path))}: {error.message[:200]}" for error in validator(schema)]
    assert found == []


def validator(schema: dict[str, Any]) -> list[jsonschema.ValidationError]:
    """What the compose file breaks of the schema."""
    return list(jsonschema.Draft201909Validator(schema).iter_errors(compose()))


def test_the_services_are_the_product_and_start_in_their_order() -> None:
    services = compose()["services"]
    assert set(services) == {"postgres", "valkey", *SITE}
    for name in SITE:
        after = services[name]["depends_on"]
        assert after["postgres"]["condition"] == after["valkey"]["condition"] == "service_healthy"
        if name != "migrate":
            assert after["migrate"]["condition"] == "service_completed_successfully"
    assert services["migrate"]["restart"] == "no"
    # Whatever is waited for tells its health; nothing but the site is reachable, and that from this machine only.
    assert all("healthcheck" in services[name] for name in ("postgres", "valkey", "web", "streams"))
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(ports) == {"web", "streams"}
    assert all(port.startswith("127.0.0.1:") for listed in ports.values() for port in listed)


def test_the_site_runs_with_no_more_rights_than_it_needs() -> None:
    services = compose()["services"]
    for name in SITE:
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        writable = {volume.split(":")[1] for volume in service["volumes"]}
        assert writable == {"/srv/backoffice/var/files", "/srv/backoffice/var/mail", "/srv/backoffice/var/ticks"}
    images = [service["image"] for service in services.values() if service["image"] != "broker-backoffice"]
    assert all(re.fullmatch(r"[a-z/]+:\d+", image) for image in images)
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert all(f"${{{name}:?" in text for name in REQUIRED)


def test_the_image_is_built_carefully_and_runs_as_nobody_in_particular() -> None:
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    words = [line.split()[0] for line in lines]
    assert re.fullmatch(r"FROM python:3\.11-slim-[a-z]+", lines[0])
    assert words.count("FROM") == words.count("USER") == words.count("CMD") == 1
    assert not {"ADD", "ARG", "VOLUME", "MAINTAINER"} & set(words)
    assert lines[-1].startswith("CMD [")
    # The user is a number (so that "not root" can be checked from outside), and nothing is run after the change to it.
    user = words.index("USER")
    assert int(lines[user].split()[1]) > 0
    assert "RUN" not in words[user:]
    runs = " ".join(line for line in lines if line.startswith("RUN"))
    assert "--no-install-recommends" in runs
    assert "rm -rf /var/lib/apt/lists/*" in runs
    assert "apt-get upgrade" not in runs
    assert "sudo" not in runs
    assert "--no-cache-dir" in runs
    assert "--require-hashes" in runs
    assert "chown -R backoffice var/files var/mail var/ticks" in runs
    # Dependencies are installed before the code is copied, so that a change of the code does not install them anew.
    assert lines.index("COPY requirements.txt .") < lines.index("COPY . .")
    assert not re.search(r"(?i)(secret|password|token|key)\S*=", " ".join(line for line in lines if "ENV" in line))
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert {".git", ".venv", "var", ".env"} <= set(ignored)


def test_the_example_names_exactly_what_the_settings_and_the_compose_file_read() -> None:
    in_compose = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text("utf-8")))
    assert set(example()) == set(read_by_settings()) | in_compose
    assert in_compose == REQUIRED | COMPOSE_ONLY
    assert {name for name, (value, active) in example().items() if active and not value} == REQUIRED


def test_what_the_example_shows_as_a_default_is_the_default() -> None:
    defaults = read_by_settings()
    wrong = {
        name: (value, defaults[name])
        for name, (value, active) in example().items()
        if not active and defaults.get(name) is not None and value != defaults[name]
    }
    assert wrong == {}


def test_the_compose_file_gives_the_whole_environment_to_every_process_of_the_site() -> None:
    services = compose()["services"]
    for name in SITE:
        assert services[name]["env_file"] == ".env"
        assert set(services[name]["environment"]) >= {"DATABASE_URL", "REDIS_URL", *REQUIRED - {"POSTGRES_PASSWORD"}}
        own = services[name]["environment"].get("BACKOFFICE_PROCESS", name)
        assert own == name
    fixed = set(services["web"]["environment"]) - {"PROMETHEUS_MULTIPROC_DIR"}
    assert fixed <= set(read_by_settings())


def production(**more: str) -> dict[str, str]:
    """The environment of an installation: the example, its keys filled in, behind TLS."""
    values = {name: value for name, (value, active) in example().items() if active and name not in COMPOSE_ONLY}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        **values,
        **KEYS,
        "DATABASE_URL": database_url() if connection.settings_dict["HOST"] else "",
        "REDIS_URL": os.environ.get("REDIS_URL", ""),
        "BACKOFFICE_BEHIND_TLS": "1",
        **more,
    }


def command_of(service: str, **replaced: str) -> list[str]:
    """The very command of a service, with the programs of this virtual environment and other addresses."""
    command = compose()["services"][service].get("command") or image_command()
    modules = {"python": [sys.executable], "celery": [sys.executable, "-m", "celery"]}
    modules["gunicorn"] = [sys.executable, "-m", "gunicorn"]
    arguments = [replaced.get(part, part) for part in command[1:]]
    return [*modules[command[0]], *arguments]


def image_command() -> list[str]:
    """What the image runs unless told otherwise."""
    line = (ROOT / "Dockerfile").read_text("utf-8").strip().splitlines()[-1]
    return json.loads(line.removeprefix("CMD "))


def test_the_deployment_check_finds_nothing() -> None:
    found = run_check(production())
    assert found.returncode == 0, found.stderr
    assert "no issues" in found.stdout


@pytest.mark.parametrize(
    ("name", "value", "finding"),
    [
        ("SECRET_KEY", site_settings.DEVELOPMENT_SECRET_KEY, "backoffice.E001"),
        ("SECRET_KEY", "short", "security.W009"),
        ("ENCRYPTION_KEYS", site_settings.DEVELOPMENT_ENCRYPTION_KEYS, "backoffice.E002"),
        ("DEBUG", True, "security.W018"),
        ("SECURE_SSL_REDIRECT", False, "security.W008"),
        ("SESSION_COOKIE_SECURE", False, "security.W012"),
        ("METRICS_TOKEN", "short", "backoffice.E010"),
        ("BACKUP_KEY", "c2hvcnQ=", "backoffice.E011"),
    ],
)
def test_the_deployment_check_refuses_what_must_not_go_out(
    settings: Any, name: str, value: object, finding: str
) -> None:
    setattr(settings, name, value)
    found = {message.id for message in run_checks(tags=["security"], include_deployment_checks=True)}
    assert finding in found


def test_the_deployment_check_refuses_the_embedded_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKOFFICE_DEVSTACK", "1")
    found = {message.id for message in run_checks(tags=["security"], include_deployment_checks=True)}
    assert "devstack.E001" in found


def run_check(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=MAXIMUM_WAIT_SECONDS, check=False
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> int:
    """The status of a page, or 0 where nobody answers yet."""
    request = urllib.request.Request(url, headers={"X-Forwarded-Proto": "https"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.django_db(transaction=True)
def test_every_command_of_the_compose_file_runs(tmp_path: Path) -> None:
    """Started with the very same arguments, on this machine's servers; only addresses and folders are others."""
    web, streams = free_port(), free_port()
    environment = production(
        BACKOFFICE_PRIVATE_FILES=str(tmp_path / "files"),
        BACKOFFICE_EMAIL_FOLDER=str(tmp_path / "mail"),
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path),
    )
    migrate = subprocess.run(
        command_of("migrate"), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert migrate.returncode == 0, migrate.stderr
    commands = {
        "web": command_of("web", **{"--bind=0.0.0.0:8000": f"--bind=127.0.0.1:{web}", "--workers=3": "--workers=1"}),
        "streams": command_of("streams", **{"--bind=0.0.0.0:8001": f"--bind=127.0.0.1:{streams}"}),
        "worker": command_of("worker"),
        "pdf-worker": command_of("pdf-worker"),
        "sync": command_of("sync"),
        "beat": command_of("beat", **{"--schedule=/tmp/beat-schedule": f"--schedule={tmp_path / 'beat'}"}),
    }
    assert set(commands) | {"migrate"} == set(SITE)
    signs = {
        "web": lambda: answers(f"http://127.0.0.1:{web}/healthz") == 200,
        "streams": lambda: answers(f"http://127.0.0.1:{streams}/streams/healthz") == 200,
        "worker": lambda: "ready." in log("worker"),
        "pdf-worker": lambda: "ready." in log("pdf-worker"),
        "sync": lambda: ProcessHeartbeat.objects.filter(name="sync_servers").exists(),
        "beat": lambda: ProcessHeartbeat.objects.filter(name="beat").exists(),
    }

    def log(name: str) -> str:
        return (tmp_path / f"{name}.log").read_text(errors="replace")

    running = {}
    try:
        for name, command in commands.items():
            with (tmp_path / f"{name}.log").open("wb") as output:
                running[name] = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env={**environment, "BACKOFFICE_PROCESS": name},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        deadline = time.monotonic() + MAXIMUM_WAIT_SECONDS
        waiting = set(running)
        while waiting:
            waiting -= {name for name in waiting if signs[name]()}
            ended = [name for name, process in running.items() if process.poll() is not None]
            assert not ended, f"{shlex.join(commands[ended[0]])} ended:\n{log(ended[0])[-3000:]}"
            assert time.monotonic() < deadline, f"no sign of {waiting}:\n" + "\n".join(
                log(name)[-2000:] for name in waiting
            )
            time.sleep(0.1)
        assert answers(f"http://127.0.0.1:{web}/metrics") == 404
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
