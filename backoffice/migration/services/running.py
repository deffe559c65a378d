"""Bringing a package in, whichever form it has: the one door for commands and jobs."""

from __future__ import annotations

from pathlib import Path

from backoffice.core.types import Actor
from backoffice.migration.package import open_package
from backoffice.migration.services.broker_import import rebuild_broker
from backoffice.migration.services.takeover import apply_takeover
from backoffice.migration.types import BROKER, Report


def migrate_in(*, source: Path, actor: Actor, is_dry_run: bool) -> Report:
    """Applies the package of a folder or zip file, or says what applying it would do.

    A take-over is applied to its legal entity; a whole broker is rebuilt in an empty database. Raises InvalidInput for
    what is no package; what is wrong inside is told in the report, and then nothing was kept.
    """
    with open_package(source) as package:
        if package.form == BROKER:
            return rebuild_broker(package=package, actor=actor, is_dry_run=is_dry_run)
        return apply_takeover(package=package, actor=actor, is_dry_run=is_dry_run)
