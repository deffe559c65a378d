"""Introducing brokers: who they are, how they hang together, what they are promised, and what they earned."""

from ib.models.partners import ClientReferral, Partner, PartnerEdge
from ib.models.plans import Agreement, Plan, PlanRule, PlanVersion
from ib.models.quarantine import QuarantinedTrade
from ib.models.settlement import CommissionLine, ConfigChange, RateCardEntry, RateCardVersion, SettlementBatch

__all__ = [
    "Agreement",
    "ClientReferral",
    "CommissionLine",
    "ConfigChange",
    "Partner",
    "PartnerEdge",
    "Plan",
    "PlanRule",
    "PlanVersion",
    "QuarantinedTrade",
    "RateCardEntry",
    "RateCardVersion",
    "SettlementBatch",
]
