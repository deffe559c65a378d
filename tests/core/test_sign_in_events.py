"""What is kept of sign-ins: who, from where, with which device; sessions that can be seen and ended."""

from __future__ import annotations

import struct
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError, transaction
from django.http import HttpRequest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.identity import one_time_codes
from backoffice.core.identity.browsers import DEVICE_COOKIE, origin_of, short_user_agent
from backoffice.core.identity.geoip import CountryFile
from backoffice.core.models import AuditRecord, LoginEvent, Message, UserSession
from backoffice.core.services import login_events, sessions, users
from backoffice.core.services.login_events import forget_old_events, logins_sharing, record_login_event
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Denied, NotFound
from tests.logins import PASSWORD, log_in, make_actor, make_entity, make_user

pytestmark = pytest.mark.django_db

SYSTEM = Actor.system("test")
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)


def _sign_in(browser: Browser, email: str, password: str = PASSWORD, **headers: Any) -> Any:
    return browser.post(reverse("account_login"), {"login": email, "password": password}, **headers)


def _kinds(user_id: int | None) -> list[str]:
    return list(LoginEvent.objects.filter(user_id=user_id).order_by("id").values_list("kind", flat=True))


def test_a_sign_in_is_kept_with_address_device_and_browser(client: Browser, empty_cache: None) -> None:
    user = make_user("tom@example.com", "trader", entities=(make_entity(),))
    _sign_in(client, user.email, HTTP_USER_AGENT=CHROME, REMOTE_ADDR="203.0.113.7")
    event = LoginEvent.objects.get(kind="login")
    assert (event.user, event.email, event.address) == (user, user.email, "203.0.113.7")
    assert (event.user_agent, event.method, event.country) == ("Chrome 126 on Windows", "password", "")
    assert event.device is not None
    cookie = client.cookies[DEVICE_COOKIE]
    assert cookie["httponly"] and cookie["samesite"] == "Lax"
    assert event.device.hex not in cookie.value.split(":")[1:], "signed"
    # the next sign-in of the same browser has the same device
    client.post(reverse("account_logout"))
    _sign_in(client, user.email, HTTP_USER_AGENT=CHROME)
    assert _kinds(user.pk) == ["login", "logout", "login"]
    assert len(set(LoginEvent.objects.values_list("device", flat=True))) == 1


def test_a_forged_device_cookie_is_a_new_device(client: Browser, empty_cache: None) -> None:
    user = make_user("tom@example.com", "trader")
    client.cookies[DEVICE_COOKIE] = "00000000000000000000000000000000:forged"
    _sign_in(client, user.email)
    assert LoginEvent.objects.get(kind="login").device.int != 0


def test_failed_attempts_are_kept_and_what_is_no_address_is_not(client: Browser, empty_cache: None) -> None:
    user = make_user("tom@example.com", "trader")
    _sign_in(client, user.email, "wrong password here")
    _sign_in(client, "nobody@example.com", "wrong password here")
    request = HttpRequest()
    record_login_event(user_id=None, email="my secret password", kind="failed", request=request)
    assert _kinds(user.pk) == ["failed"]
    assert list(LoginEvent.objects.filter(user=None).order_by("id").values_list("email", flat=True)) == [
        "nobody@example.com",
        "",
    ]


def test_too_many_attempts_are_kept_as_locked(client: Browser, empty_cache: None) -> None:
    user = make_user("tom@example.com", "trader")
    for _ in range(6):
        _sign_in(client, user.email, "wrong password here")
    assert _kinds(user.pk) == ["failed"] * 5 + ["locked"]


def test_codes_right_and_wrong_are_kept(client: Browser, empty_cache: None) -> None:
    user = make_user("anna@example.com", "administrator", entities=(make_entity(),))
    one_time_codes.enrol(user)
    _sign_in(client, user.email)
    client.post(reverse("mfa_authenticate"), {"code": "000000"})
    client.post(reverse("mfa_authenticate"), {"code": one_time_codes.current_code(user)})
    assert _kinds(user.pk) == ["second_factor_failed", "second_factor_passed", "login"]
    assert LoginEvent.objects.get(kind="login").method == "totp"


