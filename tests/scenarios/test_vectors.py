"""Every worked figure of the collected vectors is a scenario, is held by a named test, or is answered with why it is neither."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from backoffice.conformance.reading import read_file

FOLDER = Path(__file__).parent / "commissions"
ROOT = Path(__file__).parents[2]
OTHER_TESTS = {
    "BN": "tests/ib/test_periods.py",
    "SW": "tests/scenarios/test_swap_vectors.py",
    "DV": "tests/scenarios/test_swap_vectors.py",
    "SF": "tests/scenarios/test_swap_vectors.py",
    "PL": "tests/kernel/test_profit.py",
    "PV": "tests/kernel/test_profit.py",
    "PR-01": "tests/scenarios/test_price_filter.py",
    "PR-02": "tests/platform_ops/swap_desk/test_rules.py",
    "EX-06": "tests/risk/test_exposure.py",
}
"""By entry, or by the two letters of its kind: what is no commission, and the test that holds it."""
NOT_HERE = {
    "MG": "margin is computed by the trading server; nothing here books it",
    "ML": "stop-out levels are the trading server's",
    "EX": "a regulator's capital charge for open positions: the exposure desk shows positions, no charge",
    "AL": "alarms are the exposure desk's; the figure is a published slip about a flow, no booking",
}
"""By the two letters of its kind: what no commission hangs on, and why no scenario has it."""
COMMISSION_KINDS = {"IB", "SP", "TR", "FX", "HG", "NC", "CP", "CB", "CM"}
"""Commissions, tiers, conversions, carried losses, rewards, hedges: each of these has a scenario, without exception."""


@cache
def vectors() -> list[dict[str, Any]]:
    file = Path(settings.SAMPLE_DATA_DIR).parent / "vectors.json"
    if not file.exists():
        pytest.skip("the collected vectors are not there")
    entries: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    return entries


def test_each_commission_figure_is_a_scenario_of_its_name() -> None:
    wanted = {entry["id"] for entry in vectors() if entry["id"][:2] in COMMISSION_KINDS}

    assert len(wanted) >= 40
    assert sorted(wanted - {file.stem for file in FOLDER.glob("*.yaml")}) == []


def test_a_published_figure_that_is_wrong_is_answered_by_ours_with_the_reason() -> None:
    bad = [entry for entry in vectors() if entry["status"].startswith("BAD") and entry["id"][:2] in COMMISSION_KINDS]

    assert {entry["id"] for entry in bad} >= {"SP-X1", "NC-X1", "CM-X1"}
    for entry in bad:
        read = read_file(FOLDER / f"{entry['id']}.yaml")
        assert "page" in read.note.lower(), f"{entry['id']} does not say what the page has"
        assert read.expect is not None and (read.expect.lines or read.expect.totals or read.expect.period_lines)


def test_every_other_entry_is_held_by_a_test_or_named_with_the_reason() -> None:
    others = [entry["id"] for entry in vectors() if entry["id"][:2] not in COMMISSION_KINDS]

    for name in others:
        test = OTHER_TESTS.get(name) or OTHER_TESTS.get(name[:2])
        if test is None:
            assert NOT_HERE.get(name[:2]), f"{name} is neither covered nor named with a reason"
        else:
            assert (ROOT / test).exists(), f"{name} is said to be held by {test}"


def test_what_the_table_of_commission_cases_names_is_there() -> None:
    text = (ROOT / "docs" / "formats" / "commission-cases.md").read_text("utf-8")
    named = {name for row in text.splitlines() if row.startswith("|") for name in re.findall(r"`([^`]+)`", row)}

    assert len(named) >= 60
    for name in sorted(named):
        file, _, test = name.partition("::")
        if test:
            assert f"def {test}(" in (ROOT / file).read_text("utf-8"), name
        else:
            folder = FOLDER.parent if "/" in name else FOLDER
            assert (folder / f"{name}.yaml").exists(), name
    assert {f"| {number} |" for number in range(1, 24)} <= {
        row[: row.index("|", 1) + 1] for row in text.splitlines() if "|" in row[1:]
    }
