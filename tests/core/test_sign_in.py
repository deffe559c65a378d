"""Signing in: e-mail and password, one-time codes for staff, no sign-up, bounded guessing."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.test import Client as Browser
from django.urls import reverse
from pytest_django import Settings

from backoffice.core.identity import one_time_codes
from backoffice.core.models import AuditRecord, User
from tests.logins import PASSWORD, log_in, make_entity, make_user
from tests.mails import mails

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_cache")]

DESK = "/desk/"


def sign_in(browser: Browser, email: str, password: str = PASSWORD, **extra: str) -> str:
    """Posts the sign-in form; where it leads, or nothing if it is shown again."""
    response = browser.post(reverse("account_login"), {"login": email, "password": password}, **extra)  # type: ignore[arg-type]
    return response.headers.get("Location", "")


def is_signed_in(browser: Browser) -> bool:
    """Whether the session belongs to somebody."""
    return "_auth_user_id" in browser.session


def staff_with_codes(email: str = "fred@example.com") -> User:
    """A member of staff whose app is set up."""
    user = make_user(email, "finance", entities=(make_entity(),))
    one_time_codes.enrol(user)
    return user


def test_a_trader_signs_in_with_address_and_password(client: Browser) -> None:
    make_user("tom@example.com", "trader")

    assert sign_in(client, "Tom@Example.com") == "/"

    assert is_signed_in(client)
    assert client.get("/").headers["Location"] == reverse("portal:home")
    assert AuditRecord.objects.get().action == "core.sign_in"


@pytest.mark.parametrize("password", ["wrong", "", PASSWORD.upper()])
def test_a_wrong_password_opens_nothing(client: Browser, password: str) -> None:
    make_user("tom@example.com", "trader")

    assert sign_in(client, "tom@example.com", password) == ""

    assert not is_signed_in(client)
    assert not AuditRecord.objects.exists()


def test_a_closed_login_opens_nothing(client: Browser) -> None:
    User.objects.filter(pk=make_user("tom@example.com", "trader").pk).update(is_active=False)

    sign_in(client, "tom@example.com")

    assert not is_signed_in(client)


def test_staff_are_asked_for_a_code_before_they_are_signed_in(client: Browser) -> None:
    user = staff_with_codes()

    assert sign_in(client, user.email) == reverse("mfa_authenticate")
    assert not is_signed_in(client)
    assert client.get(DESK).status_code == 302

    answer = client.post(reverse("mfa_authenticate"), {"code": one_time_codes.current_code(user)})

    assert answer.headers["Location"] == "/"
    assert client.get("/").headers["Location"] == DESK
    assert client.get(DESK).status_code == 200


def test_a_wrong_code_opens_nothing(client: Browser) -> None:
    user = staff_with_codes()
    right = one_time_codes.current_code(user)
    sign_in(client, user.email)

    client.post(reverse("mfa_authenticate"), {"code": f"{(int(right) + 1) % 1_000_000:06d}"})

    assert not is_signed_in(client)


def test_a_code_is_good_for_one_sign_in(client: Browser) -> None:
    user = staff_with_codes()
    code = one_time_codes.current_code(user)
    sign_in(client, user.email)
    client.post(reverse("mfa_authenticate"), {"code": code})
    second = Browser()
    sign_in(second, user.email)

    second.post(reverse("mfa_authenticate"), {"code": code})

    assert not is_signed_in(second)


def test_staff_without_codes_are_led_to_set_them_up_and_get_nowhere_else(client: Browser) -> None:
    make_user("anna@example.com", "administrator", entities=(make_entity(),))

    assert sign_in(client, "anna@example.com") == reverse("mfa_activate_totp")

    assert client.get("/").headers["Location"].startswith(reverse("mfa_activate_totp"))
    assert client.get(DESK).status_code == 302
    assert "otpauth" not in client.get(reverse("mfa_activate_totp")).content.decode()


@pytest.mark.django_db(transaction=True)
def test_setting_codes_up_counts_as_showing_them(client: Browser) -> None:
    user = make_user("anna@example.com", "administrator", entities=(make_entity(),))
    sign_in(client, "anna@example.com")
    page = client.get(reverse("mfa_activate_totp"))
    secret = page.context["form"].secret
    code = totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time())))

    answer = client.post(reverse("mfa_activate_totp"), {"code": code})

    assert answer.headers["Location"] == reverse("mfa_view_recovery_codes")
    assert client.get(DESK).status_code == 200
    actions = list(AuditRecord.objects.order_by("id").values_list("action", flat=True))
    assert actions[:2] == ["core.sign_in", "core.add_second_factor"]
    assert "one-time" in mails()[0].body.lower() or "authenticator" in mails()[0].body.lower()
    stored = Authenticator.objects.get(user=user, type=Authenticator.Type.TOTP).data["secret"]
    assert secret not in stored
    assert stored.startswith("v1:dev:")


def test_staff_cannot_switch_their_codes_off(client: Browser) -> None:
    user = staff_with_codes()
    log_in(client, user)

    client.post(reverse("mfa_deactivate_totp"))

    assert Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()


def test_a_trader_may_switch_codes_off(client: Browser) -> None:
    user = make_user("tom@example.com", "trader")
    one_time_codes.enrol(user)
    log_in(client, user)

    client.post(reverse("mfa_deactivate_totp"))

    assert not Authenticator.objects.filter(user=user).exists()


def test_the_sixth_wrong_password_is_refused_and_so_is_the_right_one_then(client: Browser) -> None:
    make_user("tom@example.com", "trader")
    for _ in range(5):
        page = client.post(reverse("account_login"), {"login": "tom@example.com", "password": "wrong"})
        assert "not correct" in page.content.decode()

    sixth = client.post(reverse("account_login"), {"login": "tom@example.com", "password": "wrong"})
    assert "Too many failed login attempts" in sixth.content.decode()

    assert sign_in(client, "tom@example.com") == ""
    assert not is_signed_in(client)


def test_guessing_at_one_login_does_not_lock_out_another(client: Browser) -> None:
    make_user("tom@example.com", "trader")
    make_user("una@example.com", "trader")
    for _ in range(6):
        sign_in(client, "tom@example.com", "wrong")

    assert sign_in(client, "una@example.com") == "/"


def test_an_address_in_a_header_is_not_believed_without_a_proxy(client: Browser) -> None:
    """Otherwise who guesses could pretend to come from somewhere else each time."""
    for number in range(10):
        sign_in(client, f"nobody{number}@example.com", "wrong", HTTP_X_FORWARDED_FOR=f"10.0.0.{number}")

    page = client.post(
        reverse("account_login"), {"login": "x@example.com", "password": "wrong"}, HTTP_X_FORWARDED_FOR="10.0.0.99"
    )

    assert "Too many failed login attempts" in page.content.decode()


def test_nobody_signs_up(client: Browser) -> None:
    page = client.post(
        reverse("account_signup"), {"email": "new@example.com", "password1": PASSWORD, "password2": PASSWORD}
    )

    assert "no sign-up" in page.content.decode()
    assert not User.objects.exists()


def test_addresses_are_not_changed_by_who_holds_the_session(client: Browser) -> None:
    user = make_user("tom@example.com", "trader")
    log_in(client, user)

    answer = client.post("/account/email/", {"action_add": "", "email": "thief@example.com"})

    assert answer.status_code == 404
    user.refresh_from_db()
    assert user.email == "tom@example.com"


def test_a_forgotten_password_is_set_anew_by_a_link_that_works_once(client: Browser) -> None:
    make_user("tom@example.com", "trader")
    client.post(reverse("account_reset_password"), {"email": "tom@example.com"})
    link = re.search(r"http://\S+/account/password/reset/key/\S+", mails()[0].body)
    assert link is not None

    form_page = client.get(link.group(), follow=True)
    new = {"password1": "a wholly new phrase", "password2": "a wholly new phrase"}
    client.post(form_page.redirect_chain[-1][0], new)

    assert sign_in(client, "tom@example.com", "a wholly new phrase") == "/"
    assert "does not work" in Browser().get(link.group(), follow=True).content.decode()
    assert "core.reset_password" in AuditRecord.objects.values_list("action", flat=True)


def test_a_reset_for_an_unknown_address_looks_alike_and_sends_nothing(client: Browser) -> None:
    make_user("tom@example.com", "trader")

    known = client.post(reverse("account_reset_password"), {"email": "tom@example.com"})
    unknown = client.post(reverse("account_reset_password"), {"email": "nobody@example.com"})

    assert (known.status_code, known.headers["Location"]) == (unknown.status_code, unknown.headers["Location"])
    assert [message.to for message in mails()] == [["tom@example.com"]]


def test_resetting_the_password_does_not_pass_the_second_factor(client: Browser) -> None:
    user = staff_with_codes()
    client.post(reverse("account_reset_password"), {"email": user.email})
    link = re.search(r"http://\S+/account/password/reset/key/\S+", mails()[0].body)
    assert link is not None
    form_page = client.get(link.group(), follow=True)
    new = {"password1": "a wholly new phrase", "password2": "a wholly new phrase"}

    client.post(form_page.redirect_chain[-1][0], new)

    assert not is_signed_in(client)
    assert sign_in(client, user.email, "a wholly new phrase") == reverse("mfa_authenticate")


def test_a_weak_password_is_refused(client: Browser) -> None:
    user = make_user("tom@example.com", "trader")
    log_in(client, user)

    client.post(
        reverse("account_change_password"), {"oldpassword": PASSWORD, "password1": "short", "password2": "short"}
    )

    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_passwords_are_kept_with_argon2() -> None:
    from backoffice import settings

    assert settings.PASSWORD_HASHERS == ["django.contrib.auth.hashers.Argon2PasswordHasher"]


def test_a_recovery_code_replaces_the_phone_once(client: Browser) -> None:
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

    user = staff_with_codes()
    code = RecoveryCodes.activate(user).get_unused_codes()[0]
    sign_in(client, user.email)
    client.post(reverse("mfa_authenticate"), {"code": code})
    assert client.get(DESK).status_code == 200

    second = Browser()
    sign_in(second, user.email)
    second.post(reverse("mfa_authenticate"), {"code": code})
    assert not is_signed_in(second)


def test_every_page_of_signing_in_is_drawn(client: Browser) -> None:
    """One template error in a rarely seen page would lock people out."""
    user = make_user("tom@example.com", "trader")
    for name in ("account_login", "account_reset_password", "account_reset_password_done", "account_inactive"):
        assert client.get(reverse(name)).status_code == 200
    assert client.get(reverse("account_reset_password_from_key", args=["1", "abc"])).status_code == 200
    assert client.get(reverse("account_reset_password_from_key_done")).status_code == 200
    log_in(client, user)
    for name in (
        "mfa_index",
        "mfa_activate_totp",
        "account_change_password",
        "account_logout",
        "account_reauthenticate",
    ):
        assert client.get(reverse(name)).status_code == 200
    one_time_codes.enrol(user)
    for name in ("mfa_index", "mfa_deactivate_totp", "mfa_generate_recovery_codes", "mfa_reauthenticate"):
        assert client.get(reverse(name)).status_code == 200


def test_the_key_of_the_app_is_asked_for_again_after_a_while(client: Browser, settings: Settings) -> None:
    """A computer left open must not be enough to bind another phone to the login."""
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 0
    user = make_user("tom@example.com", "trader")
    log_in(client, user)

    answer = client.get(reverse("mfa_activate_totp"))

    assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
