"""The portal's pages: its own first page and those that desks registered."""

from __future__ import annotations

from django.urls import path

from backoffice.portal.views import PortalHome
from backoffice.ui.portal import NAMESPACE, portal_page_urls

app_name = NAMESPACE

urlpatterns = [path("", PortalHome.as_view(), name="home"), *portal_page_urls()]
