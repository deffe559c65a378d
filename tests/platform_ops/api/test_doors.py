"""Every new door of the desk: shut for who only reads and for another legal entity, and it names a field that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from backoffice.core.types import Role
from tests.platform_ops.api.world import World, footprint

pytestmark = pytest.mark.django_db
WHY = {"reason": "By the test"}
FROM = "2099-01-01T00:00:00Z"


def doors(world: World) -> list[tuple[str, dict[str, Any], tuple[str, Any] | None, bool]]:
    """(path, a body that would do, a field with a value that would not, whether rows of one entity are acted on)."""
    sheet = f"swap-sheets/{world.sheet_row.public_id}"
    row = world.sheet_row.rows.get(symbol=world.eurusd)
    account, server = str(world.account.public_id), world.code
    specification = {"digits": 5, "contract_size": "100000", "pip_size": "0.0001", "margin_currency": "EUR"}
    money = {"operation": "credit", **WHY}
    return [
        ("swap-sheets/", {"provider": "LP", "rows": [{"symbol": "EURUSD", "long": "1", "short": "1"}]}, ("rows", []), True),
        ("swap-sheets/paste/", {"provider": "LP", "text": "EURUSD,1,1"}, ("sign_of", "nobody"), True),
        ("swap-sheets/from-today/", {}, ("symbol_group", "none"), True),
        (f"{sheet}/edit/", {"edits": [{"row": row.pk, "field": "long", "value": "1"}]}, ("edits", [{"row": 1}]), True),
        (f"{sheet}/keep-todays/", {"rows": [row.pk]}, ("rows", []), True),
        (f"{sheet}/add-row/", {"symbol": "EURUSD", "group": world.live.pk}, ("symbol", "NOPE"), True),
        (f"{sheet}/remove-row/", {"row": row.pk}, ("row", "x"), True),
        (f"{sheet}/read-again/", {}, ("decimal_mark", "dot"), True),
        (f"{sheet}/copy/", {}, None, True),
        (f"{sheet}/discard/", {}, ("reason", "x" * 401), True),
        (f"{sheet}/propose/", WHY, ("valid_from", "2026-01-01T00:00:00"), True),
        ("swap-markup-rules/", {"kind": "percent", "long_value": "1", "short_value": "1"}, ("kind", "x"), True),
        (f"swap-markup-rules/{world.rule.pk}/replace/", {"kind": "percent", "long_value": "1", "short_value": "1"}, ("long_value", "-1"), True),
        (f"swap-markup-rules/{world.rule.pk}/remove/", WHY, ("reason", ""), True),
        ("swap-pushes/retry/", {"change": str(world.sheet_row.public_id)}, ("change", "x"), True),
        ("swap-pushes/set-by-hand/", {"change": str(world.sheet_row.public_id), "server": server, **WHY}, ("change", "x"), True),
        ("symbol-drifts/", {"server": server}, ("server", "none"), True),
        (f"symbol-drifts/{world.drift_row.pk}/accept/", WHY, ("reason", " "), True),
        (f"symbol-drifts/{world.drift_row.pk}/repair/", WHY, ("reason", ""), True),
        (f"symbol-drifts/{world.drift_row.pk}/adopt/", WHY, ("reason", ""), True),
        ("symbol-name-rules/", {"server": server, "position": 5, "kind": "suffix", "pattern": "pro"}, ("pattern", "x" * 41), True),
        (f"symbol-name-rules/{world.name_rule.pk}/remove/", WHY, ("reason", ""), True),
        ("group-symbol-terms/", {"group": world.live.pk, "symbol": "EURUSD", "terms": {"spread_points": "20"}, "valid_from": FROM, **WHY}, ("terms", {"digits": 3}), True),
        ("symbol-specifications/", {"symbol": "EURUSD", "specification": specification, "valid_from": FROM, **WHY}, ("specification", {"digits": 5}), True),
        (f"specification-imports/{world.file.public_id}/propose/", {"rows": [1], **WHY}, ("rows", []), False),
        ("market-calendars/", {"code": "lse", "name": "London", "zone": "Europe/London"}, ("zone", "Mars/Phobos"), False),
        ("market-calendars/nyse/set-holidays/", {"holidays": [{"day": "2026-07-03", "name": "Day"}]}, ("holidays", [{"day": "x", "name": "y"}]), False),
        (f"holidays/{world.holiday.pk}/remove/", WHY, ("reason", ""), False),
        ("price-sources/", {"code": "beta", "name": "Beta", "priority": 5, **WHY}, ("silence_seconds", 0), False),
        (f"price-feeds/{world.feed.pk}/restart/", WHY, ("reason", ""), False),
        ("price-filter-settings/", {"symbol": "EURUSD", "levels": {"soft_points": 150}, "valid_from": FROM, **WHY}, ("levels", {"soft_points": -1}), True),
        ("liquidity-providers/", {"entity": world.entity.code, "code": "lp2", "name": "LP", "comp_id": "X"}, ("units_per_quantity", "0"), True),
        ("liquidity-providers/prime/replace/", {"name": "LP", "comp_id": "X"}, ("comp_id", ""), True),
        (f"provider-symbols/{world.lp_name.pk}/map/", {"symbol": "EURUSD", **WHY}, ("symbol", "NOPE"), True),
        ("reconciliations/", {"server": server}, ("from_time", "yesterday"), True),
        (f"reconciliation-breaks/{world.accepted_break.public_id}/reopen/", WHY, ("reason", ""), True),
        ("account-types/", {"entity": world.entity.code, "code": "x", "name": "X", "kind": "cent", "leverage_choices": [30]}, ("leverage_choices", []), True),
        ("account-offers/", {"account_type": world.type.pk, "currency": "USD", "live_group": world.live.pk}, ("minimum_deposit", "-1"), True),
        (f"account-groups/{world.live.pk}/mark-demo/", {"is_demo": True}, ("is_demo", "perhaps"), True),
        ("operation-limits/", {"entity": world.entity.code, "currency": "USD", "alone_up_to": "10", "alone_per_day": "20", **WHY}, ("alone_per_day", "5"), True),
        ("account-operations/propose-money/", {"account": account, "amount": "5", **money}, ("amount", "0.001"), True),
        ("account-operations/move-money-in-bulk/", {"server": server, "lines": [{"login": world.account.login, "amount": "5"}], **money}, ("lines", [{"login": "404404", "amount": "5"}]), True),
        ("account-operations/new-password/", {"account": account, **WHY}, ("which", "third"), True),
        ("swap-free-policies/", {"name": "P", "account": account, "valid_from": FROM, **WHY}, ("fee_per_lot", "-1"), True),
        (f"swap-free-policies/{world.policy.pk}/end/", {"at": FROM, **WHY}, ("at", "2019-01-01T00:00:00Z"), True),
        ("swap-free-revocations/", {"account": account, "from_day": "2026-03-02", **WHY}, ("to_day", "2026-03-01"), True),
        ("swap-settings/", {"server": server, "mode": "prove", "cut": "server_midnight", "channel": "books", "starts_on": "2026-03-02", **WHY}, ("cut", "noon"), True),
    ]  # fmt: skip


def test_doors_are_shut_for_readers_and_strangers_and_name_what_is_wrong(settings: Any) -> None:
    # given: a broker, who only reads in it, who may do everything in another legal entity, and who may do everything
    settings.API_CALLS_PER_MINUTE = settings.API_CALLS_PER_MINUTE_AND_ADDRESS = 1_000_000
    world = World()
    world.furnish()
    everything = (Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR)
    reader = world.caller(Role.AUDITOR)
    able = world.caller(*everything, email="able@service.test")
    stranger = world.caller(*everything, entities=(world.luna,), email="stranger@service.test")
    before = footprint()
    wrong: list[Any] = []

    # when
    for number, (path, body, _, is_of_entity) in enumerate(doors(world)):
        denied = reader.post(path, body, key=f"r{number}")
        if (denied.status_code, denied.json()["code"]) != (403, "permission_denied"):
            wrong.append(("reader", path, denied.status_code, denied.content))
        if is_of_entity:
            answer = stranger.post(path, body, key=f"s{number}")
            code = answer.json().get("code")
            if not (answer.status_code == 404 or code in ("not_whole_broker", "invalid_input")):
                wrong.append(("stranger", path, answer.status_code, answer.content))
        assert footprint() == before, path

    # then the same calls with one value that cannot be name its field, and leave nothing either
    for number, (path, body, bad, _) in enumerate(doors(world)):
        if bad is None:
            continue
        refused = able.post(path, body | {bad[0]: bad[1]}, key=f"b{number}")
        if refused.status_code != 400 or refused.json()["field"] != bad[0]:
            wrong.append(("bad", path, refused.status_code, refused.content))
        assert footprint() == before, path
    assert wrong == []
