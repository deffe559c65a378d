"""Streams: who may open one, what comes through it, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection, connections, transaction

from backoffice.core.models import User
from backoffice.core.services import sessions, users
from backoffice.core.streams import announce
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.streams.application import Limits
from backoffice.streams.frames import MAX_QUEUED, Subscription, make_frame, parse_positions
from risk.services.exposure import calculate_exposure
from tests.logins import make_entity, make_user
from tests.streams.wire import session_of, streams

pytestmark = pytest.mark.django_db(transaction=True)

SYSTEM = Actor.system("test")


def in_thread(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same in a thread of its own, whose database connection does not outlive it."""

    def closing(*arguments: Any, **named: Any) -> Any:
        try:
            return work(*arguments, **named)
        finally:
            connections.close_all()

    return sync_to_async(closing, thread_sensitive=False)


def _dealer(email: str = "dealer@example.com", *codes: str) -> User:
    return make_user(email, "dealing", entities=tuple(make_entity(code) for code in codes or ("nova",)))


def _announce(channel: str, **data: Any) -> None:
    announce(channel=channel, event="work", data=data)


def test_a_stream_begins_with_a_snapshot_and_goes_on_with_what_is_announced() -> None:
    # given a dealer of an entity whose exposure was calculated
    entity, user = make_entity(), _dealer()
    run = calculate_exposure(entity_id=entity.pk, actor=SYSTEM)
    key = session_of(user)

    async def scene() -> tuple[list[tuple[str, Any]], str, int]:
        async with streams() as (_, open_stream):
            # when they watch, and it is calculated again
            stream = await open_stream(key, f"exposure:{entity.pk}")
            await stream.until(lambda each: each.named("exposure"))
            again = await in_thread(calculate_exposure)(entity_id=entity.pk, actor=SYSTEM)
            await stream.until(lambda each: len(each.named("exposure")) == 2)
            return stream.events, stream.last_id, again.pk

    events, last_id, second = asyncio.run(scene())
    # then the state comes first, then the hint, then the new state, and the position is the run's
    assert [name for name, _ in events] == ["state", "exposure", "calculated", "exposure"]
    assert events[0][1] == {"live": True}
    assert "risk-symbols" in events[1][1]["data"]["html"]
    assert second > run.pk
    assert last_id == f"exposure:{entity.pk}@{second}"


def test_who_comes_back_with_the_last_position_gets_no_snapshot_and_who_missed_something_does() -> None:
    entity, user = make_entity(), _dealer()
    first = calculate_exposure(entity_id=entity.pk, actor=SYSTEM)
    second = calculate_exposure(entity_id=entity.pk, actor=SYSTEM)
    channel, key = f"exposure:{entity.pk}", session_of(user)

    async def scene() -> tuple[int, int]:
        async with streams() as (_, open_stream):
            current = await open_stream(key, channel, last=f"{channel}@{second.pk}")
            behind = await open_stream(key, channel, last=f"{channel}@{first.pk}")
            await behind.until(lambda each: each.named("exposure"))
            await current.until(lambda each: each.named("state"))
            return len(current.named("exposure")), len(behind.named("exposure"))

    assert asyncio.run(scene()) == (0, 1)


def test_only_what_is_committed_is_announced() -> None:
    user = _dealer()
    key = session_of(user)

    def roll_back() -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            _announce(f"desk:{user.pk}", number=1)
            raise ZeroDivisionError

    async def scene() -> list[Any]:
        async with streams() as (_, open_stream):
            stream = await open_stream(key, f"desk:{user.pk}")
            await stream.until(lambda each: each.named("badge"))
            await in_thread(roll_back)()
            await in_thread(_announce)(f"desk:{user.pk}", number=2)
            await stream.until(lambda each: each.named("work"))
            return stream.named("work")

    assert [each["data"] for each in asyncio.run(scene())] == [{"number": 2}]


