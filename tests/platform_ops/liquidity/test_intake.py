"""Messages in, executions out: kept once, mapped, corrected by revisions, with the work that follows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backoffice.core.books import verify_books
from backoffice.core.models import AuditRecord, WorkItem
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from platform_ops.gateways.fix import read_message
from platform_ops.models import CurrentFill, LiquidityFill, LiquidityMessage, LiquidityProvider, LiquiditySymbol
from platform_ops.services.liquidity import accept_messages, import_fix_log, map_provider_symbol, save_provider
from tests.factories.platform import make_entity, make_symbol, staff
from tests.platform_ops.liquidity.test_executions import report
from tests.platform_ops.liquidity.test_messages import captured, fix

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("test")


def provider(comp_id: str, **more: object) -> LiquidityProvider:
    entity = make_entity()
    return save_provider(
        code=comp_id.lower(),
        name=comp_id,
        comp_id=comp_id,
        entity_id=entity.pk,
        actor=SYSTEM,
        **more,  # type: ignore[arg-type]
    )


def captured_of(comp_id: str) -> bytes:
    return b"\n".join(line for line in captured().splitlines() if f"|49={comp_id}|".encode() in line)


def test_the_captured_sessions_give_the_true_executions() -> None:
    make_symbol("EURUSD")
    lmax, fxcm = provider("LMXBD", units_per_quantity=Decimal(10_000)), provider("FXCM")
    first = import_fix_log(provider_id=lmax.pk, data=captured_of("LMXBD"), file_name="lmax.log", actor=SYSTEM)
    second = import_fix_log(provider_id=fxcm.pk, data=captured_of("FXCM"), file_name="fxcm.log", actor=SYSTEM)
    assert (first.messages, first.fills, first.refused) == (4, 1, 0)
    assert (second.messages, second.fills, second.refused) == (11, 2, 0)
    assert CurrentFill.objects.get(provider=lmax.pk).units == Decimal(100_000)
    assert sorted(CurrentFill.objects.filter(provider=fxcm.pk).values_list("units", flat=True)) == [1_000, 20_000]
    assert CurrentFill.objects.filter(provider=fxcm.pk).values_list("symbol__code", flat=True)[0] == "EURUSD"
    assert WorkItem.objects.get(kind="platform.lp_name").title == "4001 at lmxbd has no symbol"
    assert not WorkItem.objects.filter(kind="platform.lp_order").exists()


def test_the_same_log_again_changes_nothing() -> None:
    fxcm = provider("FXCM")
    import_fix_log(provider_id=fxcm.pk, data=captured_of("FXCM"), file_name="fxcm.log", actor=SYSTEM)
    before = (LiquidityMessage.objects.count(), LiquidityFill.objects.count())
    again = import_fix_log(provider_id=fxcm.pk, data=captured_of("FXCM"), file_name="fxcm.log", actor=SYSTEM)
    assert (again.new, again.repeated, again.fills, again.corrected) == (0, 11, 0, 0)
    assert (LiquidityMessage.objects.count(), LiquidityFill.objects.count()) == before


def test_mapping_a_name_brings_its_executions_to_it() -> None:
    symbol = make_symbol("EURUSD")
    lmax = provider("LMXBD")
    import_fix_log(provider_id=lmax.pk, data=captured_of("LMXBD"), file_name="lmax.log", actor=SYSTEM)
    name = LiquiditySymbol.objects.get(provider=lmax)
    assert (name.name, name.id_source, CurrentFill.objects.get().units) == ("4001", "8", Decimal(10))
    map_provider_symbol(
        name_id=name.pk, symbol_id=symbol.pk, units_per_quantity=Decimal(10_000), actor=SYSTEM, reason="LMAX contracts"
    )
    fill = CurrentFill.objects.get()
    assert (fill.units, fill.symbol_id, fill.revision, fill.quantity) == (Decimal(100_000), symbol.pk, 1, Decimal(10))
    assert LiquidityFill.objects.count() == 2
    assert WorkItem.objects.get(kind="platform.lp_name").state == WorkItem.State.CLOSED


def test_messages_in_any_portions_end_in_the_same_executions() -> None:
    lp = provider("LP")
    late = [
        report("F", cum=30, qty=20, px="1.2", avg="1.1666666667", exec_id="B", second=2),
        report("F", cum=10, qty=10, px="1.1", exec_id="A", second=1),
    ]
    for message in late:
        accept_messages(provider=lp, messages=[message])
    fills = {fill.number: (fill.quantity, fill.price) for fill in CurrentFill.objects.all()}
    assert fills == {1: (Decimal(10), Decimal("1.1")), 2: (Decimal(20), Decimal("1.2"))}
    accept_messages(provider=lp, messages=[report("H", cum=10, exec_id="C", second=3, t19="B")])
    assert [fill.number for fill in CurrentFill.objects.all()] == [1]
    busted = LiquidityFill.objects.filter(number=2).order_by("-revision").first()
    assert busted is not None
    assert busted.state == LiquidityFill.State.BUSTED


def test_damage_is_counted_and_named_and_hides_nothing() -> None:
    lp = provider("LP")
    good = fix(
        (37, "A"), (17, "1"), (150, "F"), (54, 1), (55, "X"), (32, 5), (31, 2), (14, 5), (60, "20261102-10:00:00")
    )
    bad = good.replace(b"32=5", b"32=6")
    foreign = good.replace(b"49=LP", b"49=XX")
    foreign = foreign[:-4] + f"{sum(foreign[:-7]) % 256:03d}\x01".encode()
    intake = import_fix_log(provider_id=lp.pk, data=bad + good + foreign, file_name="day.log", actor=SYSTEM)
    assert (intake.messages, intake.new, intake.refused, intake.fills) == (3, 1, 2, 1)
    assert "the message's sum is wrong" in intake.problems[0]
    assert "tag 49: the provider sends as LP" in intake.problems[1]
    item = WorkItem.objects.get(kind="platform.lp_log")
    assert item.title == "2 messages of day.log could not be read"
    import_fix_log(provider_id=lp.pk, data=good, file_name="day.log", actor=SYSTEM)
    item.refresh_from_db()
    assert item.state == WorkItem.State.CLOSED


def test_an_order_that_does_not_add_up_waits_for_a_person_until_it_does() -> None:
    lp = provider("LP")
    accept_messages(provider=lp, messages=[report("H", cum=0, exec_id="B", second=1, t19="A")])
    item = WorkItem.objects.get(kind="platform.lp_order")
    assert "does not add up" in item.title
    accept_messages(provider=lp, messages=[report("F", cum=10, qty=10, exec_id="A")])
    item.refresh_from_db()
    assert item.state == WorkItem.State.CLOSED
    assert not CurrentFill.objects.exists()
    checks = {check["name"]: check["ok"] for check in verify_books()["checks"] if check["name"].startswith("work")}
    assert all(checks.values())


def test_a_file_without_messages_and_a_stranger_are_refused() -> None:
    lp = provider("LP")
    with pytest.raises(InvalidInput, match="holds no FIX message"):
        import_fix_log(provider_id=lp.pk, data=b"nothing here", file_name="x.log", actor=SYSTEM)
    with pytest.raises(Denied):
        import_fix_log(
            provider_id=lp.pk, data=captured(), file_name="x.log", actor=staff(Role.SALES, entities=[lp.entity])
        )
    assert not LiquidityMessage.objects.exists()


def test_units_are_not_changed_under_executions() -> None:
    fxcm = provider("FXCM")
    import_fix_log(provider_id=fxcm.pk, data=captured_of("FXCM"), file_name="fxcm.log", actor=SYSTEM)
    with pytest.raises(Conflict, match="set the units of the single symbol instead"):
        save_provider(
            code="fxcm", name="FXCM", comp_id="FXCM", entity_id=fxcm.entity_id, actor=SYSTEM, provider_id=fxcm.pk,
            units_per_quantity=Decimal(1000),
        )  # fmt: skip
    assert AuditRecord.objects.filter(action="platform.import_fix_log").count() == 1


def test_no_name_of_a_person_is_kept() -> None:
    lp = provider("LP")
    message = read_message(fix((37, "A"), (453, 1), (448, "LP"), (452, 3), (802, 1), (523, "Jane Doe"), (803, 2)))
    accept_messages(provider=lp, messages=[message])
    assert "Jane" not in LiquidityMessage.objects.get().text
