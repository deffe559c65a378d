"""Introducing brokers: who they are, how they hang together, what they are promised, and what they earned."""

from ib.models.client_events import ClientEvent
from ib.models.disputes import (
    CommissionAdjustment,
    Dispute,
    DisputeDocument,
    DisputeEvent,
    DisputeEvidence,
    GoodwillLimit,
)
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

__all__ = [
    "AccountClass",
    "AccountClassSpan",
    "Agreement",
    "CarryBalance",
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
    "NegotiatedRate",
    "Partner",
    "PartnerEdge",
    "PartnerRank",
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
    "TradePeriodMark",
]
