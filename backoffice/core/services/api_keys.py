"""API keys: issuing, rotating and revoking them, and finding out who calls with one.

A key acts as its owner and never has more rights than the owner has at that moment: what the key may do is the
intersection of its scopes with what the owner's roles allow, its legal entities those of the owner that it names. An
administrator issues keys for himself and for service logins, never for a colleague: whoever holds a key acts as its
owner, and nobody is to act as another person.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from backoffice.core.access import authorise, capabilities, get_visible
from backoffice.core.models import ApiKey, LegalEntity, User
from backoffice.core.services import audit, users
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, InvalidInput

MANAGE_KEYS = "core.manage_api_keys"
KEY_MARK = "bo"
PREFIX_LENGTH = 12
SECRET_BYTES = 32
MAX_LIFETIME = timedelta(days=730)
MAX_OVERLAP = timedelta(days=30)
MAX_ADDRESSES = 50
MAX_SCOPES = 200
MAX_KEY_TEXT = 120
USE_NOTED_EVERY = timedelta(minutes=1)
_PREFIX_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key just made, with the text that is never shown again."""

    key: ApiKey
    text: str


@transaction.atomic
def create_service_login(
    *, name: str, email: str, roles: Iterable[str], entity_codes: Iterable[str], actor: Actor
) -> User:
    """A login for another system: without a password, useless in a browser; its API keys act in its roles."""
    user = users.create_user(email=email, full_name=name, roles=roles, entity_codes=entity_codes, actor=actor)
    user.is_service = True
    user.save(update_fields=["is_service"])
    return user


@transaction.atomic
def issue_key(
    *,
    owner_id: int,
    name: str,
    scopes: Iterable[str],
    actor: Actor,
    entity_codes: Iterable[str] = (),
    addresses: Iterable[str] = (),
    expires_at: datetime | None = None,
) -> IssuedKey:
    """A new key of the owner's. Without *expires_at* it ends after a year; without entities it reaches all of the owner's.

    Raises Denied for a colleague's login, InvalidInput for a scope the owner's roles do not give, a network that cannot
    be read, an entity that is not the owner's, or an end that is past or more than two years away.
    """
    authorise(actor, MANAGE_KEYS)
    owner = get_visible(User.objects.select_for_update(of=("self",)), actor, pk=owner_id)
    _check_owner(owner, actor)
    key, text = _new_key(
        owner=owner,
        name=_checked_name(name),
        scopes=_checked_scopes(scopes, owner),
        addresses=checked_networks(addresses),
        expires_at=_checked_end(expires_at),
        actor=actor,
    )
    entities = _checked_entities(entity_codes, owner)
    key.entities.set(entities)
    changes = {
        "owner": owner.email,
        "scopes": key.scopes,
        "addresses": key.addresses,
        "entities": sorted(entity.code for entity in entities),
        "expires_at": key.expires_at,
    }
    audit.record(actor=actor, action="core.issue_api_key", target=key, changes=changes)
    return IssuedKey(key, text)


@transaction.atomic
def rotate_key(*, key_id: int, overlap: timedelta, actor: Actor, reason: str) -> IssuedKey:
    """A new key with the same bounds; the old one works on for *overlap* (at most 30 days; zero ends it now).

    Raises Conflict for a key that is revoked, expired or was rotated already.
    """
    authorise(actor, MANAGE_KEYS)
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise InvalidInput("Both keys may work for at most 30 days.", field="overlap_hours")
    old = get_visible(ApiKey.objects.select_for_update(of=("self",)).select_related("owner"), actor, pk=key_id)
    _check_owner(old.owner, actor)
    if old.state != "active":
        raise Conflict(f"This key is {old.state}; issue a new one.", code="key_not_active")
    if old.replaced_by.exists():
        raise Conflict("This key was rotated already.", code="key_rotated")
    now = clock.now()
    key, text = _new_key(
        owner=old.owner,
        name=old.name,
        scopes=_checked_scopes(old.scopes, old.owner),
        addresses=old.addresses,
        expires_at=now + max(old.expires_at - old.created_at, timedelta(days=1)),
        actor=actor,
        replaces=old,
    )
    key.entities.set(old.entities.all())
    if overlap == timedelta(0):
        old.revoked_at, old.revoked_by_id, old.revoked_reason = now, actor.user_id, f"Rotated: {reason}"[:200]
    else:
        old.expires_at = min(old.expires_at, now + overlap)
    old.save(update_fields=["expires_at", "revoked_at", "revoked_by", "revoked_reason"])
    changes = {"replaces": old.prefix, "old_works_until": old.revoked_at or old.expires_at}
    audit.record(actor=actor, action="core.rotate_api_key", target=key, reason=reason, changes=changes)
    return IssuedKey(key, text)


@transaction.atomic
def revoke_key(*, key_id: int, actor: Actor, reason: str) -> ApiKey:
    """Ends a key at once. Repeating it is a no-op."""
    authorise(actor, MANAGE_KEYS)
    key = get_visible(ApiKey.objects.select_for_update(of=("self",)), actor, pk=key_id)
    if key.revoked_at is not None:
        return key
    key.revoked_at, key.revoked_by_id, key.revoked_reason = clock.now(), actor.user_id, reason[:200]
    key.save(update_fields=["revoked_at", "revoked_by", "revoked_reason"])
    audit.record(actor=actor, action="core.revoke_api_key", target=key, reason=reason)
    return key


