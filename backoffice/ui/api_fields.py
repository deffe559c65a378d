"""Fields of the API's serializers: references that only find what the caller may see, amounts, moments, codes."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import QuerySet
from rest_framework import serializers

from backoffice.core.access import visible_to
from backoffice.core.models import Brand, LegalEntity
from backoffice.core.types import Actor

MAX_SLUG_LENGTH = 200
CODE = r"^[A-Za-z0-9_.-]+$"


class VisibleField(serializers.SlugRelatedField):
    """An object named by a public field (`code`, `public_id`, `reference`), looked for among what the caller may see.

    What exists but is not the caller's is refused exactly like what does not exist.
    """

    default_error_messages = {"unseen": "There is no such {thing}, or it is not yours to see."}

    def to_internal_value(self, data: Any) -> Any:
        """The object itself."""
        if not isinstance(data, str | int) or isinstance(data, bool) or len(str(data)) > MAX_SLUG_LENGTH:
            self.fail("invalid")
        actor: Actor = self.context["actor"]
        rows: QuerySet[Any] = self.get_queryset()  # type: ignore[assignment]
        try:
            return visible_to(rows, actor).get(**{self.slug_field or "": data})
        except (ObjectDoesNotExist, ValidationError, ValueError, TypeError, OverflowError):
            self.fail("unseen", thing=rows.model._meta.verbose_name)


def entity_field(**options: Any) -> VisibleField:
    """A legal entity of the caller's, by code."""
    return VisibleField(slug_field="code", queryset=LegalEntity.objects.all(), **options)


def brand_field(**options: Any) -> VisibleField:
    """A brand of the caller's legal entities, by code."""
    return VisibleField(slug_field="code", queryset=Brand.objects.all(), **options)


def code_of(source: str, **options: Any) -> Any:
    """Shows a related object by its code or another public field (`source="entity.code"`)."""
    return serializers.CharField(source=source, read_only=True, **options)


class AmountField(serializers.DecimalField):
    """An amount of money as a decimal string, in the currency that stands beside it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"max_digits": 24, "decimal_places": 8} | options))


class PriceField(serializers.DecimalField):
    """A price or rate as a decimal string."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"max_digits": 24, "decimal_places": 10} | options))


class MomentField(serializers.DateTimeField):
    """A time with its zone. One without a zone is refused: nobody knows which moment it means."""

    default_error_messages = {"naive": "Say the time zone, such as 2026-01-31T12:00:00Z."}

    def to_internal_value(self, value: Any) -> Any:
        """Aware."""
        if isinstance(value, str) and not (value.rstrip().endswith(("Z", "z")) or value[-6:-5] in {"+", "-"}):
            self.fail("naive")
        try:
            return super().to_internal_value(value)
        except OverflowError:
            self.fail("invalid", format="YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]")


class CurrencyField(serializers.RegexField):
    """A currency code in capitals."""

    def __init__(self, **options: Any) -> None:
        super().__init__(r"^[A-Z]{3,5}$", **options)


class IdField(serializers.IntegerField):
    """A number that identifies a row."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"min_value": 1, "max_value": 2**63 - 1} | options))


def range_start(validity: Any) -> Any:
    """When a dated fact begins; None: since ever, or never at all."""
    return None if validity is None or validity.isempty else validity.lower


def range_end(validity: Any) -> Any:
    """When it ends; None: not yet."""
    return None if validity is None or validity.isempty else validity.upper


class ValiditySerializer(serializers.Serializer):
    """From when to when a dated fact holds; `is_void` says that it never holds (it was replaced before it began)."""

    valid_from = serializers.DateTimeField(allow_null=True, read_only=True)
    valid_to = serializers.DateTimeField(allow_null=True, read_only=True)
    is_void = serializers.BooleanField(read_only=True)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """From the database's range."""
        return super().to_representation(
            {
                "valid_from": range_start(instance),
                "valid_to": range_end(instance),
                "is_void": bool(instance is not None and instance.isempty),
            }
        )
