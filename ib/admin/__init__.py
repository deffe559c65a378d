"""The desk's lists, pages and acts."""

from ib.admin import lines, partners, plans, settlement, tree

__all__ = ["lines", "partners", "plans", "settlement", "tree"]
