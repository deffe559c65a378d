"""What several of finance's pages share: choosing a legal entity and a month, a reason, and the table of a journal's lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.ui.columns import Column

EDITOR_ROWS = 12
LINE_PARTS = ("account", "debit", "credit", "currency")


class EntityChoice(forms.ModelChoiceField):
    """A legal entity by its name."""

    def label_from_instance(self, obj: Any) -> str:
        """Name and code."""
        return f"{obj.name} ({obj.code})"


class EntityForm(forms.Form):
    """Asks for one of the actor's legal entities; who has only one finds it chosen."""

    entity = EntityChoice(queryset=LegalEntity.objects.none(), label="Legal entity")

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        entities = visible_to(LegalEntity.objects.all(), actor).order_by("code")
        self.fields["entity"].queryset = entities  # type: ignore[attr-defined]
        if len(actor.entity_ids) == 1:
            self.fields["entity"].initial = entities.first()


class LinesWidget(forms.Widget):
    """A table of lines: account, debit, credit, currency. Empty rows do not count."""

    suggestions: Sequence[str] = ()

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """The table, with what was typed."""
        typed = dict(value or [])
        rows = [
            {"number": number, "cells": [(part, (typed.get(number) or {}).get(part, "")) for part in LINE_PARTS]}
            for number in range(1, max(EDITOR_ROWS, *typed, 1) + 1)
        ]
        return SafeString(
            render_to_string("funding/lines_widget.html", {"name": name, "rows": rows, "suggestions": self.suggestions})
        )

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> list[tuple[int, dict[str, str]]]:
        """The rows that are not empty, with their numbers."""
        rows = []
        for number in range(1, EDITOR_ROWS + 1):
            row = {part: str(data.get(f"{name}-{number}-{part}", "")).strip() for part in LINE_PARTS}
            if any(row.values()):
                rows.append((number, row))
        return rows

    def id_for_label(self, id_: str) -> str:
        """The first cell."""
        return f"{id_}-1-account"


class LinesField(forms.Field):
    """The lines of a journal, as rows of text; the use case reads them."""

    widget = LinesWidget

    def validate(self, value: Any) -> None:
        """At least one row."""
        if not value:
            raise forms.ValidationError("Enter at least two lines.")


def change_url(change: Any) -> str:
    """The page of a change request."""
    return reverse("admin:core_changerequest_change", args=[change.pk])


def panel_table(columns: Sequence[Column], rows: Sequence[Any], label: str) -> str:
    """A table below an object; nothing when it is empty."""
    if not rows:
        return ""
    return render_to_string(
        "desk/parts/table.html",
        {
            "columns": columns,
            "table_rows": [[column.html(row) for column in columns] for row in rows],
            "label": label,
            "title": label,
        },
    )
