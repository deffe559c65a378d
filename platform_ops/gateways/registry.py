"""The kinds of connectors. Each kind registers how one is built and what its options may be; nobody builds one past here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.registry import Registry
from platform_ops.gateways.types import ReadingGateway

Options = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """All that a connector is built from. The password is in memory only and prints nothing."""

    server: str
    platform: str
    zone: ServerZone
    host: str = ""
    port: int = 0
    login: str = ""
    password: str = field(default="", repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)


Factory = Callable[[ConnectionSettings], ReadingGateway]
OptionsCheck = Callable[[Mapping[str, Any]], Options]


@dataclass(frozen=True, slots=True)
class Connector:
    """A kind of connector: how one is built, and what its options may be (raises InvalidInput; returns them whole)."""

    kind: str
    factory: Factory
    options_check: OptionsCheck
    needs_address: bool = True


_connectors: Registry[Connector] = Registry("connectors")


def register_connector(
    kind: str, factory: Factory, options_check: OptionsCheck, *, needs_address: bool = True
) -> Connector:
    """Adds a kind; called once when the application starts."""
    return _connectors.register(kind, Connector(kind, factory, options_check, needs_address))


def connector_of(kind: str) -> Connector:
    """The connector of a kind. Raises NotFound when nobody registered it."""
    return _connectors.get(kind)


def connectors() -> list[Connector]:
    """All kinds, in the order of their registration."""
    return [connector for _, connector in _connectors.items()]


def checked_options(options: object, *, known: Mapping[str, tuple[type, Any]]) -> Options:
    """Options with their defaults. *known* gives for each name its type and default.

    Raises InvalidInput for an option that there is none of, or of another type.
    """
    if not isinstance(options, Mapping):
        raise InvalidInput("Options are a JSON object.", field="options")
    unknown = sorted(str(name) for name in options if name not in known)
    if unknown:
        raise InvalidInput(
            f"There is no option {unknown[0]!r}; there are: {', '.join(sorted(known)) or 'none'}.",
            field="options",
            value=unknown[0],
        )
    whole: Options = {}
    for name, (type_, default) in known.items():
        value = options.get(name, default)
        fits = isinstance(value, type_) and (type_ is bool or not isinstance(value, bool))
        if not fits:
            raise InvalidInput(
                f"The option {name} is {_KINDS.get(type_, type_.__name__)}.", field="options", value=f"{name}={value!r}"
            )
        whole[name] = cast(Any, value)
    return whole


_KINDS = {bool: "true or false", int: "a whole number", str: "a text", dict: "an object"}
