"""How the schema names our authentication."""

from __future__ import annotations

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """A key of ours as a bearer token."""

    target_class = "backoffice.ui.api.ApiKeyAuthentication"
    name = "api_key"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """See the class."""
        return {"type": "http", "scheme": "bearer", "description": "A key that an administrator issued: `bo_…`."}


class SessionScheme(OpenApiAuthenticationExtension):
    """The session cookie of a login with second factor."""

    target_class = "backoffice.ui.api.SecondFactorSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """See the class."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
