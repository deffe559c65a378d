"""Links and codes of partners, and how often they were followed: counts by day, never who."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from backoffice.core.access import ScopedQuerySet
from backoffice.core.history import keep_history
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from ib.models.partners import Partner


@keep_history()
class PartnerLink(models.Model):
    """A code by which clients come to a partner. It is never given to anybody else, not even after its end."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="links")
    code = models.CharField(max_length=32, help_text="Letters, figures and dashes; capitals do not matter.")
    campaign = models.CharField(max_length=80, help_text="What the partner calls it.")
    landing_path = models.CharField(max_length=200, default="/", help_text="Where it leads on the brand's own site.")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    created_by = models.CharField(max_length=200)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["partner", "id"]
        constraints = [
            models.UniqueConstraint(Lower("code"), name="ib_link_code_unique"),
            models.CheckConstraint(condition=Q(code__regex=r"^[A-Za-z0-9-]{4,32}$"), name="ib_link_code_form"),
            # One slash and then no other, no backslash: never the address of another site.
            models.CheckConstraint(condition=Q(landing_path__regex=r"^/([^/\\\s][^\\\s]*)?$"), name="ib_link_own_site"),
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def is_active(self) -> bool:
        """Whether it still counts."""
        return self.ended_at is None


class LinkDay(models.Model):
    """How often a link was followed on a day, and by how many browsers."""

    link = models.ForeignKey(PartnerLink, on_delete=models.CASCADE, related_name="days", db_index=False)
    day = models.DateField()
    clicks = models.PositiveIntegerField(default=0)
    visitors = models.PositiveIntegerField(default=0)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["link", "-day"]
        constraints = [
            models.UniqueConstraint(fields=["link", "day"], name="ib_linkday_unique"),
            models.CheckConstraint(condition=Q(visitors__lte=models.F("clicks")), name="ib_linkday_visitors_click"),
        ]

    def __str__(self) -> str:
        return f"{self.link_id} on {self.day}"


class LinkVisitor(models.Model):
    """A keyed digest that tells whether a browser was counted on a day already. Its key holds for that day only, and the
    rows are removed soon after it."""

    link_day = models.ForeignKey(LinkDay, on_delete=models.CASCADE, related_name="+", db_index=False)
    digest = models.CharField(max_length=32)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["link_day", "digest"], name="ib_linkvisitor_once")]

    def __str__(self) -> str:
        return self.digest