def test_a_new_device_is_told_by_mail_once_and_the_first_is_not(empty_cache: None) -> None:
    user = make_user("tom@example.com", "trader", entities=(make_entity(),))
    own, other = Browser(), Browser()
    for browser in (own, own, other, other):
        _sign_in(browser, user.email, HTTP_USER_AGENT=CHROME, REMOTE_ADDR="203.0.113.7")
        browser.post(reverse("account_logout"))
    sent = Message.objects.filter(template="core.new_device")
    assert [message.address for message in sent] == [user.email]


def test_events_never_change_and_go_only_when_their_time_is_over(settings: Any) -> None:
    settings.LOGIN_EVENT_DAYS = 100
    request = HttpRequest()
    for days in (10, 99, 101, 500):
        with time_machine.travel(clock.now() - timedelta(days=days), tick=False):
            record_login_event(user_id=None, email=f"d{days}@example.com", kind="failed", request=request)
    with pytest.raises(DatabaseError, match="never change"), transaction.atomic():
        LoginEvent.objects.update(email="")
    with pytest.raises(DatabaseError, match="not old enough"), transaction.atomic():
        LoginEvent.objects.filter(email="d10@example.com").delete()
    assert forget_old_events() == 2
    assert set(LoginEvent.objects.values_list("email", flat=True)) == {"d10@example.com", "d99@example.com"}


def test_logins_that_share_a_device_or_an_address_are_found_and_crowded_addresses_are_not(empty_cache: None) -> None:
    # given two people in one browser, one more at the same address, and a crowd at another address
    entity = make_entity()
    people = [make_user(f"p{number}@example.com", "trader", entities=(entity,)) for number in range(3)]
    shared, own = Browser(), Browser()
    for browser, user in ((shared, people[0]), (shared, people[1]), (own, people[2])):
        _sign_in(browser, user.email, REMOTE_ADDR="203.0.113.9")
        browser.post(reverse("account_logout"))
    _sign_in(shared, people[0].email, REMOTE_ADDR="198.51.100.1")
    for number in range(login_events.MAX_LOGINS_OF_A_TELLING_ADDRESS + 1):
        other = make_user(f"crowd{number}@example.com", "trader", password="x" * 12)
        request = HttpRequest()
        request.META["REMOTE_ADDR"] = "198.51.100.1"
        record_login_event(user_id=other.pk, email=other.email, kind="login", request=request)
    compliance = make_actor(make_user("c@example.com", "compliance", entities=(entity,)))
    # when risk compares
    found = logins_sharing(user_id=people[0].pk, actor=compliance)
    # then the device and the quiet address tell, the crowd's does not
    assert [(each.user_id, each.through) for each in found] == [
        (people[1].pk, "device"),
        (people[1].pk, "address"),
        (people[2].pk, "address"),
    ]
    with pytest.raises(Denied):
        logins_sharing(user_id=people[0].pk, actor=make_actor(people[1]))


def test_sessions_are_listed_and_one_or_all_others_end() -> None:
    user = make_user("tom@example.com", "trader", entities=(make_entity(),))
    here, phone, office = (log_in(Browser(), user, second_factor=False) for _ in range(3))
    page = here.get(reverse("own_sessions"))
    assert page.content.decode().count("This session") == 1
    assert UserSession.objects.filter(user=user, ended_at=None).count() == 3
    wanted = UserSession.objects.get(session_key=phone.session.session_key)
    # one is ended
    assert here.post(reverse("end_session", args=[wanted.public_id])).status_code == 302
    assert phone.get(reverse("portal:home")).status_code == 302, "signed out"
    assert office.get(reverse("portal:home")).status_code == 200
    # then all the others
    here.post(reverse("end_other_sessions"))
    assert office.get(reverse("portal:home")).status_code == 302
    assert here.get(reverse("portal:home")).status_code == 200
    assert sorted(UserSession.objects.filter(user=user).values_list("end_reason", flat=True)) == ["", "ended", "ended"]
    actions = AuditRecord.objects.filter(user_id=user.pk).values_list("action", flat=True)
    assert set(actions) == {"core.end_own_session", "core.end_own_sessions"}


