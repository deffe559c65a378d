"""A small broker for tests of the API, and callers with keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.test import Client as Browser

from backoffice.core.models import ApiKey, Brand, LegalEntity, User
from backoffice.core.services import api_keys
from backoffice.core.services.api_keys import grantable_scopes
from backoffice.core.types import Actor, Role
from crm.services.clients import register_client
from tests.logins import make_entity, make_user

SYSTEM = Actor.system("test")


class Caller:
    """Calls the API with a key."""

    def __init__(self, text: str, key: ApiKey | None = None, address: str = "127.0.0.1") -> None:
        self.browser = Browser(REMOTE_ADDR=address)
        self.text, self.key = text, key

    def get(self, path: str, query: dict[str, Any] | None = None, **headers: str) -> Any:
        """GET /api/v1/<path>."""
        return self.browser.get(_url(path), query or {}, headers=self._headers(headers))

    def post(self, path: str, body: Any = None, *, key: str = "", **headers: str) -> Any:
        """POST /api/v1/<path>, with an idempotency key if given."""
        own = {"Idempotency-Key": key} if key else {}
        return self.browser.post(
            _url(path),
            {} if body is None else body,
            content_type="application/json",
            headers=self._headers(own | headers),
        )

    def delete(self, path: str, **headers: str) -> Any:
        """DELETE /api/v1/<path>."""
        return self.browser.delete(_url(path), headers=self._headers(headers))

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.text}"} | more


def _url(path: str) -> str:
    return path if path.startswith(("/", "http")) else f"/api/v1/{path}"


def make_service(*roles: str, entities: tuple[LegalEntity, ...], email: str = "terminal@house.test") -> User:
    """A service login."""
    codes = [entity.code for entity in entities]
    return api_keys.create_service_login(name="Terminal", email=email, roles=roles, entity_codes=codes, actor=SYSTEM)


def caller_for(owner: User, scopes: Iterable[str] | None = None, **bounds: Any) -> Caller:
    """A caller with a new key of the owner's; without scopes, with all that the owner can give."""
    wanted = list(scopes) if scopes is not None else grantable_scopes(owner.roles)
    issued = api_keys.issue_key(owner_id=owner.pk, name="test", scopes=wanted, actor=SYSTEM, **bounds)
    return Caller(issued.text, issued.key)


def service_caller(*roles: str, entities: tuple[LegalEntity, ...] | None = None, **bounds: Any) -> Caller:
    """A caller for a new service login."""
    own = (make_entity(),) if entities is None else entities
    return caller_for(make_service(*roles, entities=own), **bounds)


def make_brand(entity: LegalEntity) -> Brand:
    """The entity's brand."""
    brand, _ = Brand.objects.get_or_create(code=f"{entity.code}-brand", defaults={"entity": entity, "name": "Brand"})
    return brand


def make_client(entity: LegalEntity, name: str = "Ann Example") -> Any:
    """A registered client."""
    return register_client(
        entity_id=entity.pk,
        brand_id=make_brand(entity).pk,
        full_name=name,
        email=f"{name.split()[0].lower()}@client.test",
        country="CY",
        language="en",
        actor=SYSTEM,
    )


def make_administrator(entity: LegalEntity, email: str = "admin@house.test") -> User:
    """A person who looks after keys."""
    return make_user(email, Role.ADMINISTRATOR, entities=(entity,))
