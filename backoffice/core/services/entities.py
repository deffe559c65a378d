"""Legal entities: what they are, in which currencies they keep accounts, their brands and their own bank accounts."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from schwifty import BIC, IBAN
from schwifty.exceptions import SchwiftyException

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.models import Brand, EntityBankAccount, LegalEntity
from backoffice.core.sealing.fields import blind_lookup
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, Denied, InvalidInput

MANAGE = "core.manage_organisation"
VIEW_BANK_ACCOUNTS = "core.view_bank_accounts"
REVEAL_BANK_ACCOUNT = "core.reveal_bank_account"
MANAGE_BANK_ACCOUNTS = "core.manage_bank_accounts"
MAXIMUM_CURRENCIES = 60
_NUMBER_LENGTHS = range(4, 35)


@transaction.atomic
def register_entity(
    *,
    code: str,
    name: str,
    country: str,
    base_currency: str,
    actor: Actor,
    regulator: str = "",
    licence_number: str = "",
    currencies: Iterable[str] = (),
) -> LegalEntity:
    """A new licensed company, with books of its own. Set up by the system only: nobody sees a new entity yet."""
    if not actor.is_system:
        raise Denied("A legal entity is set up by command.", capability=MANAGE)
    if LegalEntity.objects.filter(code=code).exists():
        raise Conflict(f"There is a legal entity {code} already.", code="entity_exists", field="code")
    base = Currency.of(base_currency).code
    entity = LegalEntity.objects.create(
        code=code,
        name=name,
        country=country,
        regulator=regulator,
        licence_number=licence_number,
        base_currency=base,
        currencies=_checked_currencies(currencies, base),
    )
    audit.record(actor=actor, action="core.register_entity", target=entity, changes={"currencies": entity.currencies})
    return entity


@transaction.atomic
def set_currencies(*, entity_id: int, currencies: Iterable[str], actor: Actor, reason: str) -> LegalEntity:
    """Limits the currencies in which accounts of the entity may be opened. Accounts that exist stay as they are.

    No currency at all lifts the limit; otherwise the base currency must be among them.
    """
    authorise(actor, MANAGE)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    entity = LegalEntity.objects.select_for_update().get(pk=entity_id)
    before, entity.currencies = entity.currencies, _checked_currencies(currencies, entity.base_currency)
    if entity.currencies == before:
        return entity
    entity.save(update_fields=["currencies"])
    audit.record(
        actor=actor,
        action="core.set_currencies",
        target=entity,
        reason=reason.strip(),
        changes={"currencies": [before, entity.currencies]},
    )
    return entity


def require_permitted_currencies(pairs: Iterable[tuple[int, str]]) -> None:
    """Refuses the pairs of entity and currency in which the entity opens no accounts (`currency_not_permitted`)."""
    wanted = set(pairs)
    limits = dict(
        LegalEntity.objects.filter(pk__in={entity_id for entity_id, _ in wanted})
        .exclude(currencies=[])
        .values_list("pk", "currencies")
    )
    for entity_id, currency in sorted(wanted):
        # Who opens accounts in dollars opens them in cents of the dollar.
        if entity_id in limits and not {currency, Currency.of(currency).parent.code} & set(limits[entity_id]):
            raise InvalidInput(
                f"This legal entity opens no accounts in {currency}.",
                code="currency_not_permitted",
                field="currency",
                value=currency,
                entity_id=entity_id,
            )


def require_permitted_currency(*, entity_id: int, currency: str) -> None:
    """Refuses a currency in which the entity opens no accounts."""
    require_permitted_currencies([(entity_id, currency)])


@transaction.atomic
def add_brand(
    *,
    entity_id: int,
    code: str,
    name: str,
    actor: Actor,
    support_email: str = "",
    accent_colour: str = "#1f4e79",
) -> Brand:
    """Another name under which the entity meets its clients."""
    authorise(actor, MANAGE)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    # Codes are unique across all entities; that one is taken tells nothing about whose it is.
    if Brand.objects.filter(code=code).exists():
        raise Conflict("This code is taken.", code="brand_exists", field="code")
    brand = Brand.objects.create(
        entity=entity, code=code, name=name, support_email=support_email, accent_colour=accent_colour
    )
    audit.record(actor=actor, action="core.add_brand", target=brand)
    return brand


@transaction.atomic
def add_bank_account(
    *,
    entity_id: int,
    name: str,
    purpose: str,
    currency: str,
    bank_name: str,
    account_number: str,
    actor: Actor,
    reason: str,
    bic: str = "",
    is_iban: bool = True,
) -> EntityBankAccount:
    """An account that the entity holds at a bank, in one of its currencies.

    An IBAN is checked (country, length, check digits), and its BIC with it; another number only by its form. Raises
    `Conflict` when the entity has an account of that name, or that number in that currency, already.
    """
    authorise(actor, MANAGE_BANK_ACCOUNTS)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    if not name.strip():
        raise InvalidInput("An account needs a name.", field="name")
    if not bank_name.strip():
        raise InvalidInput("Name the bank.", field="bank_name")
    if purpose not in EntityBankAccount.Purpose.values:
        raise InvalidInput("Client money or own money.", field="purpose", value=purpose)
    code = Currency.of(currency).code
    require_permitted_currency(entity_id=entity.pk, currency=code)
    number = checked_account_number(account_number, is_iban=is_iban)
    known = EntityBankAccount.objects.filter(entity=entity)
    if known.filter(name=name.strip()).exists():
        raise Conflict("The entity has an account of this name.", code="name_taken", field="name")
    if known.filter(currency=code, **blind_lookup(EntityBankAccount, "account_number_index", number)).exists():
        raise Conflict("The entity has this account already.", code="account_exists", field="account_number")
    account = EntityBankAccount.objects.create(
        entity=entity,
        name=name.strip(),
        purpose=purpose,
        currency=code,
        bank_name=bank_name.strip(),
        bic=checked_bic(bic),
        account_number=number,
        number_tail=number[-4:],
        is_iban=is_iban,
    )
    audit.record(
        actor=actor,
        action="core.add_bank_account",
        target=account,
        reason=reason.strip(),
        changes={"currency": code, "purpose": purpose, "bank": account.bank_name, "number": account.masked_number},
    )
    return account


@transaction.atomic
def close_bank_account(*, bank_account_id: int, actor: Actor, reason: str) -> EntityBankAccount:
    """Says that the account is no longer used. It stays in the list, with its history. Repeating it changes nothing."""
    authorise(actor, MANAGE_BANK_ACCOUNTS)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    get_visible(EntityBankAccount.objects.all(), actor, pk=bank_account_id)
    account = EntityBankAccount.objects.select_for_update().get(pk=bank_account_id)
    if account.closed_at is not None:
        return account
    account.closed_at = clock.now()
    account.save(update_fields=["closed_at"])
    audit.record(actor=actor, action="core.close_bank_account", target=account, reason=reason.strip())
    return account


@transaction.atomic
def reveal_account_number(*, bank_account_id: int, actor: Actor, reason: str) -> str:
    """The whole number of a bank account; that somebody looked, and why, stands in the audit."""
    authorise(actor, REVEAL_BANK_ACCOUNT)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    account = get_visible(EntityBankAccount.objects.all(), actor, pk=bank_account_id)
    audit.record(actor=actor, action="core.reveal_bank_account", target=account, reason=reason.strip())
    return str(account.account_number)


def find_bank_account(*, account_number: str, actor: Actor) -> EntityBankAccount | None:
    """The account of a number, if it is one of the actor's entities, whatever spaces the number is written with."""
    lookup = blind_lookup(EntityBankAccount, "account_number_index", account_number)
    return visible_to(EntityBankAccount.objects.filter(**lookup), actor).first()


