"""The events that other systems may hear of: which topics there are, in which version, and what each one says.

A desk registers its topics in `AppConfig.ready()`:

    register_public_topic(
        "funding.deposit_received", 1, describe_deposit, SCHEMA,
        title="Deposit received", capability="funding.view_ledger",
    )

`describe(payload)` is given what stands in the outbox and answers what the world is told: public ids, amounts as decimal
text, and under `entity` the primary key of the legal entity it belongs to; a list of such answers for what concerns
several entities, each told its own part; None for what is nobody else's business.
*capability* is what a reader must hold. A change that would break a reader is a new version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backoffice.core.services import outbox
from backoffice.kernel.registry import Registry

Described = dict[str, Any] | list[dict[str, Any]] | None
Describe = Callable[[dict[str, Any]], Described]
SUBSCRIBER = "core.public_events"


@dataclass(frozen=True, slots=True)
class PublicTopic:
    """A topic that other systems may hear of."""

    topic: str
    version: int
    describe: Describe
    schema: dict[str, Any]
    title: str
    capability: str


_topics: Registry[PublicTopic] = Registry("public topics")


def register_public_topic(
    topic: str,
    version: int,
    describe: Describe,
    schema: dict[str, Any],
    *,
    title: str = "",
    capability: str = "core.read_events",
) -> None:
    """Opens a topic of the outbox to other systems. *schema* is the JSON schema of `describe`'s answer without `entity`."""
    from backoffice.core.services.public_events import on_event

    _topics.register(
        topic,
        PublicTopic(
            topic=topic,
            version=version,
            describe=describe,
            schema=schema,
            title=title or topic.rpartition(".")[2].replace("_", " ").capitalize(),
            capability=capability,
        ),
    )
    outbox.subscribe(topic, SUBSCRIBER, on_event)


def public_topics() -> list[PublicTopic]:
    """Every public topic, in the order of registration."""
    return [item for _, item in _topics.items()]


def find_public_topic(topic: str) -> PublicTopic | None:
    """The topic of a name, if it is public."""
    return next((item for item in public_topics() if item.topic == topic), None)


def object_schema(**properties: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object that has exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


TEXT = {"type": "string"}
TEXT_OR_NULL = {"type": ["string", "null"]}
ID = {"type": "string", "format": "uuid"}
ID_OR_NULL = {"type": ["string", "null"], "format": "uuid"}
NUMBER = {"type": "integer"}
AMOUNT = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
DAY = {"type": "string", "format": "date"}
