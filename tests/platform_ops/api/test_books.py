"""Liquidity, comparisons, the catalogue of accounts, limits, and the swap policies over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from backoffice.core.models import AuditRecord, Job
from backoffice.core.types import Role
from platform_ops.models import (
    AccountGroup,
    AccountOffer,
    AccountType,
    CurrentFill,
    LiquidityMessage,
    OperationLimit,
    SwapFreePolicy,
    SwapSetting,
)
from tests.api.world import Caller
from tests.platform_ops.api.world import D, World, upload
from tests.platform_ops.liquidity.test_messages import fix

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def operator(world: World) -> Caller:
    return world.caller(Role.PLATFORM_OPERATIONS)


def fill(order: str = "A") -> bytes:
    return fix(
        (37, order), (17, f"{order}1"), (150, "F"), (54, 1), (55, "4001"), (32, 5), (31, 2), (14, 5),
        (60, "20261102-10:00:00"),
    )  # fmt: skip


def test_a_provider_is_added_its_log_taken_in_once_and_its_name_mapped(world: World, operator: Caller) -> None:
    body = {"entity": "nova", "code": "prime", "name": "Prime", "comp_id": "LP", "units_per_quantity": "10000"}
    made = operator.post("liquidity-providers/", body, key="p")
    assert (made.status_code, made.json()["units_per_quantity"]) == (201, "10000.00000000"), made.content
    taken = operator.post("liquidity-providers/", body | {"code": "other"}, key="q")
    assert (taken.status_code, taken.json()["code"], taken.json()["field"]) == (409, "provider_taken", "comp_id")

    damaged = fill("B").replace(b"32=5", b"32=6")
    path = "liquidity-providers/prime/take-log/"
    first, again = (
        upload(operator, path, {}, fill() + damaged, field="log", name="day.log", key=key).json() for key in ("1", "2")
    )
    assert (first["messages"], first["new"], first["fills"], first["refused"]) == (2, 1, 1, 1), first
    assert "32" in first["problems"][0] or "10" in first["problems"][0]
    assert (again["new"], again["repeated"], LiquidityMessage.objects.count()) == (0, 1, 1)
    empty = upload(operator, path, {}, b"nothing", field="log", name="x.log")
    assert (empty.status_code, empty.json()["field"]) == (400, "file")

    (name,) = operator.get("provider-symbols/", {"provider": "prime", "is_mapped": "false"}).json()["results"]
    mapped = operator.post(f"provider-symbols/{name['id']}/map/", {"symbol": "EURUSD", "reason": "Their 4001"}, key="m")
    assert (mapped.status_code, mapped.json()["symbol"]) == (200, "EURUSD"), mapped.content
    (execution,) = operator.get("provider-executions/", {"symbol": "EURUSD"}).json()["results"]
    assert (D(execution["units"]), execution["revision"]) == (D(50_000), 1)
    stands = operator.post("liquidity-providers/prime/replace/", {"name": "Prime", "comp_id": "LP"}, key="r")
    assert (stands.status_code, stands.json()["code"]) == (409, "units_in_use")
    stranger = world.caller(Role.PLATFORM_OPERATIONS, entities=(world.luna,), email="s@service.test")
    for kind in ("liquidity-providers", "provider-symbols", "provider-messages", "provider-executions"):
        assert stranger.get(f"{kind}/").json()["results"] == []
    assert CurrentFill.objects.get().symbol_id == world.eurusd.pk


def test_a_comparison_is_asked_for_and_an_acceptance_taken_back(world: World, operator: Caller) -> None:
    unreachable = operator.post("reconciliations/", {"server": world.code}, key="a")
    assert (unreachable.status_code, unreachable.json()["code"]) == (404, "not_found")
    world.connect()
    asked, again = (operator.post("reconciliations/", {"server": world.code}, key="a") for _ in range(2))
    assert (asked.status_code, asked.json(), again.content) == (
        202,
        {"server": world.code, "is_queued": True},
        asked.content,
    )
    assert Job.objects.filter(kind="platform.reconcile").count() == 1
    accepted = world.difference("accepted")
    path = f"reconciliation-breaks/{accepted.public_id}"
    opened = operator.post(f"{path}/reopen/", {"reason": "It was no rounding"}, key="o")
    assert (opened.status_code, opened.json()["state"]) == (200, "open")
    twice = operator.post(f"{path}/reopen/", {"reason": "Again"}, key="t")
    assert (twice.status_code, twice.json()["code"]) == (409, "break_not_accepted")


def test_a_type_is_defined_offered_in_a_currency_and_limits_are_set(world: World, operator: Caller) -> None:
    terms = {
        "entity": "nova", "code": "islamic", "name": "Islamic", "kind": "islamic", "leverage_choices": [100, 30, 30],
        "leverage_by_class": {"retail": 30}, "is_swap_free": True,
    }  # fmt: skip
    with_swaps = operator.post("account-types/", terms | {"is_swap_free": False}, key="x")
    assert (with_swaps.status_code, with_swaps.json()["field"]) == (400, "is_swap_free")
    made = operator.post("account-types/", terms, key="t")
    assert (made.status_code, made.json()["leverage_choices"]) == (201, [30, 100]), made.content
    offer = {
        "account_type": made.json()["id"],
        "currency": "USD",
        "live_group": world.group.pk,
        "minimum_deposit": "250",
    }
    euros = operator.post("account-offers/", offer | {"currency": "EUR"}, key="e")
    assert (euros.status_code, AccountOffer.objects.count()) == (409, 0), euros.content
    offered = operator.post("account-offers/", offer, key="o")
    assert (offered.status_code, offered.json()["live_group"]) == (201, world.group.name), offered.content
    assert [row["name"] for row in operator.get("account-offers/").json()["results"]] == ["Islamic"]
    marked = operator.post(f"account-groups/{world.group.pk}/mark-demo/", {"is_demo": True}, key="d")
    assert marked.status_code == 200 and AccountGroup.objects.get(pk=world.group.pk).is_demo is True

    limit = {"entity": "nova", "currency": "USD", "alone_up_to": "500", "alone_per_day": "900", "reason": "Board"}
    assert operator.post("operation-limits/", limit, key="l").status_code == 403
    finance = world.caller(Role.FINANCE)
    assert finance.post("operation-limits/", limit, key="l").json()["alone_up_to"] == "500.00000000"
    assert operator.get("operation-limits/", {"entity": "nova"}).json()["results"][0]["alone_per_day"] == "900.00000000"
    assert (OperationLimit.objects.count(), AccountType.objects.count()) == (1, 1)


def test_swap_free_policies_are_set_and_ended_and_freedom_is_taken_back(world: World, operator: Caller) -> None:
    body = {
        "name": "Islamic", "group": world.group.pk, "valid_from": "2026-01-01T00:00:00Z", "grace_nights": 5,
        "fee_per_lot": "7.5", "reason": "Sharia board",
    }  # fmt: skip
    both = operator.post("swap-free-policies/", body | {"account": str(world.account.public_id)}, key="b")
    assert (both.status_code, both.json()["field"]) == (400, "account")
    made = operator.post("swap-free-policies/", body, key="p")
    assert (made.status_code, made.json()["fee_per_lot"]) == (201, "7.50000000"), made.content
    over = operator.post("swap-free-policies/", body | {"name": "Twice"}, key="o")
    assert (over.status_code, over.json()["code"], SwapFreePolicy.objects.count()) == (409, "policy_overlaps", 1)
    ended = operator.post(
        f"swap-free-policies/{made.json()['id']}/end/", {"at": "2026-06-01T00:00:00Z", "reason": "No longer"}, key="e"
    )
    assert ended.json()["valid_until"] == "2026-06-01T00:00:00Z"
    assert operator.get("swap-free-policies/", {"at": "2026-07-01T00:00:00Z"}).json()["results"] == []
    back = {"account": str(world.account.public_id), "from_day": "2026-03-02", "reason": "Carry trade"}
    revoked = operator.post("swap-free-revocations/", back, key="r")
    assert (revoked.status_code, revoked.json()["to_day"]) == (201, None)
    stranger = world.caller(Role.PLATFORM_OPERATIONS, entities=(world.luna,), email="s@service.test")
    assert stranger.get("swap-free-revocations/").json()["results"] == []


def test_how_a_servers_swaps_are_done_is_set_with_a_reason(world: World, operator: Caller) -> None:
    body: dict[str, Any] = {
        "server": world.code, "mode": "post", "cut": "new_york_close", "channel": "books", "starts_on": "2026-03-02",
        "tolerance": "0.01", "reason": "We charge from now on",
    }  # fmt: skip
    made, again = (operator.post("swap-settings/", body, key="s") for _ in range(2))
    assert (made.status_code, made.content) == (200, again.content), made.content
    assert AuditRecord.objects.filter(action="platform.set_swap_setting").count() == 1
    shown = operator.get(f"swap-settings/{world.code}/").json()
    assert (shown["cut"], shown["tolerance"], SwapSetting.objects.count()) == ("new_york_close", "0.01000000", 1)
    stranger = world.caller(Role.PLATFORM_OPERATIONS, entities=(world.luna,), email="s@service.test")
    assert stranger.get(f"swap-settings/{world.code}/").status_code == 404
