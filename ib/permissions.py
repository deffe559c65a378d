"""Who may do what with partners and commissions, and whose rows they see.

An introducing broker sees the own partner row and everybody below, and only the own lines, agreements and clients.
"""

from __future__ import annotations

from django.db.models import Q
from django.db.models.expressions import RawSQL

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock

MANAGERS = (Role.PARTNER_MANAGER, Role.ADMINISTRATOR)
SETTLERS = (Role.FINANCE, Role.PARTNER_MANAGER, Role.ADMINISTRATOR)
CHECKERS = (Role.PARTNER_MANAGER, Role.FINANCE, Role.ADMINISTRATOR)
READERS = (Role.PARTNER_MANAGER, Role.FINANCE, Role.AUDITOR, Role.ADMINISTRATOR)

APPROVE_CHANGES = "ib.approve_changes"
VIEW_PAYOUTS = "ib.view_payouts"
MAKE_PAYOUTS = "ib.make_payouts"
EXPORT_PAYMENTS = "ib.export_payments"
CONFIRM_METHODS = "ib.confirm_payout_methods"
CHOOSE_METHOD = "ib.choose_payout_method"
READ_PAPERS = "ib.read_statement_papers"
VIEW_APPLICATIONS = "ib.view_applications"
ENTER_APPLICATIONS = "ib.enter_applications"
DECIDE_APPLICATIONS = "ib.decide_applications"
READ_APPLICATION_FILES = "ib.read_application_files"
ACCEPT_AGREEMENT = "ib.accept_agreement"
ENTER_TAX_DATA = "ib.enter_tax_data"
CONFIRM_TAX_DATA = "ib.confirm_tax_data"
KEEP_LINKS = "ib.keep_links"
VIEW_CLAIMS = "ib.view_claims"
CLAIM_CLIENTS = "ib.claim_clients"
DECIDE_CLAIMS = "ib.decide_claims"
NAME_INTRODUCER = "ib.name_introducer"

_PATHS_TO_ENTITY = {
    "ib.Partner": "entity",
    "ib.PartnerEdge": "child__entity",
    "ib.ClientReferral": "partner__entity",
    "ib.Plan": "entity",
    "ib.PlanVersion": "plan__entity",
    "ib.PlanRule": "version__plan__entity",
    "ib.PlanTier": "rule__version__plan__entity",
    "ib.PlanWeight": "version__plan__entity",
    "ib.PlanRank": "version__plan__entity",
    "ib.RankCondition": "rank__version__plan__entity",
    "ib.RankEvaluation": "partner__entity",
    "ib.PartnerRank": "partner__entity",
    "ib.NegotiatedRate": "partner__entity",
    "ib.Agreement": "partner__entity",
    "ib.ClientEvent": "entity",
    "ib.PeriodLine": "partner__entity",
    "ib.PeriodSettlement": "partner__entity",
    "ib.CarryBalance": "partner__entity",
    "ib.CpaClaim": "partner__entity",
    "ib.WhatIfStudy": "entity",
    "ib.WhatIfRow": "study__entity",
    "ib.WhatIfMonth": "study__entity",
}

# Those who hang below the partner of a login now, the partner included. UNION ends a cycle that tampering made.
_SUBTREE = """
WITH RECURSIVE below AS (
    SELECT id FROM ib_partner WHERE user_id = %s
    UNION
    SELECT edge.child_id FROM ib_partneredge AS edge JOIN below ON edge.parent_id = below.id
    WHERE edge.validity @> %s
)
SELECT id FROM below
"""


