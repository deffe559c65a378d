"""The documentation and its example are those of the formats as they stand."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from backoffice.migration.documentation import documentation
from backoffice.migration.example import EXAMPLE, write_example
from backoffice.migration.formats import CONTENTS

FORMATS = Path(settings.BASE_DIR) / "docs" / "formats"


def test_the_page_is_made_from_the_formats() -> None:
    assert (FORMATS / "migration.md").read_text("utf-8") == documentation()


def test_the_example_shows_every_content_and_is_the_one_of_the_documentation(tmp_path: Path) -> None:
    assert set(EXAMPLE) == set(CONTENTS)
    write_example(tmp_path, entity="newhouse")
    shown = {path.name: path.read_bytes() for path in (FORMATS / "migration-example").iterdir()}
    assert shown == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
