"""Connectors whose server lets a group of accounts have symbol settings of its own, over those of the symbol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from platform_ops.gateways.types import SymbolTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSymbol:
    """A symbol as the accounts of a group have it. `own` names the terms that the group itself states; all others follow
    the symbol, `symbol_terms`."""

    name: str
    group: str
    terms: SymbolTerms
    symbol_terms: SymbolTerms
    own: frozenset[str]


@runtime_checkable
class GroupSymbolReading(Protocol):
    """A connector that can be asked how a group has a symbol."""

    def symbol_in_group(self, *, name: str, group: str) -> GroupSymbol:
        """The symbol in the group. Raises GatewayRefused where the server has no such symbol or group."""


@runtime_checkable
class GroupSymbolChanging(GroupSymbolReading, Protocol):
    """A connector that can set it too. Not repeatable by itself, like everything that changes a server."""

    def change_group_symbol(self, *, name: str, group: str, changes: Mapping[str, object]) -> None:
        """Has the group state the named fields of `SymbolTerms` itself; None has it follow the symbol again."""
