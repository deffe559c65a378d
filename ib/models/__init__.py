"""Introducing brokers: who they are, how they hang together, what they are promised, and what they earned."""

from ib.models.client_events import ClientEvent
from ib.models.partners import ClientReferral, Partner, PartnerEdge
from ib.models.periods import CarryBalance, CpaClaim, PeriodLine, PeriodLinePart, PeriodMark, PeriodSettlement
from ib.models.plans import Agreement, Plan, PlanRule, PlanVersion
from ib.models.quarantine import QuarantinedTrade
from ib.models.settlement import CommissionLine, ConfigChange, RateCardEntry, RateCardVersion, SettlementBatch
from ib.models.statements import CommissionStatement, PayoutTerms, StatementHold

__all__ = [
    "Agreement",
    "CarryBalance",
    "ClientEvent",
    "ClientReferral",
    "CommissionLine",
    "CommissionStatement",
    "ConfigChange",
    "CpaClaim",
    "Partner",
    "PartnerEdge",
    "PayoutTerms",
    "PeriodLine",
    "PeriodLinePart",
    "PeriodMark",
    "PeriodSettlement",
    "Plan",
    "PlanRule",
    "PlanVersion",
    "QuarantinedTrade",
    "RateCardEntry",
    "RateCardVersion",
    "SettlementBatch",
    "StatementHold",
]
