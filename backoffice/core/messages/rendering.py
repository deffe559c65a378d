"""Turns a template and its values into a mail: MJML to HTML with its styles inlined, and the same as plain text.

A template is data that people edit, so its language can do nothing but name variables: `{{ first_name }}`. Values are
put in after the HTML was made, escaped; the HTML itself is refused when it holds anything that acts.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from html.parser import HTMLParser

import css_inline
import mrml

from backoffice.core.messages.kinds import UNSUBSCRIBE_VARIABLE, MessageTemplateDefinition
from backoffice.kernel.errors import InvalidInput

MAX_SUBJECT_LENGTH = 200
MAX_MJML_LENGTH = 100_000
MAX_HTML_LENGTH = 500_000
_PLACEHOLDER = re.compile(r"\{\{\s*([a-z][a-z0-9_]{0,39})\s*\}\}")
_LEFTOVER = re.compile(r"\{\{|\}\}|\{%|%\}|\{#")
# What a placeholder is while MJML becomes HTML: letters that no step on the way touches.
_TOKEN = re.compile(r"BOVARx([a-z0-9_]+)xEND")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_FALLBACK_COLOUR = "#1c5d99"
_FORBIDDEN_TAGS = frozenset(
    [
        "script",
        "iframe",
        "frame",
        "object",
        "embed",
        "applet",
        "form",
        "input",
        "button",
        "textarea",
        "select",
        "base",
        "link",
        "svg",
        "math",
        "video",
        "audio",
    ]
)
_LINK_ATTRIBUTES = frozenset({"href", "src", "background", "action", "poster"})
_HARMLESS_LINK = re.compile(r"(https?://|mailto:|tel:|cid:|#)", re.IGNORECASE)
_SKIPPED_IN_TEXT = frozenset({"style", "head", "title", "script"})
_BLOCKS = frozenset(["p", "div", "tr", "table", "h1", "h2", "h3", "h4", "li", "ul", "ol", "br", "hr", "td"])

_HOUSE_HEAD = """<mjml><mj-head><mj-title>{{ brand_name }}</mj-title><mj-attributes>
<mj-all font-family="-apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif" />
<mj-text font-size="16px" line-height="1.5" color="#222d39" padding="8px 24px" />
<mj-section background-color="#ffffff" padding="12px 0" />
<mj-button background-color="{{ brand_colour }}" color="#ffffff" border-radius="6px" font-size="16px" font-weight="600"
 inner-padding="12px 24px" align="left" padding="12px 24px" />
</mj-attributes></mj-head><mj-body background-color="#f6f8fa">
<mj-section background-color="{{ brand_colour }}" padding="20px 0"><mj-column>
<mj-text color="#ffffff" font-size="20px" font-weight="600">{{ brand_name }}</mj-text></mj-column></mj-section>
"""
_HOUSE_FOOT = """
<mj-section background-color="#f6f8fa" padding="16px 0"><mj-column>
<mj-text font-size="13px" color="#5f6d7e">{{ brand_name }} is a name of {{ entity_name }}.
Questions: {{ support_email }}</mj-text>%s</mj-column></mj-section></mj-body></mjml>
"""
_HOUSE_UNSUBSCRIBE = (
    '<mj-text font-size="13px" color="#5f6d7e">You receive this because you agreed to it. '
    '<a href="{{ unsubscribe_url }}" style="color:#5f6d7e">Unsubscribe</a></mj-text>'
)


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail as it is sent."""

    subject: str
    html: str
    text: str


def check_texts(definition: MessageTemplateDefinition, *, subject: str, mjml: str) -> None:
    """Raises InvalidInput (field subject or mjml) for a text that cannot be sent, or not safely."""
    if not subject.strip() or len(subject) > MAX_SUBJECT_LENGTH or "\n" in subject or "\r" in subject:
        raise InvalidInput(f"A subject has one line of at most {MAX_SUBJECT_LENGTH} letters.", field="subject")
    if not mjml.strip() or len(mjml) > MAX_MJML_LENGTH:
        raise InvalidInput(f"The text is empty, or longer than {MAX_MJML_LENGTH} letters.", field="mjml")
    known = definition.samples().keys()
    for field, text in (("subject", subject), ("mjml", mjml)):
        _check_placeholders(text, known, field)
    used = set(_PLACEHOLDER.findall(_whole(definition, mjml)))
    must_show = [*definition.must_show, *([UNSUBSCRIBE_VARIABLE] if definition.is_marketing else [])]
    for name in must_show:
        if name not in used:
            raise InvalidInput(f"The text must show {{{{ {name} }}}}.", code="missing_variable", field="mjml")
    _check_html(_compile(_coloured(_whole(definition, mjml), "")))


def _check_placeholders(text: str, known: object, field: str) -> None:
    for name in _PLACEHOLDER.findall(text):
        if name not in known:  # type: ignore[operator]
            raise InvalidInput(f"There is no variable {{{{ {name} }}}}.", code="unknown_variable", field=field)
    if _LEFTOVER.search(_PLACEHOLDER.sub("", text)) or _TOKEN.search(text):
        raise InvalidInput("A variable is written {{ name }}; nothing else may stand in braces.", field=field)


