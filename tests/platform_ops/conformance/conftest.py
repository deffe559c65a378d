"""Every test of the suite runs in every registered world; a world is built once."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform_ops.conformance.worlds import WORLDS, World

# Modules named *_worlds.py register theirs.
for module in sorted(Path(__file__).parent.glob("*_worlds.py")):
    importlib.import_module(f"tests.platform_ops.conformance.{module.stem}")


@pytest.fixture(scope="module", params=sorted(WORLDS))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A connector in its world."""
    with WORLDS[request.param]() as built:
        yield built
