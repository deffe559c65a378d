"""FIX messages in words: what a tag is called, and what its code means. Pure; knows what drop copies use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

TAGS: dict[int, str] = {
    1: "Account", 6: "AvgPx", 7: "BeginSeqNo", 8: "BeginString", 9: "BodyLength", 10: "CheckSum", 11: "ClOrdID",
    14: "CumQty", 15: "Currency", 16: "EndSeqNo", 17: "ExecID", 19: "ExecRefID", 22: "SecurityIDSource",
    31: "LastPx", 32: "LastQty", 34: "MsgSeqNum", 35: "MsgType", 36: "NewSeqNo", 37: "OrderID", 38: "OrderQty",
    39: "OrdStatus", 40: "OrdType", 41: "OrigClOrdID", 43: "PossDupFlag", 44: "Price", 45: "RefSeqNum", 48: "SecurityID",
    49: "SenderCompID", 50: "SenderSubID", 52: "SendingTime", 54: "Side", 55: "Symbol", 56: "TargetCompID",
    57: "TargetSubID", 58: "Text", 59: "TimeInForce", 60: "TransactTime", 64: "SettlDate", 75: "TradeDate",
    97: "PossResend", 98: "EncryptMethod", 99: "StopPx", 103: "OrdRejReason", 108: "HeartBtInt", 112: "TestReqID",
    122: "OrigSendingTime", 123: "GapFillFlag", 141: "ResetSeqNumFlag", 150: "ExecType", 151: "LeavesQty",
    371: "RefTagID", 372: "RefMsgType", 373: "SessionRejectReason", 447: "PartyIDSource", 448: "PartyID",
    452: "PartyRole", 453: "NoPartyIDs", 487: "TradeReportTransType", 523: "PartySubID", 527: "SecondaryExecID",
    552: "NoSides", 553: "Username", 554: "Password", 570: "PreviouslyReported", 571: "TradeReportID",
    572: "TradeReportRefID", 573: "MatchStatus", 789: "NextExpectedMsgSeqNum", 802: "NoPartySubIDs", 803: "PartySubIDType",
    856: "TradeReportType", 880: "TrdMatchID",
}  # fmt: skip

KINDS: dict[str, str] = {
    "0": "Heartbeat", "1": "Test request", "2": "Resend request", "3": "Reject", "4": "Sequence reset", "5": "Logout",
    "8": "Execution report", "9": "Cancel reject", "A": "Logon", "AE": "Trade capture report", "B": "News",
    "D": "New order", "F": "Cancel request", "G": "Replace request", "j": "Business reject",
}  # fmt: skip

_YES_NO = {"Y": "yes", "N": "no"}
MEANINGS: dict[int, dict[str, str]] = {
    22: {"1": "CUSIP", "2": "SEDOL", "4": "ISIN", "5": "RIC", "8": "exchange's own number"},
    35: KINDS,
    39: {
        "0": "new", "1": "partly filled", "2": "filled", "4": "cancelled", "5": "replaced", "6": "pending cancel",
        "7": "stopped", "8": "rejected", "A": "pending new", "C": "expired", "E": "pending replace",
    },
    40: {"1": "market", "2": "limit", "3": "stop", "4": "stop limit", "D": "previously quoted"},
    43: _YES_NO, 97: _YES_NO, 123: _YES_NO, 141: _YES_NO, 570: _YES_NO,
    54: {"1": "buy", "2": "sell", "5": "sell short", "7": "undisclosed"},
    59: {"0": "day", "1": "good till cancel", "3": "immediate or cancel", "4": "fill or kill"},
    98: {"0": "none"},
    103: {"0": "broker's choice", "1": "unknown symbol", "2": "exchange closed", "3": "order exceeds limit", "99": "other"},
    150: {
        "0": "new", "1": "partial fill", "2": "fill", "4": "cancelled", "5": "replaced", "6": "pending cancel",
        "7": "stopped", "8": "rejected", "A": "pending new", "C": "expired", "F": "trade", "G": "trade corrected",
        "H": "trade cancelled", "I": "order status",
    },
    373: {
        "0": "invalid tag", "1": "required tag missing", "4": "tag without a value", "5": "value is incorrect",
        "6": "wrong data format", "9": "CompID problem", "10": "sending time accuracy",
    },
    487: {"0": "new", "1": "cancel", "2": "replace"},
    856: {"0": "submit", "2": "accept", "6": "trade report cancel"},
}  # fmt: skip
HEADER = frozenset({8, 9, 34, 35, 43, 49, 50, 52, 56, 57, 97, 122, 10})


@dataclass(frozen=True, slots=True)
class Field:
    """One field as it is shown. `meaning` is empty where the value speaks for itself."""

    tag: int
    name: str
    value: str
    meaning: str

    @property
    def is_header(self) -> bool:
        """Whether it belongs to the envelope and not to what is told."""
        return self.tag in HEADER


def kind_words(kind: str) -> str:
    """What a kind of message (tag 35) is called."""
    return KINDS.get(kind, kind)


def fields_of(text: str) -> Iterator[Field]:
    """The fields of a kept message, in its order."""
    for part in text.split("|"):
        tag, equals, value = part.partition("=")
        if equals and tag.isdigit() and len(tag) <= 9:
            number = int(tag)
            yield Field(number, TAGS.get(number, ""), value, MEANINGS.get(number, {}).get(value, ""))