def test_a_stream_opens_only_with_session_second_factor_capability_and_entity() -> None:
    # given people who lack one thing each
    entity, elsewhere = make_entity(), make_entity("other")
    exposure = f"exposure:{entity.pk}"

    def someone(name: str, role: str = "dealing", of: object = entity) -> User:
        return make_user(f"{name}@example.com", role, entities=(of,))  # type: ignore[arg-type]

    closed, curious = someone("closed"), someone("curious")
    closed_key = session_of(closed)
    User.objects.filter(pk=closed.pk).update(is_active=False)
    asked = {
        "nobody": ("a" * 32, exposure, 401),
        "password only": (session_of(someone("hasty"), second_factor=False), exposure, 401),
        "closed login": (closed_key, exposure, 401),
        "another role": (session_of(someone("marketer", "marketing")), exposure, 403),
        "another entity": (session_of(someone("stranger", of=elsewhere)), exposure, 403),
        "another's desk": (session_of(curious), f"desk:{curious.pk + 1}", 403),
        "a trader": (session_of(someone("trader", "trader")), exposure, 403),
        "one of two refused": (session_of(curious), f"{exposure},exposure:{elsewhere.pk}", 403),
        "no such channel": (session_of(curious), "ledger:1", 400),
        "no channel": (session_of(curious), "", 400),
        "too many": (session_of(curious), ",".join(f"exposure:{number}" for number in range(20)), 400),
    }

    async def scene() -> dict[str, tuple[int, str]]:
        async with streams() as (app, open_stream):
            found = {}
            for who, (key, channels, _) in asked.items():
                # when they open a stream
                stream = await open_stream(key, channels)
                await stream.until(lambda each: each.is_closed)
                found[who] = (stream.status, stream.headers["content-type"])
            assert app.hub.figures()["streams"] == 0
            return found

    # then it is refused, as every other door would
    expected = {who: (status, "application/problem+json") for who, (_, _, status) in asked.items()}
    assert asyncio.run(scene()) == expected


