"""Where each front door stands."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from backoffice.core.files.views import stored_file
from backoffice.core.messages.views import unsubscribe_page
from backoffice.core.observing.health import healthz, readyz
from backoffice.core.observing.metrics import metrics
from backoffice.core.views import home, not_offered

urlpatterns = [
    path("", home, name="home"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("desk/", admin.site.urls),
    # Addresses are changed by an administrator, under audit, never by who holds the session.
    path("account/email/", not_offered),
    path("account/", include("backoffice.core.identity.account_pages")),
    path("account/", include("allauth.urls")),
    path("portal/", include("backoffice.portal.urls")),
    path("api/v1/", include("backoffice.api.urls")),
    path("api/docs/", RedirectView.as_view(pattern_name="docs")),
    path("files/<uuid:public_id>/", stored_file, name="stored_file"),
    path("mail/unsubscribe/<str:token>/", unsubscribe_page, name="unsubscribe"),
    path("reports/", include("backoffice.reports.urls")),
]
if settings.ANYMAIL.get("WEBHOOK_SECRET"):
    # Bounces and complaints, reported by the mail provider; without a secret anybody could report them.
    urlpatterns.append(path("mail/events/", include("anymail.urls")))
