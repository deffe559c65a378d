"""What servers say of symbols: names read by rules, drift found and settled, terms that cannot be, files of specifications."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from backoffice.core.models import ChangeRequest, LegalEntity, WorkItem
from backoffice.core.services import changes, jobs
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from platform_ops.gateways.symbol_specs import read_specifications
from platform_ops.gateways.types import CalculationMode, GatewaySymbol, SwapMode
from platform_ops.models import ServerSymbol, ServerSymbolTerms, SymbolDrift, SymbolNameRule
from platform_ops.rules.symbol_names import NameRule
from platform_ops.selectors.symbol_terms import terms_in_force
from platform_ops.services import specification_imports, symbol_drift, symbol_names
from platform_ops.services.symbols import register_names
from tests.factories import platform
from tests.factories.changes import make_person
from tests.factories.platform import SYSTEM, staff

pytestmark = pytest.mark.django_db
D = Decimal
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class House:
    """A server with one symbol, and two people."""

    def __init__(self) -> None:
        self.server = platform.make_server()
        self.symbol = platform.make_symbol("EURUSD")
        platform.make_spec(self.symbol, swap_long=D("-6.5"), spread_points=D(10))
        self.terms = terms_in_force(symbol_id=self.symbol.pk, at=NOW)
        everywhere = list(LegalEntity.objects.all())
        self.maker = make_person(Role.PLATFORM_OPERATIONS, entities=everywhere)
        self.checker = make_person(Role.DEALING, entities=everywhere)

    def look(self, *, at: datetime = NOW, name: str = "EURUSD.m", **changed: object) -> dict[str, int]:
        stated = GatewaySymbol(name=name, terms=replace(self.terms, **changed))
        return symbol_drift.take_server_symbols(server_id=self.server.pk, symbols=[stated], at=at)

    def drifts(self, state: str = "open") -> list[str]:
        return sorted(SymbolDrift.objects.filter(state=state).values_list("field", flat=True))

    def items(self, kind: str = symbol_drift.DRIFT_ITEM) -> int:
        return WorkItem.objects.filter(kind=kind).exclude(state="closed").count()


@pytest.fixture
def house():
    return House()


def test_nothing_drifts_when_the_server_says_what_is_approved(house):
    assert house.look() == {"symbols": 1, "refused": 0, "drifting": 0}
    assert house.look(at=NOW + timedelta(hours=1)) == {"symbols": 1, "refused": 0, "drifting": 0}
    assert (house.drifts(), house.items()) == ([], 0)
    assert ServerSymbolTerms.objects.get().terms["contract_size"] == "100000"


def test_drift_is_found_once_follows_the_server_and_goes(house):
    assert house.look(swap_long=D("-65"), margin_hedged=D(1))["drifting"] == 1
    house.look(at=NOW + timedelta(hours=1), swap_long=D("-65"), margin_hedged=D(1))
    assert house.drifts() == ["margin_hedged", "swap_long"]
    assert house.items() == 1
    first = SymbolDrift.objects.get(field="swap_long")
    assert (first.first_seen_at, first.last_seen_at) == (NOW, NOW + timedelta(hours=1))
    assert (first.approved, first.stated) == ("-6.5", "-65")
    house.look(at=NOW + timedelta(hours=2))
    assert (house.drifts(), house.drifts("gone"), house.items()) == ([], ["margin_hedged", "swap_long"], 0)


def test_an_accepted_difference_stays_quiet_until_it_is_another_one(house):
    house.look(swap_long=D("-7"))
    drift = SymbolDrift.objects.get()
    with pytest.raises(InvalidInput):
        symbol_drift.accept_drift(drift_id=drift.pk, actor=house.maker, reason=" ")
    with pytest.raises(Denied):
        symbol_drift.accept_drift(
            drift_id=drift.pk, actor=staff(Role.SALES, entities=list(LegalEntity.objects.all())), reason="x"
        )
    symbol_drift.accept_drift(drift_id=drift.pk, actor=house.maker, reason="agreed with the desk")
    assert house.look(swap_long=D("-7")) == {"symbols": 1, "refused": 0, "drifting": 0}
    assert (house.drifts(), house.drifts("accepted"), house.items()) == ([], ["swap_long"], 0)
    assert house.look(swap_long=D("-8"))["drifting"] == 1
    assert (house.drifts(), house.items()) == (["swap_long"], 1)


def test_a_contract_size_of_zero_is_named_and_the_other_symbols_are_taken(house):
    bad = GatewaySymbol(name="GBPUSD.m", terms=replace(house.terms, contract_size=D(0)))
    good = GatewaySymbol(name="EURUSD.m", terms=house.terms)
    taken = symbol_drift.take_server_symbols(server_id=house.server.pk, symbols=[bad, good], at=NOW)
    assert taken == {"symbols": 2, "refused": 1, "drifting": 0}
    problem = ServerSymbolTerms.objects.get(server_symbol__name="GBPUSD.m").problem
    assert problem == f"{house.server.code}, GBPUSD.m: Contract size is above zero."
    item = WorkItem.objects.get(kind=symbol_drift.REFUSED_ITEM)
    assert problem in item.title
    symbol_drift.take_server_symbols(
        server_id=house.server.pk, symbols=[replace(bad, terms=house.terms), good], at=NOW + timedelta(hours=1)
    )
    assert house.items(symbol_drift.REFUSED_ITEM) == 0


class Server:
    """A server in memory that keeps what it is told."""

    abilities = frozenset(symbol_drift.Ability)

    def __init__(self, symbol: GatewaySymbol) -> None:
        self.symbol = symbol
        self.told: list[dict[str, object]] = []

    def symbols(self):
        return iter([self.symbol])

    def change_symbol(self, *, name: str, changes: dict[str, object]) -> None:
        assert name == self.symbol.name
        self.told.append(dict(changes))
        self.symbol = replace(self.symbol, terms=replace(self.symbol.terms, **changes))


def test_a_server_is_put_right_by_an_approved_change_and_read_back(house, monkeypatch):
    wrong = replace(house.terms, swap_long=D("-65"), swap_mode=SwapMode.INTEREST_CURRENT_PRICE)
    server = Server(GatewaySymbol(name="EURUSD.m", terms=wrong))

    @contextmanager
    def gateway(*, server_id: int, writing: bool = False):
        yield server

    monkeypatch.setattr(symbol_drift, "open_gateway", gateway)
    assert symbol_drift.look_at_server(server_id=house.server.pk, actor=house.maker)["drifting"] == 1
    named = ServerSymbol.objects.get()
    change = symbol_drift.request_repair(server_symbol_id=named.pk, actor=house.maker, reason="somebody's hand")
    assert change.before == {"Swap stated in": "Interest current price", "Swap long": "-65"}
    assert change.after == {"Swap stated in": "Points", "Swap long": "-6.5"}
    changes.approve_change(change_id=change.pk, actor=house.checker, reason="right")
    applied = changes.apply_change(change_id=change.pk, actor=house.maker)
    assert server.told == []
    assert applied.state != "verified"
    assert jobs.run_ready(kind=symbol_drift.REPAIR_JOB, owner="test") == 1
    assert server.told == [{"swap_long": D("-6.5"), "swap_mode": SwapMode.POINTS}]
    assert ChangeRequest.objects.get(pk=change.pk).state == "verified"
    assert (house.drifts(), house.items()) == ([], 0)
    with pytest.raises(Conflict):
        symbol_drift.request_repair(server_symbol_id=named.pk, actor=house.maker, reason="again")


def test_the_specification_follows_the_server_by_a_change_request(house):
    house.look(at=symbol_drift.clock.now(), spread_points=12, lots_maximum=D(50))
    change = symbol_drift.request_adoption(
        server_symbol_id=ServerSymbol.objects.get().pk, actor=house.maker, reason="the server is right"
    )
    changes.approve_change(change_id=change.pk, actor=house.checker, reason="right")
    assert changes.apply_change(change_id=change.pk, actor=house.maker).state == "verified"
    house.look(at=symbol_drift.clock.now(), spread_points=12, lots_maximum=D(50))
    assert (house.drifts(), house.items()) == ([], 0)


def test_sessions_on_another_clock_are_not_called_drift(house):
    house.server.zone = "UTC"
    house.server.save()
    shifted = tuple(((60, 1440),) if day else () for day in (0, 1, 1, 1, 1, 1, 0))
    assert house.look(trade_sessions=shifted)["drifting"] == 0


# ------------------------------------------------------------------------------------------------------------ names


def test_a_servers_own_rules_come_before_those_of_the_house(house):
    gold = platform.make_symbol("XAUUSD", base_asset="XAU", profit_currency="USD")
    for position, rule in (
        (10, NameRule("suffix", "-ecn_live")),
        (20, NameRule("replace", "EURO", "EUR")),
        (30, NameRule("alias", "Gold", "", "XAUUSD")),
    ):
        symbol_names.add_rule(server_id=house.server.pk, position=position, rule=rule, actor=house.maker)
    trials = symbol_names.try_names(
        server_id=house.server.pk, names=["eurusd-ECN_LIVE", "EUROUSD", "gold", "SILVER"], actor=house.maker
    )
    assert [(trial.code, trial.rule) for trial in trials] == [
        ("EURUSD", "rule: suffix -ecn_live left out"),
        ("EURUSD", "rule: EURO replaced by EUR"),
        ("XAUUSD", "rule: Gold is another name"),
        ("", ""),
    ]
    register_names(server_id=house.server.pk, names=["GOLD", "EUROUSD"])
    assert ServerSymbol.objects.get(name="GOLD").symbol == gold
    assert ServerSymbol.objects.get(name="EUROUSD").mapped_by == "rule: EURO replaced by EUR"
    other = platform.make_server()
    assert [trial.code for trial in symbol_names.try_names(server_id=other.pk, names=["gold"], actor=SYSTEM)] == [""]


def test_a_draft_is_tried_before_it_is_saved_and_nothing_is_written(house):
    given = {"server_id": house.server.pk, "names": ["EURUSDxyzzy"], "actor": house.maker}
    assert symbol_names.try_names(**given)[0].code == ""
    assert symbol_names.try_names(**given, draft=NameRule("suffix", "xyzzy"))[0].code == "EURUSD"
    assert not SymbolNameRule.objects.exists()


@pytest.mark.parametrize(
    "rule",
    [
        NameRule("magic", "x"),
        NameRule("suffix", " "),
        NameRule("replace", "A", "a"),
        NameRule("suffix", "x", "y"),
        NameRule("alias", "GOLD", "", "NONE"),
    ],
)
def test_rules_that_say_nothing_are_refused(house, rule):
    with pytest.raises(InvalidInput):
        symbol_names.add_rule(server_id=None, position=1, rule=rule, actor=house.maker)
    assert not SymbolNameRule.objects.exists()


def test_two_rules_have_no_place_in_common_and_no_pattern_runs_away(house):
    symbol_names.add_rule(server_id=None, position=1, rule=NameRule("suffix", "(a+)+$"), actor=house.maker)
    with pytest.raises(Conflict):
        symbol_names.add_rule(server_id=None, position=1, rule=NameRule("suffix", ".x"), actor=house.maker)
    with pytest.raises(IntegrityError), transaction.atomic():
        SymbolNameRule.objects.create(server=None, position=1, kind="suffix", pattern="y")
    for broken in ({"kind": "alias"}, {"pattern": ""}, {"replacement": "z"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            SymbolNameRule.objects.create(**({"position": 2, "kind": "suffix", "pattern": "y"} | broken))
    assert symbol_names.try_names(server_id=None, names=["a" * 39 + "!"], actor=house.maker)[0].code == ""


# ------------------------------------------------------------------------------------------------------------ files


def sample(name: str) -> bytes:
    path = Path(settings.SAMPLE_DATA_DIR) / "symbol_specs" / name
    if not path.exists():
        pytest.skip(f"no sample data at {path}")
    return path.read_bytes()


@pytest.mark.sample_data
@pytest.mark.parametrize(
    ("name", "form", "rows", "bad"),
    [
        ("mt4_symbols_wt.json", "mt4_symbols", 123, 0),
        ("mt4_symbolinfo_sc2012.json", "mt4_symbols", 1, 0),
        ("mt5_symbol_info_eurusd_roboforex.json", "mt5_symbol_info", 1, 0),
        ("dukascopy_raw_meta_2026-07-13.json", "dukascopy_raw", 1499, 0),
        ("dukascopy_instrument_meta.json", "dukascopy_meta", 1499, 0),
        ("oanda_instruments.csv", "oanda_instruments", 123, 0),
        ("oanda_instruments_pips.csv", "oanda_pips", 124, 0),
    ],
)
def test_every_real_file_is_read_whole(name, form, rows, bad):
    read = read_specifications(sample(name), file_name=name)
    assert (read.format, len(read.rows)) == (form, rows)
    assert [row.name for row in read.rows if row.problem][:3] == [] and bad == 0


@pytest.mark.sample_data
def test_metatrader_4_and_5_count_alike_only_after_translation():
    oil = read_specifications(sample("mt4_symbolinfo_sc2012.json"), file_name="x").rows[0].terms
    assert oil["tick_value"] == 500 and oil["margin_hedged"] == 1000 and oil["swap_mode"] == SwapMode.POINTS
    assert oil["swap_multipliers"] == [0, 1, 1, 3, 1, 1, 0]
    assert oil["trade_sessions"][1] == [[180, 330], [450, 540], [900, 1230]] and oil["trade_sessions"][0] == []
    wt = {row.name: row.terms for row in read_specifications(sample("mt4_symbols_wt.json"), file_name="x").rows}
    assert wt["XAUUSD"]["calculation_mode"] == CalculationMode.CFD
    assert (wt["XAUUSD"]["contract_size"], wt["XAUUSD"]["digits"], wt["XAUUSD"]["swap_long"]) == (100, 2, D("-7.08"))
    assert wt["EURUSD"]["swap_long"] == D("-5.6") and wt["EURUSD"]["swap_short"] == D("-1.04")
    assert wt["XNGUSD"]["calculation_mode"] == CalculationMode.CFD_LEVERAGE
    euro = read_specifications(sample("mt5_symbol_info_eurusd_roboforex.json"), file_name="x").rows[0].terms
    assert (euro["swap_short"], euro["margin_hedged"], euro["spread_points"]) == (D("1.14064"), 50_000, 30)
    assert euro["tick_size"] == D("0.00001")
    duka = {
        row.name: row.terms
        for row in read_specifications(sample("dukascopy_raw_meta_2026-07-13.json"), file_name="x").rows
    }
    assert duka["EUR/USD"] == {"pip_size": D("0.0001"), "digits": 5}
    oanda = {row.name: row.terms for row in read_specifications(sample("oanda_instruments.csv"), file_name="x").rows}
    assert (oanda["USD_TRY"]["leverage_maximum"], oanda["EUR_SEK"]["pip_size"]) == (4, D("0.0001"))


def test_swap_types_of_metatrader_4_are_not_those_of_5():
    def mode(document: dict[str, object]) -> int:
        return read_specifications(json.dumps(document).encode(), file_name="x").rows[0].terms["swap_mode"]

    mt4 = {"symbol": "A", "contract_size": 1, "digits": 2, "margin_currency": "USD", "currency": "USD"}
    assert [mode(mt4 | {"swap_type": number}) for number in range(4)] == [1, 2, 5, 3]


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"[1]", b"hello", b"\xff\xfe", b"{" * 5_000, b'{"data": [{"x": 1}]}', b"name,type\nEUR,1\n"],
)
def test_a_file_of_no_known_form_is_refused(data):
    with pytest.raises(InvalidInput) as refused:
        read_specifications(data, file_name="hostile.json")
    assert refused.value.details["field"] == "file"


@pytest.mark.parametrize("size", ["0", "-1", "NaN", '"many"', "null", "1e400"])
def test_a_row_with_a_contract_size_that_cannot_be_names_file_symbol_and_field(house, size):
    row = '{"symbol": "%s", "contract_size": %s, "digits": 5, "margin_currency": "EUR", "currency": "USD"}'
    data = f"[{row % ('EURUSD', size)}, {row % ('EURUSD.x', 100_000)}]".encode()
    if size == "NaN":
        data = data.replace(b"NaN", b'"NaN"')
    kept = specification_imports.import_specifications(data=data, file_name="specs.json", actor=house.maker)
    bad, good = kept.rows
    assert bad["problem"].startswith("specs.json, EURUSD: contract_size")
    assert bad["field"] == "contract_size"
    assert (good["code"], good["changes"], good["problem"]) == ("EURUSD", {}, "")
    with pytest.raises(InvalidInput):
        specification_imports.propose(import_id=kept.pk, rows=[], actor=house.maker, reason="x")
    asked, refused = specification_imports.propose(import_id=kept.pk, rows=[1, 99], actor=house.maker, reason="x")
    assert asked == [] and len(refused) == 2
    assert not ChangeRequest.objects.exists()


def test_what_a_file_says_otherwise_is_proposed_and_only_that(house):
    data = json.dumps(
        [
            {
                "symbol": "EURUSD.m",
                "contract_size": 100000,
                "digits": 5,
                "margin_currency": "EUR",
                "currency": "USD",
                "swap_long": -7.25,
            }
        ]
    ).encode()
    kept = specification_imports.import_specifications(data=data, file_name="lp.json", actor=house.maker)
    assert kept.rows[0]["changes"] == {"swap_long": ["-6.5", "-7.25"]}
    [change], refused = specification_imports.propose(
        import_id=kept.pk, rows=[1], actor=house.maker, reason="new sheet"
    )
    assert refused == [] and change.state == "draft"
    assert change.payload["specification"]["swap_long"] == "-7.25"
    assert change.payload["specification"]["spread_points"] == "10"
    with pytest.raises(Denied):
        specification_imports.import_specifications(data=data, file_name="lp.json", actor=staff(Role.SALES))
