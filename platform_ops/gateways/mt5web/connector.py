"""Registers the Web API as a kind of connector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.mt5web.client import Mt5WebGateway
from platform_ops.gateways.mt5web.connection import Limits, Peer
from platform_ops.gateways.registry import ConnectionSettings, Options, checked_options, register_connector

KIND = "mt5_web"
MAX_SECONDS = 300


def register() -> None:
    """Adds the kind; called once when the application starts."""
    register_connector(KIND, build, check_options)


def check_options(options: Mapping[str, Any]) -> Options:
    """`batches`: ask for many accounts at once where the server can. `answer_seconds`: how long an answer may take."""
    whole = checked_options(options, known={"batches": (bool, True), "answer_seconds": (int, 30)})
    if not 1 <= whole["answer_seconds"] <= MAX_SECONDS:
        raise InvalidInput(f"An answer may take 1 to {MAX_SECONDS} seconds.", field="options", value="answer_seconds")
    return whole


def build(settings: ConnectionSettings) -> Mt5WebGateway:
    """A connector that connects with its first command."""
    options = check_options(settings.options)
    peer = Peer(
        server=settings.server,
        host=settings.host,
        port=settings.port,
        login=settings.login,
        password=settings.password,
        limits=Limits(answer_seconds=float(options["answer_seconds"])),
    )
    return Mt5WebGateway(peer=peer, zone=settings.zone, asks_batches=options["batches"])
