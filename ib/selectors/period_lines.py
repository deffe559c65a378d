"""Period lines as lists, and how one came about; rewards on the way; balances of losses. For staff and for the partner."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.types import Actor
from backoffice.kernel.errors import NotFound
from ib.models import CarryBalance, ClientEvent, ClientReferral, CpaClaim, Partner, PeriodLine, PeriodMark
from ib.rules.period_words import LinePart, LineWords, PeriodFacts, explain_period
from ib.rules.periods import LineKind, Money, PartCode
from ib.selectors.partners import check_own_or_staff, name_for_partners
from ib.services.period_terms import terms_of
from ib.types import Explanation

VIEW = "ib.view_commissions"
OF_A_PARTNER_BELOW = "a client of a partner below"
SCOPE_WORDS = {
    "none": "Losses are not carried",
    "plan": "The plan's own losses",
    "partner": "Losses of everything earned by the period",
    "group": "Losses of the whole group",
}


def stored_facts(line: PeriodLine) -> PeriodFacts:
    """A stored line as the facts that its target follows from."""
    share = None
    if line.rule is not None and line.kind == LineKind.NET_REVENUE and line.rate is not None:
        share = terms_of(line.rule, line.partner).share
    parts = tuple(
        LinePart(
            code=PartCode(part.code),
            amount=part.amount,
            original=part.original,
            currency=part.currency,
            count=part.count,
            unknown=part.unknown,
            subject_id=part.subject_id,
        )
        for part in line.parts.all()
    )
    return PeriodFacts(
        kind=LineKind(line.kind),
        period=line.period,
        money=Money(line.currency, line.decimals, line.rounding),
        quantity=line.quantity,
        measure=line.measure,
        rate=line.rate,
        rate_currency=line.rate_currency,
        fx_rate=line.fx_rate,
        fx_date=line.fx_date,
        level=line.level,
        share=share,
        parts=parts,
        earned_at=line.earned_at,
        cause_event_id=line.cause_event_id,
    )


def staff_period_lines(
    *, actor: Actor, period: date | None = None, kind: str = "", search: str = "", partner_id: int | None = None
) -> QuerySet[PeriodLine]:
    """Lines that staff may see, the newest period first."""
    authorise(actor, VIEW)
    lines = visible_to(_with_client(PeriodLine.objects.select_related("partner")), actor)
    if period is not None:
        lines = lines.filter(period=period.replace(day=1))
    if kind:
        lines = lines.filter(kind=kind)
    if partner_id is not None:
        lines = lines.filter(partner_id=partner_id)
    if search.strip():
        found = Q(partner__reference__iexact=search.strip()) | Q(partner__name__icontains=search.strip())
        clients = _clients().filter(reference__iexact=search.strip()).order_by().values("pk")
        lines = lines.filter(found | Q(subject_type="client", subject_id__in=clients))
    return lines.order_by("-period", "partner_id", "pk")


def _with_client(lines: QuerySet[PeriodLine], *, for_partner: bool = False) -> QuerySet[PeriodLine]:
    """With the number of the client whom a line is about; to a partner only where they introduced the client themselves."""
    lines = lines.annotate(
        client_pk=Case(
            When(subject_type=PeriodLine.Subject.CLIENT, then=F("subject_id")),
            default=F("cause_event__client_id"),
            output_field=BigIntegerField(),
        )
    )
    clients = Subquery(_clients().filter(pk=OuterRef("client_pk")).values("reference")[:1])
    if not for_partner:
        return lines.annotate(client_reference=clients)
    return lines.annotate(client_reference=_masked(clients, "client_pk"))


def _masked(reference: Any, client_path: str) -> Case:
    """A client's number for whoever introduced them at any time; for others only that there is somebody below."""
    introduced = ClientReferral.objects.filter(partner_id=OuterRef("partner_id"), client_id=OuterRef(client_path))
    return Case(
        When(Q(**{f"{client_path}__isnull": True}), then=Value("")),
        When(Exists(introduced), then=reference),
        default=Value(OF_A_PARTNER_BELOW),
        output_field=CharField(),
    )


def own_period_lines(*, actor: Actor, partner: Partner, period: date | None = None) -> QuerySet[PeriodLine]:
    """A partner's own lines."""
    check_own_or_staff(actor, partner, VIEW)
    lines = _with_client(PeriodLine.objects.filter(partner=partner).select_related("partner"), for_partner=True)
    if period is not None:
        lines = lines.filter(period=period.replace(day=1))
    return lines.order_by("-period", "pk")


def find_period_line(*, actor: Actor, reference: str) -> PeriodLine:
    """The line of a reference (`P-202603-57`). Raises NotFound when it is not there, or not the actor's."""
    _, _, number = reference.rpartition("-")
    if not (number.isdigit() and number.isascii() and len(number) < 19):
        raise NotFound("No such period line.", reference=reference)
    lines = PeriodLine.objects.select_related("partner", "rule__version__plan", "cause_event")
    line = get_visible(lines, actor, pk=int(number))
    if line.reference != reference:
        raise NotFound("No such period line.", reference=reference)
    return line


