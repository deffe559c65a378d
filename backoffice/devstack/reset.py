"""`devstack reset`: removes a data folder, after asking."""

from __future__ import annotations

import sys
from pathlib import Path

from backoffice.devstack.console import say
from backoffice.devstack.errors import DevstackError
from backoffice.devstack.runtime_dir import pointed_home, remove_data_folder
from backoffice.devstack.servers import LOCK_NAME, take_folder

DECLINED_STATUS = 1


def reset(*, data: Path, confirmed: bool) -> int:
    """Removes everything in *data* and its private folder. Refused while servers run there, or when it is no data folder."""
    if not data.exists():
        say(f"nothing to remove: {data} does not exist")
        return 0
    folder = data.resolve()
    if not (folder / LOCK_NAME).is_file():
        raise DevstackError(f"{folder} was not made by devstack; it stays as it is")
    servers = take_folder(folder)
    try:
        home = pointed_home(folder)
        places = str(folder) if home is None else f"{folder} and {home}"
        if not confirmed and not _agreed(f"Remove all demo data in {places}? [y/N] "):
            say("nothing was removed")
            return DECLINED_STATUS
        remove_data_folder(folder)
    finally:
        servers.release()
    say(f"removed {places}; the next `make demo` starts over")
    return 0


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise DevstackError("nobody is there to ask: give --yes to remove the data")
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
