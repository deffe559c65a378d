"""The desk's lists, pages and acts."""

from ib.admin import lines, partners, plans, quarantine, settlement, tree

__all__ = ["lines", "partners", "plans", "quarantine", "settlement", "tree"]
