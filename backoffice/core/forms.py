"""The forms of signing in, where the login library's own leave something to be desired."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ChangePasswordForm, LoginForm, ResetPasswordForm, ResetPasswordKeyForm
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from django import forms
from django.core.exceptions import ValidationError

from backoffice.core.identity.sign_in import note_second_factor_failed


class _OneTimeCode(forms.Form):
    """Asks a phone for its number keys and takes the focus, as the code is the only thing to type."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        code = self.fields["code"]
        code.label = "Code"
        code.widget.attrs.update({"inputmode": "numeric", "autofocus": True, "autocomplete": "one-time-code"})


class CodeAtSignInForm(_OneTimeCode, AuthenticateForm):
    """The second step of signing in."""


class CodeAgainForm(_OneTimeCode, ReauthenticateForm):
    """Confirms, inside a session, that it is still the same person."""


class FirstCodeForm(_OneTimeCode, ActivateTOTPForm):
    """Proves that the app was set up before codes are asked for."""


class _Passkey:
    """Writes a passkey down that was refused; the library itself only tells of wrong codes."""

    def clean_credential(self) -> Authenticator:
        """The passkey's record."""
        try:
            return super().clean_credential()  # type: ignore[misc, no-any-return]
        except ValidationError:
            note_second_factor_failed(user=self.user, method=Authenticator.Type.WEBAUTHN)  # type: ignore[attr-defined]
            raise


class PasskeyAtSignInForm(_Passkey, AuthenticateWebAuthnForm):
    """The second step of signing in, by passkey."""


class PasskeySignInForm(_Passkey, LoginWebAuthnForm):
    """Signing in by passkey alone: the device asks for a fingerprint or a PIN, so it is two factors in one."""


class PasskeyAgainForm(_Passkey, ReauthenticateWebAuthnForm):
    """Confirms, inside a session, that it is still the same person."""


class NewPasskeyForm(AddWebAuthnForm):
    """A name, so that people can tell their passkeys apart. Each of them can also sign in without a password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = "Name of this passkey"
        self.fields["name"].help_text = "Such as “Work laptop” or “Phone”."
        self.fields["name"].max_length = 60
        self.fields["name"].widget.attrs.update({"autofocus": True, "maxlength": 60})


class SignInForm(LoginForm):
    """E-mail address and password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "E-mail address"
        self.fields["login"].widget.attrs.update({"autofocus": True, "autocomplete": "username"})


class ForgottenPasswordForm(ResetPasswordForm):
    """The address to which a link is sent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "E-mail address"
        self.fields["email"].widget.attrs["autofocus"] = True


class PasswordChangeForm(ChangePasswordForm):
    """The old password and the new one twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["oldpassword"].label = "Present password"
        self.fields["password1"].label = "New password"
        self.fields["password2"].label = "New password again"


class NewPasswordForm(ResetPasswordKeyForm):
    """The new password twice, behind a link from a message."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].label = "New password"
        self.fields["password2"].label = "New password again"
