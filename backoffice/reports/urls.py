"""What anybody may read: the public keys that issued reports are checked with."""

from __future__ import annotations

from django.urls import path

from backoffice.reports.views import signing_key, signing_key_list

urlpatterns = [
    path("keys/", signing_key_list, name="reports_signing_keys"),
    path("keys/<str:key_id>.pem", signing_key, name="reports_signing_key"),
]
