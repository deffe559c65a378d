"""The chart and its document."""

from __future__ import annotations

from django.core.management import call_command

from funding.ledger.chart import KIND_RULES, AccountKind
from funding.ledger.models import LedgerAccount


def test_every_kind_has_its_rule() -> None:
    assert set(KIND_RULES) == set(AccountKind)
    assert all(rule.purpose.endswith(".") for rule in KIND_RULES.values())
    longest = max(len(kind.value) for kind in AccountKind)
    assert longest <= LedgerAccount._meta.get_field("kind").max_length


def test_the_document_is_in_step_with_the_chart() -> None:
    call_command("chart_of_accounts", check=True)
