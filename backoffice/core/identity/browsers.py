"""What a request tells about where it comes from: the browser in a few words, the address, the country, the device.

The device is a random number in a long-lived signed cookie. It names a browser, not a person, and is kept only with
sign-ins; who deletes the cookie is a new device.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from backoffice.core.addresses import client_address
from backoffice.core.identity.geoip import country_file
from backoffice.kernel.errors import Misconfigured

DEVICE_COOKIE = "backoffice_device"
DEVICE_COOKIE_SECONDS = 400 * 24 * 3600
_DEVICE_SALT = "backoffice.core.device"
MAX_AGENT_READ = 512
MAX_AGENT_LENGTH = 80

# The order matters: most browsers also name the ones they descend from.
_BROWSERS = (
    ("Edge", re.compile(r"Edg(?:e|A|iOS)?/(\d+)")),
    ("Opera", re.compile(r"(?:OPR|Opera)/(\d+)")),
    ("Samsung Internet", re.compile(r"SamsungBrowser/(\d+)")),
    ("Firefox", re.compile(r"(?:Firefox|FxiOS)/(\d+)")),
    ("Chrome", re.compile(r"(?:Chrome|CriOS|Chromium)/(\d+)")),
    ("Safari", re.compile(r"Version/(\d+)[\d.]* (?:Mobile/\w+ )?Safari/")),
)
_SYSTEMS = (
    ("iPhone", re.compile(r"iPhone")),
    ("iPad", re.compile(r"iPad")),
    ("Android", re.compile(r"Android")),
    ("Windows", re.compile(r"Windows")),
    ("macOS", re.compile(r"Mac OS X|Macintosh")),
    ("ChromeOS", re.compile(r"CrOS")),
    ("Linux", re.compile(r"Linux|X11")),
)
_PROGRAM = re.compile(r"([A-Za-z][A-Za-z0-9 ._-]{0,30})/(\d+)")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, as far as it is known."""

    address: str | None
    country: str
    device: UUID
    user_agent: str


def origin_of(request: HttpRequest) -> Origin:
    """Address, country, device and browser of a request, read once per request."""
    known = getattr(request, "_backoffice_origin", None)
    if isinstance(known, Origin):
        return known
    address = client_address(request) or None
    origin = Origin(
        address=address,
        country=_country_of(request, address),
        device=_device_of(request),
        user_agent=short_user_agent(request.META.get("HTTP_USER_AGENT", "")),
    )
    request._backoffice_origin = origin  # type: ignore[attr-defined]
    return origin


def short_user_agent(text: str) -> str:
    """`Chrome 126 on Windows` for what browsers send; a program's first word and version for others."""
    text = text[:MAX_AGENT_READ]
    browser = ""
    for name, pattern in _BROWSERS:
        if found := pattern.search(text):
            browser = f"{name} {found.group(1)}"
            break
    if not browser:
        program = _PROGRAM.match(text)
        return f"{program.group(1)} {program.group(2)}"[:MAX_AGENT_LENGTH] if program else ""
    system = next((name for name, pattern in _SYSTEMS if pattern.search(text)), "")
    return (f"{browser} on {system}" if system else browser)[:MAX_AGENT_LENGTH]


def keep_device(request: HttpRequest, response: HttpResponse) -> None:
    """Gives the browser its device number if it was asked for in this request and the browser had none."""
    device = getattr(request, "_backoffice_new_device", None)
    if device is None:
        return
    response.set_cookie(
        DEVICE_COOKIE,
        signing.dumps(device.hex, salt=_DEVICE_SALT),
        max_age=DEVICE_COOKIE_SECONDS,
        httponly=True,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite="Lax",
    )


def _device_of(request: HttpRequest) -> UUID:
    """The browser's number; a new one, to be kept, when the cookie is missing or not ours."""
    try:
        return UUID(signing.loads(request.COOKIES[DEVICE_COOKIE], salt=_DEVICE_SALT))
    except (KeyError, signing.BadSignature, ValueError, TypeError):
        device = uuid4()
        request._backoffice_new_device = device  # type: ignore[attr-defined]
        return device


def _country_of(request: HttpRequest, address: str | None) -> str:
    """What the proxy in front says, else what the local file says, else nothing."""
    if settings.COUNTRY_HEADER:
        given = request.headers.get(settings.COUNTRY_HEADER, "").strip().upper()
        # XX and T1 are how proxies say unknown and anonymous network.
        return given if re.fullmatch(r"[A-Z]{2}", given) and given != "XX" else ""
    if settings.COUNTRY_FILE and address:
        try:
            return country_file(settings.COUNTRY_FILE).country_of(address)
        except (OSError, Misconfigured, KeyError, IndexError) as error:
            structlog.get_logger(__name__).error("country_file_unreadable", problem=type(error).__name__)
    return ""
