"""Every report test has private files of its own, so that what is left over is seen."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def private_files(settings, tmp_path):
    """The folder in which issued files and the signing key are kept during the test."""
    folder = tmp_path / "private"
    backend = settings.STORAGES["default"]["BACKEND"]
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend, "OPTIONS": {"location": str(folder)}}}
    return folder
