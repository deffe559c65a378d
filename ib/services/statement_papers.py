"""Papers about paid statements: a self-billing invoice where the partner agreed to one, else a commission statement.

What a paper says is written down with its number in one transaction; its PDF is made from that alone, once, and kept with
a digest. An invoice whose payment came back is taken back by a credit note, and what is paid again gets a paper of its own.
"""

from __future__ import annotations

import hashlib
from datetime import date
from decimal import Decimal
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q

from backoffice.core.access import authorise, get_visible
from backoffice.core.files.kinds import MEGABYTE, PDF, FilePurpose, register_file_purpose
from backoffice.core.models import StoredFile
from backoffice.core.organisation.document_kinds import DocumentKind, register_document_kind
from backoffice.core.services import audit, files
from backoffice.core.services.numbering import issue_number
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, DomainError
from backoffice.ui.formats import format_decimal
from backoffice.ui.renderers.pdf import render_pdf
from ib import tax_papers
from ib.locks import limit_waiting, lock_partner
from ib.models import CommissionStatement, Payout, StatementPaper
from ib.permissions import READ_PAPERS
from ib.services.payouts import with_left
from ib.statement_rules import PART_TITLES

PURPOSE = "ib.statement_paper"
KEPT_DAYS = 10 * 366
MOST_ISSUED = 50
"""Papers that one run makes; a PDF takes a tenth of a second or so."""
KEEPER = Actor.system("ib.statement_papers")
Kind = StatementPaper.Kind
TEMPLATE = "ib/payout_invoice.html"
_PATTERNS = {
    Kind.INVOICE: ("ib.self_billing_invoice", "Self-billing invoices", "{entity}-SB-{year}-{number:05}"),
    Kind.COMMISSION_STATEMENT: ("ib.commission_statement", "Commission statements", "{entity}-CS-{year}-{number:05}"),
    Kind.CREDIT_NOTE: ("ib.self_billing_credit_note", "Credit notes to partners", "{entity}-SC-{year}-{number:05}"),
}
_log = structlog.get_logger()


def register() -> None:
    """Makes numbers and files known; called once when the application starts."""
    for kind, label, pattern in _PATTERNS.values():
        register_document_kind(DocumentKind(kind, label, pattern))
    register_file_purpose(
        FilePurpose(
            purpose=PURPOSE,
            label="Paper about a paid commission statement",
            content_types=frozenset({PDF}),
            view_capability=READ_PAPERS,
            max_bytes=5 * MEGABYTE,
            retain_days=KEPT_DAYS,
        )
    )


def issue_papers(*, limit: int = MOST_ISSUED) -> int:
    """Numbers the papers that are due, and makes the PDFs that are missing; how many PDFs. Any number may run at once."""
    for statement_id in _without_credit_note(limit):
        _take_back(statement_id)
    for statement_id in _without_paper(limit):
        _write(statement_id)
    made = 0
    missing = StatementPaper.objects.filter(file__isnull=True).select_related("statement__partner__brand__entity")
    for paper in list(missing.order_by("pk")[:limit]):
        try:
            made += _print(paper)
        except DomainError as error:
            _log.warning("statement_paper_waits", paper_id=paper.pk, code=error.code)
    return made


def read_paper(*, paper_id: int, actor: Actor) -> tuple[StatementPaper, bytes]:
    """A paper and its bytes as they were issued. Raises Conflict before its PDF is made, or if it is not what it was."""
    authorise(actor, READ_PAPERS)
    paper = get_visible(StatementPaper.objects.all(), actor, pk=paper_id)
    if paper.file_id is None:
        raise Conflict("The paper is being made; look again in a minute.", code="paper_under_way")
    _, data = files.read_file(file_id=paper.file_id, actor=actor)
    if hashlib.sha256(data).hexdigest() != paper.digest:
        raise Conflict("The file is not what was issued.", code="file_changed")
    return paper, data


def _without_paper(limit: int) -> list[int]:
    """Statements that are paid in full and have no paper that stands."""
    paid = with_left(CommissionStatement.objects.filter(state=CommissionStatement.State.APPROVED)).filter(left__lte=0)
    return list(
        paid.exclude(payouts__state=Payout.State.UNDER_WAY)
        .exclude(pk__in=_standing_papers().values("statement"))
        .order_by("pk")
        .values_list("pk", flat=True)[:limit]
    )


def _without_credit_note(limit: int) -> list[int]:
    """Statements with a paper that stands although something of the payment came back since."""
    short = with_left(CommissionStatement.objects.filter(state=CommissionStatement.State.APPROVED)).filter(left__gt=0)
    standing = _standing_papers().filter(statement__in=short.values("pk"))
    return list(standing.order_by("statement").values_list("statement", flat=True)[:limit])


def _standing_papers() -> Any:
    return StatementPaper.objects.filter(~Q(kind=Kind.CREDIT_NOTE), taken_back_by__isnull=True).order_by()


@transaction.atomic(durable=True)
def _write(statement_id: int) -> StatementPaper | None:
    """The paper of a paid statement, numbered; None when another process wrote it meanwhile."""
    statement = _locked(statement_id)
    if statement.pk not in _without_paper_of(statement):
        return None
    profile = tax_papers.tax_profile(partner_id=statement.partner_id, on=statement.to_day)
    kind = Kind.INVOICE if profile is not None and profile.is_self_billing else Kind.COMMISSION_STATEMENT
    return _create(statement, kind, _body(statement, profile), refers_to=None)


