"""From which network address a request comes, believing only the proxies that the settings name."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The caller's address; empty where none is known (a unix socket without a proxy).

    With N trusted proxies in front, each of which appends the address it saw, the N-th entry from the right of
    X-Forwarded-For is the last one that a trusted machine wrote; everything left of it the caller may have made up.
    """
    proxies = settings.ALLAUTH_TRUSTED_PROXY_COUNT
    if proxies:
        seen = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
        text = seen[-proxies] if len(seen) >= proxies else ""
    else:
        text = request.META.get("REMOTE_ADDR", "")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
