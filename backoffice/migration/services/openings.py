"""Opening balances: booked through the ledger against the account of balances taken over, with the package as source.

A trading account's opening is what ADR 4 says it is: a stored statement that states what the account held when its history
here begins, from which the opening follows; earlier history that comes later takes its place. Its line and its entry are
those of trading results, so that the next posting finds it booked. Everything else is one balanced entry per day and
currency.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Max

from backoffice.kernel import clock
from backoffice.kernel.business_day import day_bounds
from backoffice.migration.formats import OPENING_OWNERS, Row
from backoffice.migration.models import MigrationKey
from backoffice.migration.services.applying import WRITE_ROWS
from backoffice.migration.services.targets import Run
from backoffice.migration.staging import SEPARATOR, ids_of, staged_chunks
from funding.ledger.chart import AccountKind, is_debit_normal
from funding.ledger.services.accounts import get_accounts_bulk
from funding.ledger.services.entries import EntryDraft, PostingLine, post_entries
from funding.ledger.services.periods import is_closed
from funding.ledger.types import AccountSpec, PostingSide
from funding.locks import lock_results_of_server
from platform_ops.locks import lock_server
from platform_ops.services.openings import OPENING_COMMENT, OPENING_CREDIT_COMMENT, refresh_openings
from platform_ops.types import DealKind

CONTENT = "opening_balances"
SOURCE_TYPE = "migration"
TRADING_SOURCE = "trading_results"
LINES_PER_ENTRY = 100_000

_KIND = {
    "client_wallet": AccountKind.CLIENT_WALLET,
    "partner_accrued": AccountKind.PARTNER_ACCRUED,
    "partner_payable": AccountKind.PARTNER_PAYABLE,
    "partner_wallet": AccountKind.PARTNER_WALLET,
    "bank": AccountKind.BANK,
    "psp": AccountKind.PSP,
}
_OWNER = {"client_wallet": "client", "bank": "", "psp": ""}
_COMPONENT = {"trading_account": "opening", "trading_credit": "opening_credit"}
_LEDGER_OF_COMPONENT = {"opening": AccountKind.CLIENT_LIABILITY, "opening_credit": AccountKind.CLIENT_CREDIT}
_COMPONENT_OF_DEAL_KIND = {DealKind.BALANCE: "opening", DealKind.CREDIT: "opening_credit"}


@dataclass(frozen=True, slots=True)
class _Opening:
    """A row that is booked now."""

    number: int
    key: str
    kind: str
    owner_id: int
    title: str
    currency: str
    amount: Decimal
    day: date


def apply_openings(run: Run) -> None:
    """Books the staged opening balances that are not booked yet; a repeat that says otherwise is refused."""
    trading: list[_Opening] = []
    others: list[_Opening] = []
    closed: dict[date, bool] = {}
    for chunk in staged_chunks(CONTENT):
        for opening in _new_openings(run, chunk, closed):
            (trading if opening.kind in _COMPONENT else others).append(opening)
        run.progress(CONTENT, chunk[-1][0])
    if run.problems:
        # Nothing will be kept; what stands above is what can be said of these rows.
        return
    _book_others(run, others)
    _book_trading(run, trading)


def _new_openings(run: Run, chunk: list[tuple[int, str, Row]], closed: dict[date, bool]) -> Iterable[_Opening]:
    keys = {key for _, key, _ in chunk}
    facts = dict(
        MigrationKey.objects.filter(entity_id=run.entity_id, content=CONTENT, external_id__in=keys).values_list(
            "external_id", "facts"
        )
    )
    owners = _owners(run, chunk)
    for number, key, row in chunk:
        day, amount = date.fromisoformat(row["business_day"]), Decimal(row["amount"])
        if key in facts:
            _compare(run, number, row, facts[key])
            continue
        owner = owners.get(_owner_key(row), (0, "", "")) if OPENING_OWNERS[row["account_kind"]] else (0, "", "")
        if OPENING_OWNERS[row["account_kind"]] and not owner[0]:
            run.counts[CONTENT].refused += 1
            continue
        if day not in closed:
            closed[day] = is_closed(entity_id=run.entity_id, business_day=day)
        if closed[day]:
            run.refuse(
                CONTENT,
                number,
                "day_closed",
                f"The books of {day} are closed.",
                "Take the balance over into the first open day, or re-open the period.",
                name="business_day",
                value=day,
            )
            continue
        if owner[2] and owner[2] != row["currency"]:
            run.refuse(
                CONTENT,
                number,
                "currency_differs",
                f"{owner[1]} is kept in {owner[2]}.",
                "State the balance in that currency.",
                name="currency",
                value=row["currency"],
            )
            continue
        yield _Opening(number, key, row["account_kind"], owner[0], owner[1], row["currency"], amount, day)


def _compare(run: Run, number: int, row: Row, facts: dict[str, Any]) -> None:
    if (facts["amount"], facts["day"]) == (row["amount"], row["business_day"]):
        run.counts[CONTENT].unchanged += 1
        return
    run.refuse(
        CONTENT,
        number,
        "would_rewrite",
        f"This balance was taken over as {facts['amount']} on {facts['day']}.",
        "An opening balance is booked once. Correct it by a manual journal.",
        name="amount",
        value=row["amount"],
    )


def _owner_key(row: Row) -> tuple[str, str]:
    columns = OPENING_OWNERS[row["account_kind"]]
    content = {"client": "clients", "server": "accounts", "partner": "partners"}[columns[0]]
    return content, SEPARATOR.join(row[column] for column in columns)


def _owners(run: Run, chunk: list[tuple[int, str, Row]]) -> dict[tuple[str, str], tuple[int, str, str]]:
    """(id, title, currency) of the owners that the rows name; the currency is empty where any will do."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for _, _, row in chunk:
        if OPENING_OWNERS[row["account_kind"]]:
            content, key = _owner_key(row)
            wanted[content].add(key)
    found: dict[tuple[str, str], tuple[int, str, str]] = {}
    for content, keys in wanted.items():
        ids = ids_of(content, keys, run.entity_id)
        model, title, currency = {
            "clients": ("crm.Client", "reference", ""),
            "partners": ("ib.Partner", "reference", "currency"),
            "accounts": ("platform_ops.TradingAccount", "login", "currency"),
        }[content]
        rows = apps.get_model(model)._default_manager.in_bulk(list(ids.values()))
        for key, pk in ids.items():
            owner = rows[pk]
            found[content, key] = (pk, str(getattr(owner, title)), str(getattr(owner, currency)) if currency else "")
    return found


