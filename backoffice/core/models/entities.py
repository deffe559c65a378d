"""Who the broker is: legal entities and the brands they trade under. Everything belongs to one."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from backoffice.core.fields import CurrencyField
from backoffice.core.history import keep_history
from backoffice.kernel.ids import uuid7


@keep_history()
class LegalEntity(models.Model):
    """A licensed company. Its books, clients and staff are kept apart from every other entity's."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    code = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=160)
    country = models.CharField(max_length=2)
    regulator = models.CharField(max_length=80, blank=True)
    licence_number = models.CharField(max_length=80, blank=True)
    base_currency = CurrencyField()
    currencies = ArrayField(
        CurrencyField(),
        default=list,
        blank=True,
        help_text="In which accounts may be opened, the base currency among them. Empty: not limited.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["code"]
        verbose_name_plural = "legal entities"
        constraints = [
            models.CheckConstraint(
                condition=Q(currencies=[]) | Q(currencies__contains=[F("base_currency")]),
                name="core_entity_trades_in_its_base_currency",
            )
        ]

    def __str__(self) -> str:
        return self.name


@keep_history()
class Brand(models.Model):
    """A name and a look under which an entity meets its clients."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="brands")
    code = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=160)
    accent_colour = models.CharField(max_length=7, default="#1f4e79")
    support_email = models.EmailField(blank=True)
    host = models.CharField(
        max_length=253, blank=True, help_text="Host on which the portal shows this brand alone; empty: the house's own."
    )
    site = models.URLField(max_length=200, blank=True, help_text="The brand's web site, to which partners' links lead.")
    logo = models.ForeignKey(
        "core.StoredFile", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(fields=["host"], condition=~Q(host=""), name="core_brand_host_unique"),
            models.CheckConstraint(
                condition=Q(host="") | Q(host__regex=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"), name="core_brand_host_form"
            ),
        ]

    def __str__(self) -> str:
        return self.name
