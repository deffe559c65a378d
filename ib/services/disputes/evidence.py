"""The evidence pack of a dispute: what the engine itself said about the line at that moment, kept as issued.

Two packs are kept: the partner's holds what the partner may see (deals only of clients they introduced themselves, never
their result), the desk's everything. Each is canonical JSON with its digest, and a PDF of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import structlog
from django.db import IntegrityError, transaction

from backoffice.core.actors import actor_of_user
from backoffice.core.services import files
from backoffice.kernel.errors import DomainError
from backoffice.ui.renderers.pdf import render_pdf
from ib.dispute_rules import DisputeSubject
from ib.models import Dispute, DisputeDocument, DisputeEvidence
from ib.rules import money_text
from ib.selectors import disputed, explaining, period_lines
from ib.services.disputes.common import KEEPER
from ib.services.disputes.letters import EVIDENCE_PURPOSE
from ib.types import Explanation

Audience = DisputeEvidence.Audience
MAX_ISSUED = 20
"""Documents that one run issues; each takes a quarter of a second."""
FORMAT = "commission-dispute-evidence/1"
_log = structlog.get_logger(__name__)


def take_evidence(dispute: Dispute, lines: Sequence[Any]) -> list[DisputeEvidence]:
    """Keeps what the engine says now, in the transaction of the step that asks for it; *lines* is what is booked so far."""
    number = dispute.evidence.count() // 2 + 1
    return [_keep(dispute, number, audience, lines) for audience in Audience]


def _keep(dispute: Dispute, number: int, audience: DisputeEvidence.Audience, lines: Sequence[Any]) -> DisputeEvidence:
    body = json.dumps(pack_of(dispute, audience, lines), default=_plain, sort_keys=True, ensure_ascii=False, indent=1)
    return DisputeEvidence.objects.create(
        dispute=dispute, number=number, audience=audience, body=body, digest=hashlib.sha256(body.encode()).hexdigest()
    )


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def pack_of(dispute: Dispute, audience: DisputeEvidence.Audience, lines: Sequence[Any]) -> dict[str, Any]:
    """What is known about the line now, for those who may know it."""
    for_partner = audience == Audience.PARTNER
    pack: dict[str, Any] = {
        "format": FORMAT,
        "dispute": dispute.reference,
        "partner": str(dispute.partner),
        "about": dispute.get_subject_display(),
        "reference": dispute.subject_reference,
        "cause": dispute.get_cause_display(),
        "claim": dispute.claim,
        "claimed_amount": dispute.claimed_amount,
        "amount": dispute.amount,
        "currency": dispute.currency,
        "booked_for_this_before": dispute.booked_before,
        "lines": [_line(line) for line in lines],
    }
    if dispute.subject == DisputeSubject.PERIOD_LINE:
        return {**pack, **_of_period_line(dispute, for_partner)}
    deals = disputed.deals_of_trade(dispute.trade_id or 0)
    if for_partner:
        shown = disputed.introduced_client_of(dispute.partner, dispute.trade_id or 0)
        deals = [disputed.without_result(deal) for deal in deals] if shown else []
        pack["deals_note"] = "" if shown else "The deals of clients whom other partners introduced are for them only."
    pack["deals"] = deals
    if dispute.subject == DisputeSubject.UNPAID_TRADE:
        return {**pack, "unpaid": disputed.why_unpaid(dispute.partner, dispute.trade_id or 0)}
    return {**pack, **_of_trade_line(dispute)}


def _line(line: Any) -> dict[str, Any]:
    return {
        "line": line.reference,
        "worth": money_text(line.target, line.currency),
        "booked": money_text(line.amount, line.currency),
        "in_the_books_of": line.booked_day,
    }


def _of_trade_line(dispute: Dispute) -> dict[str, Any]:
    facts, explanation = explaining.explain_line(actor=KEEPER, reference=dispute.subject_reference)
    return {"facts": dataclasses.asdict(facts), **_explained(explanation)}


def _of_period_line(dispute: Dispute, for_partner: bool) -> dict[str, Any]:
    user = dispute.partner.user
    actor = actor_of_user(user) if for_partner and user is not None else KEEPER
    line, explanation = period_lines.explain_period_line(actor=actor, reference=dispute.subject_reference)
    # Without a login nobody reads the partner's pack; what is kept for later must still be theirs to see.
    steps = {} if for_partner and user is None else _explained(explanation)
    return {"period": f"{line.period:%Y-%m}", "rule": str(line.rule or ""), **steps}


def _explained(explanation: Explanation) -> dict[str, Any]:
    return {
        "steps": [[step.title, step.text, step.figure] for step in explanation.steps],
        "engine_target": explanation.target,
        "engine_amount": explanation.amount,
        "equal_to_the_stored_cent": explanation.agrees,
    }


def issue_documents(*, dispute_id: int | None = None, limit: int = MAX_ISSUED) -> int:
    """Makes the PDFs that are missing, outside of any transaction, as the schedule does within seconds; how many. What they say is the kept JSON alone."""
    missing = DisputeEvidence.objects.filter(document__isnull=True).select_related("dispute__partner__brand__entity")
    if dispute_id is not None:
        missing = missing.filter(dispute_id=dispute_id)
    issued = 0
    for evidence in list(missing.order_by("pk")[:limit]):
        try:
            issued += _issue(evidence)
        except DomainError as error:
            _log.warning("dispute_document_waits", evidence_id=evidence.pk, code=error.code)
    return issued


def _issue(evidence: DisputeEvidence) -> bool:
    dispute, brand = evidence.dispute, evidence.dispute.partner.brand
    pack = json.loads(evidence.body)
    data = render_pdf(
        "ib/dispute_evidence.html",
        {"evidence": evidence, "dispute": dispute, "pack": pack, "rows": _facts_shown(pack, dispute.currency)},
        title=f"Evidence for {dispute.reference}",
        brand=brand.name,
        entity=brand.entity.name,
        accent=brand.accent_colour,
    )
    stored = files.store_file(
        purpose=EVIDENCE_PURPOSE,
        data=data,
        file_name=f"{dispute.reference}-{evidence.number}.pdf",
        actor=KEEPER,
        entity_id=dispute.entity_id,
        owner=evidence,
    )
    try:
        with transaction.atomic():
            DisputeDocument.objects.create(evidence=evidence, file=stored, digest=hashlib.sha256(data).hexdigest())
    except IntegrityError:
        return False  # another process issued it meanwhile; its file stands
    return True


def _facts_shown(pack: dict[str, Any], currency: str) -> list[tuple[str, str]]:
    """The head of the document: what the dispute is about, in words."""
    claimed = pack["claimed_amount"]
    facts = pack.get("facts", {})
    return [
        ("Partner", pack["partner"]),
        ("About", f"{pack['about']} {pack['reference']}"),
        ("Cause", pack["cause"]),
        ("Booked by this line", f"{money_text(Decimal(pack['amount']), currency)} {currency}"),
        *([("Expected by the partner", f"{claimed} {currency}")] if claimed is not None else []),
        *([("Plan", f"{facts['plan']}, version {facts['plan_version']}")] if facts.get("plan") else []),
        *([("Rule", facts["rule"])] if facts.get("rule") else []),
        *([("Way to the partner", " → ".join(facts["path"]))] if facts.get("path") else []),
    ]


def is_intact(evidence: DisputeEvidence) -> bool:
    """Whether the kept bytes are those that the digest names."""
    return hashlib.sha256(evidence.body.encode()).hexdigest() == evidence.digest
