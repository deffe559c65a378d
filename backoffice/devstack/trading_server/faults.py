"""What a real server does wrong, on demand: each fault is set for some commands, some number of times.

Kinds: `drop_before` (closed before the command is done), `drop_after` (done, the answer lost), `cut_answer` (half of the
answer, then closed), `slow` (the answer waits `seconds`), `garble` (an answer that is no packet), `duplicate` and
`reorder` (rows of a list), `gone` (nobody listens for `seconds`). The clock and hidden deals are states, not faults of
an answer: `clock_offset_seconds`, `hide_deals`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from backoffice.devstack.trading_server.retcodes import PARAMETERS, Refused

KINDS = frozenset({"drop_before", "drop_after", "cut_answer", "slow", "garble", "duplicate", "reorder", "gone"})
OPERATOR_PREFIX = "SIM_"
MOST_FAULTS = 100
FOREVER = 1 << 30


@dataclass(slots=True, kw_only=True)
class Fault:
    """A fault that is set. `commands` is a pattern such as `DEAL_*`; `times` counts down."""

    kind: str
    commands: str = "*"
    times: int = FOREVER
    seconds: float = 0.0


@dataclass(slots=True)
class Faults:
    """All that is set now. The simulator's own commands are never hit, so that faults can be lifted."""

    active: list[Fault] = field(default_factory=list)
    hidden: list[tuple[int, int]] = field(default_factory=list)

    def set(self, fault: Fault) -> None:
        """Adds a fault. Raises Refused for an unknown kind."""
        if fault.kind not in KINDS or len(self.active) >= MOST_FAULTS:
            raise Refused(PARAMETERS, f"Invalid parameters: fault {fault.kind}")
        self.active.append(fault)

    def lift(self) -> None:
        """Takes every fault away; hidden deals are seen again."""
        self.active.clear()
        self.hidden.clear()

    def take(self, kind: str, command: str) -> Fault | None:
        """The fault of that kind that hits this command, used up by one."""
        if command.startswith(OPERATOR_PREFIX):
            return None
        for fault in self.active:
            if fault.kind == kind and fnmatchcase(command, fault.commands):
                fault.times -= 1
                if fault.times <= 0:
                    self.active.remove(fault)
                return fault
        return None

    def is_hidden(self, time_msc: int) -> bool:
        """Whether a deal of that time is missing from answers, as after a restart from an older copy."""
        return any(start <= time_msc <= end for start, end in self.hidden)
