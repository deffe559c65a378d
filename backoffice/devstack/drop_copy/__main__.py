"""`python -m backoffice.devstack.drop_copy FILE`: the provider that the file describes, until it is told to stop.

The file is JSON: comp_id, house, username, password, host, port, control_port, tells_twice, memory.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from backoffice.devstack.drop_copy.memory import Memory
from backoffice.devstack.drop_copy.provider import Plan, Provider


async def serve(plan: dict[str, Any]) -> None:
    """Runs until SIGTERM or SIGINT."""
    memory = plan.pop("memory", None)
    provider = Provider(Plan(**plan), Memory(Path(memory) if memory else None))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, provider.stop)
    await provider.run(
        ready=lambda: print(f"provider: listening on {provider.port}, orders on {provider.control_port}", flush=True)
    )


def main(arguments: list[str]) -> int:
    """Serves the description in the one file that is named."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    asyncio.run(serve(json.loads(Path(arguments[0]).read_text(encoding="utf-8"))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
