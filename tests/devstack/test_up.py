"""The demo's preflight, box, codes and removal."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from django.core.checks import run_checks

from backoffice.devstack import banner, codes, preflight
from backoffice.devstack.codes import LoginRow
from backoffice.devstack.errors import DevstackError
from backoffice.devstack.execute import PROJECT_FOLDER
from backoffice.devstack.logins import DEMO_LOGINS
from tests.devstack.conftest import Devstack, clean_environment


def test_a_taken_port_is_said_before_any_server_starts(
    devstack: Devstack, data_folder: Path, socket_enabled: None
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]

        done = devstack.run("up", "--port", str(port), "--data", str(data_folder))

    assert done.returncode == 125
    assert f"port {port} on 127.0.0.1 is already taken" in done.stderr
    assert f"make demo PORT={port + 1}" in done.stderr
    assert "starting PostgreSQL" not in done.stderr


def test_up_says_that_it_is_not_for_production(devstack: Devstack, data_folder: Path) -> None:
    done = devstack.run("up", "--port", "0", "--data", str(data_folder))

    assert done.returncode == 125
    assert "not for production" in done.stderr
    assert "0 is no port" in done.stderr


def test_reset_refuses_a_folder_that_is_not_its_own(devstack: Devstack, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()

    done = devstack.run("reset", "--yes", "--data", str(tmp_path))

    assert done.returncode == 125
    assert (tmp_path / "precious").exists()


def test_reset_asks_unless_told(devstack: Devstack, data_folder: Path) -> None:
    devstack.run("exec", "--no-migrate", "--data", str(data_folder), "--", "true")

    done = devstack.run("reset", "--data", str(data_folder))

    assert done.returncode == 125
    assert "give --yes" in done.stderr
    assert (data_folder / "postgres").exists()


def test_code_without_a_demo_says_how_to_start_one(devstack: Devstack, data_folder: Path) -> None:
    done = devstack.run("code", "finance@demo.example", "--data", str(data_folder))

    assert done.returncode == 125
    assert "start it with `make demo`" in done.stderr


def test_a_python_too_old_is_said_plainly(tmp_path: Path) -> None:
    import subprocess

    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ncase "$2" in *exit*) exit 1;; *) echo 3.9.2;; esac\n')
    old.chmod(0o755)
    clone = tmp_path / "clone"
    (clone / "scripts").mkdir(parents=True)
    script = clone / "scripts" / "setup.sh"
    script.write_text((PROJECT_FOLDER / "scripts" / "setup.sh").read_text())

    done = subprocess.run(
        ["sh", str(script)], env=clean_environment(PYTHON=str(old)), capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert f"Python 3.11 or newer is needed, but {old} is 3.9.2" in done.stderr


def test_missing_packages_are_named_with_the_command_for_a_plain_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(preflight.shutil, "which", lambda _name: "/usr/bin/apt-get")

    with pytest.raises(DevstackError) as caught:
        preflight.install(["libpango-1.0-0", "chromium"])

    assert str(caught.value) == (
        "missing on this machine: libpango-1.0-0, chromium. Run: sudo apt-get update && "
        "sudo apt-get install -y --no-install-recommends libpango-1.0-0 chromium"
    )


def test_deployment_on_the_embedded_servers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKOFFICE_DEVSTACK", "1")
    refused = {message.id for message in run_checks(tags=["security"], include_deployment_checks=True)}
    monkeypatch.delenv("BACKOFFICE_DEVSTACK")
    allowed = {message.id for message in run_checks(tags=["security"], include_deployment_checks=True)}

    assert "devstack.E001" in refused
    assert "devstack.E001" not in allowed


def test_box_shows_each_login_in_a_closed_frame() -> None:
    rows = [
        LoginRow("Finance", "finance@demo.example", "demo-broker-2026", "123456"),
        LoginRow("Trader", "trader@demo.example", "demo-broker-2026", ""),
    ]

    drawn = banner.demo_box(url="http://127.0.0.1:8000", rows=rows).splitlines()

    assert len({len(line) for line in drawn}) == 1
    assert any("Finance  finance@demo.example  demo-broker-2026  123456" in line for line in drawn)
    assert any("Trader   trader@demo.example   demo-broker-2026  none needed" in line for line in drawn)


def test_there_is_one_demo_login_for_each_role() -> None:
    from backoffice.core.types import Role

    assert sorted(login.role for login in DEMO_LOGINS) == sorted(role.value for role in Role)
    assert [login.title for login in DEMO_LOGINS] == [Role(login.role).label for login in DEMO_LOGINS]


@pytest.mark.django_db
def test_code_is_the_one_that_the_login_accepts() -> None:
    from allauth.mfa.totp.internal import auth as totp
    from django.contrib.auth import get_user_model

    login = DEMO_LOGINS[0]
    user = get_user_model().objects.create_user(email=login.email, full_name=login.full_name, roles=[login.role])
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(user, secret)

    current = codes.current_code(login.email.upper())

    assert totp.validate_totp_code(secret, current.code)
    assert 0 < current.seconds_left <= 30
    assert [(row.email, row.title) for row in codes.login_rows()] == [(login.email, login.title)]


@pytest.mark.django_db
def test_code_of_a_stranger_is_refused() -> None:
    with pytest.raises(DevstackError, match="no user has the address"):
        codes.current_code("nobody@demo.example")
