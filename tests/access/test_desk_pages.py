"""Every page of the desk × every role: open exactly where the capability says, closed everywhere else."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.access import capabilities
from backoffice.core.types import PORTAL_ROLES, STAFF_ROLES, Role
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.navigation import every_entry_leads_somewhere, menu_for, pages
from backoffice.ui.views import DeskActionView, DeskPage, desk_pages
from tests.access.shares import asked
from tests.logins import log_in, make_actor, make_entity, make_user

pytestmark = pytest.mark.django_db


def desk_admins() -> list[DeskModelAdmin]:
    """Every list of the desk."""
    return [model_admin for model_admin in admin.site._registry.values() if isinstance(model_admin, DeskModelAdmin)]


def list_url(model_admin: DeskModelAdmin) -> str:
    return reverse(f"admin:{model_admin.opts.app_label}_{model_admin.opts.model_name}_changelist")


def plain_pages() -> list[type[DeskPage]]:
    """The pages whose address needs no object."""
    return [page for page in desk_pages() if "<" not in page.route]


def test_only_pages_of_the_desks_own_kind_are_registered() -> None:
    # then: nothing that a library registered by itself stands beside them, such as users' authenticators
    assert [type(item) for item in admin.site._registry.values() if not isinstance(item, DeskModelAdmin)] == []


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_a_list_opens_exactly_for_who_holds_its_capability(role: str, client: Browser) -> None:
    # given: a member of staff with one role, inside with a second factor
    log_in(client, make_user("one@house.test", role, entities=(make_entity(),)))

    # when: lists are asked for
    lists = [item for item in desk_admins() if is_asked(role, list_url(item))]
    answers = {type(item).__name__: client.get(list_url(item)).status_code for item in lists}

    # then
    assert lists
    expected = {type(item).__name__: 200 if role in capabilities()[item.view_capability] else 403 for item in lists}
    assert answers == expected


def is_asked(role: str, address: str) -> bool:
    """Administrators ask for every address in each run, the others for a share of them."""
    return role == Role.ADMINISTRATOR or asked(role, "get", address, share=3)


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_a_page_opens_exactly_for_who_holds_its_capability(role: str, client: Browser) -> None:
    # given
    log_in(client, make_user("one@house.test", role, entities=(make_entity(),)))

    # when
    shown = [page for page in plain_pages() if is_asked(role, page.url())]
    answers = {page.url_name(): client.get(page.url()).status_code for page in shown}

    # then
    assert shown
    expected = {page.url_name(): 200 if role in capabilities()[page.capability] else 403 for page in shown}
    assert answers == expected


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_exports_and_actions_are_closed_to_who_may_not_see_the_list(role: str, client: Browser) -> None:
    # given
    log_in(client, make_user("one@house.test", role, entities=(make_entity(),)))
    closed = [item for item in desk_admins() if role not in capabilities()[item.view_capability]]

    # when
    wrong = []
    for item in closed:
        name = f"admin:{item.opts.app_label}_{item.opts.model_name}"
        addresses = [reverse(f"{name}_export", args=["csv"]), reverse(f"{name}_change", args=[1])]
        addresses += [reverse(f"{name}_{view.slug}") for view in item.list_actions if role not in holders(view)]
        addresses += [reverse(f"{name}_{view.slug}", args=[1]) for view in item.object_actions]
        for address in addresses:
            if asked(role, "get", address, share=4):
                wrong += [address] if client.get(address).status_code not in {302, 403, 404} else []
            if asked(role, "post", address, share=4):
                wrong += [address] if client.post(address).status_code not in {302, 403, 404, 405} else []

    # then
    assert wrong == []


def holders(view: type[DeskActionView]) -> frozenset[str]:
    return capabilities()[view.capability]


@pytest.mark.parametrize("role", sorted(PORTAL_ROLES))
def test_clients_and_partners_never_enter_the_desk(role: str, client: Browser) -> None:
    # given: a portal login, even with a second factor
    log_in(client, make_user("one@world.test", role))

    # when
    opened = [list_url(item) for item in desk_admins() if client.get(list_url(item)).status_code == 200]
    opened += [page.url() for page in plain_pages() if client.get(page.url()).status_code == 200]

    # then
    assert opened == []
    assert client.get(reverse("admin:login")).status_code == 403


def test_a_password_alone_opens_no_page_of_the_desk(client: Browser) -> None:
    # given: an administrator whose session has not shown a second factor
    log_in(client, make_user("boss@house.test", Role.ADMINISTRATOR, entities=(make_entity(),)), second_factor=False)

    # when
    addresses = [reverse("admin:index"), reverse("admin:search") + "?s=boss"]
    addresses += [list_url(item) for item in desk_admins()] + [page.url() for page in plain_pages()]
    answers = {client.get(address).status_code for address in addresses}

    # then: every one leads away, and the desk's login leads to setting one-time codes up
    assert answers == {302}
    assert client.get(reverse("admin:login")).url.startswith(reverse("mfa_activate_totp"))


def test_who_is_not_logged_in_is_sent_to_the_one_login_page(client: Browser) -> None:
    answer = client.get(reverse("admin:index"), follow=True)
    assert answer.redirect_chain[-1][0] == f"{reverse('account_login')}?next=%2Fdesk%2F"


def test_the_menu_shows_what_the_role_may_open_and_every_entry_opens_for_it(client: Browser) -> None:
    # given: what each address of a list or a page demands; the tests above open each of them as each role
    demanded = {list_url(item): item.view_capability for item in desk_admins()}
    demanded |= {page.url(): page.capability for page in plain_pages()}
    for role in sorted(STAFF_ROLES):
        user = make_user(f"{role}@house.test", role, entities=(make_entity(),))
        log_in(client, user)

        # when
        entries = [page for _, section_pages in menu_for(make_actor(user)) for page in section_pages]

        # then: the door of every entry is open, and what is neither list nor page is tried here
        shut = [
            entry.url_name
            for entry in entries
            if (
                role not in capabilities()[demanded[entry.url]]
                if entry.url in demanded
                else client.get(entry.url).status_code != 200
            )
        ]
        assert shut == []
        assert {entry.url_name for entry in entries} == {
            page.url_name for page in pages() if role in capabilities()[page.capability]
        }


def test_no_entry_of_the_menu_leads_nowhere() -> None:
    assert every_entry_leads_somewhere() == []


def test_no_page_writes_through_the_admins_own_transaction_without_a_capability() -> None:
    # then: unfold's submit-line and Django's list-editable paths are used by no page of the desk
    assert [type(item).__name__ for item in desk_admins() if item.actions_submit_line or item.list_editable] == []
    # and what may be written names who may
    named = {"add_capability", "change_capability", "delete_capability"}
    unknown = {getattr(item, name) for item in desk_admins() for name in named} - {""} - set(capabilities())
    assert unknown == set()
