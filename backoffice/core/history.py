"""The history of rows: triggers write every version of a tracked row, so no code path can forget it.

A version carries the number of its transaction. The audit record of the same transaction says who changed the row
and why; `services.audit.history_of` joins the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pghistory
import pghistory.models
import pgtrigger
from django.db import models

from backoffice.core.fields import CurrentTransactionId, TransactionIdField

ModelT = TypeVar("ModelT", bound=type[models.Model])


class RowVersion(pghistory.models.Event):
    """One version of a tracked row, and the transaction that wrote it."""

    pgh_transaction = TransactionIdField(db_default=CurrentTransactionId(), editable=False)

    class Meta:
        abstract = True


def keep_history(*, per_statement: bool = False, **options: Any) -> Callable[[ModelT], ModelT]:
    """A class decorator that keeps every version of the model's rows in an append-only `<Model>Version` table.

    `per_statement` writes the versions of one statement together: for tables that are changed many rows at a time.
    Other options go to `pghistory.track` (`exclude=` for secrets).
    """

    def decorate(model: ModelT) -> ModelT:
        track = pghistory.track(
            pghistory.InsertEvent(),
            pghistory.UpdateEvent(),
            pghistory.DeleteEvent(),
            level=pgtrigger.Statement if per_statement else pgtrigger.Row,
            append_only=True,
            context_field=None,  # type: ignore[arg-type]  # None is documented: who and why stand in the audit
            base_model=RowVersion,
            **({"model_name": f"{model.__name__}Version"} | options),
        )
        return track(model)  # type: ignore[no-any-return]

    return decorate
