"""What pip cannot bring, checked before anything starts: Python itself, pango for PDFs, a browser and a MariaDB server for
their tests, a free port.

`python -m backoffice.devstack.preflight [--tests]` installs what is missing when it runs as root on Debian or Ubuntu,
and otherwise names the exact command. Uses the standard library only.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from backoffice.devstack.console import say
from backoffice.devstack.errors import DevstackError
from backoffice.devstack.step import run_quietly

OLDEST_PYTHON = (3, 11)
# Shared libraries that WeasyPrint loads, and the Debian package that holds each.
PDF_LIBRARIES = {
    "libpango-1.0.so.0": "libpango-1.0-0",
    "libpangoft2-1.0.so.0": "libpangoft2-1.0-0",
    "libharfbuzz-subset.so.0": "libharfbuzz-subset0",
}
FONT_PACKAGE = "fonts-dejavu-core"
FONT_FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path("~/.fonts"),
    Path("~/.local/share/fonts"),
)
BROWSER_PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
BROWSER_PACKAGE = "chromium"
# The reader of a trading platform's report database is tested against a real server, which /usr/sbin holds on Debian.
DATABASE_PROGRAMS = ("mariadbd", "/usr/sbin/mariadbd")
DATABASE_PACKAGE = "mariadb-server"


def check_python() -> None:
    """Refuses a Python that is too old, in plain words."""
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(str(part) for part in sys.version_info[:3])
        raise DevstackError(f"Python {found} is too old: 3.11 or newer is needed")


def missing_pdf_packages() -> list[str]:
    """The Debian packages of PDF libraries that cannot be loaded here, and a font when the machine has none."""
    missing = [package for library, package in PDF_LIBRARIES.items() if not _loads(library)]
    if not _has_font():
        missing.append(FONT_PACKAGE)
    return missing


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _has_font() -> bool:
    for folder in FONT_FOLDERS:
        for pattern in ("*.ttf", "*.otf", "*.ttc"):
            if next(folder.expanduser().rglob(pattern), None) is not None:
                return True
    return False


def find_browser() -> str | None:
    """The path of a Chromium that starts, or None. (Ubuntu's package of that name is a stub that does not.)"""
    for program in BROWSER_PROGRAMS:
        path = shutil.which(program)
        if path is None:
            continue
        probe = subprocess.run([path, "--version"], check=False, capture_output=True, stdin=subprocess.DEVNULL)
        if probe.returncode == 0:
            return path
    return None


def find_report_database() -> str | None:
    """The path of a MariaDB server, or None."""
    return next((path for program in DATABASE_PROGRAMS if (path := shutil.which(program))), None)


def check_pdf_libraries() -> None:
    """Refuses to start without the libraries that PDF reports need, naming the command that brings them."""
    missing = missing_pdf_packages()
    if missing:
        raise DevstackError(f"PDF reports need packages that are missing here. Run: {install_command(missing)}")


def check_port(host: str, port: int) -> None:
    """Refuses a port that another program listens on, and says which number it is."""
    if not 1 <= port <= 65535:
        raise DevstackError(f"{port} is no port: give a number from 1 to 65535")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise DevstackError(
                    f"port {port} on {host} is already taken by another program: stop that program, "
                    f"or choose another port with `make demo PORT={port + 1}`"
                ) from error
            if error.errno == errno.EACCES:
                raise DevstackError(f"no right to listen on port {port}: choose one above 1023") from error
            raise


def install_command(packages: Sequence[str]) -> str:
    """The command that a person types to get *packages*."""
    return f"sudo apt-get update && sudo apt-get install -y --no-install-recommends {' '.join(packages)}"


def install(packages: Sequence[str]) -> None:
    """Installs Debian packages, as root; anybody else, and any other system, is told the command."""
    if not packages:
        return
    apt = shutil.which("apt-get")
    if apt is None:
        raise DevstackError(
            f"missing on this machine: {', '.join(packages)} (Debian's names); install them with the system's package manager"
        )
    if os.geteuid() != 0:
        raise DevstackError(f"missing on this machine: {', '.join(packages)}. Run: {install_command(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    steps = {
        "reading the list of system packages": [apt, "update"],
        f"installing {' '.join(packages)}": [apt, "install", "-y", "--no-install-recommends", *packages],
    }
    for label, command in steps.items():
        if run_quietly(label, command, environment=environment) != 0:
            raise DevstackError(f"apt-get failed. Run by hand: {install_command(packages)}")


def install_missing(*, tests: bool) -> None:
    """Brings everything that is missing, or says what to do. Without MariaDB its tests skip, so that one is only said."""
    packages = missing_pdf_packages()
    if tests and find_browser() is None:
        packages.append(BROWSER_PACKAGE)
    if tests and find_report_database() is None:
        if os.geteuid() == 0 and shutil.which("apt-get"):
            packages.append(DATABASE_PACKAGE)
        else:
            say(f"no MariaDB server here: its tests are skipped. To have it: {install_command([DATABASE_PACKAGE])}")
    install(packages)
    still = missing_pdf_packages()
    if still:
        raise DevstackError(f"still missing after the installation: {', '.join(still)}")
    if tests and find_browser() is None:
        raise DevstackError("no working Chromium found after the installation; browser tests need one on the PATH")


def main(arguments: Sequence[str]) -> int:
    """The command line described above."""
    parser = argparse.ArgumentParser(prog="python -m backoffice.devstack.preflight", description=__doc__)
    parser.add_argument("--tests", action="store_true", help="also look for Chromium and MariaDB, which tests need")
    options = parser.parse_args(arguments)
    try:
        check_python()
        install_missing(tests=options.tests)
    except DevstackError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
