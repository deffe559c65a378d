"""The first step behind the front page."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache

from backoffice.core.identity.second_factor import second_factor_url, session_passed_second_factor
from backoffice.core.models import User


@never_cache
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Sends everybody where their work is: staff to the desk (or first to their second factor), others to the portal."""
    user = request.user
    if not isinstance(user, User) or not user.is_staff:
        return redirect("portal:home")
    if not session_passed_second_factor(request):
        return HttpResponseRedirect(second_factor_url(request, next_url=reverse("home")))
    return redirect("admin:index")


def not_offered(request: HttpRequest) -> HttpResponse:
    """A page of the login library that this site does not offer."""
    raise Http404
