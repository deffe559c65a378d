"""Operations that migrations of several desks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import CreateModel
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from pgtrigger.compiler import Trigger
from pgtrigger.migrations import AddTrigger


class AddTriggers(Operation):
    """Adds many triggers at once.

    One operation for each trigger builds all models around its model anew each time, which takes longer than all else
    that a migration of an empty database does; triggers change nothing that the models around need to know.
    """

    reversible = True

    def __init__(self, triggers: Sequence[tuple[str, Trigger]]) -> None:
        self.triggers = list(triggers)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """As a migration file writes it."""
        return type(self).__name__, [self.triggers], {}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Each model knows its triggers; no model has to be built anew for that."""
        for model_name, trigger in self.triggers:
            options = state.models[app_label, model_name].options
            options["triggers"] = [*options.get("triggers", []), trigger]

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Installs them in their order."""
        for model_name, trigger in self.triggers:
            AddTrigger(model_name, trigger).database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Removes them, the last first."""
        for model_name, trigger in reversed(self.triggers):
            AddTrigger(model_name, trigger).database_backwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        """For the list of what a migration does."""
        return f"Adds {len(self.triggers)} triggers"


class CreateModels(Operation):
    """Makes the tables of many models at once.

    One operation for each builds all models around its model anew each time; here all models are built once.
    """

    reversible = True

    def __init__(self, models: Sequence[CreateModel]) -> None:
        self.models = list(models)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """As a migration file writes it."""
        return type(self).__name__, [self.models], {}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Adds the models; where models are built already, all of them are built again, once."""
        is_built = state.__dict__.pop("apps", None) is not None
        for model in self.models:
            model.state_forwards(app_label, state)
        if is_built:
            state.apps  # noqa: B018 -- asking for them builds them

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Makes the tables in their order."""
        for model in self.models:
            model.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Removes them, the last first."""
        for model in reversed(self.models):
            model.database_backwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        """For the list of what a migration does."""
        return f"Creates {len(self.models)} models"
