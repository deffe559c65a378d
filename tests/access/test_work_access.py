"""Work items, mutes and switches through the browser: only what is one's own, also by address and by export."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import Switch, SwitchStop, WorkDelivery, WorkItem, WorkItemMute
from backoffice.core.services import switches, work_items
from backoffice.core.types import STAFF_ROLES, Actor
from backoffice.desk.admin.inbox import WorkItemAdmin
from backoffice.kernel import clock
from tests.core.work_help import ALARM, FLAPPING, alarm, kinds, person
from tests.logins import log_in, make_actor, make_entity

__all__ = ["kinds"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kinds")]

SYSTEM = Actor.system("test")
INBOX = "/desk/pages/work/inbox/"


def item_url(item: WorkItem, action: str = "") -> str:
    """The address of an item, or of something that is done with it."""
    return reverse(f"admin:core_workitem_{action or 'change'}", args=[item.pk])


@pytest.fixture
def world() -> dict[str, WorkItem]:
    """Items of two desks in two entities."""
    one, two = make_entity("one"), make_entity("two")
    return {
        "own": alarm("own", title="Ours", entity_id=one.pk, evidence={"note": "own evidence"}),
        "other entity": alarm("foreign", title="Foreign thing", entity_id=two.pk),
        "other desk": work_items.open_item(
            kind=FLAPPING, group_key="d", title="Dealing thing", entity_id=one.pk, evidence={}
        ),
    }


def test_the_inbox_shows_and_opens_only_what_is_the_viewers(world: dict[str, WorkItem], client: Browser) -> None:
    log_in(client, person("finance", make_entity("one"), name="ann"))
    for address in (INBOX, f"{INBOX}?tab=all", reverse("admin:core_workitem_changelist")):
        page = client.get(address).content.decode()
        assert "Ours" in page
        assert "Foreign thing" not in page
        assert "Dealing thing" not in page
    export = b"".join(client.get(reverse("admin:core_workitem_export", args=["csv"])).streaming_content)  # type: ignore[attr-defined]
    assert b"Ours" in export
    assert b"Foreign thing" not in export
    assert b"Dealing thing" not in export
    own = client.get(item_url(world["own"])).content.decode()
    assert "own evidence" in own
    for name in ("other entity", "other desk"):
        answer = client.get(item_url(world[name]))
        assert answer.status_code in {302, 404}
        for view in WorkItemAdmin.object_actions:
            assert client.get(item_url(world[name], view.slug)).status_code == 404
            assert client.post(item_url(world[name], view.slug), {"reason": "x"}).status_code == 404
    assert set(WorkItem.objects.values_list("state", flat=True)) == {"open"}


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_each_role_sees_its_own_kinds(role: str, world: dict[str, WorkItem], client: Browser) -> None:
    log_in(client, person(role, make_entity("one")))
    page = client.get(f"{INBOX}?tab=all").content.decode()
    assert ("Ours" in page, "Dealing thing" in page) == (role == "finance", role == "dealing")
    assert "Foreign thing" not in page


def test_the_figure_in_the_header_stands_on_every_page_and_counts_only_ones_own(
    world: dict[str, WorkItem], client: Browser
) -> None:
    log_in(client, person("finance", make_entity("one")))
    for address in (reverse("admin:index"), INBOX, reverse("admin:core_legalentity_changelist")):
        assert 'aria-label="Inbox, 1 waiting"' in client.get(address).content.decode()
    state = client.get("/desk/pages/work/inbox/state/")
    assert state.json() == {"waiting": 1}
    assert "no-store" in state.headers["Cache-Control"]


def test_what_is_done_at_once_with_many_touches_only_ones_own(world: dict[str, WorkItem], client: Browser) -> None:
    user = person("finance", make_entity("one"), name="ann")
    log_in(client, user)
    everything = [item.pk for item in world.values()]

    client.post(INBOX, {"items": [*everything, "abc", "99999999999999999999", "-1"], "act": "take"})
    assert {item.title: item.owner_id for item in WorkItem.objects.all()} == {
        "Ours": user.pk, "Foreign thing": None, "Dealing thing": None,
    }  # fmt: skip
    answer = client.post(INBOX, {"items": everything, "act": "close", "resolution": " "}, follow=True)
    assert "Say what was done." in answer.content.decode()
    assert not WorkItem.objects.filter(state="closed").exists()
    client.post(INBOX, {"items": everything, "act": "close", "resolution": "Done."})
    assert list(WorkItem.objects.filter(state="closed").values_list("title", flat=True)) == ["Ours"]


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example/", "/desk/pages/work/inbox.evil/", "javascript:1"]
)
def test_the_way_back_never_leads_outside(back: str, client: Browser) -> None:
    log_in(client, person("finance", make_entity("one")))
    answer = client.post(INBOX, {"items": [], "act": "take", "back": back})
    assert answer.headers["Location"] == INBOX


def test_an_auditor_reads_and_changes_nothing(client: Browser) -> None:
    log_in(client, person("auditor", make_entity("one")))
    assert client.get(INBOX).status_code == 200
    assert client.post(INBOX, {"items": ["1"], "act": "take"}).status_code == 403


def test_a_page_of_an_item_offers_what_fits_its_state(world: dict[str, WorkItem], client: Browser) -> None:
    log_in(client, person("finance", make_entity("one"), name="ann"))
    item = world["own"]
    assert client.post(item_url(item, "take")).status_code == 302
    page = client.get(item_url(item)).content.decode()
    assert item_url(item, "put-back") in page
    assert item_url(item, "take") not in page
    client.post(item_url(item, "comment"), {"text": "<script>alert(1)</script> seen"})
    page = client.get(item_url(item)).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; seen" in page
    assert "<script>alert(1)" not in page
    form = {"resolution": "Booked.", "confirmed": "yes"}
    assert client.post(item_url(item, "close"), form).status_code == 302
    page = client.get(item_url(item)).content.decode()
    assert "Booked. — ann@house.test" in page
    assert item_url(item, "reopen") in page


def test_a_mute_through_the_desk_says_until_when_and_is_found(world: dict[str, WorkItem], client: Browser) -> None:
    log_in(client, person("finance", make_entity("one"), name="ann"))
    until = (clock.now() + timedelta(days=2)).date().isoformat()
    form = {"until": until, "reason": "Known.", "confirmed": "yes"}
    client.post(item_url(world["own"], "mute"), {**form, "reason": ""})
    assert not WorkItemMute.objects.exists()
    assert client.post(item_url(world["own"], "mute"), form).status_code == 302
    mute = WorkItemMute.objects.get()
    assert (mute.kind, mute.group_key, mute.entity, mute.until.date().isoformat()) == (
        ALARM, "own", make_entity("one"), until,
    )  # fmt: skip
    assert "Ours" not in client.get(INBOX).content.decode()
    assert "Ours" in client.get(f"{INBOX}?tab=all&only=muted").content.decode()
    assert "1 muted" in client.get(INBOX).content.decode()
    # A colleague of the other entity sees neither the mute nor its page
    log_in(client, person("finance", make_entity("two"), name="bob"))
    assert "Known." not in client.get(reverse("admin:core_workitemmute_changelist")).content.decode()
    ending = reverse("admin:core_workitemmute_end", args=[mute.pk])
    assert client.post(ending, {"reason": "x", "confirmed": "yes"}).status_code == 404


def test_a_whole_kind_is_muted_for_ones_own_entity_only(world: dict[str, WorkItem], client: Browser) -> None:
    one = make_entity("one")
    log_in(client, person("finance", one, name="ann"))
    address = reverse("admin:core_workitemmute_mute-kind")
    form: dict[str, Any] = {
        "kind": ALARM, "until": (clock.now() + timedelta(days=2)).date().isoformat(), "reason": "x", "confirmed": "yes",
    }  # fmt: skip
    for wrong in ({"entity": ""}, {"entity": make_entity("two").pk}, {"entity": one.pk, "kind": FLAPPING}):
        assert client.post(address, {**form, **wrong}).status_code == 400
    assert not WorkItemMute.objects.exists()
    assert client.post(address, {**form, "entity": one.pk}).status_code == 302
    assert WorkItemMute.objects.get().entity == one


def test_each_person_says_how_they_are_told(client: Browser) -> None:
    user = person("finance", make_entity("one"), name="ann")
    log_in(client, user)
    assert "data-sound" not in client.get(INBOX).content.decode()
    client.post("/desk/pages/work/delivery/", {"plays_sound": "on", "mail_from": ""})
    kept = WorkDelivery.objects.get()
    assert (kept.user, kept.plays_sound, kept.mail_from) == (user, True, None)
    assert "data-sound" in client.get(INBOX).content.decode()


# Switches


def test_a_stop_stands_on_every_page_of_its_entity_with_reason_who_and_since(client: Browser) -> None:
    one, two = make_entity("one"), make_entity("two")
    ann = person("finance", one, name="ann")
    log_in(client, ann)
    form = {"switch": "withdrawals", "entity": one.pk, "reason": "The bank <b>is</b> down.", "confirmed": "yes"}
    assert client.post("/desk/pages/work/stop/", form).status_code == 302
    stop = SwitchStop.objects.get()
    line = f"since {stop.stopped_at:%Y-%m-%d %H:%M} UTC by ann@house.test: The bank &lt;b&gt;is&lt;/b&gt; down."

    for role in ("sales", "auditor"):
        log_in(client, person(role, one))
        for address in (reverse("admin:index"), INBOX, reverse("admin:core_legalentity_changelist")):
            page = client.get(address).content.decode()
            assert "Withdrawals stopped" in page
            assert line in page
    log_in(client, person("finance", two, name="bob"))
    assert "Withdrawals stopped" not in client.get(reverse("admin:index")).content.decode()
    assert "The bank" not in client.get(reverse("admin:core_switchstop_changelist")).content.decode()
    assert client.get(reverse("admin:core_switchstop_change", args=[stop.pk])).status_code in {302, 404}


def test_a_stop_and_its_end_through_the_desk_obey_role_entity_and_second_person(client: Browser) -> None:
    one, two = make_entity("one"), make_entity("two")
    form = {"switch": "withdrawals", "entity": one.pk, "reason": "x", "confirmed": "yes"}
    for role, entity in (("sales", one), ("auditor", one), ("finance", two)):
        log_in(client, person(role, entity, name=f"{role}-{entity.code}"))
        assert client.post("/desk/pages/work/stop/", form).status_code == 400
    assert not SwitchStop.objects.exists()

    ann = person("finance", one, name="ann")
    log_in(client, ann)
    assert client.post("/desk/pages/work/stop/", {**form, "entity": "all"}).status_code == 400
    client.post("/desk/pages/work/stop/", form)
    ending = {"stop": SwitchStop.objects.get().pk, "reason": "Back.", "confirmed": "yes"}
    assert "Another person lets it go on" in client.get("/desk/pages/work/switches/").content.decode()
    assert client.post("/desk/pages/work/resume/", ending).status_code == 400
    log_in(client, person("finance", two, name="carl"))
    assert client.post("/desk/pages/work/resume/", ending).status_code == 400
    assert switches.is_stopped(Switch.WITHDRAWALS, entity_id=one.pk)
    log_in(client, person("compliance", one, name="dora"))
    assert client.post("/desk/pages/work/resume/", ending).status_code == 302
    assert not switches.is_stopped(Switch.WITHDRAWALS, entity_id=one.pk)


def test_a_link_with_nonsense_in_it_is_no_error(client: Browser) -> None:
    log_in(client, make_actor_user())
    for address in (
        "/desk/pages/work/stop/?switch=coffee&entity=abc",
        "/desk/pages/work/resume/?stop=abc",
        "/desk/pages/work/resume/?stop=99999999999999999999",
        f"{INBOX}?tab=nothing&severity=x&kind=y&state=z&page=abc",
        f"{INBOX}?tab=all&severity=99&only=nothing",
    ):
        assert client.get(address).status_code == 200


def make_actor_user() -> Any:
    """An administrator of the only entity."""
    user = person("administrator", make_entity("one"))
    assert make_actor(user).is_staff
    return user
