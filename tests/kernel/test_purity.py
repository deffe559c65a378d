"""The kernel stands alone: importing all of it loads no framework and nothing of the desks."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

from backoffice import kernel

PROJECT = Path(__file__).resolve().parents[2]
FRAMEWORKS = {"django", "rest_framework", "celery", "redis", "psycopg2", "pandas", "numpy"}
DESKS = {"crm", "platform_ops", "funding", "ib", "risk", "marketing"}


def test_importing_the_kernel_loads_no_framework_and_no_desk() -> None:
    names = [f"backoffice.kernel.{module.name}" for module in pkgutil.iter_modules(kernel.__path__)]
    assert "backoffice.kernel.money" in names
    program = (
        "import importlib, json, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = json.loads(done.stdout)
    assert {name.partition(".")[0] for name in loaded} & (FRAMEWORKS | DESKS) == set()
    ours = {name for name in loaded if name.startswith("backoffice.")}
    assert {name for name in ours if not name.startswith("backoffice.kernel")} == set()
