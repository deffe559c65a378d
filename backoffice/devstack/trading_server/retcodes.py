"""The return codes that the server gives, and the refusal that carries one."""

from __future__ import annotations

OK = 0
PARAMETERS = 3
DATA = 4
PERMISSIONS = 8
NOT_FOUND = 13
TOO_FREQUENT = 12
DUPLICATE = 17
AUTH_TERMINAL = 1000
AUTH_ACCOUNT = 1001
AUTH_DISABLED = 1002
USER_LOGIN_EXISTS = 3004
USER_PASSWORD = 3006
USER_HAS_TRADES = 3008
USER_OTHER_SERVER = 3009
USER_OTHER_CURRENCY = 3010
TRADE_DONE = 10009
TRADE_REQUOTE = 10004
TRADE_REJECT = 10006
TRADE_INVALID = 10013
TRADE_VOLUME = 10014
TRADE_DISABLED = 10017
TRADE_MARKET_CLOSED = 10018
TRADE_NO_MONEY = 10019
TRADE_NO_PRICES = 10021
TRADE_LIMIT_VOLUME = 10034
TRADE_CLOSED_POSITION = 10036
TRADE_CLOSE_ONLY = 10044

TEXT = {
    OK: "Done",
    PARAMETERS: "Invalid parameters",
    DATA: "Invalid data",
    PERMISSIONS: "Not enough permissions",
    NOT_FOUND: "Not found",
    TOO_FREQUENT: "Too frequent requests",
    DUPLICATE: "Duplicate data",
    AUTH_TERMINAL: "Invalid terminal type",
    AUTH_ACCOUNT: "Invalid account",
    AUTH_DISABLED: "Account disabled",
    USER_LOGIN_EXISTS: "Login already exists",
    USER_PASSWORD: "Invalid password",
    USER_HAS_TRADES: "Account has open trades",
    USER_OTHER_SERVER: "Group is on another server",
    USER_OTHER_CURRENCY: "Group has another currency",
    TRADE_DONE: "Request completed",
    TRADE_REQUOTE: "Requote",
    TRADE_REJECT: "Request rejected",
    TRADE_INVALID: "Invalid request",
    TRADE_VOLUME: "Invalid volume",
    TRADE_DISABLED: "Trade disabled",
    TRADE_MARKET_CLOSED: "Market closed",
    TRADE_NO_MONEY: "Not enough money",
    TRADE_NO_PRICES: "No prices",
    TRADE_LIMIT_VOLUME: "Volume limit reached",
    TRADE_CLOSED_POSITION: "Position is closed",
    TRADE_CLOSE_ONLY: "Close only",
}


class Refused(Exception):  # noqa: N818 - an answer, not a failure of the server
    """A command that the server understood and refuses."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(text or TEXT[code])
        self.code = code
        self.text = text or TEXT[code]


def status(code: int, text: str = "") -> str:
    """A return code as it travels: `0 Done`."""
    return f"{code} {text or TEXT[code]}"
