"""The same money operation on many accounts: each is an operation of its own, and the summary says what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError, InvalidInput
from platform_ops.account_permissions import MOVE_MONEY
from platform_ops.models import TradingAccount, TradingServer
from platform_ops.rules.operations import OperationState
from platform_ops.services.account_operations.carrying_out import carry_out
from platform_ops.services.account_operations.limits import why_approval_is_needed
from platform_ops.services.account_operations.money import propose_balance_operation, request_balance_operation
from platform_ops.types import DealKind

MAX_BULK_LINES = 500
SENT_AT_ONCE = 50
"""So many are sent while the person waits; the sweep sends the rest."""


@dataclass(frozen=True, slots=True)
class BulkLine:
    """An account and an amount."""

    account: TradingAccount
    amount: Decimal


@dataclass(slots=True)
class BulkSummary:
    """What became of a bulk: how many of each, the problems by login, and under which reference the others go (that of the
    operation, or of the change request where another person must agree)."""

    done: int = 0
    waiting: int = 0
    proposed: int = 0
    refused: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    references: list[tuple[str, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """One sentence."""
        parts = [
            f"{count} {word}"
            for count, word in (
                (self.done, "done"),
                (self.waiting, "waiting"),
                (self.proposed, "for another person to approve"),
                (self.refused, "refused"),
            )
            if count
        ]
        first = f" First: {self.problems[0][0]}: {self.problems[0][1]}" if self.problems else ""
        return f"{', '.join(parts) or 'Nothing was asked for'}.{first}"


def read_lines(*, server_code: str, text: str, actor: Actor) -> list[BulkLine]:
    """The lines of a bulk, all or none. Raises InvalidInput with the row and field of the first that is wrong."""
    authorise(actor, MOVE_MONEY)
    rows = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    _check_count(len(rows))
    return _find(server_code, [(number, *_read(number, row)) for number, row in rows], actor)


def find_lines(*, server_code: str, moves: Sequence[tuple[str, Decimal]], actor: Actor) -> list[BulkLine]:
    """The same for logins and amounts that are at hand; lines are counted from 1."""
    authorise(actor, MOVE_MONEY)
    _check_count(len(moves))
    return _find(server_code, [(number, *move) for number, move in enumerate(moves, start=1)], actor)


def _check_count(count: int) -> None:
    if not 0 < count <= MAX_BULK_LINES:
        raise InvalidInput(f"A bulk has 1 to {MAX_BULK_LINES} lines.", field="lines")


def _find(server_code: str, lines: Sequence[tuple[int, str, Decimal]], actor: Actor) -> list[BulkLine]:
    server = get_visible(TradingServer.objects.all(), actor, code=server_code.strip())
    asked: dict[str, tuple[int, Decimal]] = {}
    for number, login, amount in lines:
        if login in asked:
            raise InvalidInput(
                f"Line {number}: {login} stands in line {asked[login][0]} already.", field="lines", row=number
            )
        asked[login] = number, amount
    found = {
        account.login: account
        for account in visible_to(TradingAccount.objects.filter(server=server, login__in=asked), actor).select_related(
            "server", "client", "group"
        )
    }
    for login, (number, _) in asked.items():
        if login not in found:
            raise InvalidInput(
                f"Line {number}: no account {login} on {server}.", field="lines", row=number, value=login
            )
    return [BulkLine(found[login], amount) for login, (_, amount) in asked.items()]


def run_bulk(
    *,
    moves: Sequence[tuple[TradingAccount, DealKind, Decimal]],
    actor: Actor,
    reason: str,
    idempotency_key: str,
    sent_at_once: int = SENT_AT_ONCE,
) -> BulkSummary:
    """Asks for each move and sends the first ones. The same key again asks for none twice, and goes on where it stopped."""
    summary = BulkSummary()
    sent = 0
    for account, kind, amount in moves:
        key = f"{idempotency_key}:{account.pk}"
        try:
            if why_approval_is_needed(account=account, amount=amount, actor=actor):
                change = propose_balance_operation(
                    account_id=account.pk, kind=kind, amount=amount, actor=actor, reason=reason, idempotency_key=key
                )
                summary.proposed += 1
                summary.references.append((account.login, change.reference))
                continue
            operation = request_balance_operation(
                account_id=account.pk, kind=kind, amount=amount, actor=actor, reason=reason, idempotency_key=key,
                is_bulk=True,
            )  # fmt: skip
            summary.references.append((account.login, operation.reference))
            if sent < sent_at_once:
                sent += 1
                operation = carry_out(operation_id=operation.pk, actor=actor).operation
        except DomainError as error:
            summary.refused += 1
            summary.problems.append((account.login, error.message))
            continue
        state = OperationState(operation.state)
        if state.took_effect:
            summary.done += 1
        elif state.is_final:
            summary.refused += 1
            summary.problems.append((account.login, operation.problem))
        else:
            summary.waiting += 1
    return summary


def _read(number: int, row: str) -> tuple[str, Decimal]:
    parts = [part for part in row.replace(";", ",").replace("\t", ",").split(",") if part.strip()]
    if len(parts) != 2:
        raise InvalidInput(f"Line {number} is no login and amount.", field="lines", row=number, value=row[:80])
    login, text = parts[0].strip(), parts[1].strip()
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise InvalidInput(f"Line {number}: {text!r} is no amount.", field="lines", row=number, value=text) from error
    if not amount.is_finite():
        raise InvalidInput(f"Line {number}: {text!r} is no amount.", field="lines", row=number, value=text)
    return login, amount
