"""A file to a `Scenario`, strictly: a key that is not known, a value of another kind and a name that nothing has are refused.

Every scalar is taken as the text that stands in the file and read by the kind of its field, so that no number is ever a
float, `NO` is a country and a date is a date only where one belongs. A refusal names the place, such as
`plans[0].versions[0].rules[2].rate`, and the value.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from django.apps import apps
from django.db import models

from backoffice.conformance import scenario as form
from backoffice.conformance.checking import faults
from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import exact_decimal
from backoffice.kernel.errors import DomainError, InvalidInput

MAX_FILE_BYTES = 1_000_000
MAX_NUMBER_CHARACTERS = 40
CURRENCIES = {"currency", "base_currency", "profit_currency", "reward_currency"}
NEVER = {"id", "pk", "version", "plan", "number", "state", "validity", "published_at", "published_by", "position"}
"""Fields of a model that the file does not state: they follow from where the terms stand."""


class _Texts(yaml.BaseLoader):
    """Reads every scalar as text. A key that stands twice, an alias and an anchor are refused."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One node, never by reference: references would let a small file become a huge one."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases are not part of the format", problem_mark=self.peek_event().start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys stand once."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key_node.start_mark)
            if key_node.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key_node.value!r} stands twice", problem_mark=key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def read_file(path: Path) -> form.Scenario:
    """The scenario of a file. Raises InvalidInput with `file`, `field` (the place in the file) and `value`."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidInput(f"{path}: larger than {MAX_FILE_BYTES} bytes.", file=str(path))
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InvalidInput(f"{path}: cannot be read ({reason}).", file=str(path)) from error
    try:
        return read_text(text)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.message}", **{**error.details, "file": str(path)}) from error


def read_text(text: str) -> form.Scenario:
    """The scenario of a text. Raises InvalidInput with `field` and `value`."""
    try:
        document = yaml.load(text, Loader=_Texts)  # noqa: S506 -- a loader that makes texts, lists and mappings only
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise InvalidInput(f"Not YAML{where}: {getattr(error, 'problem', None) or error}.", field="") from error
    except RecursionError as error:
        raise InvalidInput("Nested too deeply.", field="") from error
    try:
        read = _record(form.Scenario, document, "")
        _check_references(read)
    except InvalidInput as error:
        named = document.get("scenario") if isinstance(document, Mapping) else None
        scenario = named if isinstance(named, str) else ""
        raise InvalidInput(error.message, **{**error.details, "scenario": scenario}) from error
    return read


def _refuse(path: str, problem: str, value: Any) -> typing.NoReturn:
    shown = repr(value) if isinstance(value, str) else type(value).__name__
    raise InvalidInput(f"{path or 'the file'}: {problem}, not {shown[:200]}.", field=path, value=shown[:200])


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, vars(form), None, include_extras=False)


def _record(kind: type, value: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        _refuse(path, "must be a mapping", value)
    known = {str(item.metadata.get("key", item.name)): item for item in fields(kind)}
    rest = next((item for item in known.values() if item.metadata.get("rest")), None)
    if rest is not None:
        del known[rest.name]
    given: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, found in value.items():
        item = known.get(key)
        if item is not None:
            given[item.name] = _field(kind, item, found, _join(path, key))
        elif rest is not None:
            others[key] = found
        else:
            _refuse(_join(path, key), f"no such key; known here are {', '.join(sorted(known))}", key)
    if rest is not None:
        given[rest.name] = _terms(rest.metadata["model"], others, path)
    for key, item in known.items():
        if item.name not in given and item.default is MISSING and item.default_factory is MISSING:
            _refuse(_join(path, key), "must be given", value)
    return kind(**given)


def _field(kind: type, item: Field[Any], value: Any, path: str) -> Any:
    if "model" in item.metadata:
        return _terms(item.metadata["model"], value, path)
    read = _value(_hints(kind)[item.name], value, path)
    choices = item.metadata.get("choices")
    if choices and read not in choices:
        _refuse(path, f"must be one of {', '.join(choices)}", read)
    if item.name in CURRENCIES and read:
        _currency(read, path)
    return read


def _value(kind: Any, value: Any, path: str) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _value(next(one for one in inner if one is not type(None)), value, path)
    if origin is tuple:
        if not isinstance(value, list):
            _refuse(path, "must be a list", value)
        return tuple(_value(inner[0], one, f"{path}[{index}]") for index, one in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            _refuse(path, "must be a mapping", value)
        return {
            _value(inner[0], key, _join(path, str(key))): _value(inner[1], one, _join(path, str(key)))
            for key, one in value.items()
        }
    if is_dataclass(kind):
        return _record(typing.cast(type, kind), value, path)
    if not isinstance(value, str):
        _refuse(path, f"must be {_NAMES[kind]}", value)
    return _READ[kind](value, path)


def _text(value: str, path: str) -> str:
    return value


def _whole(value: str, path: str) -> int:
    if not (value.isascii() and value.removeprefix("-").isdigit() and len(value) <= 18):
        _refuse(path, "must be a whole number", value)
    return int(value)


def _number(value: str, path: str) -> Decimal:
    if len(value) > MAX_NUMBER_CHARACTERS or not set(value) <= set("-.0123456789"):
        _refuse(path, "must be a plain number", value)
    try:
        return exact_decimal(value)
    except DomainError:
        _refuse(path, "must be a number", value)


def _truth(value: str, path: str) -> bool:
    if value not in ("true", "false"):
        _refuse(path, "must be true or false", value)
    return value == "true"


def _day(value: str, path: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        _refuse(path, "must be a day such as 2026-03-02", value)


def _moment(value: str, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        _refuse(path, "must be a moment such as 2026-03-02T10:00", value)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


_READ = {str: _text, int: _whole, Decimal: _number, bool: _truth, date: _day, datetime: _moment}
_NAMES = {
    str: "text", int: "a whole number", Decimal: "a number", bool: "true or false", date: "a day",
    datetime: "a moment",
}  # fmt: skip


def _currency(value: str, path: str) -> None:
    try:
        Currency.of(value)
    except DomainError:
        _refuse(path, "must be a currency", value)


@cache
def _model_fields(model: str) -> dict[str, models.Field[Any, Any]]:
    return {
        item.name: item
        for item in apps.get_model(model)._meta.get_fields()
        if isinstance(item, models.Field) and item.editable and item.name not in NEVER and not item.auto_created
        and not isinstance(item, models.GeneratedField)
    }  # fmt: skip


def _terms(model: str, value: Any, path: str) -> dict[str, Any]:
    """Fields of a model by their names. A relation is named by the code of what it points to."""
    if not isinstance(value, Mapping):
        _refuse(path, "must be a mapping", value)
    known = _model_fields(model)
    read = {}
    for key, found in value.items():
        place = _join(path, str(key))
        if key not in known:
            _refuse(place, f"no such key; known here are {', '.join(sorted(known))}", key)
        read[key] = _model_value(known[key], found, place)
    return read


def _model_value(item: models.Field[Any, Any], value: Any, path: str) -> Any:
    if isinstance(value, list):
        base = getattr(item, "base_field", None)
        if base is None:
            _refuse(path, "must be one value", value)
        return [_model_value(base, one, f"{path}[{index}]") for index, one in enumerate(value)]
    if not isinstance(value, str):
        _refuse(path, "must be one value", value)
    kinds: tuple[tuple[tuple[type, ...], Any], ...] = (
        ((models.DecimalField,), Decimal),
        ((models.BooleanField,), bool),
        ((models.IntegerField,), int),
        ((models.DateTimeField,), datetime),
        ((models.DateField,), date),
    )
    kind = next((kind for classes, kind in kinds if isinstance(item, classes)), str)
    read = _READ[kind](value, path)
    if item.choices and read not in {choice for choice, _ in item.flatchoices}:
        _refuse(path, f"must be one of {', '.join(str(choice) for choice, _ in item.flatchoices)}", value)
    if item.name in CURRENCIES and read:
        _currency(str(read), path)
    return read


def _check_references(read: form.Scenario) -> None:
    """Every name that is used is one that the file gives to something, and no name is given twice."""
    names = {
        "symbol": _unique("symbols", ((symbol.code, "code") for symbol in read.symbols)),
        "plan": _unique("plans", ((plan.code, "code") for plan in read.plans)),
        "partner": _unique("partners", ((partner.code, "code") for partner in read.partners)),
        "client": _unique("clients", ((client.code, "code") for client in read.clients)),
        "account": _unique("accounts", ((account.login, "login") for account in read.accounts)),
        "account_group": _unique("account_groups", ((group.name, "name") for group in read.account_groups)),
        "account_type": _unique("account_types", ((name, "") for name in read.account_types)),
        "trade": _unique("trades", ((trade.ticket, "ticket") for trade in read.trades)),
        "symbol_group": {symbol.group for symbol in read.symbols},
    }
    names |= {"parent": names["partner"], "by": names["partner"], "group": names["account_group"]}
    for name in ("scenario", "title"):
        if not getattr(read, name).strip():
            _refuse(name, "must not be empty", "")
    _walk(read, "", names)
    for index, step in enumerate(read.steps):
        actions = [item.name for item in fields(step) if item.name not in ("refused", "expect")]
        chosen = [name for name in actions if getattr(step, name) is not None]
        if len(chosen) != 1 and not (not chosen and step.expect is not None):
            _refuse(f"steps[{index}]", "must do exactly one thing", " and ".join(chosen) or "nothing")
        for place, ticket in enumerate(step.arrive or ()):
            if ticket not in names["trade"]:
                _refuse(f"steps[{index}].arrive[{place}]", "names no trade of the file", str(ticket))
        if step.cancel is not None and step.cancel not in names["trade"]:
            _refuse(f"steps[{index}].cancel", "names no trade of the file", str(step.cancel))
    for where, problem, value in faults(read):
        _refuse(where, problem, str(value))


def _unique(section: str, given: Iterable[tuple[Any, str]]) -> set[Any]:
    seen: set[Any] = set()
    for index, (name, key) in enumerate(given):
        if name in seen or name == "":
            _refuse(_join(f"{section}[{index}]", key), "must be a name of its own", str(name))
        seen.add(name)
    return seen


# In a symbol the group is a symbol group that this gives its name to; a negotiated rate's component is a plan's matter.
_GIVES = {(form.Symbol, "group")}


def _walk(node: Any, path: str, names: dict[str, set[Any]]) -> None:
    for item in fields(node):
        value = getattr(node, item.name)
        place = _join(path, str(item.metadata.get("key", item.name)))
        if "model" in item.metadata:
            inside = path if item.metadata.get("rest") else place
            for key, found in value.items():
                _check_name(key, found, _join(inside, key), names)
        elif is_dataclass(value):
            _walk(value, place, names)
        elif isinstance(value, tuple):
            for index, one in enumerate(value):
                if is_dataclass(one):
                    _walk(one, f"{place}[{index}]", names)
        elif (type(node), item.name) not in _GIVES:
            _check_name(item.name, value, place, names)


def _check_name(key: str, value: Any, path: str, names: dict[str, set[Any]]) -> None:
    if key in names and value not in ("", None) and value not in names[key]:
        _refuse(path, f"names no {key.replace('_', ' ')} of the file", str(value))
