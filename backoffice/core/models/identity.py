"""Who came in, from where and with which device; sessions, leavers, access reviews and views as a client."""

from __future__ import annotations

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from backoffice.core.models.users import User
from backoffice.core.triggers import IMMUTABLE_SQLSTATE, never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7

LOGIN_EVENTS_KEPT_AT_LEAST_DAYS = 30


class LoginEvent(models.Model):
    """One thing that happened at the front door. Appended only; forgotten when its retention is over, never earlier.

    `email` is what was typed, if it looked like an address. `device` is the random number in a long-lived signed
    cookie: two logins with one device were in one browser. `user_agent` is the browser in a few words.
    """

    class Kind(models.TextChoices):
        LOGIN = "login", "Signed in"
        FAILED = "failed", "Wrong password"
        LOCKED = "locked", "Too many attempts"
        LOGOUT = "logout", "Signed out"
        SECOND_FACTOR_PASSED = "second_factor_passed", "Second factor shown"
        SECOND_FACTOR_FAILED = "second_factor_failed", "Second factor wrong"
        PASSWORD_RESET = "password_reset", "Password reset by mail"
        PASSWORD_CHANGED = "password_changed", "Password changed"

    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="login_events")
    email = models.CharField(max_length=254, blank=True)
    kind = models.CharField(max_length=24, choices=Kind.choices)
    method = models.CharField(max_length=24, blank=True)
    at = models.DateTimeField(default=clock.now, editable=False)
    address = models.GenericIPAddressField(null=True)
    country = models.CharField(max_length=2, blank=True)
    device = models.UUIDField(null=True)
    user_agent = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "sign-in event"
        indexes = [
            models.Index(fields=["user", "-at"], name="core_loginevent_user"),
            models.Index(fields=["device", "user"], name="core_loginevent_device"),
            models.Index(fields=["address", "user"], name="core_loginevent_address"),
            models.Index(fields=["at"], name="core_loginevent_at"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    kind__in=[
                        "login",
                        "failed",
                        "locked",
                        "logout",
                        "second_factor_passed",
                        "second_factor_failed",
                        "password_reset",
                        "password_changed",
                    ]
                ),
                name="core_loginevent_kind_known",
            )
        ]
        triggers = [
            pgtrigger.Trigger(
                name="never_changes",
                level=pgtrigger.Statement,
                when=pgtrigger.Before,
                operation=pgtrigger.Update | pgtrigger.Truncate,
                func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME "
                f"USING ERRCODE = '{IMMUTABLE_SQLSTATE}';",
            ),
            pgtrigger.Trigger(
                name="kept_for_its_time",
                level=pgtrigger.Row,
                when=pgtrigger.Before,
                operation=pgtrigger.Delete,
                func=f"IF OLD.at > now() - interval '{LOGIN_EVENTS_KEPT_AT_LEAST_DAYS} days' THEN "
                "RAISE EXCEPTION 'DELETE of % is refused: the row is not old enough', TG_TABLE_NAME "
                f"USING ERRCODE = '{IMMUTABLE_SQLSTATE}'; END IF; RETURN OLD;",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.email}"


class UserSession(models.Model):
    """A session of a person's, as they recognise it: which browser, from where, when last seen.

    The session itself is the framework's; this row names it until it ends and is the record of it afterwards.
    """

    class EndReason(models.TextChoices):
        LOGOUT = "logout", "Signed out"
        ENDED = "ended", "Ended from another session"
        PASSWORD = "password", "Password changed"
        ADMINISTRATOR = "administrator", "Ended by an administrator"
        CLOSED = "closed", "Login closed"
        EXPIRED = "expired", "Expired"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="sessions")
    session_key = models.CharField(max_length=40, null=True, unique=True)
    started_at = models.DateTimeField(default=clock.now, editable=False)
    last_seen_at = models.DateTimeField(default=clock.now)
    address = models.GenericIPAddressField(null=True)
    country = models.CharField(max_length=2, blank=True)
    device = models.UUIDField(null=True)
    user_agent = models.CharField(max_length=80, blank=True)
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=16, choices=EndReason.choices, blank=True)

    class Meta:
        ordering = ["-last_seen_at"]
        indexes = [models.Index(fields=["user", "ended_at"], name="core_usersession_user")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ended_at__isnull=True, end_reason="", session_key__isnull=False)
                | models.Q(ended_at__isnull=False, session_key__isnull=True) & ~models.Q(end_reason=""),
                name="core_usersession_open_or_ended",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_agent or 'unknown browser'} since {self.started_at:%Y-%m-%d %H:%M}"


class LeaverRecord(models.Model):
    """That somebody left: who took over, who saw to it, and what was done, counted. Never changed."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="leaver_records")
    successor = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    done_by = models.CharField(max_length=200)
    done_by_id_of_user = models.BigIntegerField(null=True)
    done_at = models.DateTimeField(default=clock.now, editable=False)
    reason = models.TextField()
    evidence = models.JSONField(default=dict, encoder=DjangoJSONEncoder)

    class Meta:
        ordering = ["-id"]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.user} left on {self.done_at:%Y-%m-%d}"


class AccessReview(models.Model):
    """A reviewer's signature under who may do what: the rows as they were, and their digest. Never changed."""

    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="access_reviews")
    signed_at = models.DateTimeField(default=clock.now, editable=False)
    entity_ids = ArrayField(models.BigIntegerField())
    row_count = models.IntegerField()
    digest = models.CharField(max_length=64)
    rows = models.JSONField(encoder=DjangoJSONEncoder)
    note = models.TextField()

    class Meta:
        ordering = ["-id"]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"Access review of {self.signed_at:%Y-%m-%d} by {self.reviewer}"


class ClientView(models.Model):
    """That a member of staff looked at the portal as a client sees it: why, and for how long at most."""

    class EndReason(models.TextChoices):
        ENDED = "ended", "Ended by the viewer"
        EXPIRED = "expired", "Time was up"
        REVOKED = "revoked", "No longer allowed"
        REPLACED = "replaced", "Another view began"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    staff = models.ForeignKey(User, on_delete=models.PROTECT, related_name="client_views")
    person = models.ForeignKey(User, on_delete=models.PROTECT, related_name="views_by_staff")
    reason = models.TextField()
    started_at = models.DateTimeField(default=clock.now, editable=False)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=12, choices=EndReason.choices, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("started_at")), name="core_clientview_is_bounded"
            ),
            models.CheckConstraint(condition=~models.Q(staff=models.F("person")), name="core_clientview_of_another"),
            models.UniqueConstraint(
                fields=["staff"], condition=models.Q(ended_at__isnull=True), name="core_clientview_one_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.staff} as {self.person}"