def _book_others(run: Run, openings: list[_Opening]) -> None:
    ordered = sorted(openings, key=lambda opening: (opening.day, opening.currency, opening.number))
    drafts, parts = [], []
    for (day, currency), group in groupby(ordered, key=lambda opening: (opening.day, opening.currency)):
        members = list(group)
        for start in range(0, len(members), LINES_PER_ENTRY):
            part = members[start : start + LINES_PER_ENTRY]
            drafts.append(_draft(run, day, currency, part, start))
            parts.append(part)
    entries = post_entries(drafts=drafts, actor=run.actor)
    for entry, part in zip(entries, parts, strict=True):
        _note(run, part, entry.pk)


def _spec(run: Run, opening: _Opening) -> AccountSpec:
    kind = _KIND[opening.kind]
    owner_type = _OWNER.get(opening.kind, "partner")
    title = f"{kind.label}, {opening.title}, {opening.currency}" if opening.title else ""
    return AccountSpec(run.entity_id, kind, opening.currency, owner_type, opening.owner_id, title)


def _draft(run: Run, day: date, currency: str, openings: list[_Opening], part: int) -> EntryDraft:
    equity = AccountSpec(run.entity_id, AccountKind.OPENING_EQUITY, currency)
    specs = {opening.key: _spec(run, opening) for opening in openings}
    accounts = {spec: account.pk for spec, account in get_accounts_bulk(specs=[equity, *specs.values()]).items()}
    lines, total = [], Decimal(0)
    for opening in openings:
        grows: PostingSide = "D" if is_debit_normal(_KIND[opening.kind]) else "C"
        lines.append(_line(accounts[specs[opening.key]], opening.amount, currency, grows))
        total += opening.amount if grows == "C" else -opening.amount
    if total:
        lines.append(_line(accounts[equity], total, currency, "D"))
    return EntryDraft(
        entity_id=run.entity_id,
        kind="adjustment",
        business_day=day,
        description=f"Opening balances taken over in {currency}, package {run.package.digest[:12]}",
        lines=lines,
        idempotency_key=f"migration:{run.package.digest}:{run.entity_id}:{day.isoformat()}:{currency}:{part}",
        source_type=SOURCE_TYPE,
        source_id=run.package.pk,
        reason=f"Package {run.package.digest}",
    )


def _line(account_id: int, amount: Decimal, currency: str, grows: PostingSide) -> PostingLine:
    shrinks: PostingSide = "C" if grows == "D" else "D"
    return PostingLine(account_id, grows if amount > 0 else shrinks, abs(amount), currency)


