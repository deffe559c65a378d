"""Statements of trading accounts: files in, typed records out. Pure; no database, no framework."""

from platform_ops.gateways.statements.deals_csv import write_deals_csv
from platform_ops.gateways.statements.reader import MAX_FILE_BYTES, read_statement
from platform_ops.gateways.statements.summarise import compare, summarise, summarise_statement
from platform_ops.gateways.statements.types import (
    DealRecord,
    Difference,
    OpenPositionMark,
    RecomputedSummary,
    Statement,
    StatementFormat,
    StatementSummary,
)

__all__ = [
    "MAX_FILE_BYTES",
    "DealRecord",
    "Difference",
    "OpenPositionMark",
    "RecomputedSummary",
    "Statement",
    "StatementFormat",
    "StatementSummary",
    "compare",
    "read_statement",
    "summarise",
    "summarise_statement",
    "write_deals_csv",
]
