"""Crash points do nothing until a test asks for a crash, and know their names."""

from __future__ import annotations

import pytest

from backoffice.core import crash_points
from backoffice.kernel.errors import Misconfigured


def test_without_the_variable_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRASH_AT", raising=False)

    crash_points.reach("core.jobs.after_claim")


def test_another_points_variable_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRASH_AT", "core.outbox.after_commit:1")

    crash_points.reach("core.jobs.after_claim")


def test_a_point_that_nobody_declared_is_a_mistake() -> None:
    with pytest.raises(Misconfigured):
        crash_points.reach("core.nowhere")
