"""People who can log in: staff, introducing brokers and traders."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower

from backoffice.core.history import keep_history
from backoffice.core.models.entities import LegalEntity
from backoffice.core.types import PORTAL_ROLES, Role
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class UserManager(BaseUserManager["User"]):
    """Makes users by e-mail address."""

    def create_user(self, *, email: str, password: str | None = None, **fields: Any) -> User:
        """A saved user; without a password the login is unusable until one is set."""
        user = self.model(email=self.normalize_email(email).strip().lower(), **fields)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> User:
        """The user of an e-mail address, whatever its letter case."""
        return self.get(email__iexact=username)


@keep_history(exclude=["password", "last_login"])
class User(AbstractBaseUser, PermissionsMixin):
    """A login. What it may do follows from its roles; whose data it sees follows from the access door."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    email = models.EmailField(unique=True)
    full_name = models.CharField(max_length=160)
    roles = ArrayField(models.CharField(max_length=24, choices=Role.choices), default=list, blank=True)
    entities = models.ManyToManyField(
        LegalEntity,
        blank=True,
        related_name="staff",
        help_text="Legal entities whose data this person may see.",
    )
    language = models.CharField(max_length=10, default="en")
    is_active = models.BooleanField(default=True)
    is_service = models.BooleanField(
        default=False, help_text="Another system: acts through API keys only, and can do nothing in a browser."
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []  # type: ignore[misc]  # the stubs declare it per class

    class Meta:
        ordering = ["full_name", "email"]
        constraints = [
            models.UniqueConstraint(Lower("email"), name="core_user_email_unique"),
            models.CheckConstraint(
                condition=models.Q(roles__contained_by=[role.value for role in Role]),
                name="core_user_roles_known",
            ),
        ]

    def __str__(self) -> str:
        return self.full_name or self.email

    @property
    def is_staff(self) -> bool:
        """Whether this person works at the broker: any role other than the portal's."""
        return self.is_active and bool(set(self.roles) - PORTAL_ROLES)

    def get_full_name(self) -> str:
        """The name as people write it."""
        return self.full_name

    def get_short_name(self) -> str:
        """The first word of the name."""
        return self.full_name.split(" ")[0] if self.full_name else self.email


@keep_history(obj_field=None)
class UserEntity(User.entities.through):  # type: ignore[name-defined]  # the table that Django makes
    """That a person may see an entity's data: a permission, so its history is kept like that of the roles."""

    class Meta:
        proxy = True

    def __str__(self) -> str:
        return f"{self.user} for {self.legalentity}"


@keep_history()
class Team(models.Model):
    """A group of staff within an entity; clients belong to a team through their owner."""

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="teams")
    name = models.CharField(max_length=80)
    members = models.ManyToManyField(User, through="TeamMembership", related_name="teams")

    class Meta:
        ordering = ["entity", "name"]
        constraints = [models.UniqueConstraint(fields=["entity", "name"], name="core_team_name_unique")]

    def __str__(self) -> str:
        return self.name


@keep_history()
class TeamMembership(models.Model):
    """A person in a team; a lead sees the whole team's clients."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    is_lead = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="core_team_membership_unique")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"
