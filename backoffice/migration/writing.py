"""Writing a take-over package: rows into files, and the manifest that binds them."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from backoffice.migration.formats import CONTENTS, Content
from backoffice.migration.package import MANIFEST
from backoffice.migration.types import FORMAT_NAME, FORMAT_VERSION, TAKEOVER
from backoffice.migration.values import FORMULA_MARKS

Rows = Sequence[Mapping[str, str]]


def write_package(
    folder: Path, *, entity: str, contents: Mapping[str, Rows], as_of: str, created_at: str, json_lines: bool = False
) -> Path:
    """Writes the rows of each content into a file of the folder, and the manifest beside them; returns the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        _write(folder, CONTENTS[name], contents[name], json_lines=json_lines) for name in CONTENTS if name in contents
    ]
    manifest = {
        "format": FORMAT_NAME,
        "version": FORMAT_VERSION,
        "form": TAKEOVER,
        "entity": entity,
        "created_at": created_at,
        "as_of": as_of,
        "files": files,
    }
    path = folder / MANIFEST
    path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _write(folder: Path, content: Content, rows: Rows, *, json_lines: bool) -> dict[str, Any]:
    path = folder / f"{content.name}.{'jsonl' if json_lines else 'csv'}"
    columns = [column.name for column in content.columns]
    with path.open("w", encoding="utf-8", newline="") as file:
        if json_lines:
            file.writelines(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows)
        else:
            writer = csv.writer(file)
            writer.writerow(columns)
            for row in rows:
                writer.writerow([_cell(content, name, row.get(name, "")) for name in columns])
    stated: dict[str, Any] = {
        "name": path.name,
        "content": content.name,
        "rows": len(rows),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    if content.total:
        stated["totals"] = {currency: f"{total:f}" for currency, total in totals_of(content, rows).items()}
    return stated


def _cell(content: Content, name: str, text: str) -> str:
    column = content.column(name)
    is_text = column is not None and column.type == "text"
    return f"'{text}" if is_text and text[:1] and text[0] in FORMULA_MARKS else text


def totals_of(content: Content, rows: Rows) -> dict[str, Decimal]:
    """The control totals of rows, by currency."""
    assert content.total is not None
    columns, currency = content.total
    totals: dict[str, Decimal] = {}
    for row in rows:
        amount = sum((Decimal(row.get(column) or "0") for column in columns), Decimal(0))
        totals[row[currency]] = totals.get(row[currency], Decimal(0)) + amount
    return dict(sorted(totals.items()))
