"""The page on which somebody unsubscribes: by the link in a mail, without signing in."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from backoffice.core.services.consents import message_of_token, unsubscribe
from backoffice.core.services.message_templates import house_values


@csrf_exempt  # mail programs post here by themselves (RFC 8058); the signed link is the proof of who may
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe_page(request: HttpRequest, token: str) -> HttpResponse:
    """Asks on GET, because mail scanners follow links; stops marketing on POST. Needs no login and tells no address."""
    message = unsubscribe(token=token) if request.method == "POST" else message_of_token(token)
    house = house_values(entity=message.entity, brand=message.brand)
    context = {"brand_name": house["brand_name"], "is_done": request.method == "POST"}
    return render(request, "messages/unsubscribe.html", context)
