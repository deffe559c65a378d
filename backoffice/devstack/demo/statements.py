"""The demo's statements and payouts: carried, in review, withheld, approved, paid to a wallet, in a file for the bank."""

from __future__ import annotations

from datetime import timedelta

from schwifty import IBAN

from backoffice.core.actors import actor_of_user
from backoffice.core.models import EntityBankAccount, User
from backoffice.core.services import entities
from backoffice.core.types import Actor, Role
from backoffice.devstack.demo.seed import Seeding
from backoffice.kernel import clock
from ib.models import CommissionStatement, Partner, PayoutMethod
from ib.models.payouts import PayoutKind
from ib.services import payment_files, payout_methods, payouts, statements
from ib.services.payout_terms import put_payout_terms

PARTNERS = 10
"""Whose statements are made at once; the schedule makes the others within minutes, as it always does."""
WITH_A_BANK = 3
COOLED = timedelta(days=4)


def write_statements(seeding: Seeding) -> None:
    """Comes after the history, whose older days are closed by then."""
    seeding.say("statements of the closed months, and what was paid of them")
    _terms(seeding)
    partners = list(
        Partner.objects.filter(entity=seeding.entity, currency="USD")
        .order_by("pk")
        .values_list("pk", flat=True)[:PARTNERS]
    )
    statements.close_statements(actor=seeding.actor, partner_ids=partners)
    manager, finance, administrator = (
        _person(seeding, role) for role in (Role.PARTNER_MANAGER, Role.FINANCE, Role.ADMINISTRATOR)
    )
    waiting = CommissionStatement.objects.filter(state=CommissionStatement.State.IN_REVIEW, partner__in=partners)
    found = list(waiting.order_by("partner", "number"))
    if len(found) < 5:
        return
    # The last one waits, the one before is withheld, the largest was looked at by one person only.
    statements.withhold_statement(
        statement_id=found[-2].pk, reason="Two clients share an address with the partner.", actor=manager
    )
    *others, largest = sorted(found[:-2], key=lambda item: item.total)
    statements.approve_statement(statement_id=largest.pk, actor=manager)
    for statement in others:
        approved = statements.approve_statement(statement_id=statement.pk, actor=manager)
        if approved.state == CommissionStatement.State.CONFIRMED:
            statements.approve_statement(statement_id=statement.pk, actor=administrator)
    _pay(seeding, sorted(others, key=lambda item: item.pk), finance=finance, administrator=administrator)


def _terms(seeding: Seeding) -> None:
    """Without days of review until today, so that the past is ready to be looked at; five of them from today on."""
    today = clock.now().date()
    for valid_from, review_days in ((seeding.start.date() - timedelta(days=40), 0), (today, 5)):
        put_payout_terms(
            payload={
                "entity_id": seeding.entity.pk,
                "partner_id": None,
                "valid_from": valid_from.isoformat(),
                "period": "monthly",
                "review_days": review_days,
                "hold_days": 0,
                "minimum_payout": "50",
                "automatic_up_to": "300",
                "allows_partial": True,
            },
            actor=seeding.actor,
            approval="board of the demo broker",
        )


def _pay(seeding: Seeding, approved: list[CommissionStatement], *, finance: Actor, administrator: Actor) -> None:
    """The first partners are paid to a bank, by a file that is settled and one that is not; the others to the wallet."""
    account = entities.add_bank_account(
        entity_id=seeding.entity.pk,
        name="Own money USD",
        purpose=EntityBankAccount.Purpose.OWN_MONEY.value,
        currency="USD",
        bank_name="Commerzbank",
        account_number=str(IBAN.generate("DE", bank_code="37040044", account_code="0053999901")),
        actor=seeding.actor,
        reason="opened for payments of the house",
    )
    with_bank = list(dict.fromkeys(item.partner_id for item in approved))[:WITH_A_BANK]
    for partner_id in with_bank:
        _bank_of(seeding, partner_id, finance=finance, administrator=administrator)
    to_bank = [item for item in approved if item.partner_id in with_bank]
    for number, batch in enumerate((to_bank[::2], to_bank[1::2])):
        for statement in batch:
            _pay_one(statement, finance)
        if not batch:
            continue
        file = payment_files.export_payments(
            bank_account_id=account.pk, execution_day=clock.now().date(), actor=finance
        )
        if number == 0:
            payment_files.mark_file_paid(
                file_id=file.pk, bank_reference="NB-2047713", value_date=clock.now().date(), actor=administrator
            )
    # The last approved one is left to be paid by whoever looks at the demo.
    for statement in [item for item in approved if item.partner_id not in with_bank][:-1]:
        _pay_one(statement, finance)


def _pay_one(statement: CommissionStatement, finance: Actor) -> None:
    payouts.pay_statement(statement_id=statement.pk, actor=finance, idempotency_key=f"demo:{statement.pk}")


def _bank_of(seeding: Seeding, partner_id: int, *, finance: Actor, administrator: Actor) -> None:
    partner = Partner.objects.get(pk=partner_id)
    method = payout_methods.request_payout_method(
        partner_id=partner_id,
        kind=PayoutKind.BANK.value,
        bank=payout_methods.BankDetails(
            holder=partner.name[: payout_methods.LONGEST_HOLDER],
            bank_name="Deutsche Bank",
            account_number=str(IBAN.generate("DE", bank_code="10070000", account_code=f"{partner_id:010}")),
        ),
        actor=finance,
        reason="Form of the partner",
    )
    payout_methods.confirm_payout_method(method_id=method.pk, actor=administrator, reason="Called back")
    # It was asked for some days ago: a demo has a past.
    asked = clock.now() - COOLED
    PayoutMethod.objects.filter(pk=method.pk).update(
        requested_at=asked, decided_at=asked, cools_until=asked + timedelta(days=2)
    )


def _person(seeding: Seeding, role: Role) -> Actor:
    user = User.objects.filter(roles__contains=[role], entities=seeding.entity).order_by("pk").first()
    assert user is not None, "the demo has a login for every role"
    return actor_of_user(user)
