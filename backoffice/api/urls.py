"""/api/v1/: what desks registered, who I am, the schema, and its page for staff."""

from __future__ import annotations

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter

from backoffice.api.views import ApiDocs, MeView, StaffOnly, UnknownEndpoint
from backoffice.ui.api_registry import endpoints, viewsets

router = SimpleRouter(use_regex_path=False)
for registered in viewsets():
    router.register(registered.prefix, registered.viewset, basename=registered.basename)

urlpatterns = [
    path("me/", MeView.as_view(), name="me"),
    *[path(item.route, item.view.as_view(), name=item.name) for item in endpoints()],
    path("", include(router.urls)),
    path("schema/", SpectacularAPIView.as_view(permission_classes=[StaffOnly]), name="schema"),
    path("docs/", ApiDocs.as_view(), name="docs"),
    re_path(r"^.*$", UnknownEndpoint.as_view(), name="unknown"),
]