def _note(run: Run, openings: list[_Opening], entry_id: int) -> None:
    """Remembers what was booked, so that a repeat books nothing and a contradiction is seen."""
    MigrationKey.objects.bulk_create(
        [
            MigrationKey(
                entity_id=run.entity_id,
                content=CONTENT,
                external_id=opening.key,
                object_id=opening.owner_id,
                facts={
                    "amount": f"{opening.amount.normalize():f}",
                    "day": opening.day.isoformat(),
                    "currency": opening.currency,
                    "kind": opening.kind,
                    "entry": entry_id,
                },
                package=run.package,
            )
            for opening in openings
        ],
        batch_size=WRITE_ROWS,
    )
    run.counts[CONTENT].created += len(openings)


# Trading accounts.


def _book_trading(run: Run, openings: list[_Opening]) -> None:
    accounts = apps.get_model("platform_ops.TradingAccount")._default_manager
    servers = dict(accounts.filter(pk__in={opening.owner_id for opening in openings}).values_list("pk", "server_id"))
    ordered = sorted(openings, key=lambda opening: (servers[opening.owner_id], opening.owner_id, opening.kind))
    for server_id, group in groupby(ordered, key=lambda opening: servers[opening.owner_id]):
        members = list(group)
        if _may_open(run, members):
            _open_accounts(run, server_id, members)


def _may_open(run: Run, openings: list[_Opening]) -> bool:
    """Refuses accounts that have statements already: their opening follows from those."""
    told = set(
        apps.get_model("platform_ops.StatementImport")
        ._default_manager.filter(account_id__in={item.owner_id for item in openings}, state="stored")
        .values_list("account_id", flat=True)
    )
    days: dict[int, date] = {}
    before = run.problems.count
    for opening in openings:
        if opening.owner_id in told:
            run.refuse(
                CONTENT,
                opening.number,
                "has_history",
                f"Account {opening.title} has statements, from which its opening balance follows.",
                "Take the row out; import the account's statements instead.",
                name="login",
                value=opening.title,
            )
        elif days.setdefault(opening.owner_id, opening.day) != opening.day:
            run.refuse(
                CONTENT,
                opening.number,
                "days_differ",
                f"Balance and credit of account {opening.title} are stated for different days.",
                "State both for one business day.",
                name="business_day",
                value=opening.day,
            )
    return run.problems.count == before


@dataclass(slots=True)
class _Account:
    """A trading account that is taken over: the statement that stands for what it held, in which currency and day."""

    statement: Any
    currency: str
    day: date


def _open_accounts(run: Run, server_id: int, openings: list[_Opening]) -> None:
    lock_results_of_server(server_id)
    lock_server(server_id)
    batch = apps.get_model("platform_ops.IngestBatch")._default_manager.create(
        server_id=server_id, source="migration", changed_operations=len(openings)
    )
    accounts = _statements(run, server_id, openings)
    with_deals = _accounts_with_deals(accounts)
    operations = [
        operation
        for account_id, account in accounts.items()
        if account_id not in with_deals
        for operation in _operations(server_id, account, batch.pk)
    ]
    apps.get_model("platform_ops.BalanceOperation")._default_manager.bulk_create(operations, batch_size=WRITE_ROWS)
    for account_id in sorted(with_deals):
        refresh_openings(account_id=account_id, batch_id=batch.pk)
    entries = _book_lines(run, server_id, batch.pk)
    by_entry: dict[int, list[_Opening]] = defaultdict(list)
    for opening in openings:
        by_entry[entries.get((opening.day, opening.currency), 0)].append(opening)
    for entry_id, members in sorted(by_entry.items()):
        _note(run, members, entry_id)


def _statements(run: Run, server_id: int, openings: list[_Opening]) -> dict[int, _Account]:
    """One stored statement per account, which states what it held at the beginning of the day."""
    model = apps.get_model("platform_ops.StatementImport")
    now = clock.now()
    made: dict[int, _Account] = {}
    for opening in openings:
        if opening.owner_id not in made:
            starts = day_bounds(opening.day)[0]
            statement = model(
                server_id=server_id,
                account_id=opening.owner_id,
                file_name=f"Opening balances of package {run.package.digest[:12]}",
                sha256=run.package.digest,
                size_bytes=0,
                state="stored",
                as_of=starts,
                covers_from=starts,
                opening_balance=Decimal(0),
                opening_credit=Decimal(0),
                finished_at=now,
            )
            made[opening.owner_id] = _Account(statement, opening.currency, opening.day)
        name = "opening_balance" if opening.kind == "trading_account" else "opening_credit"
        setattr(made[opening.owner_id].statement, name, opening.amount)
    model._default_manager.bulk_create([account.statement for account in made.values()], batch_size=WRITE_ROWS)
    return made


