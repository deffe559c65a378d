"""How people sign in: by e-mail, without self-registration of staff."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    """Logins are made by the desk; nobody signs up on their own."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Whether the sign-up page is open: never."""
        return False
