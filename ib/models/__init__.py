"""Introducing brokers: who they are, how they hang together, what they are promised, and what they earned."""

from ib.models.applications import PartnerApplication, WhiteLabel
from ib.models.claims import ClaimConflict, ClientClaim
from ib.models.client_events import ClientEvent
from ib.models.disputes import (
    CommissionAdjustment,
    Dispute,
    DisputeDocument,
    DisputeEvent,
    DisputeEvidence,
    GoodwillLimit,
)
from ib.models.links import LinkDay, LinkVisitor, PartnerLink
from ib.models.name_policies import NamePolicy
from ib.models.partners import ClientReferral, NegotiatedRate, Partner, PartnerEdge, PartnerRank
from ib.models.payouts import PaymentFile, Payout, PayoutMethod, StatementPaper
from ib.models.periods import CarryBalance, CpaClaim, PeriodLine, PeriodLinePart, PeriodMark, PeriodSettlement
from ib.models.plans import Agreement, Plan, PlanRank, PlanRule, PlanTier, PlanVersion, PlanWeight
from ib.models.quarantine import QuarantinedTrade
from ib.models.rank_rules import RankCondition, RankEvaluation
from ib.models.settlement import (
    AccountClass,
    AccountClassSpan,
    CommissionLine,
    ConfigChange,
    RateCardEntry,
    RateCardVersion,
    SettlementBatch,
    TradePeriodMark,
)
from ib.models.statements import CommissionStatement, PayoutTerms, StatementHold
from ib.models.studies import WhatIfMonth, WhatIfRow, WhatIfStudy
from ib.models.terms import PartnerTaxData, TermsAcceptance

__all__ = [
    "AccountClass",
    "AccountClassSpan",
    "Agreement",
    "CarryBalance",
    "ClaimConflict",
    "ClientClaim",
    "ClientEvent",
    "ClientReferral",
    "CommissionAdjustment",
    "CommissionLine",
    "CommissionStatement",
    "ConfigChange",
    "CpaClaim",
    "Dispute",
    "DisputeDocument",
    "DisputeEvent",
    "DisputeEvidence",
    "GoodwillLimit",
    "LinkDay",
    "LinkVisitor",
    "NamePolicy",
    "NegotiatedRate",
    "Partner",
    "PartnerApplication",
    "PartnerEdge",
    "PartnerLink",
    "PartnerRank",
    "PartnerTaxData",
    "PaymentFile",
    "Payout",
    "PayoutMethod",
    "PayoutTerms",
    "PeriodLine",
    "PeriodLinePart",
    "PeriodMark",
    "PeriodSettlement",
    "Plan",
    "PlanRank",
    "PlanRule",
    "PlanTier",
    "PlanVersion",
    "PlanWeight",
    "QuarantinedTrade",
    "RankCondition",
    "RankEvaluation",
    "RateCardEntry",
    "RateCardVersion",
    "SettlementBatch",
    "StatementHold",
    "StatementPaper",
    "TermsAcceptance",
    "TradePeriodMark",
    "WhatIfMonth",
    "WhatIfRow",
    "WhatIfStudy",
    "WhiteLabel",
]
