"""Folders beside the database and the private files that a backup takes along: large data that a desk keeps in files.

A desk registers its folder once. A backup may leave it out; who restores such a backup into an empty folder then has the
rows forgotten that name its files, so that nothing claims to be there that is not.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.registry import Registry

PARTIAL = ".partial"
"""Files of this ending are being written and not whole; no backup takes them."""


@dataclass(frozen=True, slots=True)
class BackupFolder:
    """A folder of files that never change once their name stands. `forget` removes the rows that name them; how many."""

    name: str
    label: str
    path: Callable[[], Path]
    forget: Callable[[], int]

    @property
    def archive(self) -> str:
        """The name of its part of a backup."""
        return f"{self.name}.tar"


_folders: Registry[BackupFolder] = Registry("folders of backups")


def register_backup_folder(folder: BackupFolder) -> None:
    """Has backups take the folder along; called once when the application starts."""
    _folders.register(folder.name, folder)


def backup_folders() -> list[BackupFolder]:
    """All of them, in the order of registration."""
    return [folder for _, folder in _folders.items()]


def folders_named(names: list[str]) -> list[BackupFolder]:
    """The folders of these names. Raises InvalidInput for one that there is not."""
    known = dict(_folders.items())
    if unknown := sorted(set(names) - set(known)):
        raise InvalidInput(
            f"There is no folder {unknown[0]!r}; there are: {', '.join(sorted(known))}.",
            field="without",
            value=unknown[0],
        )
    return [known[name] for name in names]


def has_files(folder: Path | None) -> bool:
    """Whether something lies there."""
    return folder is not None and folder.exists() and any(folder.iterdir())


def pack(folder: Path, target: Path) -> int:
    """Packs every whole file below *folder*; how many. One that is removed meanwhile is left out."""
    count = 0
    with tarfile.open(target, "w") as archive:
        for path in sorted(folder.rglob("*")) if folder.exists() else []:
            if not path.is_file() or path.is_symlink() or path.suffix == PARTIAL:
                continue
            try:
                archive.add(path, arcname=str(path.relative_to(folder)), recursive=False)
            except FileNotFoundError:
                continue
            count += 1
    return count


def unpack(archive: Path, folder: Path) -> int:
    """Unpacks into *folder*, which is made; how many files. Nothing is written outside of it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tarfile.open(archive) as packed:
        members = packed.getmembers()
        packed.extractall(folder, members=members, filter="data")
    return len(members)
