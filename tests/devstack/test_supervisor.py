"""A child that stands for something outside may die and is started again; any other ends the work and is named."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from backoffice.devstack import supervisor as module
from backoffice.devstack.process import Child, spawn, wait_until
from backoffice.devstack.supervisor import DeadChildError, Supervisor

SECONDS = 10.0


def _child(name: str, script: str) -> Callable[[], Child]:
    return lambda: spawn(name, [sys.executable, "-S", "-c", script], environment=dict(os.environ))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEWAL_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(module, "MOST_RENEWALS", 2)


def test_a_renewable_child_that_is_killed_is_started_again(capfd: pytest.CaptureFixture[str]) -> None:
    start = _child("outside", "import time; time.sleep(60)")
    with Supervisor() as supervisor:
        first = supervisor.add(start(), renew=start)
        first.popen.kill()
        assert wait_until(lambda: first.exit_status() is not None, seconds=SECONDS)

        supervisor.raise_if_ended()
        supervisor.raise_if_ended()

        (second,) = supervisor._children
        assert second.pid != first.pid
        assert second.exit_status() is None
    assert second.exit_status() is not None
    assert "outside was ended by SIGKILL; it is started again" in capfd.readouterr().err


def test_one_that_dies_again_and_again_is_named_at_last() -> None:
    start = _child("outside", "raise SystemExit(3)")
    with Supervisor() as supervisor, pytest.raises(DeadChildError, match="outside ended with status 3"):
        supervisor.add(start(), renew=start)
        for _ in range(10):
            (child,) = supervisor._children
            wait_until(lambda child=child: child.exit_status() is not None, seconds=SECONDS)
            supervisor.raise_if_ended()


def test_any_other_child_ends_the_work() -> None:
    with Supervisor() as supervisor:
        child = supervisor.add(_child("inside", "raise SystemExit(3)")())
        assert wait_until(lambda: child.exit_status() is not None, seconds=SECONDS)
        with pytest.raises(DeadChildError, match="inside ended with status 3"):
            supervisor.raise_if_ended()
