"""A FIX 4.4 session without its socket: bytes and moments in, bytes and messages out.

The session decides nothing by itself about what is durable. Its owner keeps `next_in` and `next_out` together with the
messages it took, and only then sends what `outgoing` holds: a number that went out is never used again, and a message
that was not kept is asked for again. `now` is in seconds of a clock that never jumps; stamps come from the wall clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from backoffice.kernel import clock
from platform_ops.gateways.errors import GatewayGarbled
from platform_ops.gateways.fix.framing import BEGIN_STRING, Framer, encode, stamp
from platform_ops.gateways.fix.messages import FixMessage, read_message

LOGON, HEARTBEAT, TEST_REQUEST, RESEND_REQUEST = "A", "0", "1", "2"
REJECT, SEQUENCE_RESET, LOGOUT = "3", "4", "5"
SESSION_KINDS = frozenset({LOGON, HEARTBEAT, TEST_REQUEST, RESEND_REQUEST, REJECT, SEQUENCE_RESET, LOGOUT})
BAD_VALUE, BAD_FORMAT, WRONG_PARTIES, WRONG_TIME = 5, 6, 9, 10
"""Reasons of a session's reject (373)."""

MAX_TOLD_TEXT = 200
MAX_ASKED = 5
"""How often the same missing message is asked for before the peer is given up."""

MAX_KEPT_TO_RESEND = 10_000
MAX_NUMBER = 2**62
GRACE_SHARE = 0.2
_SECRET_TAGS = frozenset({554, 925})


class Role(StrEnum):
    """Who begins."""

    INITIATOR = "initiator"
    ACCEPTOR = "acceptor"


class Phase(StrEnum):
    """Where the session stands."""

    IDLE = "idle"
    LOGGING_ON = "logging_on"
    LIVE = "live"
    LOGGING_OUT = "logging_out"
    ENDED = "ended"