def caller_of(*, text: str, address: str) -> tuple[ApiKey, Actor] | None:
    """The key of a presented text and the actor it is; None for a text that opens nothing, whatever the reason.

    *address* is the caller's. The time of use is noted at most once a minute.
    """
    prefix, secret = _parts_of(text)
    key = ApiKey.objects.select_related("owner").filter(prefix=prefix).first() if prefix else None
    # Compared even when there is no such prefix, so that the answer takes as long.
    expected = bytes(key.secret_hash) if key is not None else bytes(SECRET_BYTES)
    if not hmac.compare_digest(_hash_of(secret), expected) or key is None:
        return None
    if key.state != "active" or not key.owner.is_active or not is_within(address, key.addresses):
        return None
    _note_use(key, address)
    return key, actor_of_key(key)


def actor_of_key(key: ApiKey) -> Actor:
    """The owner as of now, within the key's bounds."""
    owned = frozenset(key.owner.entities.values_list("pk", flat=True))
    named = frozenset(key.entities.values_list("pk", flat=True))
    return Actor(
        label=f"{key.owner.email} (key {key.prefix})",
        user_id=key.owner_id,
        roles=frozenset(key.owner.roles),
        entity_ids=owned & named if named else owned,
        capabilities=frozenset(key.scopes),
        is_confined=bool(named),
    )


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Whether the address lies in one of the networks; with no network named, any address does."""
    wanted = list(networks)
    if not wanted:
        return True
    try:
        caller = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(caller, ipaddress.IPv6Address) and caller.ipv4_mapped is not None:
        caller = caller.ipv4_mapped
    return any(caller in ipaddress.ip_network(network) for network in wanted)


def checked_networks(addresses: Iterable[str]) -> list[str]:
    """Networks in their own spelling (`192.0.2.0/24`, `2001:db8::/32`); a lone address is a network of one."""
    networks = []
    for text in addresses:
        try:
            networks.append(str(ipaddress.ip_network(text.strip())))
        except ValueError:
            raise InvalidInput(
                f"{text} is not an address or a network such as 192.0.2.0/24.", field="addresses", value=text
            ) from None
    if len(networks) > MAX_ADDRESSES:
        raise InvalidInput(f"At most {MAX_ADDRESSES} networks.", field="addresses")
    return sorted(set(networks))


def grantable_scopes(roles: Iterable[str]) -> list[str]:
    """The capabilities that a login with these roles can give to a key."""
    held = frozenset(roles)
    return [name for name, holders in capabilities().items() if held & holders]


def _new_key(
    *,
    owner: User,
    name: str,
    scopes: list[str],
    addresses: list[str],
    expires_at: datetime,
    actor: Actor,
    replaces: ApiKey | None = None,
) -> tuple[ApiKey, str]:
    prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(PREFIX_LENGTH))
    secret = secrets.token_urlsafe(SECRET_BYTES)
    key = ApiKey.objects.create(
        owner=owner,
        name=name,
        prefix=prefix,
        secret_hash=_hash_of(secret),
        scopes=scopes,
        addresses=addresses,
        expires_at=expires_at,
        created_by_id=actor.user_id,
        replaces=replaces,
    )
    return key, f"{KEY_MARK}_{prefix}_{secret}"


def _parts_of(text: str) -> tuple[str, str]:
    """(prefix, secret) of `bo_<prefix>_<secret>`; empty for anything else."""
    if len(text) > MAX_KEY_TEXT or not text.isascii():
        return "", ""
    mark, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    if mark != KEY_MARK or len(prefix) != PREFIX_LENGTH or not set(prefix) <= set(_PREFIX_ALPHABET) or not secret:
        return "", ""
    return prefix, secret


def _hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _note_use(key: ApiKey, address: str) -> None:
    now = clock.now()
    if key.last_used_at is not None and now - key.last_used_at < USE_NOTED_EVERY:
        return
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=now, last_used_address=address or None)


def _check_owner(owner: User, actor: Actor) -> None:
    if not owner.is_active:
        raise InvalidInput("The owner's login is closed.", field="owner")
    if not (owner.is_service or owner.pk == actor.user_id or actor.is_system):
        raise Denied("A key acts as its owner: make it for yourself, or for a service login.")


def _checked_name(name: str) -> str:
    if not 0 < len(name.strip()) <= 80:
        raise InvalidInput("Say in at most 80 characters what uses the key.", field="name")
    return name.strip()


def _checked_scopes(scopes: Iterable[str], owner: User) -> list[str]:
    wanted = sorted(set(scopes))
    if not 0 < len(wanted) <= MAX_SCOPES:
        raise InvalidInput(f"Give the key 1 to {MAX_SCOPES} scopes.", field="scopes")
    beyond = sorted(set(wanted) - set(grantable_scopes(owner.roles)))
    if beyond:
        raise InvalidInput(f"The owner's roles do not give {', '.join(beyond)}.", field="scopes", value=beyond)
    return wanted


def _checked_entities(codes: Iterable[str], owner: User) -> list[LegalEntity]:
    wanted = sorted(set(codes))
    entities = list(owner.entities.filter(code__in=wanted))
    if len(entities) != len(wanted):
        unknown = sorted(set(wanted) - {entity.code for entity in entities})
        raise InvalidInput(f"Not a legal entity of the owner's: {', '.join(unknown)}.", field="entities", value=unknown)
    return entities


def _checked_end(expires_at: datetime | None) -> datetime:
    now = clock.now()
    if expires_at is None:
        return now + timedelta(days=365)
    if not now < expires_at <= now + MAX_LIFETIME:
        raise InvalidInput("A key ends in the future, at most two years from now.", field="expires_at")
    return expires_at
