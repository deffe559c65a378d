"""The rate card: everything dated, compiled into flat rates; in Python over a snapshot, kept and compared in the database."""

from ib.engine.card.building import Built, CardFacts, build_card
from ib.engine.card.tables import AFFECTED_DAYS, COLUMNS, CREATE_CHANGED, SET_ASIDE, TAKE_OVER

__all__ = ["AFFECTED_DAYS", "COLUMNS", "CREATE_CHANGED", "SET_ASIDE", "TAKE_OVER", "Built", "CardFacts", "build_card"]
