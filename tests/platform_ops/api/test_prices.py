"""Prices over HTTP: sources set up, a draft of the filter replayed and proposed, rejected ticks with who traded near them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine

from backoffice.core.models import ChangeRequest
from backoffice.core.services import changes
from backoffice.core.types import Role
from platform_ops.models import PriceFeed, PriceSource, SymbolPriceState
from platform_ops.types import Side
from tests.api.world import caller_for, make_service, service_caller
from tests.factories import platform
from tests.factories.changes import make_person
from tests.logins import make_entity
from tests.platform_ops.prices.world import MONDAY_NOON, WORKED, make_source, make_symbol, send

pytestmark = pytest.mark.django_db
NOW = MONDAY_NOON + timedelta(hours=1)


@pytest.fixture(autouse=True)
def afternoon(tmp_path: Path, settings: Any) -> Any:
    settings.TICK_FOLDER = str(tmp_path / "ticks")
    with time_machine.travel(NOW, tick=False):
        yield


def trade_at_a_rejected_price(entity: Any, symbol: Any) -> Any:
    """A buy that was closed at the bid of a tick that the filter dropped."""
    server = platform.make_server(entity)
    at = MONDAY_NOON + timedelta(seconds=2)
    return platform.make_trade(
        platform.make_account(server), server_symbol=platform.make_server_symbol(server, "EURUSD", symbol), side=Side.BUY,
        opened_at=at - timedelta(hours=3), open_price=Decimal("1.5"), closed_at=at, close_price=Decimal("1.50370"),
        profit=Decimal("37.00"),
    )  # fmt: skip


def test_a_source_is_set_up_and_a_feed_restarted() -> None:
    operator = service_caller(Role.PLATFORM_OPERATIONS)
    made = operator.post(
        "price-sources/", {"code": "alpha", "name": "Alpha", "priority": 10, "reason": "New feed"}, key="a"
    )
    assert (made.status_code, made.json()["silence_seconds"]) == (201, 60)
    symbol = make_symbol()
    send(symbol, *WORKED[:3])
    feed = PriceFeed.objects.get()
    assert feed.rejected_in_a_row == 2
    again = operator.post(f"price-feeds/{feed.pk}/restart/", {"reason": "It stood on a wrong price"}, key="r")
    assert (again.status_code, again.json()["rejected_in_a_row"]) == (200, 0), again.content
    assert SymbolPriceState.objects.get().sources == {}
    changed = operator.post(
        "price-sources/", {"code": "alpha", "name": "Alpha", "priority": 3, "reason": "First"}, key="b"
    )
    assert (changed.json()["priority"], PriceSource.objects.count()) == (3, 1)


def test_a_draft_is_replayed_over_stored_ticks_and_proposed_with_what_it_would_do() -> None:
    # given: three rejected ticks, a trade at the price of one in each of two legal entities
    nova, luna = make_entity(), make_entity("luna")
    make_source()
    symbol = make_symbol()
    send(symbol, *WORKED)
    ours, _ = trade_at_a_rejected_price(nova, symbol), trade_at_a_rejected_price(luna, symbol)
    everywhere = (nova, luna)
    operator = caller_for(make_service(Role.PLATFORM_OPERATIONS, entities=everywhere))
    reader = caller_for(make_service(Role.AUDITOR, entities=(nova,), email="reader@service.test"))
    draft = {"symbol": "EURUSD", "levels": {"soft_points": 200}}

    # when
    replayed = reader.post("price-filter-settings/replay/", draft)
    wrong = reader.post("price-filter-settings/replay/", draft | {"levels": {"soft_points": 900}})
    long = reader.post("price-filter-settings/replay/", draft | {"replay_from": "2026-02-01T00:00:00Z"})

    # then other levels stay as they are, and the trades told are those of the caller's entity
    found = replayed.json()
    assert (replayed.status_code, found["ticks"], found["newly_kept"], found["newly_dropped"]) == (200, 5, 3, 0), found
    assert {row["verdict"]: (row["before"], row["after"]) for row in found["verdicts"]} == {
        "accepted": (2, 5), "soft": (3, 0),
    }  # fmt: skip
    assert [(row["ticket"], row["would_be_dropped"]) for row in found["trades"]] == [(ours.ticket, False)]
    assert {name: Decimal(net) for name, net in found["results"].items()} == {"USD": Decimal("37.00")}
    assert (wrong.status_code, wrong.json()["field"], long.json()["field"]) == (400, "hard_points", "replay_from")
    assert not ChangeRequest.objects.exists()

    # when it is proposed, by who may, and approved by a person
    body = draft | {"valid_from": "2026-03-02T13:05:00Z", "reason": "News"}
    assert reader.post("price-filter-settings/", body, key="p").status_code == 403
    proposed = operator.post("price-filter-settings/", body, key="p")
    assert (proposed.status_code, proposed.json()["state"]) == (201, "submitted"), proposed.content
    assert "3 kept that were dropped" in proposed.json()["impact_summary"]
    assert proposed.json()["impact_figures"]["Trades executed on such ticks"] == "2"
    change = ChangeRequest.objects.get()
    checker = make_person(Role.DEALING, entities=list(everywhere))
    changes.approve_change(change_id=change.pk, actor=checker, reason="Seen")
    changes.apply_change(change_id=change.pk, actor=checker)
    in_force = operator.get("price-filter-settings/", {"symbol": "EURUSD", "at": "2026-03-02T14:00:00Z"}).json()[
        "results"
    ]
    assert [(row["soft_points"], row["hard_points"]) for row in in_force] == [(200, 750)]


def test_rejected_ticks_come_with_their_surroundings_and_the_trades_near_them() -> None:
    nova, luna = make_entity(), make_entity("luna")
    make_source()
    symbol = make_symbol()
    send(symbol, *WORKED)
    ours = trade_at_a_rejected_price(nova, symbol)
    reader = caller_for(make_service(Role.AUDITOR, entities=(nova,)))
    stranger = caller_for(make_service(Role.AUDITOR, entities=(luna,), email="stranger@service.test"))
    (episode,) = reader.get("price-rejections/", {"symbol": "EURUSD"}).json()["results"]
    ticks = reader.get(f"price-rejections/{episode['id']}/ticks/").json()
    assert [tick["verdict"] for tick in ticks] == ["accepted", "soft", "soft", "soft", "accepted"]
    near = reader.get("trades-near-rejections/", {"symbol": "EURUSD", "episode": episode["id"], "seconds": 1}).json()
    assert [(row["ticket"], row["is_opening"], row["at_its_price"], row["verdict"]) for row in near] == [
        (ours.ticket, False, True, "soft")
    ]
    assert stranger.get("trades-near-rejections/").json() == []
    assert reader.get("trades-near-rejections/", {"seconds": 0}).json()["field"] == "seconds"
    assert reader.get("trades-near-rejections/", {"minutes": 5}).json()["code"] == "unknown_parameter"
