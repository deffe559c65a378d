"""How the schema names our authentication."""

from __future__ import annotations

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class SessionScheme(OpenApiAuthenticationExtension):
    """The session cookie of a login with second factor."""

    target_class = "backoffice.ui.api.SecondFactorSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """See the class."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
