"""What the demo's simulated liquidity provider starts from, and how the product is told to reach it."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from backoffice.core.types import Actor
from backoffice.kernel import clock
from platform_ops.models import LiquidityProvider, ServerConnection, TradingServer
from platform_ops.services.catalogue import register_server
from platform_ops.services.connections import ConnectionTerms, save_connection

PROVIDER_CODE = "prime-lp"
SERVER_CODE, SERVER_NAME = "PRIME-LP", "Drop copy of Prime LP"
HOUSE = "BROKER"
USER = "broker-drop-copy"
HOST = "127.0.0.1"
HEARTBEAT_SECONDS = 10
STATED_EVERY_SECONDS = 2
DESCRIPTION = "provider.json"


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the provider takes orders in the demo."""

    host: str
    port: int


def prepare(*, folder: Path, port: int) -> Path | None:
    """Writes the provider's description and connects the product to it; None without the demo's provider."""
    provider = LiquidityProvider.objects.filter(code=PROVIDER_CODE).first()
    if provider is None:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    description = folder / DESCRIPTION
    known = json.loads(description.read_text(encoding="utf-8")) if description.exists() else {}
    password = known.get("password") or secrets.token_urlsafe(18)
    plan = {
        "comp_id": provider.comp_id, "house": HOUSE, "username": USER, "password": password, "host": HOST, "port": port,
        "control_port": port + 1, "memory": str(folder / "memory.jsonl"),
    }  # fmt: skip
    fresh = description.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(plan, indent=1), encoding="utf-8")
    fresh.replace(description)
    _connect(provider, port, password)
    return description


def desk_of_the_demo() -> Desk | None:
    """Where orders are given; another start may have put it elsewhere. It stands beside the session's port."""
    found = ServerConnection.objects.filter(server__code=SERVER_CODE, is_enabled=True).first()
    return None if found is None or found.port is None else Desk(found.host, found.port + 1)


def _connect(provider: LiquidityProvider, port: int, password: str) -> None:
    actor = Actor.system("drop_copy_provider")
    server = register_server(
        entity_id=provider.entity_id,
        code=SERVER_CODE,
        name=SERVER_NAME,
        platform=TradingServer.Platform.OTHER,
        zone="UTC",
        actor=actor,
    )
    found = ServerConnection.objects.filter(server=server).first()
    if found is not None and (found.port, found.password) == (port, password):
        return
    save_connection(
        server_id=server.pk,
        terms=ConnectionTerms(
            kind=ServerConnection.Kind.FIX_DROP_COPY,
            host=HOST,
            port=port,
            login=USER,
            password=password,
            options={
                "provider": provider.code,
                "sender_comp_id": HOUSE,
                "target_comp_id": provider.comp_id,
                "heartbeat_seconds": HEARTBEAT_SECONDS,
            },
            interval_seconds=STATED_EVERY_SECONDS,
            syncs_orders=False,
            started_at=found.started_at if found is not None else clock.now(),
        ),
        actor=actor,
        reason="The demo's simulated provider",
    )
