"""Roles, and the actor on whose behalf a use case runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import models


class Role(models.TextChoices):
    """What a person does here. A person may hold several roles."""

    SALES = "sales", "Sales"
    RETENTION = "retention", "Retention"
    COMPLIANCE = "compliance", "Compliance"
    DEALING = "dealing", "Dealing"
    FINANCE = "finance", "Finance"
    PARTNER_MANAGER = "partner_manager", "Partner manager"
    MARKETING = "marketing", "Marketing"
    PLATFORM_OPERATIONS = "platform_operations", "Platform operations"
    AUDITOR = "auditor", "Auditor"
    ADMINISTRATOR = "administrator", "Administrator"
    TRADER = "trader", "Trader"
    IB = "ib", "Introducing broker"


PORTAL_ROLES = frozenset({Role.TRADER.value, Role.IB.value})
STAFF_ROLES = frozenset(role.value for role in Role) - PORTAL_ROLES


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a logged-in person, or a named job of the system.

    A system actor (`user_id` None) may do everything and sees everything; it exists only in tasks and commands,
    never in a request. `label` is what the audit shows.

    Who calls by an API key is its owner within bounds: `capabilities` names the verbs the key may use at most (None:
    every verb of the roles), and `is_confined` tells that `entity_ids` bounds every row, even one that was opened to
    the owner by name.
    """

    label: str
    user_id: int | None = None
    roles: frozenset[str] = field(default_factory=frozenset)
    entity_ids: frozenset[int] = field(default_factory=frozenset)
    capabilities: frozenset[str] | None = None
    is_confined: bool = False

    @classmethod
    def system(cls, job: str) -> Actor:
        """The actor of a job that no person started, such as the business day."""
        return cls(label=f"system:{job}")

    @property
    def is_system(self) -> bool:
        """Whether a job of the system acts."""
        return self.user_id is None

    @property
    def is_staff(self) -> bool:
        """Whether the actor works at the broker."""
        return self.is_system or bool(self.roles & STAFF_ROLES)

    def has_role(self, *roles: str) -> bool:
        """Whether the actor holds any of the roles."""
        return bool(self.roles.intersection(roles))


NOBODY = Actor(label="nobody", user_id=0)
