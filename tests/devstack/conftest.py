"""Drives the embedded stack as a person does: as a process of its own, on a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backoffice.devstack.execute import PROJECT_FOLDER

OUR_VARIABLES = {
    "DATABASE_URL",
    "REDIS_URL",
    "BACKOFFICE_DEVSTACK",
    "BACKOFFICE_DEVSTACK_SHARED_BUFFERS",
    "BACKOFFICE_PRIVATE_FILES",
    "BACKOFFICE_EMAIL_FOLDER",
}
WAIT_SECONDS = 60


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without the servers that serve the test run itself."""
    kept = {name: value for name, value in os.environ.items() if name not in OUR_VARIABLES}
    return {**kept, "BACKOFFICE_DEVSTACK_SHARED_BUFFERS": "32MB", **extra}


@dataclass(frozen=True)
class Devstack:
    """The command line under test."""

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "backoffice.devstack", *arguments]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*arguments),
            cwd=PROJECT_FOLDER,
            env=clean_environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*arguments),
            cwd=PROJECT_FOLDER,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def devstack() -> Devstack:
    return Devstack()


@pytest.fixture
def data_folder(devstack: Devstack) -> Iterator[Path]:
    """A path for a data folder that the servers' user can pass through; what is made there is removed."""
    parent = Path(tempfile.mkdtemp(prefix="backoffice-test-"))
    parent.chmod(0o711)
    yield parent / "data"
    if (parent / "data").exists():
        devstack.run("reset", "--yes", "--data", str(parent / "data"))
    shutil.rmtree(parent)


def wait_for_state(data: Path) -> dict:
    """The state file of servers that have become ready."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            state = json.loads((data / "state.json").read_text())
        except FileNotFoundError:
            state = {}
        if state.get("ready"):
            return state
        time.sleep(0.02)
    raise AssertionError(f"no servers became ready on {data}")


def wait_for_file(path: Path) -> None:
    """Returns when *path* exists."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)
