"""Operations of migrations that are put together: only what none of them has to see."""

from __future__ import annotations

import pytest
from django.db import models
from django.db.migrations import AddField, AddIndex, AlterField, CreateModel, RemoveConstraint, RunSQL
from django.db.migrations.operations.base import Operation

from backoffice.core.migration_operations import AtOnce, at_once

TEXT = models.TextField()
NEW, OTHER_NEW = CreateModel("New", fields=[]), CreateModel("OtherNew", fields=[])
ADD, ADD_TO_NEW = AddField("old", "a", TEXT), AddField("new", "a", TEXT)
INDEX = AddIndex("old", models.Index(fields=["a"], name="a"))
REMOVE = RemoveConstraint("old", "b")
ALTER_A, ALTER_B = AlterField("old", "a", TEXT), AlterField("old", "b", TEXT)
SQL = RunSQL("SELECT 1")


@pytest.mark.parametrize(
    ("operations", "groups"),
    [
        ([], []),
        ([ADD], [[ADD]]),
        ([NEW, OTHER_NEW, ADD], [[NEW, OTHER_NEW, ADD]]),
        ([NEW, ADD_TO_NEW], [[NEW], [ADD_TO_NEW]]),
        ([ADD, NEW], [[ADD], [NEW]]),
        ([REMOVE, ADD, INDEX], [[REMOVE, ADD, INDEX]]),
        ([ADD, REMOVE], [[ADD], [REMOVE]]),
        ([ADD, ALTER_A, ALTER_B, ALTER_A, INDEX], [[ADD], [ALTER_A, ALTER_B], [ALTER_A], [INDEX]]),
        ([ADD, SQL, INDEX], [[ADD], [SQL], [INDEX]]),
    ],
)
def test_operations_go_together_unless_one_must_see_what_another_did(
    operations: list[Operation], groups: list[list[Operation]]
) -> None:
    found = at_once(operations)

    assert [each.operations if isinstance(each, AtOnce) else [each] for each in found] == groups
