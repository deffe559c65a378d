"""Tables of funding."""

from funding.models.finance import (
    BalanceStatement,
    DifferenceItem,
    ExternalAccount,
    ManualJournal,
    Reconciliation,
    RevaluationLine,
    RevaluationRun,
    RevaluedPosition,
)
from funding.models.results import BookedBatch, TradingResultLine, TradingResultRun

__all__ = [
    "BalanceStatement",
    "BookedBatch",
    "DifferenceItem",
    "ExternalAccount",
    "ManualJournal",
    "Reconciliation",
    "RevaluationLine",
    "RevaluationRun",
    "RevaluedPosition",
    "TradingResultLine",
    "TradingResultRun",
]
