"""Registers FIX drop copies as a kind of connector."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.fix.drop_copy import DropCopyGateway, Peer
from platform_ops.gateways.fix.framing import original_of
from platform_ops.gateways.fix.messages import FixMessage
from platform_ops.gateways.fix.session import Terms
from platform_ops.gateways.registry import ConnectionSettings, Options, checked_options, register_connector
from platform_ops.rules.executions import reports_of

KIND = "fix_drop_copy"
OURS, THEIRS = "ours", "theirs"
MAX_SYMBOLS = 2_000
MAX_CERTIFICATE = 20_000
MAX_COMP_ID = 64
HEARTBEATS = (5, 300)

_COMP_ID = re.compile(r"[!-~]{1,64}")
_KNOWN: dict[str, tuple[type, Any]] = {
    "provider": (str, ""),
    "sender_comp_id": (str, ""),
    "target_comp_id": (str, ""),
    "heartbeat_seconds": (int, 30),
    "resets_on_logon": (bool, False),
    "side": (str, OURS),
    "symbols": (dict, {}),
    "tls": (bool, False),
    "tls_name": (str, ""),
    "tls_ca": (str, ""),
}


@dataclass(frozen=True, slots=True)
class ProviderName:
    """An instrument as the provider names it: the text of tag 55, or a number (48) with its source (22)."""

    id_source: str
    name: str


def register() -> None:
    """Adds the kind; called once when the application starts."""
    register_connector(KIND, build, check_options)


def check_options(options: Mapping[str, Any]) -> Options:
    """The options whole. `provider`: code of the liquidity provider. `sender_comp_id`: who we are to it (49 of what we
    send), `target_comp_id`: who it is. `side`: whether tag 54 states the house's side or the provider's own. `symbols`:
    its names by house symbol, as `{"4001/8": "EURUSD"}` (number/source) or `{"EUR/USD": "EURUSD"}`.
    """
    whole = checked_options(options, known=_KNOWN)
    if not whole["provider"].strip():
        _refuse("The option provider names the liquidity provider whose executions come in.", "provider", "")
    for name in ("sender_comp_id", "target_comp_id"):
        if not _COMP_ID.fullmatch(whole[name]) or "=" in whole[name] or "|" in whole[name]:
            _refuse(f"The option {name} is 1 to {MAX_COMP_ID} signs without blanks, = and |.", name, whole[name])
    if whole["sender_comp_id"] == whole["target_comp_id"]:
        _refuse("sender_comp_id is who we are, target_comp_id who the provider is: they differ.", "target_comp_id", "")
    if not HEARTBEATS[0] <= whole["heartbeat_seconds"] <= HEARTBEATS[1]:
        _refuse(
            f"Heartbeats come every {HEARTBEATS[0]} to {HEARTBEATS[1]} seconds.",
            "heartbeat_seconds",
            whole["heartbeat_seconds"],
        )
    if whole["side"] not in (OURS, THEIRS):
        _refuse("The option side is ours or theirs: whose side tag 54 states.", "side", whole["side"])
    _check_tls(whole)
    provider_names(whole["symbols"])
    return whole


def provider_names(symbols: object) -> dict[ProviderName, str]:
    """The house's symbol by the provider's name. Raises InvalidInput."""
    if not isinstance(symbols, Mapping) or len(symbols) > MAX_SYMBOLS:
        _refuse(f"The option symbols holds at most {MAX_SYMBOLS:,} names.", "symbols", "")
    found: dict[ProviderName, str] = {}
    for name, code in symbols.items():
        if not (isinstance(name, str) and isinstance(code, str) and 1 <= len(name) <= 64 and 1 <= len(code) <= 40):
            _refuse("The option symbols gives the house's symbol by the provider's name.", "symbols", name)
        number, slash, source = name.rpartition("/")
        is_numbered = bool(slash) and number.isdecimal() and 1 <= len(source) <= 2
        key = ProviderName(source, number) if is_numbered else ProviderName("", name)
        found[key] = code
    return found


def _check_tls(whole: Options) -> None:
    if not whole["tls_ca"]:
        return
    if len(whole["tls_ca"]) > MAX_CERTIFICATE:
        _refuse("The option tls_ca is one certificate.", "tls_ca", "")
    try:
        ssl.create_default_context().load_verify_locations(cadata=whole["tls_ca"])
    except (ssl.SSLError, ValueError):
        _refuse("The option tls_ca is a certificate in PEM form.", "tls_ca", whole["tls_ca"][:40])


def build(settings: ConnectionSettings) -> DropCopyGateway:
    """A connector that connects when it is first followed."""
    options = check_options(settings.options)
    return DropCopyGateway(
        peer=Peer(
            server=settings.server,
            host=settings.host,
            port=settings.port,
            uses_tls=options["tls"],
            tls_name=options["tls_name"],
            ca=options["tls_ca"],
        ),
        terms=Terms(
            sender=options["sender_comp_id"],
            target=options["target_comp_id"],
            username=settings.login,
            password=settings.password,
            heartbeat=options["heartbeat_seconds"],
            resets_on_logon=options["resets_on_logon"],
        ),
        check=check_message,
    )


def check_message(message: FixMessage) -> None:
    """Raises GatewayGarbled for a message that could not be kept or understood."""
    told = original_of(message)
    _ = told.sent_at, told.sequence
    reports_of(told)


def _refuse(problem: str, name: str, value: object) -> NoReturn:
    raise InvalidInput(problem, field="options", value=f"{name}={value!r}"[:200])
