"""The documents say what is there: their links lead somewhere, their commands and variables exist, the picture is current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("[a-z]*/**/README.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
MANAGE = re.compile(r"manage\.py (?:devstack exec (?:--data \S+ )?-- python manage\.py )?([a-z][a-z_]+)")
OUR_VARIABLE = re.compile(r"\b(?:BACKOFFICE_[A-Z0-9_]+|DATABASE_URL|REDIS_URL|SAMPLE_DATA_DIR)\b")
# Set by the product for its own processes, or by a test; nobody configures them.
INTERNAL_VARIABLES = {"BACKOFFICE_DEVSTACK", "BACKOFFICE_PORT", "BACKOFFICE_STREAMS_PORT"}
ROOMS = ("backoffice", "crm", "platform_ops", "funding", "ib", "risk", "marketing")


def _named(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_links_lead_to_files_of_the_project(document: Path) -> None:
    links = [link for link in LINK.findall(document.read_text(encoding="utf-8")) if "://" not in link]
    missing = [link for link in links if not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_commands_that_are_named_exist(document: Path) -> None:
    named = set(MANAGE.findall(document.read_text(encoding="utf-8")))
    assert named - set(get_commands()) == set()


def test_every_variable_that_the_product_reads_is_explained_and_no_other() -> None:
    # given the variables that the code and the compose file name
    sources = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    read = {
        name
        for path in sources
        for name in re.findall(
            r"""(?:environ[^"'\n]*|env_\w+\(|VARIABLE = )["']([A-Z0-9_]+)["']""", path.read_text("utf-8")
        )
        if OUR_VARIABLE.fullmatch(name)
    }
    # when the table of the operations page is read
    explained = set(OUR_VARIABLE.findall((ROOT / "docs" / "operations.md").read_text("utf-8")))
    # then they are the same
    assert explained - INTERNAL_VARIABLES == read - INTERNAL_VARIABLES


def test_the_picture_of_the_rooms_is_drawn_from_the_imports_as_they_are() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "draw_architecture.py"), "--check"]
    drawn = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert drawn.returncode == 0, drawn.stderr
