"""Columns that are encrypted at rest, and columns by which they can still be found.

    iban = EncryptedTextField(bound_to="public_id")
    iban_index = BlindIndexField(source="iban", normalise="iban")

The seal binds the table, the column and the row (by a column that is known before the row is written), so that a text
copied into another row, column or table does not open there. Opening happens when the attribute is read, not when the
row is: lists that do not show the column never decrypt it. `values()` and raw reads give a `SealedText`, which prints
nothing.

A sealed column can be compared with nothing but NULL. To find a row by the value, ask the blind index:
`Account.objects.filter(**blind_lookup(Account, "iban_index", "CY17 0020 …"))`.

Keep sealed columns out of the rows' history (`keep_history(exclude=["iban", "iban_index"])`): old versions never
change, so they could not follow to another key. A system check refuses what forgets it.
"""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core import checks
from django.core.exceptions import FieldError
from django.db import models

from backoffice.core.sealing.secrets import KEY_BYTES, current_key_id, key_of, parse_keys, seal, unseal
from backoffice.kernel.errors import Misconfigured

INDEX_LENGTH = 120
HIDDEN = "[sealed]"


@dataclass(frozen=True, slots=True, repr=False)
class SealedText:
    """A value as it stands in the database. It prints nothing, so that it cannot slip into a page or a log."""

    raw: str

    def __repr__(self) -> str:
        return HIDDEN

    def __str__(self) -> str:
        return HIDDEN


