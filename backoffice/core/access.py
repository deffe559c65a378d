"""The access door: whose rows an actor sees, and which verbs an actor may use. Both are denied unless declared.

Rows: every model that holds client data registers scope providers, functions that turn an actor into a condition.
`visible_to(queryset, actor)` joins them by OR; with no provider, or none that applies, nothing is visible.

Verbs: each desk declares its capabilities (`"ib.settle_commissions"`) and the roles that hold them;
`authorise(actor, capability)` raises `Denied` otherwise. Administrators hold what is declared for them, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.db import models
from django.db.models import Q, QuerySet

from backoffice.core.types import Actor
from backoffice.kernel.errors import Denied, Misconfigured, NotFound

ScopeProvider = Callable[[Actor], Q | None]
ModelT = TypeVar("ModelT", bound=models.Model)

_providers: dict[str, list[ScopeProvider]] = {}
_capabilities: dict[str, frozenset[str]] = {}


def register_scope(model_label: str, provider: ScopeProvider) -> None:
    """Adds a provider for a model (`"crm.Client"`). It returns a condition on that model, or None if it grants nothing."""
    providers = _providers.setdefault(model_label.lower(), [])
    if provider not in providers:
        providers.append(provider)


def visible_to(queryset: QuerySet[ModelT], actor: Actor) -> QuerySet[ModelT]:
    """The part of *queryset* that *actor* may see. A system actor sees all; anybody else what providers grant."""
    if actor.is_system:
        return queryset
    condition: Q | None = None
    for provider in _providers.get(queryset.model._meta.label_lower, []):
        granted = provider(actor)
        if granted is not None:
            condition = granted if condition is None else condition | granted
    return queryset.none() if condition is None else queryset.filter(condition)


def get_visible(queryset: QuerySet[ModelT], actor: Actor, **lookup: Any) -> ModelT:
    """The one visible row of the lookup. What exists but is not visible is reported exactly like what does not exist."""
    found = visible_to(queryset, actor).filter(**lookup).first()
    if found is None:
        name = queryset.model._meta.verbose_name
        raise NotFound(f"No such {name}, or it is not yours to see.", model=queryset.model._meta.label)
    return found


def scoped_models() -> list[str]:
    """Labels of the models that have at least one scope provider."""
    return sorted(_providers)


def declare_capability(name: str, roles: Iterable[str]) -> None:
    """Declares a verb (`desk.verb_noun`) and the roles that hold it. Declaring it twice with other roles is a mistake."""
    held_by = frozenset(str(role) for role in roles)
    if _capabilities.setdefault(name, held_by) != held_by:
        raise Misconfigured(f"Capability {name} is declared twice with different roles.", capability=name)


def capabilities() -> dict[str, frozenset[str]]:
    """Every declared capability and the roles that hold it."""
    return dict(sorted(_capabilities.items()))


def holds(actor: Actor, capability: str) -> bool:
    """Whether the actor may use the verb; an undeclared verb is a programming mistake, not a denial."""
    if capability not in _capabilities:
        raise Misconfigured(f"Capability {capability} is not declared.", capability=capability)
    if actor.is_system:
        return True
    within_key = actor.capabilities is None or capability in actor.capabilities
    return within_key and bool(actor.roles & _capabilities[capability])


def authorise(actor: Actor, capability: str) -> None:
    """Raises `Denied` unless the actor holds the capability."""
    if not holds(actor, capability):
        raise Denied("Your role does not allow this.", capability=capability)


class ScopedQuerySet(QuerySet[ModelT]):
    """A queryset with the door built in: `Client.objects.visible_to(actor)`."""

    def visible_to(self, actor: Actor) -> QuerySet[ModelT]:
        """See `backoffice.core.access.visible_to`."""
        return visible_to(self, actor)


def entity_scope(path: str) -> ScopeProvider:
    """A provider for staff of some roles is often just 'of my legal entities': *path* leads from the model to the entity."""

    def provider(actor: Actor) -> Q | None:
        return Q(**{f"{path}__in": actor.entity_ids}) if actor.is_staff and actor.entity_ids else None

    return provider


def role_entity_scope(path: str, *roles: str) -> ScopeProvider:
    """Like `entity_scope`, granted to the given roles only."""

    def provider(actor: Actor) -> Q | None:
        return Q(**{f"{path}__in": actor.entity_ids}) if actor.has_role(*roles) and actor.entity_ids else None

    return provider
