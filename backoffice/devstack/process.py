"""Starts and stops single child processes so that none outlives its supervisor.

Each child asks the kernel for a signal at the death of its parent (PR_SET_PDEATHSIG), so even a supervisor that is
killed with SIGKILL leaves nothing behind. A child never daemonises and keeps no terminal.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from backoffice.devstack.errors import DevstackError

PR_SET_PDEATHSIG = 1
STOP_GRACE_SECONDS = 30.0
QUIT_GRACE_SECONDS = 5.0
POLL_SECONDS = 0.02
LOG_MAX_BYTES = 16 * 1024 * 1024
LOG_TAIL_LINES = 15
UNPRIVILEGED_USER = "nobody"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Identity:
    """The operating-system user that a server runs as."""

    uid: int
    gid: int


def unprivileged_identity() -> Identity:
    """The account that stands in for root: database servers refuse to run as root, and no user is added for them."""
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError as error:
        raise DevstackError(
            f"the servers must not run as root and this machine has no user '{UNPRIVILEGED_USER}' to run them as; "
            "run the command as a plain user"
        ) from error
    return Identity(uid=entry.pw_uid, gid=entry.pw_gid)


@dataclass
class Child:
    """A running process with the way it wants to be stopped."""

    name: str
    popen: subprocess.Popen[bytes]
    stop_signals: tuple[signal.Signals, ...]
    log: Path | None
    stopping: bool = field(default=False)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def exit_status(self) -> int | None:
        """The status as a shell shows it (128+n for signal n), or None while the process runs."""
        code = self.popen.poll()
        return None if code is None else shell_status(code)

    def describe_end(self) -> str:
        """How the process ended, in words."""
        code = self.popen.poll()
        if code is None:
            return "still runs"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with status {code}"


def shell_status(code: int) -> int:
    """A Popen return code as a shell's exit status: 128+n when signal n ended the process."""
    return code if code >= 0 else 128 - code


def _preparation(parent: int, death_signal: signal.Signals) -> Callable[[], None]:
    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the request above was made
            os._exit(1)

    return prepare


def open_log(path: Path) -> IO[bytes]:
    """Opens *path* for appending; a log past its bound is set aside as `.1` first, so logs never grow without end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_MAX_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def log_tail(path: Path | None) -> str:
    """The last lines of a log, indented, or nothing when there is none."""
    if path is None or not path.exists():
        return ""
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - 8192))
        lines = handle.read().decode("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:]
    return "".join(f"\n    {line}" for line in lines)


def spawn(
    name: str,
    argv: Sequence[str | os.PathLike[str]],
    *,
    environment: Mapping[str, str],
    folder: Path | None = None,
    log: Path | None = None,
    identity: Identity | None = None,
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM,),
    own_session: bool = True,
    stdin_closed: bool = True,
    output_to_stderr: bool = False,
) -> Child:
    """Starts *argv* as a child of this process.

    With *own_session* the child does not get the terminal's Ctrl-C: the supervisor decides the order of stopping.
    With *log* both outputs are appended to that file; with *output_to_stderr* its standard output goes to ours.
    Raises OSError when the program cannot be started.
    """
    handle = open_log(log) if log is not None else None
    output: IO[bytes] | int | None = handle
    if handle is None and output_to_stderr:
        output = 2
    try:
        popen = subprocess.Popen(
            [os.fspath(part) for part in argv],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL if stdin_closed else None,
            stdout=output,
            stderr=subprocess.STDOUT if handle is not None else None,
            user=None if identity is None else identity.uid,
            group=None if identity is None else identity.gid,
            extra_groups=None if identity is None else [],
            start_new_session=own_session,
            preexec_fn=_preparation(os.getpid(), stop_signals[0]),
        )
    finally:
        if handle is not None:
            handle.close()
    return Child(name=name, popen=popen, stop_signals=stop_signals, log=log)


def stop(child: Child, *, grace: float = STOP_GRACE_SECONDS) -> None:
    """Ends *child* by its stop signals, each with a bounded wait, at last by SIGKILL, and reaps it."""
    child.stopping = True
    waits = [grace] + [QUIT_GRACE_SECONDS] * len(child.stop_signals)
    for sent, wait in zip((*child.stop_signals, signal.SIGKILL), waits, strict=True):
        if child.popen.poll() is not None:
            return
        child.popen.send_signal(sent)
        try:
            child.popen.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            continue


def process_began(pid: int) -> str | None:
    """The kernel's start tick of process *pid*, which tells it from a later process with the same number; None if gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Asks *condition* every 20 ms for at most *seconds*; True as soon as it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
