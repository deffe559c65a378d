"""Operations that migrations of several desks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    CreateModel,
    RemoveConstraint,
    RemoveIndex,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from pgtrigger.compiler import Trigger
from pgtrigger.migrations import AddTrigger, RemoveTrigger


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


class AtOnce(Operation):
    """Does several operations, with the models around them built once.

    Each operation by itself builds all models around its model anew, which with some hundred tables takes longer than
    all else that a migration does. Here every operation sees the models as they are before the first and after the
    last: `at_once` puts together only what may be seen so.
    """

    reversible = True

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = list(operations)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """As a migration file writes it."""
        return type(self).__name__, [self.operations], {}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """The new state; where models are built already, all of them are built again, once."""
        is_built = state.__dict__.pop("apps", None) is not None
        for operation in self.operations:
            operation.state_forwards(app_label, state)
        if is_built:
            state.apps  # noqa: B018 -- asking for them builds them

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Does them in their order."""
        for operation in self.operations:
            operation.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Takes them back, the last first."""
        for operation in reversed(self.operations):
            operation.database_backwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        """For the list of what a migration does."""
        return f"Does {len(self.operations)} operations at once"


class CreateModels(AtOnce):
    """Makes the tables of many models at once."""

    def describe(self) -> str:
        """For the list of what a migration does."""
        return f"Creates {len(self.operations)} models"


_ADDS = (AddField, AddConstraint, AddIndex, AddTrigger)
_REMOVES = (RemoveConstraint, RemoveIndex, RemoveTrigger)


def at_once(operations: Sequence[Operation]) -> list[Operation]:
    """The same operations, put together where none of a group needs to see what another of it has done.

    New tables go together, additions to tables that stood before the group, removals of what was there, and fields that
    are altered once. Anything else (renamed fields, SQL, Python) stands by itself.
    """
    found: list[Operation] = []
    group: list[Operation] = []
    created: set[str] = set()

    def end_group() -> None:
        found.extend([AtOnce(group.copy())] if len(group) > 1 else group)
        group.clear()
        created.clear()

    for operation in operations:
        if isinstance(operation, CreateModel):
            if any(not isinstance(each, CreateModel) for each in group):
                end_group()
            created.add(operation.name.lower())
        elif isinstance(operation, AlterField):
            if any(not isinstance(each, AlterField) or each.is_same_field_operation(operation) for each in group):
                end_group()
        elif isinstance(operation, (*_ADDS, *_REMOVES)):
            must_see = (AlterField, *_ADDS) if isinstance(operation, _REMOVES) else (AlterField,)
            if operation.model_name.lower() in created or any(isinstance(each, must_see) for each in group):
                end_group()
        else:
            end_group()
            found.append(operation)
            continue
        group.append(operation)
    end_group()
    return found
