"""Packages for tests: the example of the documentation, changed as a test asks."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.migration.example import AS_OF, EXAMPLE
from backoffice.migration.services.running import migrate_in
from backoffice.migration.types import Report
from backoffice.migration.writing import write_package
from tests.factories.platform import make_brand

SYSTEM = Actor.system("test")
Contents = dict[str, list[dict[str, str]]]


def house(code: str = "newhouse") -> LegalEntity:
    """A legal entity with one brand, into which packages are taken over."""
    entity = LegalEntity.objects.create(code=code, name=code.title(), country="CY", base_currency="EUR")
    make_brand(entity)
    return entity


def example(*only: str) -> Contents:
    """The example's rows, or those of some contents."""
    return deepcopy({name: rows for name, rows in EXAMPLE.items() if not only or name in only})


def write(folder: Path, contents: Contents, *, entity: str = "newhouse", json_lines: bool = False) -> Path:
    """A package in a folder of its own."""
    write_package(folder, entity=entity, contents=contents, as_of=AS_OF, created_at=AS_OF, json_lines=json_lines)
    return folder


def bring_in(folder: Path, *, dry: bool = False) -> Report:
    """Applies the package of a folder."""
    return migrate_in(source=folder, actor=SYSTEM, is_dry_run=dry)


def rewrite(folder: Path, name: str, data: bytes, **stated: Any) -> None:
    """Replaces a file's bytes and has the manifest state them, and whatever else is given."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for file in manifest["files"]:
        if file["name"] == name:
            file |= {"sha256": hashlib.sha256(data).hexdigest(), **stated}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def edit_manifest(folder: Path, **changes: Any) -> None:
    """Changes what the manifest says."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest |= changes
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def codes(report: Report) -> set[str]:
    """The codes of the report's problems."""
    return {problem.code for problem in report.problems}
