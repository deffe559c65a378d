"""How people sign in: by e-mail, without self-registration; staff always with a second factor."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.sites.shortcuts import get_current_site
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.shortcuts import resolve_url

from backoffice.core.identity.second_factor import second_factor_url, session_passed_second_factor
from backoffice.core.identity.sign_in import note_locked
from backoffice.core.messages.account_mails import is_mapped, queue_account_mail
from backoffice.core.models import User
from backoffice.core.sealing.secrets import seal, unseal
from backoffice.kernel import clock

_AUTHENTICATOR_PURPOSE = "mfa.authenticator.data"


class AccountAdapter(DefaultAccountAdapter):
    """Logins are made by the desk; nobody signs up on their own."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Whether the sign-up page is open: never."""
        return False

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Queues the mail with the other messages; nothing leaves while the person waits for the page."""
        words = None if is_mapped(template_prefix) else self._own_words(template_prefix, email, context)
        queue_account_mail(prefix=template_prefix, email=email, context=context, words=words)

    def _own_words(self, prefix: str, email: str, context: dict[str, Any]) -> tuple[str, str]:
        """The subject and the text that allauth would have sent."""
        known = {"request": self.request, "email": email, "current_site": get_current_site(self.request), **context}
        mail = self.render_mail(prefix, email, known)
        return str(mail.subject), str(mail.body)

    def is_reauthentication_required(self, *, app: str) -> bool:
        """Whether a change of the login needs the password once more: not within minutes of signing in."""
        request = self.request
        records = get_authentication_records(request, request.user)
        newest = max((float(record.get("at", 0)) for record in records), default=0.0)
        return clock.now().timestamp() - newest >= settings.ACCOUNT_REAUTHENTICATION_TIMEOUT

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Home. Staff without a second factor set it up first, because nothing else is open to them."""
        user = request.user
        if isinstance(user, User) and user.is_staff and not session_passed_second_factor(request):
            return second_factor_url(request)
        return resolve_url("home")

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Counts the attempts; too many are refused, and written down."""
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            note_locked(request=request, email=str(credentials.get("email") or ""))
            raise


class SecondFactorAdapter(DefaultMFAAdapter):
    """One-time code secrets are encrypted at rest; staff cannot give up their last second factor."""

    def encrypt(self, text: str) -> str:
        """Seals the secret for the table of authenticators."""
        return seal(text, purpose=_AUTHENTICATOR_PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        """Opens what `encrypt` sealed."""
        return unseal(encrypted_text, purpose=_AUTHENTICATOR_PURPOSE)

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """Staff keep one second factor at least; who lost the last asks an administrator, who resets it under audit."""
        user = authenticator.user
        if not user.is_staff or authenticator.type == Authenticator.Type.RECOVERY_CODES:
            return True
        others = Authenticator.objects.filter(user=user).exclude(pk=authenticator.pk)
        return others.exclude(type=Authenticator.Type.RECOVERY_CODES).exists()

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Passkeys belong to the host name that the browser shows."""
        host = context.request.get_host().partition(":")[0]
        return {"id": host, "name": settings.MFA_TOTP_ISSUER}
