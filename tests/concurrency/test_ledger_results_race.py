"""Two schedulers that post the same server's results at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from backoffice.core.books import check_names, verify_books
from backoffice.kernel.errors import Retryable
from funding.ledger.models import JournalEntry
from funding.models import TradingResultLine
from funding.services.trading_results import post_trading_results
from tests.factories.platform import MONDAY, SYSTEM, make_account, make_trade

pytestmark = pytest.mark.django_db(transaction=True)

SCHEDULERS = 4


def test_results_posted_by_several_at_once_are_booked_once() -> None:
    account = make_account()
    for _ in range(5):
        make_trade(account, profit="10", commission="-1")
    barrier = Barrier(SCHEDULERS, timeout=30)

    def post(_: int) -> int:
        try:
            barrier.wait()
            figures = post_trading_results(business_day=MONDAY, server_id=account.server_id, actor=SYSTEM)
            return int(figures["lines"])
        except Retryable:
            return 0
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=SCHEDULERS) as pool:
        booked = list(pool.map(post, range(SCHEDULERS)))

    assert sorted(booked) == [0, 0, 0, 2]
    assert (TradingResultLine.objects.count(), JournalEntry.objects.count()) == (2, 1)
    names = [name for name in check_names() if name.startswith(("ledger.", "funding."))]
    assert verify_books(names)["ok"]
