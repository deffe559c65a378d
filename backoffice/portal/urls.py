"""The portal's pages: its own first page and those that desks registered."""

from __future__ import annotations

from django.urls import path

from backoffice.portal.brand import brand_css, brand_logo
from backoffice.portal.views import PortalHome
from backoffice.ui.portal import NAMESPACE, portal_page_urls

app_name = NAMESPACE

urlpatterns = [
    path("", PortalHome.as_view(), name="home"),
    path("brand.css", brand_css, name="brand_css"),
    path("brand-logo", brand_logo, name="brand_logo"),
    *portal_page_urls(),
]
