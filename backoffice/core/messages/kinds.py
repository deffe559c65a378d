"""Which messages there are. A desk defines each in code, with its variables and an English text; the desk's people may
publish other texts of it by brand and language (`services.message_templates`).

    register_template(MessageTemplateDefinition(
        code="funding.deposit_received", label="Deposit received", category="service",
        variables={"first_name": "Anna", "amount": "1,250.00 EUR", "wallet_url": "https://example.com/portal/"},
        must_show=("amount",), subject="We received {{ amount }}",
        mjml="<mj-section><mj-column><mj-text>Dear {{ first_name }}, …</mj-text></mj-column></mj-section>"))
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from backoffice.core.models.messages import MessageCategory
from backoffice.kernel.errors import InvalidInput, Misconfigured
from backoffice.kernel.registry import Registry

# What the house fills in itself; the link to unsubscribe stands in marketing messages only.
HOUSE_VARIABLES: dict[str, str] = {
    "brand_name": "Northgate",
    "brand_colour": "#1c5d99",
    "entity_name": "Northgate Markets Ltd",
    "support_email": "support@example.com",
}
UNSUBSCRIBE_VARIABLE = "unsubscribe_url"
UNSUBSCRIBE_SAMPLE = "https://example.com/mail/unsubscribe/sample/"
MAX_VALUE_LENGTH = 5_000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_WEB_ADDRESS = re.compile(r"https?://[^\s<>\"'`\\]{1,2000}")


@dataclass(frozen=True, slots=True)
class MessageTemplateDefinition:
    """A message as the code knows it. *variables* maps each name to a sample value for previews.

    A variable whose name ends in `_url` holds a web address, and only such a one may stand in a link. *must_show* are
    the variables without which the message is useless, such as the link of a password reset. *mjml* is either a whole
    `<mjml>` document or the sections between the house's head and foot.
    """

    code: str
    label: str
    category: str
    variables: Mapping[str, str]
    subject: str
    mjml: str
    must_show: tuple[str, ...] = ()

    def samples(self) -> dict[str, str]:
        """A value for every variable that may be used."""
        own = {**HOUSE_VARIABLES, **self.variables}
        return own | {UNSUBSCRIBE_VARIABLE: UNSUBSCRIBE_SAMPLE} if self.is_marketing else own

    @property
    def is_marketing(self) -> bool:
        """Whether consent is needed and the link to unsubscribe is given."""
        return self.category == MessageCategory.MARKETING


_templates: Registry[MessageTemplateDefinition] = Registry("message templates")


def register_template(definition: MessageTemplateDefinition) -> None:
    """Makes a message known. Raises Misconfigured for impossible names; the text itself is proved by a system check."""
    taken = definition.variables.keys() & (HOUSE_VARIABLES.keys() | {UNSUBSCRIBE_VARIABLE})
    wrong = [name for name in definition.variables if not _NAME.fullmatch(name)]
    if taken or wrong or definition.category not in MessageCategory.values:
        raise Misconfigured(f"The message {definition.code} is defined wrongly.", names=[*taken, *wrong])
    if set(definition.must_show) - definition.variables.keys():
        raise Misconfigured(f"The message {definition.code} must show what it does not have.")
    _templates.register(definition.code, definition)


def template_definition(code: str) -> MessageTemplateDefinition:
    """The definition of a code. Raises NotFound for an unknown one."""
    return _templates.get(code)


def template_definitions() -> list[MessageTemplateDefinition]:
    """Every message there is, by code."""
    return sorted((definition for _, definition in _templates.items()), key=lambda each: each.code)


def check_variables(definition: MessageTemplateDefinition, variables: Mapping[str, object]) -> dict[str, str]:
    """The variables as text. Raises InvalidInput for a missing, an unknown, an overlong or an unsafe one."""
    missing = sorted(definition.variables.keys() - variables.keys())
    unknown = sorted(variables.keys() - definition.variables.keys())
    if missing:
        raise InvalidInput(f"The message lacks {', '.join(missing)}.", code="missing_variable", field=missing[0])
    if unknown:
        raise InvalidInput(f"The message has no {', '.join(unknown)}.", code="unknown_variable", field=unknown[0])
    texts = {name: str(value) for name, value in variables.items()}
    for name, text in texts.items():
        if len(text) > MAX_VALUE_LENGTH or "\0" in text:
            raise InvalidInput(f"The value of {name} is too long.", code="unsafe_variable", field=name)
        if name.endswith("_url") and not _WEB_ADDRESS.fullmatch(text):
            raise InvalidInput(f"{name} must be a web address.", code="unsafe_variable", field=name)
    return texts