def test_nobody_ends_anothers_session_nor_by_this_way_their_own() -> None:
    user, thief = make_user("tom@example.com", "trader"), make_user("eve@example.com", "trader")
    own, stranger = log_in(Browser(), user, second_factor=False), log_in(Browser(), thief, second_factor=False)
    record = UserSession.objects.get(user=user)
    assert stranger.post(reverse("end_session", args=[record.public_id])).status_code == 404
    assert own.post(reverse("end_session", args=[record.public_id])).status_code == 404
    assert own.get(reverse("own_sessions")).status_code == 200
    with pytest.raises(NotFound):
        sessions.end_own_session(public_id=record.public_id, actor=make_actor(thief), current_key=None)
    assert stranger.get(reverse("end_session", args=[record.public_id])).status_code == 405


def test_changing_the_password_ends_the_other_sessions_and_keeps_this_one(client: Browser, empty_cache: None) -> None:
    user = make_user("tom@example.com", "trader")
    other = log_in(Browser(), user, second_factor=False)
    _sign_in(client, user.email)
    new = "another good password"
    client.post(reverse("account_change_password"), {"oldpassword": PASSWORD, "password1": new, "password2": new})
    assert client.get(reverse("portal:home")).status_code == 200
    assert other.get(reverse("portal:home")).status_code == 302
    open_records = UserSession.objects.filter(user=user, ended_at=None)
    assert [record.session_key for record in open_records] == [client.session.session_key]
    assert UserSession.objects.get(end_reason="password").user == user


@pytest.mark.parametrize("act", ["close", "reset", "end"])
def test_what_an_administrator_does_ends_sessions(act: str) -> None:
    user = make_user("anna@example.com", "finance", entities=(make_entity(),))
    browser = log_in(Browser(), user)
    assert browser.get("/desk/").status_code == 200
    if act == "close":
        users.set_active(user_id=user.pk, active=False, actor=SYSTEM, reason="left")
    elif act == "reset":
        users.reset_second_factor(user_id=user.pk, actor=SYSTEM, reason="phone lost")
    else:
        assert sessions.end_sessions_of(user_id=user.pk, actor=SYSTEM, reason="laptop lost") == 1
    assert browser.get("/desk/").status_code == 302
    assert not UserSession.objects.filter(user=user, ended_at=None).exists()


def test_a_session_that_ended_meanwhile_is_not_revived() -> None:
    user = make_user("tom@example.com", "trader")
    browser = log_in(Browser(), user, second_factor=False)
    record = UserSession.objects.get(user=user)
    UserSession.objects.filter(pk=record.pk).update(ended_at=clock.now(), end_reason="ended", session_key=None)
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        browser.get(reverse("portal:home"))
    assert browser.get(reverse("portal:home")).status_code == 302
    assert UserSession.objects.count() == 1


def test_run_out_sessions_are_closed_in_the_list() -> None:
    user = make_user("tom@example.com", "trader")
    browser = log_in(Browser(), user, second_factor=False)
    browser.session.flush()
    assert sessions.tidy_sessions() == 1
    assert UserSession.objects.get(user=user).end_reason == "expired"


def test_being_seen_costs_one_write_a_minute(django_assert_num_queries: Any) -> None:
    user = make_user("tom@example.com", "trader")
    browser = log_in(Browser(), user, second_factor=False)
    browser.get(reverse("own_sessions"))
    before = UserSession.objects.get(user=user).last_seen_at
    browser.get(reverse("own_sessions"))
    assert UserSession.objects.get(user=user).last_seen_at == before
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        browser.get(reverse("own_sessions"), REMOTE_ADDR="203.0.113.70")
    seen = UserSession.objects.get(user=user)
    assert seen.last_seen_at > before
    assert seen.address == "203.0.113.70"