def _accounts_with_deals(account_ids: Iterable[int]) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT account.id FROM unnest(%s::bigint[]) AS account (id)"
            " WHERE EXISTS (SELECT FROM platform_ops_deal deal WHERE deal.account_id = account.id)",
            [sorted(account_ids)],
        )
        return {row[0] for row in cursor.fetchall()}


def _operations(server_id: int, account: _Account, batch_id: int) -> Iterable[Any]:
    model = apps.get_model("platform_ops.BalanceOperation")
    statement = account.statement
    for kind, amount, comment in (
        (DealKind.BALANCE, statement.opening_balance, OPENING_COMMENT),
        (DealKind.CREDIT, statement.opening_credit, OPENING_CREDIT_COMMENT),
    ):
        if amount:
            yield model(
                server_id=server_id,
                account_id=statement.account_id,
                statement_id=statement.pk,
                batch_id=batch_id,
                kind=kind,
                is_opening=True,
                at=statement.covers_from,
                amount=amount,
                currency=account.currency,
                business_day=account.day,
                comment=comment,
            )


def _book_lines(run: Run, server_id: int, batch_id: int) -> dict[tuple[date, str], int]:
    """Books the openings of the batch as a run of trading results would; entries by day and currency."""
    operations = list(
        apps.get_model("platform_ops.BalanceOperation")
        ._default_manager.filter(batch_id=batch_id, is_opening=True, is_cancelled=False)
        .order_by("business_day", "currency", "account_id", "kind")
        .values_list("business_day", "currency", "account_id", "account__login", "kind", "amount")
    )
    if not operations:
        return {}
    results = _results_run(run, server_id, batch_id, max(operation[0] for operation in operations))
    entries: dict[tuple[date, str], int] = {}
    lines: list[Any] = []
    line_model = apps.get_model("funding.TradingResultLine")
    for (day, currency), group in groupby(operations, key=lambda operation: (operation[0], operation[1])):
        members = list(group)
        entry = post_entries(drafts=[_trading_draft(run, server_id, day, currency, members)], actor=run.actor)[0]
        entries[day, currency] = entry.pk
        lines += [
            line_model(
                account_id=account_id,
                business_day=day,
                component=_COMPONENT_OF_DEAL_KIND[DealKind(kind)],
                book="",
                seq=1,
                amount=amount,
                currency=currency,
                run=results,
                entry_id=entry.pk,
            )
            for _, _, account_id, _, kind, amount in members
        ]
    line_model._default_manager.bulk_create(lines, batch_size=WRITE_ROWS)
    return entries


def _results_run(run: Run, server_id: int, batch_id: int, day: date) -> Any:
    """The run that the lines belong to. It claims no day that the server's own runs have not booked.

    On a server whose results are booked through a day before the openings', the batch is left to the next run, until
    which the proof of balances waits for these accounts.
    """
    model = apps.get_model("funding.TradingResultRun")
    last = model._default_manager.filter(server_id=server_id).aggregate(last=Max("business_day"))["last"]
    results = model._default_manager.create(server_id=server_id, business_day=last or day, actor=run.actor.label[:200])
    if last is None or last >= day:
        apps.get_model("funding.BookedBatch")._default_manager.create(batch_id=batch_id, run=results)
    return results


def _trading_draft(run: Run, server_id: int, day: date, currency: str, operations: list[tuple[Any, ...]]) -> EntryDraft:
    equity = AccountSpec(run.entity_id, AccountKind.OPENING_EQUITY, currency)
    specs = {}
    for _, _, account_id, login, kind, _ in operations:
        ledger_kind = _LEDGER_OF_COMPONENT[_COMPONENT_OF_DEAL_KIND[DealKind(kind)]]
        specs[account_id, kind] = AccountSpec(
            run.entity_id, ledger_kind, currency, "trading_account", account_id, f"{ledger_kind.label} {login}"
        )
    accounts = {spec: account.pk for spec, account in get_accounts_bulk(specs=[equity, *specs.values()]).items()}
    lines = [
        _line(accounts[specs[account_id, kind]], amount, currency, "C")
        for _, _, account_id, _, kind, amount in operations
    ]
    if total := sum((operation[5] for operation in operations), Decimal(0)):
        lines.append(_line(accounts[equity], total, currency, "D"))
    return EntryDraft(
        entity_id=run.entity_id,
        kind="trading_result",
        business_day=day,
        description=f"Opening balances of trading accounts taken over in {currency}, package {run.package.digest[:12]}",
        lines=lines,
        idempotency_key=f"migration:{run.package.digest}:{server_id}:{day.isoformat()}:{currency}:trading",
        source_type=TRADING_SOURCE,
        source_id=server_id,
        reason=f"Package {run.package.digest}",
    )
