"""Prices on the desk and over HTTP: the studio from draft to proposal, the quarantine, feeds, ticks by API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.test import Client as Browser

from backoffice.core.models import ChangeRequest, LegalEntity
from backoffice.core.types import Role
from platform_ops.models import BufferedTick, PriceFeed, PriceSource, RejectionEpisode
from tests.api.world import service_caller
from tests.logins import log_in, make_entity, make_user
from tests.platform_ops.prices.world import MONDAY_NOON, WORKED, make_source, make_symbol, send

pytestmark = pytest.mark.django_db
STUDIO = "/desk/pages/platform_ops/prices/studio/"


@pytest.fixture(autouse=True)
def an_hour_later(tmp_path: Path, settings: Any) -> Iterator[None]:
    settings.TICK_FOLDER = str(tmp_path / "ticks")
    with time_machine.travel(MONDAY_NOON + timedelta(minutes=1), tick=True):
        yield


def browser_of(*roles: Role) -> Browser:
    make_entity()
    user = make_user("somebody@house.test", *roles, entities=tuple(LegalEntity.objects.all()))
    return log_in(Browser(), user)


def test_a_draft_is_replayed_and_proposed_in_the_studio() -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, *WORKED)
    browser = browser_of(Role.PLATFORM_OPERATIONS)
    page = browser.get(STUDIO, {"symbol": symbol.pk})
    form = {name: value for name, value in page.context["draft"].initial.items() if value is not False}

    replayed = browser.post(f"{STUDIO}?symbol={symbol.pk}", {**form, "soft_points": 200, "do": "replay"})

    text = replayed.content.decode()
    assert "0 would be dropped that were kept, 3 kept that were dropped" in text
    assert "<svg" in text and "in force: 150" in text
    assert not ChangeRequest.objects.exists()
    proposed = browser.post(
        f"{STUDIO}?symbol={symbol.pk}", {**form, "soft_points": 200, "do": "propose", "reason": "News were dropped"}
    )
    change = ChangeRequest.objects.get()
    assert proposed.status_code == 302 and str(change.pk) in proposed["Location"]
    assert change.payload["levels"]["soft_points"] == 200 and "3 kept that were dropped" in change.impact_summary


def test_levels_that_contradict_each_other_are_said_in_the_studio() -> None:
    symbol = make_symbol()
    browser = browser_of(Role.PLATFORM_OPERATIONS)
    form = {
        k: v for k, v in browser.get(STUDIO, {"symbol": symbol.pk}).context["draft"].initial.items() if v is not False
    }

    refused = browser.post(f"{STUDIO}?symbol={symbol.pk}", {**form, "hard_points": 1, "do": "propose", "reason": "x"})

    assert refused.status_code == 400 and "hard level is not below the soft level" in refused.content.decode()
    assert not ChangeRequest.objects.exists()


def test_who_only_reads_may_replay_and_not_propose() -> None:
    symbol = make_symbol()
    browser = browser_of(Role.AUDITOR)
    page = browser.get(STUDIO, {"symbol": symbol.pk})
    form = {k: v for k, v in page.context["draft"].initial.items() if v is not False}

    refused = browser.post(f"{STUDIO}?symbol={symbol.pk}", {**form, "do": "propose", "reason": "x"})

    assert "Propose as a change" not in page.content.decode()
    assert refused.status_code in (400, 403) and not ChangeRequest.objects.exists()


def test_screens_of_prices_show_what_was_rejected_and_are_empty_without() -> None:
    browser = browser_of(Role.DEALING)
    paths = [
        "/desk/platform_ops/pricefeed/", "/desk/platform_ops/rejectionepisode/", "/desk/platform_ops/pricesource/",
        "/desk/platform_ops/pricefiltersetting/", "/desk/platform_ops/tickfile/", "/desk/pages/platform_ops/prices/bars/",
        "/desk/pages/platform_ops/prices/near/", STUDIO,
    ]  # fmt: skip
    assert [browser.get(path).status_code for path in paths] == [200] * len(paths)
    make_source()
    symbol = make_symbol()
    send(symbol, *WORKED, (5, None, "NaN"))

    assert [browser.get(path).status_code for path in paths] == [200] * len(paths)
    episode = RejectionEpisode.objects.filter(ticks=3).get()
    shown = browser.get(f"/desk/platform_ops/rejectionepisode/{episode.pk}/change/").content.decode()
    assert shown.count("px-mark px-bad") == 3 and "Beyond the soft level" in shown and "+160" in shown
    feed = browser.get(f"/desk/platform_ops/pricefeed/{PriceFeed.objects.get().pk}/change/").content.decode()
    assert "<svg" in feed
    listed = browser.get("/desk/platform_ops/pricefeed/").content.decode()
    assert "Live" in listed and "1.50374" in listed
    bars = browser.get("/desk/pages/platform_ops/prices/bars/", {"symbol": symbol.pk, "period": "M1"}).content.decode()
    assert "px-up" in bars and "1.50374" in bars
    assert browser.get("/desk/pages/platform_ops/prices/bars/", {"export": "csv"}).status_code == 200


def test_ticks_come_in_over_http_and_are_read_back_as_judged() -> None:
    make_source()
    make_symbol()
    caller = service_caller(Role.PLATFORM_OPERATIONS)
    body = {
        "source": "alpha",
        "ticks": [
            {"symbol": "EURUSD", "at": f"2026-03-02T12:00:0{second}Z", "bid": bid, "ask": ask}
            for second, bid, ask in WORKED
        ],
    }

    sent = caller.post("price-feeds/", body, key="one")
    again = caller.post("price-feeds/", body, key="two")

    assert sent.status_code in (200, 201), sent.content
    assert (sent.json()["accepted"], sent.json()["rejected"]) == (2, {"soft": 3})
    assert again.json()["is_known"] is True and BufferedTick.objects.count() == 5
    (row,) = caller.get("price-rejections/", {"symbol": "EURUSD"}).json()["results"]
    assert (row["verdict"], row["ticks"]) == ("soft", 3)
    (feed,) = caller.get("price-feeds/").json()["results"]
    assert (feed["source"], feed["last_verdict"], feed["rejected"]) == ("alpha", "accepted", 3)
    assert {bar["period"] for bar in caller.get("price-bars/").json()["results"]} == {"M1", "H1", "D1"}
    assert caller.get("rejected-ticks/").json()["results"][0]["last_bid"].startswith("1.50213")
    assert caller.get("price-filter-settings/").json()["results"][0]["soft_points"] == 150


@pytest.mark.parametrize(
    "tick",
    [
        {"symbol": "NOPE", "at": "2026-03-02T12:00:00Z", "bid": "1", "ask": "2"},
        {"symbol": "EURUSD", "at": "2026-03-02T12:00:00", "bid": "1", "ask": "2"},
        {"symbol": "EURUSD", "at": "2026-03-02T12:00:00Z", "bid": 1.5, "ask": "2", "more": 1},
    ],
)
def test_ticks_that_cannot_be_read_are_refused_whole_over_http(tick: dict[str, Any]) -> None:
    make_source()
    make_symbol()
    caller = service_caller(Role.PLATFORM_OPERATIONS)

    refused = caller.post("price-feeds/", {"source": "alpha", "ticks": [tick]}, key="one")

    assert refused.status_code == 400 and BufferedTick.objects.count() == 0


def test_only_who_may_sends_ticks() -> None:
    make_source()
    make_symbol()
    body = {"source": "alpha", "ticks": [{"symbol": "EURUSD", "at": "2026-03-02T12:00:00Z", "bid": "1", "ask": "2"}]}

    refused = service_caller(Role.FINANCE).post("price-feeds/", body, key="one")

    assert refused.status_code == 403 and BufferedTick.objects.count() == 0 and PriceSource.objects.count() == 1