class Ending(StrEnum):
    """Why it ended. A refusal needs a person; the others are worth another try."""

    WANTED = "wanted"
    PEER_LEFT = "peer_left"
    SILENT = "silent"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Who speaks with whom, and how long each may be silent (seconds)."""

    sender: str
    target: str
    role: Role = Role.INITIATOR
    username: str = ""
    password: str = field(default="", repr=False)
    heartbeat: int = 30
    resets_on_logon: bool = False
    logon_seconds: float = 10.0
    logout_seconds: float = 3.0
    resend_seconds: float = 10.0
    clock_tolerance: timedelta = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as the log of the session keeps it."""

    is_incoming: bool
    message: FixMessage

    @property
    def text(self) -> str:
        """The message with `|` between its fields; passwords and names of persons are blanked."""
        pairs = tuple((tag, "******" if tag in _SECRET_TAGS else value) for tag, value in self.message.fields)
        return FixMessage(pairs).shown()


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that came in its turn and that nobody can read: it counts, and the peer was told."""

    message: FixMessage
    problem: str


class Session:
    """One session from its logon to its end. `check` raises GatewayGarbled for a message that cannot be read."""

    def __init__(
        self,
        terms: Terms,
        *,
        next_in: int = 1,
        next_out: int = 1,
        check: Callable[[FixMessage], object] = lambda _message: None,
        wall: Callable[[], datetime] = clock.now,
    ) -> None:
        self.terms = terms
        self.next_in, self.next_out = next_in, next_out
        self.phase = Phase.IDLE
        self.ending: Ending | None = None
        self.problem = ""
        self.gap_to = 0
        """Up to which number messages are missing; 0 where none is."""

        self.repeated = self.rejects = self.resets = 0
        self.received: list[FixMessage] = []
        self.refused: list[Refused] = []
        self.entries: list[Entry] = []
        self._check, self._wall = check, wall
        self._framer = Framer()
        self._outgoing = bytearray()
        self._sent: dict[int, bytes] = {}
        self._since = self._last_in = self._last_out = self._asked_at = 0.0
        self._asked = 0
        self._is_tested = False

    @property
    def garbled(self) -> int:
        """How often bytes were passed over because they are no message."""
        return self._framer.garbled

    @property
    def garbled_problem(self) -> str:
        """What was wrong the last time."""
        return self._framer.last_problem

    def start(self, now: float) -> None:
        """Begins: the initiator logs on, the acceptor waits for it."""
        self._since = self._last_in = self._last_out = now
        if self.terms.role is Role.ACCEPTOR:
            return
        if self.terms.resets_on_logon:
            self.next_in = self.next_out = 1
        self.phase = Phase.LOGGING_ON
        self._log_on(now, resets=self.terms.resets_on_logon)

    def receive(self, data: bytes, now: float) -> None:
        """Takes in what the peer sent."""
        for message in self._framer.feed(data):
            if self.phase is Phase.ENDED:
                return
            self._last_in, self._is_tested = now, False
            self.entries.append(Entry(True, message))
            self._take(message, now)

    def tick(self, now: float) -> None:
        """What time alone brings: heartbeats, tests, questions once more, and the end of patience."""
        terms = self.terms
        waited, silent = now - self._since, now - self._last_in
        if self.phase in (Phase.IDLE, Phase.LOGGING_ON) and waited > terms.logon_seconds:
            self._end(Ending.SILENT, f"No answer to the logon within {terms.logon_seconds:g} s.")
        elif self.phase is Phase.LOGGING_OUT and waited > terms.logout_seconds:
            self._end(self.ending or Ending.WANTED, self.problem)
        elif self.phase is Phase.LIVE:
            grace = max(1.0, terms.heartbeat * GRACE_SHARE)
            if silent > 2 * (terms.heartbeat + grace):
                self._end(Ending.SILENT, f"Nothing was heard for {silent:.0f} s, not even an answer to a test.")
                return
            if silent > terms.heartbeat + grace and not self._is_tested:
                self._is_tested = True
                self._send(now, TEST_REQUEST, (112, f"TEST-{self.next_out}"))
            elif now - self._last_out >= terms.heartbeat:
                self._send(now, HEARTBEAT)
            if self.gap_to and now - self._asked_at > terms.resend_seconds:
                self._ask(now)

    def stop(self, now: float, text: str = "") -> None:
        """Logs out; the session ends with the peer's answer or after a bound."""
        if self.phase is Phase.LIVE:
            self._send(now, LOGOUT, *(((58, text),) if text else ()))
            self.phase, self.ending, self._since = Phase.LOGGING_OUT, Ending.WANTED, now
        elif self.phase in (Phase.IDLE, Phase.LOGGING_ON):
            self._end(Ending.WANTED, "")

    def peer_closed(self) -> None:
        """The connection was closed by the peer."""
        is_silent = self.phase in (Phase.IDLE, Phase.LOGGING_ON)
        told = "The connection was closed" + (" without an answer to the logon." if is_silent else ".")
        self._end(self.ending or Ending.PEER_LEFT, told if self.ending is None else self.problem)

    def send(self, now: float, kind: str, *fields: tuple[int, str | int]) -> int:
        """Sends a message that is kept to be sent again on request; its number."""
        number = self.next_out
        raw = self._send(now, kind, *fields)
        self._sent[number] = raw
        if len(self._sent) > MAX_KEPT_TO_RESEND:
            del self._sent[next(iter(self._sent))]
        return number

    def outgoing(self) -> bytes:
        """What is to be sent now; it is forgotten here."""
        data, self._outgoing = bytes(self._outgoing), bytearray()
        return data

    def _log_on(self, now: float, *, resets: bool) -> None:
        terms = self.terms
        fields: list[tuple[int, str | int]] = [(98, 0), (108, terms.heartbeat)]
        if resets:
            fields.append((141, "Y"))
        if terms.username and terms.role is Role.INITIATOR:
            fields += [(553, terms.username), (554, terms.password)]
        self._send(now, LOGON, *fields)

    def _send(
        self, now: float, kind: str, *fields: tuple[int, str | int], number: int = 0, sent_first: str = ""
    ) -> bytes:
        header: list[tuple[int, str | int]] = [
            (35, kind), (49, self.terms.sender), (56, self.terms.target), (34, number or self.next_out),
            (52, stamp(self._wall())),
        ]  # fmt: skip
        if number:
            header += [(43, "Y"), (122, sent_first or stamp(self._wall()))]
        else:
            self.next_out += 1
        raw = encode([*header, *fields])
        self.entries.append(Entry(False, read_message(raw)))
        self._outgoing += raw
        self._last_out = now
        return raw

    def _end(self, ending: Ending, problem: str) -> None:
        if self.phase is not Phase.ENDED:
            self.phase, self.ending, self.problem = Phase.ENDED, ending, problem[:MAX_TOLD_TEXT]

    def _refuse(self, now: float, problem: str) -> None:
        """The session cannot go on: says why, leaves, and waits for a person."""
        if self.phase in (Phase.LIVE, Phase.LOGGING_ON):
            self._send(now, LOGOUT, (58, problem[:MAX_TOLD_TEXT]))
        self._end(Ending.REFUSED, problem)

    def _reject(self, now: float, message: FixMessage, reason: int, text: str, tag: int = 0) -> None:
        self._send(
            now,
            REJECT,
            (45, message.get(34)),
            *(((371, tag),) if tag else ()),
            (372, message.kind),
            (373, reason),
            (58, text[:MAX_TOLD_TEXT]),
        )

    def _take(self, message: FixMessage, now: float) -> None:
        number = _number_of(message)
        if message.get(8) != BEGIN_STRING:
            self._refuse(now, f"It speaks {message.get(8)} and not {BEGIN_STRING}.")
        elif number is None:
            self._refuse(now, f"A message of kind {message.kind} has no sequence number (34).")
        elif (message.get(49), message.get(56)) != (self.terms.target, self.terms.sender):
            self._refuse_parties(message, now)
        elif self.phase in (Phase.IDLE, Phase.LOGGING_ON):
            self._open(message, number, now)
        elif message.kind == LOGON and message.get(141) == "Y":
            self._start_over(message, number, now)
        elif message.kind == SEQUENCE_RESET and message.get(123) != "Y":
            self._reset(message, now)
        elif number > self.next_in:
            self._too_high(message, number, now)
        elif number < self.next_in:
            self._too_low(message, number, now)
        else:
            self._in_turn(message, number, now)

    def _refuse_parties(self, message: FixMessage, now: float) -> None:
        told = f"It sends as {message.get(49)!r} to {message.get(56)!r}; agreed is {self.terms.target!r} to {self.terms.sender!r}."
        if self.phase is Phase.LIVE:
            self._reject(now, message, WRONG_PARTIES, told)
        self._refuse(now, told)

    def _open(self, message: FixMessage, number: int, now: float) -> None:
        """The first message: the peer's logon, or its refusal of ours."""
        terms = self.terms
        if message.kind in (LOGOUT, REJECT):
            if number == self.next_in:
                self.next_in += 1
            self._end(Ending.REFUSED, f"The logon was refused: {_text_of(message)}")
            return
        if message.kind != LOGON:
            self._refuse(now, f"Its first message is of kind {message.kind} and no logon.")
            return
        if (problem := self._problem_of_time(message)) is not None:
            self._refuse(now, problem)
            return
        is_acceptor = terms.role is Role.ACCEPTOR
        if is_acceptor and (message.get(553), message.get(554)) != (terms.username, terms.password):
            self._send(now, LOGOUT, (58, "unknown user or wrong password"))
            self._end(Ending.REFUSED, "The peer's user or password is wrong.")
            return
        resets = message.get(141) == "Y"
        if resets:
            self.resets += 1
            self.next_in = 1
            # Our logon counts as the first message of the new numbers.
            self.next_out = 1 if is_acceptor else 2
        if number < self.next_in:
            self._too_low(message, number, now)
            return
        if is_acceptor:
            self._log_on(now, resets=resets)
        self.phase = Phase.LIVE
        if number == self.next_in:
            self.next_in += 1
        else:
            self._miss(number, now)

    def _start_over(self, message: FixMessage, number: int, now: float) -> None:
        """A logon in the middle that begins new numbers for both."""
        if number != 1:
            self._refuse(now, f"A logon that begins new numbers has number {number} and not 1.")
            return
        self.resets += 1
        self.next_in, self.next_out, self.gap_to = 2, 1, 0
        self._log_on(now, resets=True)

    def _reset(self, message: FixMessage, now: float) -> None:
        """SequenceReset without GapFill: the peer goes on with another number, whatever was missing before."""
        new = _whole(message, 36)
        if new is None or new < self.next_in:
            self._reject(now, message, BAD_VALUE, "the new number lies behind what was received", 36)
            return
        if new > self.next_in:
            self.resets += 1
        self.next_in, self.gap_to, self._asked = new, 0, 0

    def _too_high(self, message: FixMessage, number: int, now: float) -> None:
        if message.kind == LOGOUT:
            self._log_out(message, now)
            return
        if message.kind == RESEND_REQUEST:  # both may miss something: who asks is answered before
            self._send_again(message, now)
        self._miss(number, now)

    def _too_low(self, message: FixMessage, number: int, now: float) -> None:
        if message.get(43) == "Y" and message.kind != LOGON:
            self.repeated += 1
            return
        self._refuse(
            now,
            f"MsgSeqNum too low, expecting {self.next_in} but received {number}: the peer counts from another start. Agree "
            "on the numbers with it, then set them.",
        )

    def _miss(self, number: int, now: float) -> None:
        """Everything from the next number on is asked for; what came too early comes again with it."""
        is_new = not self.gap_to
        self.gap_to = max(self.gap_to, number)
        if is_new:
            self._asked = 0
            self._ask(now)

    def _ask(self, now: float) -> None:
        if self._asked >= MAX_ASKED:
            self._refuse(
                now,
                f"Message {self.next_in} was asked for {MAX_ASKED} times and did not come; the peer is at {self.gap_to}.",
            )
            return
        self._asked += 1
        self._asked_at = now
        self._send(now, RESEND_REQUEST, (7, self.next_in), (16, 0))

    def _in_turn(self, message: FixMessage, number: int, now: float) -> None:
        self.next_in = number + 1
        self._asked, self._asked_at = 0, now
        if message.kind == SEQUENCE_RESET:
            self._fill_gap(message, number, now)
        elif (problem := self._problem_of_time(message)) is not None:
            self._reject(now, message, WRONG_TIME, problem, 52)
            self._refuse(now, problem)
        elif message.kind in SESSION_KINDS:
            self._session_message(message, now)
        else:
            self._application_message(message, now)
        # What comes in its turn and is no repetition was sent after all that was missing.
        if self.gap_to and (self.next_in > self.gap_to or message.get(43) != "Y"):
            self.gap_to = 0

    def _fill_gap(self, message: FixMessage, number: int, now: float) -> None:
        new = _whole(message, 36)
        if new is None or new <= number:
            self.next_in = number
            self._reject(now, message, BAD_VALUE, "a gap is filled up to a later number", 36)
            self._miss(number, now)
        else:
            self.next_in = new

    def _session_message(self, message: FixMessage, now: float) -> None:
        if message.kind == TEST_REQUEST:
            self._send(now, HEARTBEAT, (112, message.get(112)[:MAX_TOLD_TEXT] or "?"))
        elif message.kind == RESEND_REQUEST:
            self._send_again(message, now)
        elif message.kind == REJECT:
            self.rejects += 1
            self.problem = f"It rejected message {message.get(45) or '?'}: {_text_of(message)}"
        elif message.kind == LOGOUT:
            self._log_out(message, now)
        elif message.kind == LOGON:
            self._refuse(now, "A second logon came in the middle of the session.")

    def _application_message(self, message: FixMessage, now: float) -> None:
        try:
            self._check(message)
        except GatewayGarbled as error:
            tag = error.details.get("tag")
            self._reject(now, message, BAD_FORMAT, error.message, tag if isinstance(tag, int) else 0)
            self.refused.append(Refused(message, error.message))
        else:
            self.received.append(message)

    def _log_out(self, message: FixMessage, now: float) -> None:
        if self.phase is Phase.LOGGING_OUT:
            self._end(self.ending or Ending.WANTED, self.problem)
            return
        self._send(now, LOGOUT)
        text = message.get(58)
        # What a peer says of numbers that do not fit does not mend by itself.
        is_refusal = "too low" in text.lower()
        self._end(Ending.REFUSED if is_refusal else Ending.PEER_LEFT, f"It logged us out{f': {text}' if text else ''}.")

    def _send_again(self, message: FixMessage, now: float) -> None:
        """Answers a request: kept messages as they were, everything else as a gap that is filled."""
        begin, end = _whole(message, 7), _whole(message, 16)
        if begin is None or end is None or not 1 <= begin < self.next_out or 0 < end < begin:
            self._reject(now, message, BAD_VALUE, "there is no such range of messages", 7)
            return
        last = self.next_out - 1 if end == 0 else min(end, self.next_out - 1)
        place = begin
        for number in sorted(number for number in self._sent if begin <= number <= last):
            if number > place:
                self._send(now, SEQUENCE_RESET, (123, "Y"), (36, number), number=place)
            kept = read_message(self._sent[number])
            fields = [pair for pair in kept.fields if pair[0] not in (8, 9, 10, 35, 49, 56, 34, 52)]
            self._send(now, kept.kind, *fields, number=number, sent_first=kept.get(52))
            place = number + 1
        if place <= last:
            self._send(now, SEQUENCE_RESET, (123, "Y"), (36, last + 1), number=place)

    def _problem_of_time(self, message: FixMessage) -> str | None:
        """A message that was sent at another time than now says that a clock is off; a repetition may be old."""
        if message.get(43) == "Y":
            return None
        try:
            ahead = message.sent_at - self._wall()
        except GatewayGarbled:
            return "A message does not say when it was sent (52)."
        if abs(ahead) <= self.terms.clock_tolerance:
            return None
        seconds = round(abs(ahead).total_seconds())
        return f"Its clock is {seconds:,} s {'ahead of' if ahead > timedelta() else 'behind'} ours (SendingTime)."


def _whole(message: FixMessage, tag: int) -> int | None:
    try:
        value = message.whole(tag)
    except GatewayGarbled:
        return None
    return value if 0 <= value < MAX_NUMBER else None


def _number_of(message: FixMessage) -> int | None:
    number = _whole(message, 34)
    return number or None


def _text_of(message: FixMessage) -> str:
    return message.get(58)[:MAX_TOLD_TEXT] or "no reason is given"