def explain_period_line(*, actor: Actor, reference: str) -> tuple[PeriodLine, Explanation]:
    """A line and its explanation, rebuilt from its columns, its parts and its rule by the functions that settled it."""
    line = find_period_line(actor=actor, reference=reference)
    before = PeriodLine.objects.filter(
        partner=line.partner,
        kind=line.kind,
        rule_id=line.rule_id,
        subject_type=line.subject_type,
        subject_id=line.subject_id,
        period=line.period,
        currency=line.currency,
        seq__lt=line.seq,
    ).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    version = line.rule.version if line.rule is not None else None
    is_own = not actor.is_system and actor.user_id is not None and line.partner.user_id == actor.user_id
    words = LineWords(
        partner=str(line.partner),
        plan=str(version.plan) if version else "",
        plan_version=version.number if version else 0,
        rule=str(line.rule) if line.rule is not None and line.rate is not None else "",
        subject=subject_words(line, for_partner=is_own),
        cause=_cause_words(line.cause_event, for_partner=is_own),
        subjects=_partners_named(line),
    )
    explanation = explain_period(
        stored_facts(line),
        words,
        booked_before=before,
        booked_day=line.booked_day,
        day=line.day,
        stored_target=line.target,
        stored_amount=line.amount,
    )
    return line, explanation


def subject_words(line: PeriodLine, *, for_partner: bool = False) -> str:
    """Whom a line is about: a client by number only, and to a partner only who is their own."""
    client_id = line.subject_id if line.subject_type == PeriodLine.Subject.CLIENT else None
    if line.cause_event is not None:
        client_id = line.cause_event.client_id
    if client_id is None:
        return ""
    if for_partner and not ClientReferral.objects.filter(partner=line.partner, client_id=client_id).exists():
        return OF_A_PARTNER_BELOW
    return client_references([client_id]).get(client_id, "")


def client_references(client_ids: list[int]) -> dict[int, str]:
    """The numbers by which people call clients."""
    return dict(_clients().filter(pk__in=client_ids).values_list("pk", "reference"))


def claims_of(*, actor: Actor, partner: Partner | None = None, state: str = "") -> QuerySet[CpaClaim]:
    """Rewards on the way, those nearest to their end first; of one partner, or of all whom staff may see."""
    if partner is None:
        authorise(actor, VIEW)
        claims = visible_to(CpaClaim.objects.annotate(client_reference=F("client__reference")), actor)
    else:
        check_own_or_staff(actor, partner, VIEW)
        claims = CpaClaim.objects.filter(partner=partner).annotate(
            client_reference=_masked(F("client__reference"), "client_id")
        )
    if state:
        claims = claims.filter(state=state)
    return claims.select_related("partner", "client", "rule").order_by("state", "expires_at", "-first_deposit_at", "pk")


def balances_of_losses(*, actor: Actor, partner: Partner | None = None) -> QuerySet[CarryBalance]:
    """Balances of losses, the newest period first."""
    if partner is None:
        authorise(actor, VIEW)
        rows = visible_to(CarryBalance.objects.all(), actor)
    else:
        check_own_or_staff(actor, partner, VIEW)
        rows = CarryBalance.objects.filter(partner=partner)
    return rows.select_related("partner", "plan").order_by("-period", "partner_id", "plan_id")


def client_events(*, actor: Actor, kind: str = "", search: str = "") -> QuerySet[ClientEvent]:
    """Facts about clients that staff may see, the newest first."""
    authorise(actor, "ib.view_client_events")
    events = visible_to(ClientEvent.objects.select_related("client", "reverses"), actor)
    if kind:
        events = events.filter(kind=kind)
    if search.strip():
        wanted = search.strip()
        events = events.filter(Q(reference__icontains=wanted) | Q(client__reference__iexact=wanted))
    return events.order_by("-at", "-pk")


def waiting_partners(*, actor: Actor) -> list[tuple[Partner, PeriodMark]]:
    """Partners whose periods cannot be settled now, and why."""
    authorise(actor, VIEW)
    marks = PeriodMark.objects.filter(is_spread=True).exclude(problem="").order_by("partner_id", "pk")
    newest = {mark.partner_id: mark for mark in marks}
    partners = visible_to(Partner.objects.filter(pk__in=[pk for pk in newest if pk is not None]), actor)
    return [(partner, newest[partner.pk]) for partner in partners.order_by("reference")]


def client_of_reference(*, actor: Actor, reference: str) -> Any:
    """A client that the actor sees, by number."""
    return get_visible(_clients(), actor, reference=reference.strip())


def _partners_named(line: PeriodLine) -> dict[int, str]:
    """Names of the partners below that a line has parts of; to the partner, all of them stand below."""
    wanted = [part.subject_id for part in line.parts.all() if part.subject_id is not None]
    return {partner.pk: name_for_partners(partner) for partner in Partner.objects.filter(pk__in=wanted)}


def _cause_words(event: ClientEvent | None, *, for_partner: bool = False) -> str:
    """What happened; amounts and numbers of payments are for staff."""
    if event is None:
        return ""
    if for_partner:
        return f"{event.get_kind_display()} on {event.at:%Y-%m-%d}"
    money = f" of {event.amount.normalize():f} {event.currency}" if event.amount is not None else ""
    return f"{event.get_kind_display()}{money} on {event.at:%Y-%m-%d} ({event.source} {event.reference})"


def _clients():  # type: ignore[no-untyped-def]
    return apps.get_model("crm", "Client")._default_manager.all()