@transaction.atomic(durable=True)
def _take_back(statement_id: int) -> StatementPaper | None:
    statement = _locked(statement_id)
    paper = _standing_papers().filter(statement=statement).first()
    left = with_left(CommissionStatement.objects.filter(pk=statement.pk)).get()
    if paper is None or left.left <= 0:
        return None
    returned = statement.payouts.filter(state=Payout.State.RETURNED).order_by("-ended_at").first()
    body = {**paper.body, "takes_back": paper.reference, "why": returned.problem if returned is not None else ""}
    return _create(statement, Kind.CREDIT_NOTE, body, refers_to=paper)


def _without_paper_of(statement: CommissionStatement) -> set[int]:
    paid = with_left(CommissionStatement.objects.filter(pk=statement.pk)).filter(left__lte=0)
    return set(paid.exclude(pk__in=_standing_papers().values("statement")).values_list("pk", flat=True))


def _locked(statement_id: int) -> CommissionStatement:
    limit_waiting()
    statement = CommissionStatement.objects.select_related("partner__brand__entity", "terms").get(pk=statement_id)
    lock_partner(statement.partner_id)
    return statement


def _create(
    statement: CommissionStatement, kind: StatementPaper.Kind, body: dict[str, Any], *, refers_to: StatementPaper | None
) -> StatementPaper:
    number = issue_number(
        entity_id=statement.partner.entity_id,
        kind=_PATTERNS[kind][0],
        on=clock.now().date(),
        subject=f"statement {statement.number} of {statement.partner.reference}",
        actor=KEEPER,
    )
    paper = StatementPaper.objects.create(
        statement=statement, kind=kind, number=number, reference=number.reference, body=body, refers_to=refers_to
    )
    audit.record(
        actor=KEEPER,
        action="ib.issue_statement_paper",
        target=paper,
        changes={"kind": kind.value, "reference": paper.reference},
        entity_id=statement.partner.entity_id,
    )
    return paper


def _body(statement: CommissionStatement, profile: tax_papers.TaxProfile | None) -> dict[str, Any]:
    """Everything that the paper says, as text: nothing of it is read again."""
    partner, entity = statement.partner, statement.partner.entity
    payable = statement.payable or Decimal(0)
    sums = [["Carried from earlier statements", f"{statement.carried_in:f}"]] if statement.carried_in else []
    sums += [[PART_TITLES.get(source, source), amount] for source, amount in statement.parts]
    sums += [["Held, because it is looked into", f"{-statement.held:f}"]] if statement.held else []
    sums += [["Held before and released", f"{statement.released:f}"]] if statement.released else []
    rounding = payable - statement.total
    sums += [["Rounding", f"{rounding:f}"]] if rounding else []
    paid = statement.payouts.filter(state=Payout.State.PAID).order_by("number")
    return {
        "partner": partner.name,
        "partner_reference": partner.reference,
        "partner_address": profile.address if profile is not None else "",
        "partner_tax_number": profile.tax_number if profile is not None else "",
        "entity": entity.name,
        "entity_country": entity.country,
        "licence": f"{entity.regulator} {entity.licence_number}".strip(),
        "statement": statement.number,
        "from_day": statement.from_day.isoformat(),
        "to_day": statement.to_day.isoformat(),
        "currency": statement.currency,
        "sums": sums,
        **tax_papers.split_tax(payable, statement.currency, profile),
        "payments": [
            [
                item.get_kind_display(),
                _date(item.value_date or (item.paid_at.date() if item.paid_at else None)),
                item.bank_reference,
                f"{item.amount:f}",
            ]
            for item in paid
        ],
        "digest": statement.digest,
    }


def _date(day: date | None) -> str:
    return day.isoformat() if day is not None else ""


def _shown(body: dict[str, Any]) -> dict[str, Any]:
    """The amounts of a paper as people read them: with the places of the currency at least."""
    digits = Currency.of(body["currency"]).digits

    def amount(text: str) -> str:
        value = Decimal(text)
        places = -int(value.normalize().as_tuple().exponent) if value else 0
        return format_decimal(value, max(digits, places))

    return {
        "sums": [(title, amount(text)) for title, text in body["sums"]],
        "payments": [(*said, amount(text)) for *said, text in body["payments"]],
        **{name: amount(body[name]) for name in ("net", "tax", "total")},
    }


def _print(paper: StatementPaper) -> bool:
    brand = paper.statement.partner.brand
    data = render_pdf(
        TEMPLATE,
        {"paper": paper, "body": paper.body, "shown": _shown(paper.body)},
        title=paper.get_kind_display(),
        brand=brand.name,
        entity=brand.entity.name,
        accent=brand.accent_colour,
    )
    stored = files.store_file(
        purpose=PURPOSE,
        data=data,
        file_name=f"{paper.reference}.pdf",
        actor=KEEPER,
        entity_id=paper.statement.partner.entity_id,
        owner=paper,
    )
    return _attach(paper.pk, stored, hashlib.sha256(data).hexdigest())


@transaction.atomic
def _attach(paper_id: int, stored: StoredFile, digest: str) -> bool:
    paper = StatementPaper.objects.select_for_update(of=("self",)).get(pk=paper_id)
    if paper.file_id is not None:
        return False  # another process made it meanwhile; its file stands
    paper.file, paper.digest = stored, digest
    paper.save(update_fields=["file", "digest"])
    return True