def register() -> None:
    """Declares the desk's verbs and scopes. Called once, when the process starts."""
    declare_capability("ib.view_partners", READERS)
    declare_capability("ib.manage_partners", MANAGERS)
    declare_capability("ib.view_plans", READERS)
    declare_capability("ib.manage_plans", MANAGERS)
    declare_capability("ib.view_commissions", READERS)
    declare_capability("ib.settle_commissions", SETTLERS)
    declare_capability(APPROVE_CHANGES, CHECKERS)
    declare_capability("ib.view_own_commissions", [Role.IB])
    declare_capability("ib.set_sub_partner_rates", [Role.IB])
    declare_capability("ib.view_statements", READERS)
    declare_capability("ib.approve_statements", CHECKERS)
    declare_capability("ib.hold_lines", MANAGERS)
    declare_capability("ib.view_client_events", READERS)
    declare_capability("ib.record_client_events", SETTLERS)
    declare_capability("ib.decide_rewards", MANAGERS)
    declare_capability("ib.view_disputes", READERS)
    declare_capability("ib.handle_disputes", SETTLERS)
    declare_capability("ib.dispute_lines", [Role.IB])
    declare_capability("ib.read_dispute_files", [Role.IB, *READERS])
    declare_capability("ib.give_dispute_files", [Role.IB, *SETTLERS])
    declare_capability("ib.propose_goodwill", SETTLERS)
    declare_capability(VIEW_PAYOUTS, READERS)
    declare_capability(MAKE_PAYOUTS, CHECKERS)
    declare_capability(EXPORT_PAYMENTS, [Role.FINANCE, Role.ADMINISTRATOR])
    declare_capability(CONFIRM_METHODS, CHECKERS)
    declare_capability(CHOOSE_METHOD, [Role.IB])
    declare_capability(READ_PAPERS, [Role.IB, *READERS])
    for label, path in _PATHS_TO_ENTITY.items():
        register_scope(label, role_entity_scope(path, *READERS))
    register_scope("ib.Partner", own_subtree)
    register_scope("ib.PartnerEdge", _edges_of_own_subtree)
    register_scope("ib.ClientReferral", _of_own_partner("partner__user"))
    register_scope("ib.Agreement", _of_own_partner("partner__user"))
    own = (
        "ib.PeriodLine",
        "ib.PeriodSettlement",
        "ib.CarryBalance",
        "ib.CpaClaim",
        "ib.PartnerRank",
        "ib.RankEvaluation",
    )
    for label in own:
        register_scope(label, _of_own_partner("partner__user"))
    register_scope("ib.NegotiatedRate", _own_rates)
    for label in ("ib.CommissionStatement", "ib.StatementHold"):
        register_scope(label, role_entity_scope("partner__entity", *READERS))
        register_scope(label, _of_own_partner("partner__user"))
    for label in ("ib.PayoutTerms", "ib.NamePolicy"):
        register_scope(label, role_entity_scope("entity", *READERS))
    _register_scopes_of_disputes()
    _register_scopes_of_payouts()
    _register_applications_and_claims()
    register_scope("ib.QuarantinedTrade", _set_aside_in_entities)
    register_scope("ib.CommissionLine", _lines_of_entities)
    register_scope("ib.CommissionLine", _own_lines)
    register_scope("ib.SettlementBatch", _batches_of_entities)
    # The rate card speaks of every entity at once; its versions carry counts and digests only.
    register_scope("ib.RateCardVersion", _machinery)


def _register_scopes_of_disputes() -> None:
    """Staff see those of their legal entities; a partner the own ones, without what the desk keeps to itself."""
    register_scope("ib.GoodwillLimit", role_entity_scope("entity", *READERS))
    paths = {
        "ib.Dispute": "",
        "ib.DisputeEvent": "dispute__",
        "ib.DisputeEvidence": "dispute__",
        "ib.DisputeDocument": "evidence__dispute__",
    }
    for label, path in paths.items():
        register_scope(label, role_entity_scope(f"{path}entity", *READERS))
    register_scope("ib.CommissionAdjustment", role_entity_scope("partner__entity", *READERS))
    register_scope("ib.CommissionAdjustment", _of_own_partner("partner__user"))
    register_scope("ib.Dispute", _of_own_partner("partner__user"))
    register_scope("ib.DisputeEvent", _of_own_partner("dispute__partner__user", is_internal=False))
    register_scope("ib.DisputeEvidence", _of_own_partner("dispute__partner__user", audience="partner"))
    register_scope(
        "ib.DisputeDocument", _of_own_partner("evidence__dispute__partner__user", evidence__audience="partner")
    )


def _register_scopes_of_payouts() -> None:
    """Staff see those of their legal entities; a partner the own ones. Files for a bank are nobody's but the staff's."""
    for label, path in {
        "ib.PayoutMethod": "partner",
        "ib.Payout": "partner",
        "ib.StatementPaper": "statement__partner",
    }.items():
        register_scope(label, role_entity_scope(f"{path}__entity", *READERS))
        register_scope(label, _of_own_partner(f"{path}__user"))
    register_scope("ib.PaymentFile", role_entity_scope("entity", *READERS))


