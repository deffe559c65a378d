"""What the server's numbers mean, and which of our errors each of them is. Pure."""

from __future__ import annotations

import re
from enum import StrEnum

OK = 0
OK_NONE = 1
NOT_FOUND = 13
HAS_OPEN_TRADES = 3008
OTHER_SERVER = 3009
OTHER_CURRENCY = 3010
INVALID_PASSWORD = 3006

_MEANINGS = {
    0: "done",
    1: "done, no data",
    2: "the server failed in general",
    3: "a parameter is invalid",
    4: "the data are invalid",
    5: "the server's disk failed",
    6: "the server is out of memory",
    7: "the server's network failed",
    8: "the manager's login may not do this",
    9: "the server ran out of time",
    10: "the server is not connected",
    11: "the service is not available",
    12: "requests come too fast",
    13: "not found",
    14: "only a part was done",
    15: "the server is shutting down",
    16: "the operation was cancelled",
    17: "the record exists already",
    1000: "this kind of client is not allowed",
    1001: "the manager's login or password is wrong",
    1002: "the manager's login is disabled",
    1003: "an advanced log-in is demanded",
    1004: "a certificate is demanded",
    1005: "the certificate is wrong",
    1006: "the certificate is not confirmed",
    1007: "the server that was asked is no access server",
    1008: "the server is not authenticated",
    1009: "only updates are served",
    1010: "this client is too old",
    1011: "the manager's login has no configuration",
    1012: "the manager's login may not come from this address",
    1013: "the group is not initialised",
    1014: "certificates are disabled",
    1015: "the server's identity or access is invalid",
    1016: "this address is refused",
    1017: "this kind of connection is refused",
    1018: "the server is busy",
    1019: "the server's certificate is wrong",
    1020: "the login is unknown",
    1021: "the server is too old",
    1022: "the server cannot take more connections by its licence",
    1023: "mobile connections are refused",
    1024: "the manager's login has no right of this kind",
    1025: "demo accounts are refused",
    1026: "the password must be changed first",
    2000: "the last administrator cannot be removed",
    2001: "the login has its limit of managers",
    2002: "a group with accounts cannot be removed",
    2003: "the group is in use",
    2004: "the configuration exists already",
    2005: "the configuration was not found",
    2006: "the configuration would be ambiguous",
    2007: "the name exists already",
    2008: "the configuration is bound to another",
    2009: "the configuration has no member",
    2010: "the configuration is invalid",
    2011: "the address is bound already",
    2012: "a working server cannot be removed",
    3001: "the last administrator cannot be removed",
    3002: "no logins are left in the range",
    3003: "the login is reserved on another server",
    3004: "the account exists already",
    3005: "the login cannot remove itself",
    3006: "the password is wrong or too weak",
    3007: "the server has its limit of accounts",
    3008: "the account has open trades",
    3009: "the group is on another server",
    3010: "the group has another currency",
    3011: "the balance cannot be imported",
    3012: "the group of the imported account is invalid",
    3013: "the account exists already",
    4001: "the server has its limit of orders or deals",
    4002: "the order exists already",
    4003: "no order tickets are left",
    4004: "no deal tickets are left",
    4005: "the limit of money is reached",
    4006: "the deal exists already",
    4007: "the order is reserved on another server",
    4008: "the deal is reserved on another server",
    10001: "the request is on its way",
    10002: "the request was accepted",
    10003: "the request is being processed",
    10004: "requoted: the price has moved",
    10005: "the price has moved",
    10006: "rejected",
    10007: "cancelled",
    10008: "the order was placed",
    10009: "done",
    10010: "done in part",
    10011: "the request failed in general",
    10012: "the request ran out of time",
    10013: "the request is invalid",
    10014: "the volume is invalid",
    10015: "the price is invalid",
    10016: "a stop level is invalid",
    10017: "trading is disabled",
    10018: "the market is closed",
    10019: "there is not enough money",
    10020: "the price has changed",
    10021: "there are no prices",
    10022: "the expiration is invalid",
    10023: "the order has changed",
    10024: "too many requests",
    10025: "nothing would change",
    10026: "automated trading is disabled on the server",
    10027: "automated trading is disabled in the terminal",
    10028: "the request is locked",
    10029: "the order or position is frozen",
    10030: "the kind of filling is not supported",
    10031: "the dealer is not connected",
    10032: "this is for real accounts only",
    10033: "the account has its limit of pending orders",
    10034: "the symbol has its limit of volume",
    10035: "the order is invalid or prohibited",
    10036: "the position is closed already",
    10038: "the volume to close is more than is open",
    10039: "a closing order exists already",
    10040: "the account has its limit of positions",
    10041: "rejected and cancelled",
    10042: "only buying is allowed",
    10043: "only selling is allowed",
    10044: "only closing is allowed",
    10045: "positions are closed first in, first out",
    10046: "opposite positions are prohibited",
}

_SUCCESS = frozenset({OK, OK_NONE, 10008, 10009, 10010})
# The server understood and did nothing: the same may be asked again later.
_LATER = frozenset({11, 12, 1018, 10021, 10024})
# Somewhere behind the server the way was cut: what was asked may have happened.
_CUT = frozenset({7, 9, 10, 15, 10001, 10002, 10003, 10012, 10031})


class Verdict(StrEnum):
    """What a number is to the caller."""

    DONE = "done"
    LATER = "later"
    CUT = "cut"
    REFUSED = "refused"


_TEXT = re.compile(r"([0-9]{1,9})(?:[ \t].*)?", re.DOTALL)


def parse_retcode(text: str) -> int:
    """The number of `0 Done`. Raises ValueError when there is none."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no return code")
    return int(match.group(1))


def judge(code: int) -> Verdict:
    """What the number asks of us; one that we do not know is a refusal."""
    if code in _SUCCESS:
        return Verdict.DONE
    if code in _LATER:
        return Verdict.LATER
    return Verdict.CUT if code in _CUT else Verdict.REFUSED


def meaning_of(code: int) -> str:
    """The number in words."""
    return _MEANINGS.get(code, f"return code {code}")