def _checked_currencies(currencies: Iterable[str], base: str) -> list[str]:
    codes = sorted({Currency.of(code).code for code in currencies})
    if len(codes) > MAXIMUM_CURRENCIES:
        raise InvalidInput(f"At most {MAXIMUM_CURRENCIES} currencies.", field="currencies")
    if codes and base not in codes:
        raise InvalidInput(
            f"The base currency {base} must be among the currencies.", field="currencies", code="base_currency_missing"
        )
    return codes


def checked_account_number(text: str, *, is_iban: bool) -> str:
    """The number as it is kept; raises InvalidInput without repeating it."""
    if is_iban:
        try:
            return str(IBAN(text.strip()).compact)
        except SchwiftyException as error:
            # The number itself stays out of the message, and so out of logs.
            raise InvalidInput("This is no valid IBAN.", field="account_number", code="invalid_iban") from error
    number = "".join(text.split()).upper()
    plain = number.replace("-", "").replace("/", "").replace(".", "")
    if len(number) not in _NUMBER_LENGTHS or not (plain.isascii() and plain.isalnum()):
        raise InvalidInput(
            "An account number has 4 to 34 letters and digits.", field="account_number", code="invalid_account_number"
        )
    return number


def checked_bic(text: str) -> str:
    """The BIC as it is kept; nothing is nothing."""
    if not text.strip():
        return ""
    try:
        return str(BIC(text.strip().upper()).compact)
    except SchwiftyException as error:
        raise InvalidInput("This is no valid BIC.", field="bic", code="invalid_bic", value=text) from error