class _OpenedWhenRead:
    """The attribute of a sealed column: opens what the database gave at the first look."""

    def __init__(self, field: EncryptedTextField) -> None:
        self.field = field

    def __get__(self, instance: models.Model | None, owner: type[models.Model]) -> Any:
        if instance is None:
            return self
        name = self.field.attname
        if name not in instance.__dict__:  # deferred
            instance.refresh_from_db(fields=[name])
        value = instance.__dict__[name]
        return self.field.open(instance, value.raw) if isinstance(value, SealedText) else value

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class EncryptedTextField(models.TextField):
    """Text sealed with AES-GCM. *bound_to* names a column that is set before the row is saved and never changes."""

    def __init__(self, *args: Any, bound_to: str = "public_id", **kwargs: Any) -> None:
        self.bound_to = bound_to
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        """With the binding, which is part of the seal."""
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "bound_to": self.bound_to}

    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        """Puts the opening attribute in place of Django's."""
        super().contribute_to_class(cls, name, private_only)
        setattr(cls, self.attname, _OpenedWhenRead(self))

    def purpose_of(self, instance: models.Model) -> str:
        """What the seal binds: table, column and row. Raises Misconfigured while the row has no key yet."""
        row = getattr(instance, self.bound_to)
        if row is None or row == "":
            raise Misconfigured(f"{self.model.__name__}.{self.name} is sealed for a row without {self.bound_to}.")
        return f"{self.model._meta.db_table}.{self.column}:{row}"

    def open(self, instance: models.Model, raw: str) -> str:
        """The text of a sealed value of this row; nothing is nothing."""
        return unseal(raw, purpose=self.purpose_of(instance)) if raw else raw

    def seal(self, instance: models.Model, text: str) -> str:
        """The text, sealed for this row with the current key; nothing stays nothing."""
        return seal(text, purpose=self.purpose_of(instance)) if text else text

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> SealedText | None:
        """Closed, until somebody looks."""
        return None if value is None else SealedText(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> SealedText | None:
        """Seals a new value; one that nobody touched goes back as it came, unless its key is not the current one."""
        value = model_instance.__dict__[self.attname]
        if value is None:
            return None
        if isinstance(value, SealedText):
            if not value.raw or key_of(value.raw) == current_key_id():
                return value
            value = self.open(model_instance, value.raw)
        return SealedText(self.seal(model_instance, str(value)))

    def get_prep_value(self, value: Any) -> Any:
        """Only sealed values reach the database: `update()` and `bulk_update()` know no row to seal for."""
        if value is None or hasattr(value, "resolve_expression"):
            return value
        if isinstance(value, SealedText):
            return value.raw
        if value == "":
            return ""
        raise Misconfigured(f"{self.model.__name__}.{self.name} is sealed row by row: set the attribute and save().")

    def get_lookup(self, lookup_name: str) -> Any:
        """Nothing but NULL can be compared."""
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is encrypted; ask its blind index.")
        return super().get_lookup(lookup_name)

    def value_to_string(self, obj: models.Model) -> str:
        """Dumps hold the sealed text."""
        value = obj.__dict__.get(self.attname)
        return value.raw if isinstance(value, SealedText) else self.seal(obj, value or "")

    def to_python(self, value: Any) -> Any:
        """A sealed text of a dump stays sealed."""
        if isinstance(value, str) and key_of(value):
            return SealedText(value)
        return value if isinstance(value, SealedText) else super().to_python(value)

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Refuses a binding that is not there, or that the database makes up only when the row is written."""
        found = super().check(**kwargs)
        names = {field.name for field in self.model._meta.get_fields()}
        if self.bound_to not in names or self.bound_to == "id":
            found.append(
                checks.Error(
                    f"{self.bound_to!r} cannot bind a seal.",
                    hint="Name a column that is known before the row is written, such as public_id.",
                    obj=self,
                    id="backoffice.E011",
                )
            )
        if hasattr(self.model, "pgh_tracked_model"):
            hint = "Exclude the column in keep_history(exclude=[...]): old versions cannot follow to another key."
            found.append(
                checks.Error("A sealed column is kept in a history.", hint=hint, obj=self, id="backoffice.E012")
            )
        return found


def _lowered(text: str) -> str:
    return text.strip().lower()


def _compact(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum()).upper()


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdecimal())


def _prose(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


NORMALISERS: dict[str, Callable[[str], str]] = {
    "exact": lambda text: text,
    "email": _lowered,
    "iban": _compact,
    "phone": _digits,
    "text": _prose,
}
"""How values are made equal before they are compared: `email`, `iban` (any account or card number), `phone`, `text`."""


class BlindIndexField(models.CharField):
    """A keyed digest of another column's normalised value, as `key id:hex`: equal values can be found, none be read.

    It is computed when the row is saved. Who holds the database but no key learns which rows are equal, nothing else.
    """

    def __init__(self, *args: Any, source: str = "", normalise: str = "exact", **kwargs: Any) -> None:
        self.source, self.normalise = source, normalise
        kwargs.setdefault("max_length", INDEX_LENGTH)
        kwargs.setdefault("editable", False)
        kwargs.setdefault("blank", True)
        kwargs.setdefault("db_index", True)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        """With what the digest is made of."""
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "source": self.source, "normalise": self.normalise}

    def candidates(self, text: str) -> list[str]:
        """The digests that rows with this value may hold: one for each configured key, the current one first."""
        normal = NORMALISERS[self.normalise](text)
        if not normal:
            return [""]
        return [
            f"{key_id}:{_digest(key, self._space(), normal)}"
            for key_id, key in parse_keys(settings.ENCRYPTION_KEYS).items()
        ]

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        """The digest of the source's value; a value that was not opened keeps its digest."""
        field = model_instance._meta.get_field(self.source)
        loaded = model_instance.__dict__
        source = loaded.get(field.attname)  # type: ignore[union-attr]
        if field.attname not in loaded:  # type: ignore[union-attr]
            return str(getattr(model_instance, self.attname))
        if isinstance(source, SealedText):
            stored = str(getattr(model_instance, self.attname))
            if not stored or stored.startswith(f"{current_key_id()}:"):
                return stored
            source = getattr(model_instance, self.source)
        value = self.candidates(str(source or ""))[0]
        setattr(model_instance, self.attname, value)
        return value

    def _space(self) -> str:
        return f"{self.model._meta.db_table}.{self.column}"


def _digest(key: bytes, space: str, text: str) -> str:
    """HMAC under a key of the column's own, so that equal values of two columns do not look equal."""
    own = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"blind index:{space}".encode()).derive(key)
    return hmac.new(own, text.encode(), sha256).hexdigest()


def blind_lookup(model: type[models.Model], index: str, value: str) -> dict[str, Iterable[str]]:
    """The filter that finds the rows of *model* whose indexed column has this value, under any configured key."""
    field = model._meta.get_field(index)
    if not isinstance(field, BlindIndexField):
        raise Misconfigured(f"{model.__name__}.{index} is no blind index.")
    return {f"{index}__in": field.candidates(value)}
