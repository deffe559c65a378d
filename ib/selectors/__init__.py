"""What the desk shows. Every function takes the actor and answers only for rows behind the access door."""

from ib.selectors.commissions import MAXIMUM_LINES, commission_by, latest_day, own_lines, staff_lines
from ib.selectors.coverage import coverage, partners_excluded, uncovered_trades
from ib.selectors.explaining import explain_line, find_line
from ib.selectors.partners import (
    balances_of,
    clients_of,
    name_for_partners,
    own_partner,
    partner_of_login,
    subtree,
    tree_of_entities,
)

__all__ = [
    "MAXIMUM_LINES",
    "balances_of",
    "clients_of",
    "commission_by",
    "coverage",
    "explain_line",
    "find_line",
    "latest_day",
    "name_for_partners",
    "own_lines",
    "own_partner",
    "partner_of_login",
    "partners_excluded",
    "staff_lines",
    "subtree",
    "tree_of_entities",
    "uncovered_trades",
]
