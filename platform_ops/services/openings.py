"""Opening balances: what an account held before the first file that tells of it.

Owns one rule, a pure function of all stored statements of an account and of the deals known before each. A statement
gets an opening unless another one reaches across its beginning: starts earlier and is printed no earlier than it
starts. The opening is what the statement held at its beginning, less all money known from before. Earlier files that
come later therefore replace openings, in whatever order files are imported.
"""

from __future__ import annotations

from decimal import Decimal

from django.db import connection

from backoffice.kernel.business_day import business_day_of
from platform_ops.models import BalanceOperation, StatementImport, TradingAccount
from platform_ops.types import DealKind

ZERO = Decimal(0)
OPENING_COMMENT = "Opening balance"
OPENING_CREDIT_COMMENT = "Opening credit"

# Rows of the statement's own that stand at its very beginning are not "before" it.
_MONEY_BEFORE = """
SELECT coalesce(sum(money) FILTER (WHERE kind NOT IN (3, 20)), 0), coalesce(sum(money) FILTER (WHERE kind IN (3, 20)), 0)
  FROM (
    SELECT deal.kind, deal.profit + deal.swap + deal.commission + deal.fee AS money
      FROM platform_ops_currentdeal deal
     WHERE deal.account_id = %(account)s AND deal.kind NOT IN (13, 14)
       AND (deal.at < %(start)s
            OR (deal.at = %(start)s
                AND NOT deal.ticket = ANY (CASE deal.leg WHEN 0 THEN %(leg0)s::bigint[] ELSE %(leg1)s::bigint[] END)))
  ) before
"""


def refresh_openings(*, account_id: int, batch_id: int) -> int:
    """Brings the account's openings to what its stored statements and deals say now; returns how many changed.

    The caller holds the server's lock. A superseded opening keeps its row, cancelled.
    """
    wanted = wanted_openings(account_id)
    held = {
        (operation.statement_id, operation.kind): operation
        for operation in BalanceOperation.objects.filter(account_id=account_id, is_opening=True)
    }
    if not wanted and not held:
        return 0
    account = TradingAccount.objects.get(pk=account_id)
    changed = 0
    for (statement, kind), amount in wanted.items():
        operation = held.pop((statement.pk, kind), None)
        if operation is None:
            BalanceOperation.objects.create(**_fields(account, statement, kind, amount), batch_id=batch_id)
            changed += 1
        elif operation.amount != amount or operation.is_cancelled:
            operation.amount, operation.is_cancelled, operation.batch_id = amount, False, batch_id
            operation.save(update_fields=["amount", "is_cancelled", "batch"])
            changed += 1
    for operation in held.values():
        if not operation.is_cancelled:
            operation.is_cancelled, operation.batch_id = True, batch_id
            operation.save(update_fields=["is_cancelled", "batch"])
            changed += 1
    return changed


def wanted_openings(account_id: int) -> dict[tuple[StatementImport, DealKind], Decimal]:
    """The openings there must be, by statement and kind. Statements of one beginning are told apart by their digest."""
    # An export of the client's API states no balance, so it says nothing about what was held before it.
    statements = (
        StatementImport.objects.filter(account_id=account_id, state=StatementImport.State.STORED, repeats__isnull=True)
        .exclude(format__in=[StatementImport.Format.MT5_API_DEALS, StatementImport.Format.MT5_API_ORDERS])
        .order_by("covers_from", "sha256")
    )
    wanted: dict[tuple[StatementImport, DealKind], Decimal] = {}
    opened = {DealKind.BALANCE: ZERO, DealKind.CREDIT: ZERO}
    reached = None
    for statement in statements:
        assert statement.covers_from is not None
        assert statement.as_of is not None
        is_covered = reached is not None and statement.covers_from <= reached
        reached = statement.as_of if reached is None else max(reached, statement.as_of)
        if is_covered:
            continue
        balance, credit = _money_before(statement)
        stated = {DealKind.BALANCE: statement.opening_balance, DealKind.CREDIT: statement.opening_credit}
        known = {DealKind.BALANCE: balance, DealKind.CREDIT: credit}
        for kind, total in opened.items():
            amount = (stated[kind] or ZERO) - known[kind] - total
            if amount:
                wanted[statement, kind] = amount
                opened[kind] += amount
    return wanted


def _money_before(statement: StatementImport) -> tuple[Decimal, Decimal]:
    """Balance and credit that deals from before the statement's beginning add up to."""
    with connection.cursor() as cursor:
        cursor.execute(
            _MONEY_BEFORE,
            {
                "account": statement.account_id,
                "start": statement.covers_from,
                "leg0": statement.opening_tickets,
                "leg1": statement.closing_tickets,
            },
        )
        balance, credit = cursor.fetchone()
    return balance, credit


def _fields(account: TradingAccount, statement: StatementImport, kind: DealKind, amount: Decimal) -> dict[str, object]:
    assert statement.covers_from is not None
    return {
        "server_id": account.server_id,
        "account": account,
        "statement": statement,
        "kind": kind,
        "is_opening": True,
        "at": statement.covers_from,
        "amount": amount,
        "currency": account.currency,
        "business_day": business_day_of(statement.covers_from),
        "comment": OPENING_COMMENT if kind is DealKind.BALANCE else OPENING_CREDIT_COMMENT,
    }