ENDINGS = ["session ended", "login closed", "role removed", "entity removed", "password changed", "session expired"]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_stream_ends_when_what_opened_it_ends(is_told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # given open streams; told: the change is announced, else only the periodic check can find it
    entity = make_entity()
    make_user("admin@example.com", "administrator", entities=(entity,))
    people = {how: _dealer(f"dealer{number}@example.com") for number, how in enumerate(ENDINGS)}
    keys = {how: session_of(user) for how, user in people.items()}
    bystander = session_of(_dealer("bystander@example.com"))
    if not is_told:
        for module in (sessions, users):
            monkeypatch.setattr(module, "announce_access_changed", lambda user_id: None)

    def change(how: str) -> None:
        user = people[how]
        if how == "session ended":
            sessions.end_sessions_of(user_id=user.pk, actor=SYSTEM, reason="lost laptop")
        elif how == "login closed":
            users.set_active(user_id=user.pk, active=False, actor=SYSTEM, reason="leaves")
        elif how in {"role removed", "entity removed"}:
            roles, codes = (["marketing"], ["nova"]) if how == "role removed" else (["dealing"], [])
            users.change_access(user_id=user.pk, roles=roles, entity_codes=codes, actor=SYSTEM, reason="moves")
        elif how == "password changed":
            user.set_password("another good password")
            user.save()
            sessions.announce_access_changed(user.pk)
        else:
            Session.objects.filter(session_key=keys[how]).update(expire_date=clock.now())
            sessions.announce_access_changed(user.pk)

    async def scene() -> dict[str, str]:
        found = {}
        async with streams(check_seconds=60.0 if is_told else 0.05) as (app, open_stream):
            staying = await open_stream(bystander, f"exposure:{entity.pk}")
            for how in ENDINGS:
                stream = await open_stream(keys[how], f"exposure:{entity.pk}")
                await stream.until(lambda each: each.named("state"))
                # when it changes
                await in_thread(change)(how)
                await stream.until(lambda each: each.is_closed)
                found[how] = stream.named("end")[0]["reason"]
            assert not staying.is_closed
            assert app.hub.figures()["streams"] == 1
        return found

    # then the stream says so and ends, and nobody else's does
    assert asyncio.run(scene()) == {
        "session ended": "session",
        "login closed": "session",
        "role removed": "access",
        "entity removed": "access",
        "password changed": "session",
        "session expired": "session",
    }


def test_no_stream_holds_a_database_connection() -> None:
    # given a dozen open streams
    entity, user = make_entity(), _dealer()
    keys = [session_of(user) for _ in range(6)]

    def others() -> int:
        """Connections to this database beside the asking one and the test's own."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND pid <> %s",
                [own],
            )
            return int(cursor.fetchone()[0])

    own = connection.connection.info.backend_pid
    found: list[int] = []

    async def scene() -> None:
        async with streams() as (app, open_stream):
            opened = [await open_stream(key, f"exposure:{entity.pk}", f"desk:{user.pk}") for key in keys * 2]
            for stream in opened:
                await stream.until(lambda each: each.named("badge"))
            await in_thread(calculate_exposure)(entity_id=entity.pk, actor=SYSTEM)
            for stream in opened:
                await stream.until(lambda each: each.named("exposure"))
            await app.hub.check([])
            assert app.hub.figures()["streams"] == 12
            # A backend that was told to go needs a moment to be gone.
            for _ in range(100):
                found.append(await in_thread(others)())
                if found[-1] == 0:
                    return
                await asyncio.sleep(0.02)

    asyncio.run(scene())
    # then none of them has one: those of the threads were given back
    assert found[-1] == 0


def test_a_process_that_is_full_says_when_to_come_back_and_a_person_has_a_share() -> None:
    user, other = _dealer(), _dealer("second@example.com")
    key, other_key = session_of(user), session_of(other)

    async def scene() -> list[tuple[int, str]]:
        async with streams(limits=Limits(streams=3, streams_of_a_person=2)) as (_, open_stream):
            answers = []
            for owner, session_key in ((user, key), (user, key), (user, key), (other, other_key), (other, other_key)):
                stream = await open_stream(session_key, f"desk:{owner.pk}")
                answers.append((stream.status, stream.headers.get("retry-after", "")))
            return answers

    # the third of one person is refused for the person, the second of the other because the process is full
    assert asyncio.run(scene()) == [(200, ""), (200, ""), (503, "15"), (200, ""), (503, "15")]


def _last_number(each: Any) -> int:
    said = each.named("work")
    return int(said[-1]["data"]["number"]) if said else -1


def test_a_client_that_takes_nothing_costs_a_bounded_queue_and_is_given_a_new_snapshot() -> None:
    # given a client that does not read
    user = _dealer()
    key = session_of(user)
    channel = f"desk:{user.pk}"

    part = MAX_QUEUED // 2

    def flood(first: int) -> None:
        for number in range(first, first + part):
            _announce(channel, number=number)

    async def scene() -> list[str]:
        async with streams() as (app, open_stream):
            slow = await open_stream(key, channel, is_slow=True)
            quick = await open_stream(key, channel)
            await quick.until(lambda each: each.named("badge"))
            # when far more is announced than may wait, at a pace that a client who reads can follow
            for first in range(0, MAX_QUEUED * 3, part):
                await in_thread(flood)(first)
                last = first + part - 1
                await quick.until(lambda each, last=last: _last_number(each) == last)
            longest = max(len(place.queue) for place in app.hub._everybody)
            assert longest <= MAX_QUEUED
            # and then it reads again
            slow.takes.set()
            await slow.until(lambda each: each.named("resync"))
            await slow.until(lambda each: each.events[-1][0] != "resync")
            return [name for name, _ in slow.events]

    # then it missed what was dropped, was told so, and has the present state
    names = asyncio.run(scene())
    assert "badge" in names[names.index("resync") :]


def test_a_client_that_never_reads_again_is_dropped() -> None:
    user = _dealer()
    key = session_of(user)

    async def scene() -> int:
        async with streams(limits=Limits(slowest_send=0.2)) as (app, open_stream):
            stream = await open_stream(key, f"desk:{user.pk}", is_slow=True)
            assert stream.task is not None
            await asyncio.wait_for(stream.task, 5)
            return int(app.hub.figures()["streams"])

    assert asyncio.run(scene()) == 0


def test_silence_is_filled_so_that_nobody_takes_the_line_for_dead() -> None:
    user = _dealer()
    key = session_of(user)

    async def scene() -> str:
        async with streams(limits=Limits(keep_alive=0.05)) as (_, open_stream):
            stream = await open_stream(key, f"desk:{user.pk}")
            await stream.until(lambda each: each.text.count(": keep-alive") >= 2)
            return stream.headers["content-type"]

    assert asyncio.run(scene()).startswith("text/event-stream")


def test_emptying_valkey_ends_nothing_and_a_lost_connection_brings_a_new_snapshot() -> None:
    # given an open stream
    user = _dealer()
    key = session_of(user)
    valkey = redis.Redis.from_url(settings.CACHE_URL)

    def cut() -> None:
        for client in valkey.client_list(_type="pubsub"):
            if int(client["db"]) == valkey.connection_pool.connection_kwargs.get("db", 0):
                valkey.client_kill_filter(_id=client["id"])

    async def scene() -> list[tuple[str, Any]]:
        async with streams() as (_, open_stream):
            stream = await open_stream(key, f"desk:{user.pk}")
            await stream.until(lambda each: each.named("badge"))
            # when everything in Valkey is deleted
            await in_thread(valkey.flushdb)()
            await in_thread(_announce)(f"desk:{user.pk}", number=1)
            await stream.until(lambda each: each.named("work"))
            # and when the subscription is cut off
            await in_thread(cut)()
            await stream.until(lambda each: each.named("resync"))
            await stream.until(lambda each: each.events[-1][0] == "badge")
            await in_thread(_announce)(f"desk:{user.pk}", number=2)
            await stream.until(lambda each: len(each.named("work")) == 2)
            return stream.events

    events = asyncio.run(scene())
    # then it went on both times, said meanwhile that it was not live, and began again with the present state
    assert [data["live"] for name, data in events if name == "state"][-1] is True
    assert [name for name, _ in events].count("resync") == 1
    assert events[-1][0] in {"work", "badge"}


def test_pages_of_other_sites_get_nothing() -> None:
    user = _dealer()
    key = session_of(user)

    async def scene() -> list[int]:
        async with streams() as (_, open_stream):
            strangers = [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example"}]
            opened = [await open_stream(key, f"desk:{user.pk}", headers=headers) for headers in strangers]
            return [stream.status for stream in opened]

    assert asyncio.run(scene()) == [403, 403, 400]


def test_a_trusted_origin_may_read_with_cookies_and_no_other(settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["http://localhost:8000"]
    user = _dealer()
    key = session_of(user)

    async def scene() -> dict[str, str]:
        async with streams() as (_, open_stream):
            return (await open_stream(key, f"desk:{user.pk}", headers={"origin": "http://localhost:8000"})).headers

    headers = asyncio.run(scene())
    assert headers["access-control-allow-origin"] == "http://localhost:8000"
    assert headers["access-control-allow-credentials"] == "true"


def test_positions_are_read_as_far_as_they_make_sense() -> None:
    assert parse_positions("exposure:3@12, desk:5@9,nonsense,exposure:4@x,@1") == {"exposure:3": 12, "desk:5": 9}
    assert parse_positions("x:1@1," * 100) == {"x:1": 1}


def test_what_is_older_than_the_snapshot_is_not_sent_again() -> None:
    place = Subscription("key", 1, ("exposure:3",))
    place.stamped(make_frame(channel="exposure:3", event="exposure", data={}, position=10))
    for position in (9, 10, 11):
        place.offer(make_frame(channel="exposure:3", event="exposure", data={"run": position}, position=position))
    sent = place.take().decode()
    assert sent.count("event:") == 1
    assert '"run":11' in sent
    assert "id: exposure:3@11\n" in sent
