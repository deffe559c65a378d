"""Funding on the desk: results and deposits, and finance's own journals, periods, revaluations and balances."""

from funding.admin import balances, journals, periods, revaluations
from funding.admin.results import client_money_card

__all__ = ["balances", "client_money_card", "journals", "periods", "revaluations"]