def render(
    definition: MessageTemplateDefinition, *, subject: str, mjml: str, values: Mapping[str, str]
) -> RenderedMail:
    """The mail of a template that `check_texts` accepted. *values* hold every variable it names, the house's included.

    Raises InvalidInput for a variable without a value.
    """
    used = set(_PLACEHOLDER.findall(subject)) | set(_PLACEHOLDER.findall(_whole(definition, mjml)))
    missing = sorted(used - values.keys())
    if missing:
        raise InvalidInput(f"The message lacks {', '.join(missing)}.", code="missing_variable", field=missing[0])
    compiled = _compile(_coloured(_whole(definition, mjml), values.get("brand_colour", "")))
    page = _TOKEN.sub(lambda match: html.escape(values[match[1]]).replace("\n", "<br>"), compiled)
    if len(page) > MAX_HTML_LENGTH:
        raise InvalidInput("The message is too long.", code="message_too_long")
    line = _PLACEHOLDER.sub(lambda match: values[match[1]], subject)
    return RenderedMail(subject=" ".join(line.split()), html=page, text=plain_text(page))


def _whole(definition: MessageTemplateDefinition, mjml: str) -> str:
    """The document: the template's own, or the house's head and foot around its sections."""
    if mjml.lstrip().lower().startswith("<mjml"):
        return mjml
    return _HOUSE_HEAD + mjml + _HOUSE_FOOT % (_HOUSE_UNSUBSCRIBE if definition.is_marketing else "")


def _coloured(mjml: str, colour: str) -> str:
    """With the brand's colour put in before the HTML is made: it stands in attributes that MJML reads."""
    sound = colour if _COLOUR.fullmatch(colour) else _FALLBACK_COLOUR
    return re.sub(r"\{\{\s*brand_colour\s*\}\}", sound, mjml)


@lru_cache(maxsize=256)
def _compile(mjml: str) -> str:
    """HTML with tokens where values go. Raises InvalidInput for what is no MJML."""
    with_tokens = _PLACEHOLDER.sub(r"BOVARx\1xEND", mjml)
    try:
        page = mrml.to_html(with_tokens).content
        return str(css_inline.inline(page, load_remote_stylesheets=False))
    except (OSError, ValueError, css_inline.InlineError) as error:
        raise InvalidInput(f"This is not sound MJML: {str(error)[:200]}.", code="mjml_damaged", field="mjml") from None


def _check_html(page: str) -> None:
    if len(page) > MAX_HTML_LENGTH:
        raise InvalidInput("The message is too long.", code="message_too_long", field="mjml")
    _Watch().feed(page)


def _unsafe(what: str) -> InvalidInput:
    return InvalidInput(f"A message may not hold {what}.", code="mjml_unsafe", field="mjml")


class _Watch(HTMLParser):
    """Refuses what acts in a reader, and variables where a value could act."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Each element."""
        names = {name: (value or "") for name, value in attrs}
        is_refresh = tag == "meta" and names.get("http-equiv", "").lower() == "refresh"
        if tag in _FORBIDDEN_TAGS or is_refresh:
            raise _unsafe(f"<{tag}>")
        for name, value in names.items():
            if name.startswith("on") or name == "srcdoc":
                raise _unsafe(f"the attribute {name}")
            if name in _LINK_ATTRIBUTES:
                self._check_link(value)
            elif name == "style" and (_TOKEN.search(value) or "expression(" in value.lower()):
                raise _unsafe("a variable in a style")

    def _check_link(self, value: str) -> None:
        link = value.strip()
        variable = _TOKEN.match(link)
        if variable is not None and variable[1].endswith("_url"):
            return
        if _TOKEN.search(link) and not link.lower().startswith("mailto:"):
            raise _unsafe("a link made of a variable whose name does not end in _url")
        if link and not _HARMLESS_LINK.match(link):
            raise _unsafe("a link that is no web or mail address")


def plain_text(page: str) -> str:
    """The words of a page for readers without HTML: blocks as lines, links with their address."""
    reader = _Reader()
    reader.feed(page)
    lines = [" ".join(line.split()) for line in "".join(reader.parts).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


class _Reader(HTMLParser):
    """Collects what is read aloud."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._skipping = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Blocks begin a line, links are remembered."""
        if tag in _SKIPPED_IN_TEXT:
            self._skipping += 1
        elif tag in _BLOCKS:
            self.parts.append("\n")
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.parts)))

    def handle_endtag(self, tag: str) -> None:
        """Blocks end with a line, links with their address."""
        if tag in _SKIPPED_IN_TEXT:
            self._skipping = max(0, self._skipping - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n")
        elif tag == "a" and self._links:
            address, start = self._links.pop()
            if address and address not in "".join(self.parts[start:]):
                self.parts.append(f": {address} ")

    def handle_data(self, data: str) -> None:
        """Words."""
        if not self._skipping:
            self.parts.append(data.replace("\n", " "))
