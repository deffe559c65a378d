"""Facts about clients that commissions rest on, told once each by whoever knows them: this house's desks or other systems.

A repeated reference with the same content is harmless; with other content it is refused. A fact is never changed: a
reversal takes it out, and every partner's periods that it touched are settled again (triggers mark them).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import models, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import OutboxEvent
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of
from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import exact_decimal, round_decimal
from backoffice.kernel.errors import Conflict, IdempotencyMismatch, InvalidInput, NotFound
from ib.models import ClientEvent
from ib.models.client_events import MONEY_KINDS, ClientEventKind
from ib.services import ordered, ranks

RECORD = "ib.record_client_events"
OF_RANKS = frozenset({ClientEventKind.DEPOSIT, ClientEventKind.REFUND, ClientEventKind.CHARGEBACK})
"""Facts that the figures of ranks rest on."""
AHEAD = timedelta(minutes=10)
"""How far the clock of another system may be ahead of ours."""
ACTOR = Actor.system("ib.client_events")

TOPICS = {
    "funding.deposit_completed": ClientEventKind.DEPOSIT,
    "funding.withdrawal_completed": ClientEventKind.WITHDRAWAL,
    "funding.chargeback_received": ClientEventKind.CHARGEBACK,
    "funding.refund_completed": ClientEventKind.REFUND,
    "funding.bonus_granted": ClientEventKind.BONUS,
    "funding.fee_charged": ClientEventKind.FEE,
    "funding.payment_cost_charged": ClientEventKind.PAYMENT_COST,
    "funding.kyc_verified": ClientEventKind.KYC_VERIFIED,
    "crm.kyc_verified": ClientEventKind.KYC_VERIFIED,
    "crm.client_registered": ClientEventKind.REGISTERED,
    "risk.fraud_confirmed": ClientEventKind.FRAUD,
}
"""What other desks publish, and which fact it is. Payload: client_id, reference, at, and for money amount and currency."""


@dataclass(frozen=True, slots=True)
class ClientFact:
    """What is told of a client. `at` is when it happened; for fraud, from when on."""

    client_id: int
    kind: str
    at: datetime
    source: str
    reference: str
    amount: Decimal | None = None
    currency: str = ""
    disputed_from: datetime | None = None
    note: str = ""


@transaction.atomic
def record_client_event(*, fact: ClientFact, actor: Actor) -> ClientEvent:
    """Records a fact, once: the same reference of the same source with the same content returns what stands there.

    Raises InvalidInput for a fact that cannot be, NotFound for a client who is not the actor's to see, and
    IdempotencyMismatch when the reference stands for something else.
    """
    authorise(actor, RECORD)
    client = get_visible(_clients(), actor, pk=fact.client_id)
    return _write(_checked(fact), client=client, actor=actor, reverses=None)


@transaction.atomic
def reverse_client_event(*, event_id: int, reference: str, reason: str, actor: Actor) -> ClientEvent:
    """Takes a fact out, as if it had never happened, and says why. Repeating it with the same reference is harmless.

    Raises Conflict (`already_reversed`) when another reference took it out, or when it is a reversal itself.
    """
    authorise(actor, RECORD)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    event = get_visible(ClientEvent.objects.select_related("client"), actor, pk=event_id)
    if event.reverses_id is not None:
        raise Conflict("A reversal is not reversed; tell the fact again under a new reference.", code="is_reversal")
    taken_out = ClientEvent.objects.filter(reverses=event).first()
    if taken_out is not None:
        if taken_out.reference == reference.strip():
            return taken_out
        raise Conflict("This was taken out before.", code="already_reversed", reference=taken_out.reference)
    fact = ClientFact(
        client_id=event.client_id,
        kind=event.kind,
        at=event.at,
        source=event.source,
        reference=_text(reference, "reference", 120),
        amount=event.amount,
        currency=event.currency,
        disputed_from=event.disputed_from,
        note=reason.strip()[:300],
    )
    return _write(fact, client=event.client, actor=actor, reverses=event)


def on_told(kind: ClientEventKind) -> Any:
    """The handler of a topic: writes the fact down, tolerantly: without `at` it happened when it was published."""

    def handle(payload: dict[str, Any], event: OutboxEvent) -> None:
        source = event.topic.partition(".")[0]
        told = str(payload.get("reference") or f"event {event.pk}")
        moment = _moment(payload.get("at")) or event.created_at
        reversed_reference = payload.get("reverses")
        if reversed_reference:
            found = ClientEvent.objects.filter(source=source, reference=f"{kind}:{reversed_reference}").first()
            if found is None:
                raise NotFound("What is to be taken out was never told.", reference=str(reversed_reference))
            reverse_client_event(
                event_id=found.pk, reference=f"{kind}:{told}", reason=f"Taken back by {source}.", actor=ACTOR
            )
            return
        is_money = kind in MONEY_KINDS
        fact = ClientFact(
            client_id=int(payload["client_id"]),
            kind=kind,
            at=moment,
            source=source,
            reference=f"{kind}:{told}",
            amount=exact_decimal(str(payload["amount"])) if is_money else None,
            currency=str(payload["currency"]) if is_money else "",
            disputed_from=_moment(payload.get("disputed_from")),
            note=str(payload.get("note") or "")[:300],
        )
        record_client_event(fact=fact, actor=ACTOR)

    return handle


def subscribe() -> None:
    """Listens to the topics. Called once, when the process starts."""
    for topic, kind in TOPICS.items():
        outbox.subscribe(topic, "ib.client_event", on_told(kind))


def _write(fact: ClientFact, *, client: models.Model, actor: Actor, reverses: ClientEvent | None) -> ClientEvent:
    row = ClientEvent(
        entity_id=client.entity_id,  # type: ignore[attr-defined]  # a client of the desk of clients
        client_id=fact.client_id,
        kind=fact.kind,
        amount=fact.amount,
        currency=fact.currency,
        at=fact.at,
        day=business_day_of(fact.at),
        disputed_from=fact.disputed_from,
        source=fact.source,
        reference=fact.reference,
        reverses=reverses,
        note=fact.note,
        recorded_by=actor.label,
    )
    ClientEvent.objects.bulk_create([row], ignore_conflicts=True)
    stored = ClientEvent.objects.filter(source=fact.source, reference=fact.reference).first()
    if stored is None:
        raise Conflict("This was taken out before.", code="already_reversed")
    if _content(stored) != _content(row):
        raise IdempotencyMismatch(
            f"Reference {fact.reference} of {fact.source} stands for something else.",
            source=fact.source,
            reference=fact.reference,
        )
    if stored.public_id == row.public_id:
        audit.record(
            actor=actor,
            action="ib.reverse_client_event" if reverses else "ib.record_client_event",
            target=stored,
            reason=fact.note,
            changes={"kind": fact.kind, "amount": str(fact.amount or ""), "currency": fact.currency},
            entity_id=stored.entity_id,
        )
        if fact.kind in OF_RANKS:
            told = "taken out" if reverses else "told late"
            ranks.look_again_at_client(
                client_id=stored.client_id,
                day=stored.day,
                cause=f"{stored.get_kind_display().lower()} of {stored.day} {told} (fact {stored.pk})",
            )
            ordered.deposits_changed(client_id=stored.client_id, day=stored.day, cause=f"fact {stored.pk}")
    return stored


def _content(event: ClientEvent) -> tuple[Any, ...]:
    """What must be the same when a reference comes again; notes and who told it may differ."""
    amount = None if event.amount is None else event.amount.normalize()
    return (
        event.client_id,
        event.kind,
        amount,
        event.currency,
        event.at,
        event.disputed_from,
        event.reverses_id,
    )


def _checked(fact: ClientFact) -> ClientFact:
    if fact.kind not in ClientEventKind.values:
        raise InvalidInput("No such kind of event.", field="kind", value=fact.kind)
    for field, moment in (("at", fact.at), ("disputed_from", fact.disputed_from)):
        if moment is not None and moment.tzinfo is None:
            raise InvalidInput("A moment needs its time zone.", field=field)
        if moment is not None and moment > clock.now() + AHEAD:
            raise InvalidInput("That lies in the future.", field=field, value=moment.isoformat())
    if fact.disputed_from is not None and (fact.kind != ClientEventKind.CHARGEBACK or fact.disputed_from > fact.at):
        raise InvalidInput("Only a chargeback disputes, and something earlier.", field="disputed_from")
    amount, currency = _money(fact)
    return ClientFact(
        client_id=fact.client_id,
        kind=fact.kind,
        at=fact.at,
        source=_text(fact.source, "source", 40).lower(),
        reference=_text(fact.reference, "reference", 120),
        amount=amount,
        currency=currency,
        disputed_from=fact.disputed_from,
        note=fact.note.strip()[:300],
    )


def _money(fact: ClientFact) -> tuple[Decimal | None, str]:
    if fact.kind not in MONEY_KINDS:
        if fact.amount is not None or fact.currency:
            raise InvalidInput("This kind of event has no amount.", field="amount")
        return None, ""
    if fact.amount is None or not fact.currency:
        raise InvalidInput("An amount and its currency are needed.", field="amount")
    currency = Currency.of(fact.currency)
    amount = exact_decimal(fact.amount)
    if amount <= 0:
        raise InvalidInput("The amount must be positive; the kind says in which direction.", field="amount")
    if round_decimal(amount, currency.digits) != amount:
        raise InvalidInput(f"{currency.code} has {currency.digits} decimal places.", field="amount", value=str(amount))
    return amount, currency.code


def _text(value: str, field: str, longest: int) -> str:
    text = value.strip()
    if not text or len(text) > longest or not text.isprintable():
        raise InvalidInput(f"A text of 1 to {longest} characters is needed.", field=field, value=value[:200])
    return text


def _moment(value: Any) -> datetime | None:
    if not value:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise InvalidInput("A moment needs its time zone.", field="at", value=str(value))
    return moment


def _clients() -> models.QuerySet[models.Model]:
    """All clients. The desk of clients lends its model to a foreign key and not to an import."""
    return apps.get_model("crm", "Client")._default_manager.all()
