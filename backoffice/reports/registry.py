"""The reports that exist. Definitions register themselves while the app gets ready."""

from __future__ import annotations

from backoffice.kernel.registry import Registry
from backoffice.reports.types import ReportDefinition

_definitions: Registry[ReportDefinition] = Registry("report definitions")


def register_report(definition: ReportDefinition) -> ReportDefinition:
    """Adds a definition under its code."""
    return _definitions.register(definition.code, definition)


def get_definition(code: str) -> ReportDefinition:
    """The definition of a code. Raises `NotFound` when there is none."""
    return _definitions.get(code)


def definitions() -> list[ReportDefinition]:
    """Every definition, in the order of registration."""
    return [definition for _, definition in _definitions.items()]
