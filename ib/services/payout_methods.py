"""Where a partner is paid: asked for by the partner, confirmed by staff, and not used before it has cooled.

Whoever takes over a partner's login and asks for another bank account finds the old one in force for two days at least,
and somebody of the house looking at the change.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models.functions import Greatest

from backoffice.core.access import authorise, get_visible, holds, visible_to
from backoffice.core.services import audit, work_items
from backoffice.core.services.entities import checked_account_number, checked_bic
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Denied, IllegalTransition, InvalidInput, NotFound
from ib.locks import limit_waiting, lock_partner
from ib.models import Partner, PayoutMethod
from ib.models.payouts import PayoutKind
from ib.payout_rules import COOLS_FOR
from ib.permissions import CHOOSE_METHOD, CONFIRM_METHODS
from ib.services.payout_work import METHOD_WAITS
from platform_ops.models import TradingAccount

State = PayoutMethod.State
LONGEST_HOLDER = 70


@dataclass(frozen=True, slots=True)
class BankDetails:
    """A bank account as it is given."""

    holder: str
    bank_name: str
    account_number: str
    bic: str = ""
    is_iban: bool = True


@transaction.atomic
def request_payout_method(
    *,
    partner_id: int,
    kind: str,
    actor: Actor,
    account_id: int | None = None,
    bank: BankDetails | None = None,
    reason: str = "",
) -> PayoutMethod:
    """Asks for another way to be paid; what was asked for and not confirmed before no longer holds.

    A partner asks for themselves, staff who may confirm for any partner they see. Raises InvalidInput naming the field:
    an account that is not the partner's own or in another currency, a number that is none.
    """
    limit_waiting()
    partner = _partner(partner_id, actor)
    if kind not in PayoutKind.values:
        raise InvalidInput("Wallet, own trading account or bank account.", field="kind", value=kind)
    account = _own_account(partner, account_id) if kind == PayoutKind.TRADING_ACCOUNT else None
    now = clock.now()
    method = PayoutMethod(
        partner=partner,
        kind=kind,
        account=account,
        requested_by=actor.label[:200],
        requested_by_id=actor.user_id or None,
        requested_at=now,
        cools_until=now + COOLS_FOR,
        reason=reason.strip()[:500],
    )
    if kind == PayoutKind.BANK:
        _take_bank(method, bank)
    for waiting in PayoutMethod.objects.filter(partner=partner, state=State.REQUESTED):
        _decide(waiting, State.WITHDRAWN, actor, "Another one was asked for.")
    method.save(force_insert=True)
    _record(method, "ib.request_payout_method", actor, reason)
    work_items.open_item(
        kind=METHOD_WAITS,
        group_key=str(method.pk),
        title=f"{partner} wants to be paid to: {method}",
        evidence={"partner": partner.reference, "way": str(method), "asked by": method.requested_by},
        entity_id=partner.entity_id,
        target=method,
    )
    return method


@transaction.atomic
def confirm_payout_method(*, method_id: int, actor: Actor, reason: str) -> PayoutMethod:
    """Lets a way to be paid come into force, when it has cooled. Raises Denied for who asked for it."""
    method = _waiting(method_id, actor, reason)
    if method.requested_by_id is not None and method.requested_by_id == actor.user_id:
        raise Denied("Who asked for it does not confirm it.", code="same_person")
    if method.account is not None:
        _own_account(method.partner, method.account_id)
    _decide(method, State.CONFIRMED, actor, reason)
    return method


@transaction.atomic
def refuse_payout_method(*, method_id: int, actor: Actor, reason: str) -> PayoutMethod:
    """Turns a way to be paid down; what was in force stays."""
    method = _waiting(method_id, actor, reason)
    _decide(method, State.REFUSED, actor, reason)
    return method


def method_in_force(partner_id: int) -> PayoutMethod | None:
    """The way to be paid that holds now; None is the wallet."""
    return (
        PayoutMethod.objects.filter(partner_id=partner_id, state=State.CONFIRMED, cools_until__lte=clock.now())
        .annotate(in_force_from=Greatest("cools_until", "decided_at"))
        .select_related("account__server")
        .order_by("-in_force_from", "-pk")
        .first()
    )


def own_accounts(partner: Partner) -> list[TradingAccount]:
    """The trading accounts that a partner may be paid to: open, their own, and in their currency."""
    if partner.client_id is None:
        return []
    return list(
        TradingAccount.objects.filter(
            client_id=partner.client_id,
            currency=partner.currency,
            is_demo=False,
            server__entity_id=partner.entity_id,
        )
        .exclude(status=TradingAccount.Status.CLOSED)
        .select_related("server")
        .order_by("server__code", "login")
    )


def _own_account(partner: Partner, account_id: int | None) -> TradingAccount:
    for account in own_accounts(partner):
        if account.pk == account_id:
            return account
    raise InvalidInput(
        f"Only an open trading account of the partner's own, in {partner.currency}.", field="account", value=account_id
    )


def _take_bank(method: PayoutMethod, bank: BankDetails | None) -> None:
    if bank is None:
        raise InvalidInput("Give the bank account.", field="account_number")
    if not 0 < len(bank.holder.strip()) <= LONGEST_HOLDER:
        raise InvalidInput(f"Whose account it is, in at most {LONGEST_HOLDER} letters.", field="holder")
    if not 0 < len(bank.bank_name.strip()) <= 120:
        raise InvalidInput("Name the bank.", field="bank_name")
    number = checked_account_number(bank.account_number, is_iban=bank.is_iban)
    method.holder, method.bank_name, method.bic = bank.holder.strip(), bank.bank_name.strip(), checked_bic(bank.bic)
    method.account_number, method.number_tail, method.is_iban = number, number[-4:], bank.is_iban


def _partner(partner_id: int, actor: Actor) -> Partner:
    if holds(actor, CONFIRM_METHODS):
        get_visible(Partner.objects.all(), actor, pk=partner_id)
    else:
        authorise(actor, CHOOSE_METHOD)
        own = visible_to(Partner.objects.all(), actor).filter(
            pk=partner_id, user__isnull=False, user_id=actor.user_id or 0
        )
        if not own.exists():
            raise NotFound("No such partner, or it is not you.", partner_id=partner_id)
    partner = lock_partner(partner_id)
    if partner is None:
        raise NotFound("No such partner.", partner_id=partner_id)
    return partner


def _waiting(method_id: int, actor: Actor, reason: str) -> PayoutMethod:
    authorise(actor, CONFIRM_METHODS)
    if not reason.strip():
        raise InvalidInput("Say how you made sure.", field="reason")
    seen = get_visible(PayoutMethod.objects.all(), actor, pk=method_id)
    lock_partner(seen.partner_id)
    method = PayoutMethod.objects.select_related("partner", "account__server").get(pk=seen.pk)
    if method.state != State.REQUESTED:
        raise IllegalTransition("It was decided already.", state=method.state)
    return method


def _decide(method: PayoutMethod, state: PayoutMethod.State, actor: Actor, reason: str) -> None:
    method.state, method.decided_by, method.decided_by_id = state, actor.label[:200], actor.user_id or None
    method.decided_at, method.reason = clock.now(), reason.strip()[:500]
    method.save(update_fields=["state", "decided_by", "decided_by_id", "decided_at", "reason"])
    work_items.clear_item(kind=METHOD_WAITS, group_key=str(method.pk), reason="It was decided.")
    _record(method, f"ib.payout_method_{state.value}", actor, reason)


def _record(method: PayoutMethod, action: str, actor: Actor, reason: str) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=method,
        reason=reason.strip(),
        changes={"kind": method.kind, "to": str(method)},
        entity_id=method.partner.entity_id,
    )
