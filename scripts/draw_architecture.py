#!/usr/bin/env python3
"""Draws docs/architecture.svg from the imports as they are: the ladder of rooms, and which room uses which.

The rooms stand in the order of the ladder in pyproject.toml. A dot in the row of a room under the number of another
says that the first imports the second; every dot is left of the diagonal, or the ladder is broken. `--check` compares
with the committed picture and fails when the code has moved on.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "architecture.svg"
ROW_HEIGHT, NAME_WIDTH, CELL, MARGIN = 30, 240, 30, 24
WHAT_IT_IS = {
    "backoffice.urls": "where the front doors stand",
    "backoffice.devstack": "embedded servers, demo broker, market",
    "backoffice.desk": "staff site and dashboards",
    "backoffice.portal": "IB and trader portal",
    "backoffice.api": "API root and schema",
    "backoffice.reports": "definitions, issued documents",
    "marketing": "campaigns",
    "risk": "exposure",
    "ib": "partners, plans, commissions",
    "funding": "ledger, daily results",
    "platform_ops": "servers, deals, symbols, business day",
    "crm": "clients",
    "backoffice.ui": "bases of every screen",
    "backoffice.core": "users, access, audit, outbox, jobs",
    "backoffice.kernel": "money, rates, time: pure Python",
}


def ladder() -> list[list[str]]:
    """The layers of the import contract, top to bottom; each layer is a list of rooms."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    layers = [[room.strip() for room in layer.replace("|", ":").split(":")] for layer in contract["layers"]]
    return [[room for room in layer if room in WHAT_IT_IS] for layer in layers]


def uses() -> dict[str, set[str]]:
    """For each room, the rooms that its modules import."""
    sys.path.insert(0, str(ROOT))
    graph = grimp.build_graph("backoffice", "crm", "ib", "risk", "funding", "platform_ops", "marketing")
    rooms = sorted(WHAT_IT_IS, key=len, reverse=True)

    def room_of(module: str) -> str | None:
        return next((room for room in rooms if module == room or module.startswith(room + ".")), None)

    found: dict[str, set[str]] = {room: set() for room in rooms}
    for module in graph.modules:
        importer = room_of(module)
        for imported in graph.find_modules_directly_imported_by(module) if importer else ():
            target = room_of(imported)
            if importer and target and target != importer:
                found[importer].add(target)
    return found


def draw() -> str:
    """The picture as SVG text."""
    layers = ladder()
    rooms = [room for layer in layers for room in layer]
    number = {room: index + 1 for index, room in enumerate(rooms)}
    used = uses()
    left = MARGIN + NAME_WIDTH + 250
    width = left + CELL * len(rooms) + MARGIN
    height = MARGIN * 2 + 40 + ROW_HEIGHT * len(rooms) + 6 * len(layers)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        "<title>Rooms and what they import</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="{MARGIN + 8}" font-weight="600">Room (a room imports only from rooms below it)</text>',
    ]
    for room in rooms:
        x = left + CELL * (number[room] - 1) + CELL / 2
        parts.append(f'<text x="{x}" y="{MARGIN + 28}" text-anchor="middle" fill="#64748b">{number[room]}</text>')
    y: float = MARGIN + 40
    for layer in layers:
        for room in layer:
            parts += _row(room, y, left, rooms, number, used)
            y += ROW_HEIGHT
        y += 6
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _row(
    room: str, y: float, left: int, rooms: list[str], number: dict[str, int], used: dict[str, set[str]]
) -> list[str]:
    middle = y + ROW_HEIGHT / 2 + 4
    parts = [
        f'<rect x="{MARGIN}" y="{y + 2}" width="{NAME_WIDTH + 230}" height="{ROW_HEIGHT - 4}" rx="4" fill="#eef2f7"/>',
        f'<text x="{MARGIN + 10}" y="{middle}" font-weight="600" fill="#0f172a">{number[room]}  {room}</text>',
        f'<text x="{MARGIN + NAME_WIDTH - 20}" y="{middle}" fill="#475569">{WHAT_IT_IS[room]}</text>',
    ]
    for other in rooms:
        x = left + CELL * (number[other] - 1)
        fill = "#cbd5e1" if other == room else "#ffffff"
        parts.append(
            f'<rect x="{x}" y="{y}" width="{CELL}" height="{ROW_HEIGHT}" fill="{fill}" stroke="#e2e8f0" stroke-width="1"/>'
        )
        if other in used[room]:
            parts.append(f'<circle cx="{x + CELL / 2}" cy="{y + ROW_HEIGHT / 2}" r="5" fill="#1f4e79"/>')
    return parts


def main() -> int:
    """Writes the picture, or with `--check` compares it; the exit status."""
    drawn = draw()
    if "--check" in sys.argv[1:]:
        if not PICTURE.exists() or PICTURE.read_text(encoding="utf-8") != drawn:
            print("docs/architecture.svg does not match the imports; run scripts/draw_architecture.py", file=sys.stderr)
            return 1
        return 0
    PICTURE.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