BROWSERS = [
    (CHROME, "Chrome 126 on Windows"),
    (f"{CHROME} Edg/126.0.2592.87", "Edge 126 on Windows"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox 128 on Linux"),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/17.5 Mobile/15E148 Safari/604.1",
        "Safari 17 on iPhone",
    ),
    ("curl/8.5.0", "curl 8"),
    ("<script>alert(1)</script>", ""),
    ("", ""),
    ("A" * 10_000, ""),
]


@pytest.mark.parametrize(("sent", "shown"), BROWSERS)
def test_browsers_in_a_few_words(sent: str, shown: str) -> None:
    assert short_user_agent(sent) == shown


def _request(**meta: str) -> HttpRequest:
    request = HttpRequest()
    request.META.update(meta)
    return request


def test_the_country_comes_from_the_proxy_only_when_it_is_named(settings: Any) -> None:
    given = {"HTTP_CF_IPCOUNTRY": "cy", "REMOTE_ADDR": "203.0.113.7"}
    assert origin_of(_request(**given)).country == ""
    settings.COUNTRY_HEADER = "CF-IPCountry"
    assert origin_of(_request(**given)).country == "CY"
    assert origin_of(_request(**(given | {"HTTP_CF_IPCOUNTRY": "XX"}))).country == ""
    assert origin_of(_request(**(given | {"HTTP_CF_IPCOUNTRY": "<b>"}))).country == ""


def _country_database(path: Path, networks: dict[str, str]) -> Path:
    """A database file of IPv4 networks (`10.0.0.0/8` by their bits) as the format describes it, record size 24."""
    data, offsets = b"", {}
    for code in sorted(set(networks.values())):
        offsets[code] = len(data)
        data += b"\xe1\x47country\xe1\x48iso_code\x42" + code.encode()
    tree: list[list[Any]] = [[None, None]]
    for bits, code in networks.items():
        node = 0
        for place, bit in enumerate(bits):
            if place == len(bits) - 1:
                tree[node][int(bit)] = code
            else:
                if not isinstance(tree[node][int(bit)], int):
                    tree.append([None, None])
                    tree[node][int(bit)] = len(tree) - 1
                node = tree[node][int(bit)]
    count = len(tree)

    def record(value: Any) -> bytes:
        number = count if value is None else value if isinstance(value, int) else count + 16 + offsets[value]
        return struct.pack(">I", number)[1:]

    body = b"".join(record(left) + record(right) for left, right in tree)
    metadata = b"\xe3\x4anode_count\xc2" + struct.pack(">H", count)
    metadata += b"\x4brecord_size\xa1\x18" + b"\x4aip_version\xa1\x04"
    path.write_bytes(body + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + metadata)
    return path


def test_a_local_country_file_is_read_without_a_network(tmp_path: Path, settings: Any) -> None:
    # given a file that knows 10.0.0.0/8 as Cyprus and 192.0.0.0/2 as Malta
    path = _country_database(tmp_path / "countries.mmdb", {"00001010": "CY", "11": "MT"})
    countries = CountryFile(path)
    assert [countries.country_of(address) for address in ("10.1.2.3", "203.0.113.7", "127.0.0.1", "::1", "x")] == [
        "CY",
        "MT",
        "",
        "",
        "",
    ]
    settings.COUNTRY_FILE = str(path)
    assert origin_of(_request(REMOTE_ADDR="10.9.9.9")).country == "CY"
    # and a missing or damaged one makes no page fail
    settings.COUNTRY_FILE = str(tmp_path / "absent.mmdb")
    assert origin_of(_request(REMOTE_ADDR="10.9.9.9")).country == ""
    (tmp_path / "broken.mmdb").write_bytes(b"not a database at all")
    settings.COUNTRY_FILE = str(tmp_path / "broken.mmdb")
    assert origin_of(_request(REMOTE_ADDR="10.9.9.9")).country == ""
