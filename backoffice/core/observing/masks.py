"""What must not stand in a log line, and how it is taken out: by the name of a value, and by its shape in any text.

Shapes are chosen so that what operations need stays: UUIDs, trace ids, amounts, times and database ids pass. Card and
account numbers are recognised by their check digits, so that an order number is not mistaken for one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

REMOVED = "[removed]"
MAX_DEPTH = 6
MAX_TEXT = 200_000
# Names of values that identify a person or open a door. Ids and public references may be logged; these may not.
PERSONAL_KEYS = frozenset(
    {
        "access_key",
        "account_number",
        "address",
        "api_key",
        "apikey",
        "authorization",
        "birth_date",
        "bic",
        "body",
        "card_number",
        "code_given",
        "cookie",
        "cookies",
        "credentials",
        "csrftoken",
        "cvv",
        "date_of_birth",
        "document_number",
        "email",
        "file_name",
        "first_name",
        "full_name",
        "iban",
        "ip",
        "ip_address",
        "last_name",
        "locals",
        "mobile",
        "name",
        "original_name",
        "pan",
        "passport",
        "passwd",
        "password",
        "phone",
        "phone_number",
        "private_key",
        "proxy_authorization",
        "recipient",
        "remote_addr",
        "secret",
        "secret_key",
        "session_key",
        "sessionid",
        "set_cookie",
        "signature",
        "tax_id",
        "to",
        "token",
        "totp",
        "user_agent",
        "username",
        "variables",
        "x_api_key",
    }
)
_TELLING_ENDS = ("_password", "_secret", "_token", "_email", "_phone", "_iban", "_cookie")
# Values that the logging itself makes; they hold no text of people.
_OWN_KEYS = frozenset({"timestamp", "level", "logger", "request_id", "correlation_id", "task_id", "parent_task_id"})

# PostgreSQL repeats the offending values in the DETAIL line of an error.
_DATABASE_DETAIL = re.compile(r"DETAIL:.*")
_EMAIL = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,6}")
_URL_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@:]{0,200}:[^\s/@]{1,200}@")
_SCHEME_TOKEN = re.compile(r"\b(Bearer|Basic|Token|ApiKey)\s+[A-Za-z0-9._~+/=:-]{6,}", re.IGNORECASE)
_HEADER = re.compile(
    r"(?i)(\b(?:proxy-)?authorization|\bcookie|\bset-cookie|\bx-api-key|\bx-csrftoken)(['\"]?\s*[:=]\s*)[^\r\n]+"
)
_NAMED = re.compile(
    r"(?i)(\b[a-z_-]{0,24}(?:password|passwd|secret|token|api[_-]?key|sessionid|csrftoken|signature|otp|pin))"
    r"(['\"]?\s*[:=]\s*)(\"[^\"\r\n]*\"|'[^'\r\n]*'|[^\s,;&)}\]]+)"
)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
_SEALED = re.compile(r"\bv1:[A-Za-z0-9]{1,40}:[A-Za-z0-9+/]{16,}={0,2}")
_PHONE = re.compile(r"(?<![\w.+-])(?:\+|00)[1-9](?:[ ().-]{0,2}\d){7,14}(?![\w-])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\w.-])[2-6](?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_SECRET_IN_PATH = re.compile(r"(/password/reset/key/|/confirm-email/|/mail/unsubscribe/)[^/\s]+")


def mask_event(event: dict[str, Any]) -> dict[str, Any]:
    """The event of a log line without what identifies people or opens doors, however deep it stands."""
    for key, value in event.items():
        event[key] = _mask_value(key, value, 0)
    return event


def _mask_value(key: str, value: Any, depth: int) -> Any:
    if _is_telling(key):
        return REMOVED
    if key in _OWN_KEYS or value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return mask_text(value)
    if depth >= MAX_DEPTH:
        return REMOVED
    if isinstance(value, Mapping):
        return {str(name): _mask_value(str(name), each, depth + 1) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_mask_value("", each, depth + 1) for each in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return REMOVED
    return mask_text(str(value))


def _is_telling(key: str) -> bool:
    name = key.lower().replace("-", "_")
    return name in PERSONAL_KEYS or name.endswith(_TELLING_ENDS)


def mask_text(text: str) -> str:
    """The text with every mail address, telephone, card and account number, token and password taken out."""
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + " [cut]"
    if not any(mark in text for mark in _MARKS) and not _HAS_DIGITS.search(text):
        return text
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def _card(match: re.Match[str]) -> str:
    digits = [int(letter) for letter in match[0] if letter.isdigit()]
    doubled = [digit if index % 2 == 0 else digit * 2 for index, digit in enumerate(reversed(digits))]
    is_card = sum(digit - 9 if digit > 9 else digit for digit in doubled) % 10 == 0
    return REMOVED if is_card else match[0]


def _iban(match: re.Match[str]) -> str:
    text = match[0].replace(" ", "")
    # The letters after an account number belong to the next word: the longest sound beginning counts.
    for end in range(len(text), 14, -1):
        turned = text[4:end] + text[:4]
        if int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1:
            return REMOVED + text[end:]
    return match[0]


_MARKS = ("@", ":", "=", "+", "/", "eyJ", "earer", "oken", "asic", "pikey", "piKey")
_HAS_DIGITS = re.compile(r"\d[\d ()-]{7,}|[A-Z]{2}\d{2}")
_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (_DATABASE_DETAIL, f"DETAIL: {REMOVED}"),
    (_URL_LOGIN, rf"\1{REMOVED}@"),
    (_HEADER, rf"\1\2{REMOVED}"),
    (_SCHEME_TOKEN, rf"\1 {REMOVED}"),
    (_NAMED, rf"\1\2{REMOVED}"),
    (_JWT, REMOVED),
    (_SEALED, REMOVED),
    (_SECRET_IN_PATH, rf"\1{REMOVED}"),
    (_EMAIL, REMOVED),
    (_IBAN, _iban),
    (_CARD, _card),
    (_PHONE, REMOVED),
)
