"""What the schema says of every operation beside its own answer: the problems, the idempotency header, the parameters."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from backoffice.ui.api_problems import PROBLEM_TYPE


class ProblemSerializer(serializers.Serializer):
    """What went wrong. `code` never changes and is for machines; `field` and `row` tell where, if known."""

    type = serializers.CharField()
    title = serializers.CharField(help_text="A sentence for people.")
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Such as invalid_input, denied, insufficient_funds.")
    field = serializers.CharField(allow_null=True)
    row = serializers.JSONField(allow_null=True, help_text="Number or name of the row of a file or a list.")
    details = serializers.DictField()
    request_id = serializers.CharField(allow_null=True, help_text="Name it when you ask us about this call.")


_READ_PROBLEMS = ("400", "401", "403", "404", "406", "429", "503")
_WRITE_PROBLEMS = (*_READ_PROBLEMS, "409", "413", "415", "422")
_DESCRIPTIONS = {
    "400": "The request is not valid.",
    "401": "No key or session, or one that opens nothing.",
    "403": "The caller's role or key does not allow this.",
    "404": "There is no such thing, or it is not the caller's to see.",
    "406": "Only application/json is spoken.",
    "409": "Not in the present state of the books, or the idempotency key stands for another request.",
    "413": "The body is too large.",
    "415": "The body is of another type than the operation reads.",
    "422": "A conversion rate is missing.",
    "429": "Too many calls; see Retry-After.",
    "503": "Busy; the same request may come again.",
}
READ_METHODS = ("get", "head")


class ProblemAutoSchema(AutoSchema):
    """Adds to each operation what holds for all of them."""

    def get_override_parameters(self) -> list[Any]:
        """The view's query parameters on a GET, the idempotency header on a use case."""
        parameters = list(super().get_override_parameters())
        query = getattr(self.view, "query", None)
        if self.method.lower() in READ_METHODS:
            return [*parameters, query] if query is not None else parameters
        handler = self._handler()
        if not getattr(handler, "is_use_case", False):
            return parameters
        needed = bool(getattr(handler, "needs_key", False))
        header = OpenApiParameter(
            name="Idempotency-Key",
            type={"type": "string", "minLength": 1, "maxLength": 120, "pattern": r"^[!-~]([ -~]*[!-~])?$"},
            location=OpenApiParameter.HEADER,
            required=needed,
            description="The same key with the same body takes effect once and is answered alike.",
        )
        return [*parameters, header]

    def _handler(self) -> Any:
        name = getattr(self.view, "action", None) or self.method.lower()
        return getattr(self.view, name, None)

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        """The operation's own answers, and the problems it may answer with."""
        bodies = super()._get_response_bodies(direction)
        for code in _READ_PROBLEMS if self.method.lower() in READ_METHODS else _WRITE_PROBLEMS:
            if code not in bodies:
                problem = self._get_response_for_code(ProblemSerializer, code, media_types=[PROBLEM_TYPE])
                bodies[code] = {**problem, "description": _DESCRIPTIONS[code]}
        return bodies
