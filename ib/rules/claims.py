"""Which of several claims on a client the rule prefers, and the forms of codes and paths. Pure.

The rule: a code given at the registration goes before everything (the earliest one, if there are several); else the
first valid touch within the attribution window before the registration; else who claimed first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from backoffice.kernel.errors import InvalidInput

CODE_AT_REGISTRATION = "code_at_registration"
TOUCH = "touch"
CLIENT_STATEMENT = "client_statement"
REFERRAL = "referral"
PARTNER_STATEMENT = "partner_statement"
EVIDENCE_KINDS = {
    CODE_AT_REGISTRATION: "code given at the registration",
    TOUCH: "touch before the registration",
    CLIENT_STATEMENT: "statement of the client",
    PARTNER_STATEMENT: "statement of the claimant",
    REFERRAL: "referral that stood already",
}
MAX_EVIDENCE_KEYS = 20
MAX_EVIDENCE_LETTERS = 500
CODE_FORM = re.compile(r"[A-Za-z0-9-]{4,32}")
PATH_FORM = re.compile(r"/([^/\\\s][^\\\s]*)?")
_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """What the rule looks at: whose number orders equal moments."""

    claim_id: int
    claimant: str
    evidence: dict[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class Proposal:
    """The claim that the rule prefers, and why."""

    claim_id: int
    because: str


def propose(claims: Sequence[ClaimFacts], *, registered_at: datetime, window_days: int) -> Proposal:
    """The claim that the rule prefers. The same claims give the same proposal, in whatever order they come."""
    if not claims:
        raise InvalidInput("Nobody claims.", field="claims")
    codes = [claim for claim in claims if claim.evidence.get("kind") == CODE_AT_REGISTRATION]
    if codes:
        best = min(codes, key=lambda claim: (claim.at, claim.claim_id))
        code = best.evidence.get("code", "")
        return Proposal(best.claim_id, f"{best.claimant}: the code {code} was given at the registration.")
    begin = registered_at - timedelta(days=window_days)
    touches = [
        (touched, claim.claim_id, claim)
        for claim in claims
        if (touched := touch_of(claim.evidence)) is not None and begin <= touched <= registered_at
    ]
    if touches:
        touched, _, best = min(touches, key=lambda item: item[:2])
        return Proposal(
            best.claim_id,
            f"{best.claimant}: the first touch within {window_days} days before the registration, on "
            f"{touched:%Y-%m-%d %H:%M} UTC.",
        )
    best = min(claims, key=lambda claim: (claim.at, claim.claim_id))
    return Proposal(best.claim_id, f"{best.claimant}: no code and no valid touch; this claim was first.")


def touch_of(evidence: dict[str, Any]) -> datetime | None:
    """When the client was touched, if the evidence is a touch."""
    if evidence.get("kind") != TOUCH:
        return None
    try:
        touched = datetime.fromisoformat(str(evidence.get("touched_at")))
    except ValueError:
        return None
    return touched if touched.utcoffset() is not None else None


def checked_evidence(evidence: dict[str, Any]) -> dict[str, Any]:
    """Evidence as it is kept. Raises InvalidInput for an unknown kind, a touch without its moment, or too much of it."""
    kind = evidence.get("kind")
    if kind not in EVIDENCE_KINDS:
        raise InvalidInput(f"Evidence is one of {', '.join(EVIDENCE_KINDS)}.", field="evidence", value=kind)
    if len(evidence) > MAX_EVIDENCE_KEYS:
        raise InvalidInput(f"Evidence has at most {MAX_EVIDENCE_KEYS} parts.", field="evidence")
    kept = {}
    for name, value in evidence.items():
        if not isinstance(value, str | int | bool) or len(str(value)) > MAX_EVIDENCE_LETTERS or len(str(name)) > 60:
            raise InvalidInput("Evidence is short texts and numbers by name.", field="evidence", value=str(name)[:60])
        kept[str(name)] = value
    if kind == TOUCH and touch_of(kept) is None:
        raise InvalidInput("A touch needs its moment with a time zone.", field="evidence", value="touched_at")
    return kept


def evidence_words(evidence: dict[str, Any]) -> str:
    """Evidence in a sentence."""
    kind = str(evidence.get("kind", ""))
    details = ", ".join(
        f"{name.replace('_', ' ')} {_value_words(value)}" for name, value in evidence.items() if name != "kind"
    )
    words = EVIDENCE_KINDS.get(kind, kind)
    return f"{words[:1].upper()}{words[1:]}{f': {details}' if details else ''}"


def _value_words(value: Any) -> str:
    """A moment as people read it, anything else as it is."""
    text = str(value)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    is_moment = "T" in text and moment.utcoffset() is not None
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if is_moment else text


def checked_code(code: str) -> str:
    """A code in its form. Raises InvalidInput."""
    text = code.strip()
    if not CODE_FORM.fullmatch(text):
        raise InvalidInput("A code has 4 to 32 letters, figures and dashes.", field="code", value=text[:40])
    return text


def checked_path(path: str) -> str:
    """A path on the brand's own site. Raises InvalidInput for the address of anything else."""
    text = path.strip() or "/"
    if len(text) > 200 or not PATH_FORM.fullmatch(text) or any(ord(letter) < 33 for letter in text):
        raise InvalidInput(
            "A path on the brand's own site begins with one slash, such as /open-account.", field="landing_path"
        )
    return text


def country_code(country: str) -> str:
    """A country's two letters. Raises InvalidInput."""
    code = country.strip().upper()
    if not _COUNTRY.fullmatch(code):
        raise InvalidInput("A country is written as two letters, such as CY.", field="country", value=code[:10])
    return code
