"""What several endpoints of this desk have in common: a drafted change, enums by name, files beside JSON."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.parsers import MultiPartParser

from backoffice.core.models import ChangeRequest
from backoffice.ui.api_parsers import StrictJSONParser
from platform_ops.gateways.types import SwapMode
from platform_ops.rules.swap_sheets import MODE_WORDS

SWAP_MODES = [mode.name.lower() for mode in SwapMode]
SHEET_MODES = [mode.name.lower() for mode in SwapMode if mode is not SwapMode.NONE]
ROW_MODES = {mode.name.lower(): words for words, mode in reversed(list(MODE_WORDS.items()))}
"""The modes that a single row of a sheet can name, with the word that sheets have for each."""
ROW_MODE_NAMES = sorted(ROW_MODES)
FIGURE: dict[str, Any] = {"max_digits": 20, "decimal_places": 8, "read_only": True, "allow_null": True}
"""A swap figure as it is shown."""
SUBMIT_HELP = "False leaves a draft, to be looked at and handed in by POST changes/{id}/submit/."


class DraftedChangeSerializer(serializers.ModelSerializer[ChangeRequest]):
    """A change request as it was just drafted. Its diff, its impact by row and its steps: GET changes/{id}/."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    impact_figures = serializers.DictField(read_only=True)

    class Meta:
        model = ChangeRequest
        fields = [
            "id", "reference", "kind", "title", "state", "reason", "made_by", "created_at", "apply_at", "impact_summary",
            "impact_figures",
        ]  # fmt: skip
        read_only_fields = fields


class NamedField(serializers.ChoiceField):
    """A number of an enum, given and shown by its name."""

    def __init__(self, numbers: type[IntEnum], choices: list[str], **options: Any) -> None:
        self.numbers = numbers
        super().__init__(choices=choices, **options)

    def to_internal_value(self, data: Any) -> Any:
        """The number."""
        return self.numbers[super().to_internal_value(data).upper()]

    def to_representation(self, value: Any) -> Any:
        """The name."""
        return None if value is None else self.numbers(value).name.lower()


class TakesFiles:
    """A viewset of which some actions take a file as a form; everything else speaks JSON."""

    file_actions: ClassVar[frozenset[str]] = frozenset()
    action_map: dict[str, str]
    request: Any

    def get_parsers(self) -> list[Any]:
        """See the class."""
        asked = self.action_map.get((self.request.method or "").lower()) if self.request is not None else None
        is_upload = {asked, getattr(self, "action", None)} & self.file_actions
        return [MultiPartParser()] if is_upload else [StrictJSONParser()]


def ids_taken(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """Takes objects that may have been left out away from the input: their keys as `<name>_id`, None where there is none."""
    return {f"{name}_id": None if (found := given.pop(name, None)) is None else found.pk for name in names}