def _register_applications_and_claims() -> None:
    """Applicants read theirs by a secret address; a partner sees own links and papers; claims are the staff's alone."""
    declare_capability(VIEW_APPLICATIONS, READERS)
    declare_capability(ENTER_APPLICATIONS, MANAGERS)
    declare_capability(DECIDE_APPLICATIONS, MANAGERS)
    declare_capability(READ_APPLICATION_FILES, READERS)
    declare_capability(ACCEPT_AGREEMENT, [Role.IB])
    declare_capability(ENTER_TAX_DATA, [Role.IB, *MANAGERS])
    declare_capability(CONFIRM_TAX_DATA, CHECKERS)
    declare_capability(KEEP_LINKS, [Role.IB, *MANAGERS])
    declare_capability(VIEW_CLAIMS, READERS)
    declare_capability(CLAIM_CLIENTS, [Role.MARKETING, *MANAGERS])
    declare_capability(DECIDE_CLAIMS, MANAGERS)
    declare_capability(NAME_INTRODUCER, [Role.TRADER])
    for label in ("ib.PartnerApplication", "ib.ClientClaim", "ib.ClaimConflict"):
        register_scope(label, role_entity_scope("entity", *READERS))
    register_scope("ib.WhiteLabel", role_entity_scope("partner__entity", *READERS))
    register_scope("ib.TermsAcceptance", role_entity_scope("terms__entity", *READERS))
    register_scope("ib.TermsAcceptance", _of_own_partner("partner__user"))
    for label, path in {
        "ib.PartnerLink": "partner",
        "ib.LinkDay": "link__partner",
        "ib.PartnerTaxData": "partner",
    }.items():
        register_scope(label, role_entity_scope(f"{path}__entity", *READERS))
        register_scope(label, _of_own_partner(f"{path}__user"))


def own_subtree(actor: Actor) -> Q | None:
    """The partner of the login and all partners below."""
    if not actor.has_role(Role.IB) or not actor.user_id:
        return None
    return Q(pk__in=RawSQL(_SUBTREE, [actor.user_id, clock.now()]))  # noqa: S611 - own text, values are parameters


def _edges_of_own_subtree(actor: Actor) -> Q | None:
    """The edges below the own partner; who stands above stays unknown."""
    if not actor.has_role(Role.IB) or not actor.user_id:
        return None
    return Q(parent__in=RawSQL(_SUBTREE, [actor.user_id, clock.now()]))  # noqa: S611 - as above


def _of_own_partner(path: str, **shown: object):  # type: ignore[no-untyped-def]
    def provider(actor: Actor) -> Q | None:
        return Q(**{path: actor.user_id}, **shown) if actor.has_role(Role.IB) and actor.user_id else None

    return provider


def _own_rates(actor: Actor) -> Q | None:
    """What was agreed with the own partner, and what the own partner gave to somebody below."""
    if not actor.has_role(Role.IB) or not actor.user_id:
        return None
    return Q(partner__user=actor.user_id) | Q(set_by__user=actor.user_id)


def _lines_of_entities(actor: Actor) -> Q | None:
    if not actor.has_role(*READERS) or not actor.entity_ids:
        return None
    from ib.models import Partner

    return Q(partner_id__in=Partner.objects.filter(entity__in=actor.entity_ids).order_by().values("pk"))


def _set_aside_in_entities(actor: Actor) -> Q | None:
    if not actor.has_role(*READERS) or not actor.entity_ids:
        return None
    return Q(entity_id__in=sorted(actor.entity_ids))


def _own_lines(actor: Actor) -> Q | None:
    if not actor.has_role(Role.IB) or not actor.user_id:
        return None
    from ib.models import Partner

    return Q(partner_id__in=Partner.objects.filter(user=actor.user_id).order_by().values("pk"))


def _batches_of_entities(actor: Actor) -> Q | None:
    """A settlement that paid partners of another entity too shows that entity's sums: it is for staff of both."""
    if not actor.has_role(*READERS) or not actor.entity_ids:
        return None
    return Q(entity_ids__contained_by=sorted(actor.entity_ids))


def _machinery(actor: Actor) -> Q | None:
    return Q() if actor.has_role(*READERS) else None
