"""Taking a provider's sheet in: kept in the file room, read whole, then a grid of rows, or refused with every mistake named.

Nothing of a sheet with a mistake is used. A symbol that is open and not in the sheet becomes a row without figures, which
keeps the sheet from being proposed until somebody fills it in or keeps today's rate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.db.models import Count

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import LegalEntity, StoredFile
from backoffice.core.organisation.scope import require_stands_for
from backoffice.core.services import audit
from backoffice.core.services.files import read_file, store_file
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.gateways.swap_sheets import read_figure, read_lines
from platform_ops.gateways.types import SwapMode
from platform_ops.models import AccountGroup, Position, ServerSymbol, SwapMarkupRule, SwapSheet, SwapSheetRow, Symbol
from platform_ops.permissions import MANAGE_SWAPS
from platform_ops.rules.swap_desk import DEFAULT_FLAG_PERCENT, Rates, apply_markup, rule_for
from platform_ops.rules.swap_sheets import (
    LABELS,
    MAX_PROBLEMS,
    Column,
    DecimalMark,
    Reading,
    SheetProblem,
    SheetRow,
    SignOf,
    duplicates,
    missing,
    read_sheet,
)
from platform_ops.rules.symbol_names import match_symbol
from platform_ops.services.swap_desk.markup import markup_of
from platform_ops.services.swap_desk.standing import Standing

SHEET_PURPOSE = "platform.swap_sheet"
MAX_PROVIDER = 80
MAX_GRID_ROWS = 1_500
MAX_OPEN_SHEETS = 50
PASTED_NAME = "pasted.csv"


def open_sheet(
    *,
    provider: str,
    data: bytes,
    file_name: str,
    actor: Actor,
    reading: Reading | None = None,
    leaves_out_unknown: bool = False,
) -> SwapSheet:
    """Keeps a sheet and reads it: OPEN with its grid, or REFUSED with what is wrong by row and field.

    Names that are none of our symbols are a mistake, unless *leaves_out_unknown*. Raises Denied, and InvalidInput for
    an empty or too large file, of which nothing is kept.
    """
    _authorised(actor)
    name = _named(provider)
    stored = store_file(
        purpose=SHEET_PURPOSE, data=data, file_name=file_name or PASTED_NAME, actor=actor, entity_id=_house(actor)
    )
    return _take_in(stored, data, name, actor, reading or Reading(), leaves_out_unknown)


def read_again(
    *, sheet_id: int, actor: Actor, reading: Reading | None = None, leaves_out_unknown: bool = False
) -> SwapSheet:
    """Reads the kept file of a refused sheet anew, in another way; the refused one stays as it is."""
    refused = get_visible(SwapSheet.objects.all(), actor, pk=sheet_id)
    _authorised(actor)
    name = _named(refused.provider)
    if refused.state != SwapSheet.State.REFUSED or refused.file_id is None:
        raise Conflict("Only a refused sheet is read again.", code="not_refused")
    stored, data = read_file(file_id=refused.file_id, actor=actor)
    return _take_in(stored, data, name, actor, reading or Reading(), leaves_out_unknown)


@transaction.atomic
def sheet_of_standing(
    *, actor: Actor, provider: str = "Today's rates", symbol_group_id: int | None = None
) -> SwapSheet:
    """A grid of the rates that are in force, to be edited by hand: of one symbol group, or of all symbols with rates."""
    _authorised(actor)
    name = _named(provider)
    now = clock.now()
    symbols = Symbol.objects.select_related("group").order_by("code")
    if symbol_group_id is not None:
        symbols = symbols.filter(group_id=symbol_group_id)
    standing = Standing(at=now, symbol_ids=[symbol.pk for symbol in symbols])
    keys = set(standing.dated()) | {(symbol.pk, None) for symbol in symbols if standing.counts((symbol.pk, None))}
    if not keys:
        raise Conflict("No symbol has a swap rate yet: begin with a provider's sheet.", code="no_rates")
    if len(keys) > MAX_GRID_ROWS:
        raise Conflict(f"A grid has at most {MAX_GRID_ROWS:,} rows: choose a symbol group.", code="too_many_rows")
    sheet = _new_sheet(name, actor, state=SwapSheet.State.OPEN)
    rows = []
    for symbol_id, group_id in sorted(keys, key=lambda key: (key[0], key[1] or 0)):
        rate = standing.counts((symbol_id, group_id))
        assert rate is not None
        rows.append(
            SwapSheetRow(
                sheet=sheet, symbol_id=symbol_id, group_id=group_id, mode=rate.mode, long=rate.long, short=rate.short,
                lp_long=rate.lp_long, lp_short=rate.lp_short,
            )
        )  # fmt: skip
    SwapSheetRow.objects.bulk_create(rows)
    audit.record(actor=actor, action="platform.open_swap_sheet", target=sheet, changes={"rows": len(rows)})
    return sheet


@transaction.atomic
def copy_sheet(*, sheet_id: int, actor: Actor) -> SwapSheet:
    """A new draft with the rows of an earlier one, for what was rejected or withdrawn. Explanations are given anew."""
    earlier = get_visible(SwapSheet.objects.all(), actor, pk=sheet_id)
    _authorised(actor)
    name = _named(earlier.provider)
    if earlier.state == SwapSheet.State.REFUSED:
        raise Conflict("A refused sheet has no rows to copy.", code="sheet_refused")
    sheet = _new_sheet(name, actor, state=SwapSheet.State.OPEN, file=earlier.file, reading=earlier.reading)
    rows = list(earlier.rows.all())
    for row in rows:
        row.pk, row.sheet, row.explanation, row._state.adding = None, sheet, "", True
    SwapSheetRow.objects.bulk_create(rows)
    audit.record(actor=actor, action="platform.open_swap_sheet", target=sheet, changes={"copied_from": earlier.pk})
    return sheet


@transaction.atomic
def discard_sheet(*, sheet_id: int, actor: Actor, reason: str = "") -> SwapSheet:
    """Puts a draft away; its rows and its file stay to be read. Repeating it changes nothing."""
    _authorised(actor)
    seen = get_visible(SwapSheet.objects.all(), actor, pk=sheet_id)
    sheet = SwapSheet.objects.select_for_update(of=("self",)).get(pk=seen.pk)
    if sheet.state == SwapSheet.State.DISCARDED:
        return sheet
    if sheet.state == SwapSheet.State.PROPOSED:
        raise Conflict("A proposed sheet is withdrawn with its change request.", code="sheet_proposed")
    sheet.state, sheet.closed_at = SwapSheet.State.DISCARDED, clock.now()
    sheet.save(update_fields=["state", "closed_at"])
    audit.record(actor=actor, action="platform.discard_swap_sheet", target=sheet, reason=reason)
    return sheet


def _authorised(actor: Actor) -> None:
    authorise(actor, MANAGE_SWAPS)
    require_stands_for(actor, None)


def _named(provider: str) -> str:
    name = " ".join(provider.split())
    if not name or len(name) > MAX_PROVIDER or not name.isprintable():
        raise InvalidInput(f"Name the provider in at most {MAX_PROVIDER} letters.", field="provider")
    return name


def _house(actor: Actor) -> int:
    """The legal entity that keeps the file: the first one."""
    found = LegalEntity.objects.order_by("pk").values_list("pk", flat=True).first()
    if found is None:
        raise Conflict("There is no legal entity yet.", code="no_entity")
    return found


def _new_sheet(provider: str, actor: Actor, **fields: Any) -> SwapSheet:
    if (
        fields.get("state") == SwapSheet.State.OPEN
        and SwapSheet.objects.filter(state=SwapSheet.State.OPEN).count() >= MAX_OPEN_SHEETS
    ):
        raise Conflict(f"{MAX_OPEN_SHEETS} sheets are being worked on: discard one first.", code="too_many_sheets")
    return SwapSheet.objects.create(provider=provider, made_by=actor.label[:200], maker_id=actor.user_id, **fields)


@transaction.atomic
def _take_in(
    stored: StoredFile, data: bytes, provider: str, actor: Actor, reading: Reading, leaves_out: bool
) -> SwapSheet:
    how = _reading_data(reading)
    problems: list[SheetProblem] = []
    rows: list[tuple[SheetRow, Symbol, AccountGroup | None]] = []
    left_out: list[str] = []
    if stored.state != StoredFile.State.CLEAN:
        why = stored.reason or "The file waits for its check: read it again in a moment."
        problems.append(SheetProblem(None, "file", why, code=stored.reason_code or "not_checked"))
    else:
        try:
            sheet = read_sheet(read_lines(data), reading, read_number=read_figure)
        except InvalidInput as error:
            problems.append(
                SheetProblem(
                    error.details.get("row"),
                    str(error.details.get("field", "sheet")),
                    error.message,
                    str(error.details.get("value") or "")[:80],
                )
            )
        else:
            how["columns"] = {LABELS[column]: place for column, place in sheet.columns.items()}
            rows, unknown = _resolve(sheet.rows)
            problems += sheet.problems
            left_out = [problem.value for problem in unknown if problem.code == "unknown_symbol"] if leaves_out else []
            problems += [p for p in unknown if not (leaves_out and p.code == "unknown_symbol")]
            problems += duplicates((row, symbol.code) for row, symbol, _ in rows)
            if not problems and not rows:
                problems.append(
                    SheetProblem(None, "symbol", "None of the names is one of our symbols.", code="no_rows")
                )
    problems.sort(key=lambda problem: problem.row or 0)
    fields = {"file": stored, "reading": how, "left_out": left_out[:MAX_PROBLEMS]}
    if problems:
        refused = _new_sheet(
            provider,
            actor,
            state=SwapSheet.State.REFUSED,
            problems=[problem.as_data() for problem in problems[:MAX_PROBLEMS]],
            closed_at=clock.now(),
            **fields,
        )
        audit.record(
            actor=actor, action="platform.refuse_swap_sheet", target=refused, changes={"problems": len(problems)}
        )
        return refused
    opened = _new_sheet(provider, actor, state=SwapSheet.State.OPEN, **fields)
    grid, lacking = _grid(opened, rows)
    SwapSheetRow.objects.bulk_create(grid)
    opened.problems = [problem.as_data() for problem in lacking]
    opened.save(update_fields=["problems"])
    audit.record(
        actor=actor,
        action="platform.open_swap_sheet",
        target=opened,
        changes={"rows": len(grid), "missing": [problem.symbol for problem in lacking][:50]},
    )
    return opened


def _reading_data(reading: Reading) -> dict[str, Any]:
    data = asdict(reading)
    data["columns"] = {LABELS[column]: place for column, place in reading.columns.items()}
    return {
        **data,
        "mode": int(reading.mode),
        "sign_of": str(reading.sign_of),
        "decimal_mark": str(reading.decimal_mark),
    }


def reading_from(data: Mapping[str, Any]) -> Reading:
    """How a sheet is to be read, from plain data. Raises InvalidInput naming the field."""
    names = {label: column for column, label in LABELS.items()}
    columns: dict[Column, int] = {}
    for label, place in dict(data.get("columns") or {}).items():
        if label not in names or isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < 16:
            raise InvalidInput("Columns are numbers from 0 to 15 by symbol, long, short, mode, group.", field="columns")
        columns[names[label]] = place
    try:
        return Reading(
            columns=columns,
            mode=SwapMode(int(data.get("mode", SwapMode.POINTS))),
            sign_of=SignOf(data.get("sign_of", SignOf.CLIENT)),
            decimal_mark=DecimalMark(data.get("decimal_mark", DecimalMark.EITHER)),
        )
    except (TypeError, ValueError) as error:
        raise InvalidInput("This is no way to read a sheet.", field="reading") from error


def _resolve(
    rows: tuple[SheetRow, ...],
) -> tuple[list[tuple[SheetRow, Symbol, AccountGroup | None]], list[SheetProblem]]:
    """Each row with the symbol and the group that it names, and what nobody knows."""
    symbols = {symbol.code: symbol for symbol in Symbol.objects.select_related("group")}
    by_server: dict[str, set[str]] = defaultdict(set)
    for name, code in ServerSymbol.objects.filter(symbol__isnull=False).values_list("name", "symbol__code"):
        by_server[name.upper()].add(code)
    groups: dict[str, list[AccountGroup]] = defaultdict(list)
    for group in AccountGroup.objects.all():
        groups[group.name.lower()].append(group)
    found, problems = [], []
    for row in rows:
        codes = by_server.get(row.name.upper(), set())
        match = match_symbol(row.name, symbols)
        code = next(iter(codes)) if len(codes) == 1 else match.code if match is not None else ""
        if not code:
            message = f"{row.name} is none of our symbols."
            problems.append(SheetProblem(row.number, "symbol", message, row.name, code="unknown_symbol"))
            continue
        named = groups.get(row.group.lower(), []) if row.group else [None]
        if len(named) != 1:
            message = f"There is no account group {row.group}." if not named else f"Several servers have {row.group}."
            problems.append(SheetProblem(row.number, "group", message, row.group, code, "unknown_group"))
            continue
        found.append((row, symbols[code], named[0]))
    return found, problems


def _grid(
    sheet: SwapSheet, rows: list[tuple[SheetRow, Symbol, AccountGroup | None]]
) -> tuple[list[SwapSheetRow], list[SheetProblem]]:
    """The rows of the grid: the sheet's, those of account groups with rates of their own, and those that are missing."""
    rules = list(SwapMarkupRule.objects.select_related("account_group"))
    standing = Standing(at=clock.now(), symbol_ids=[symbol.pk for _, symbol, _ in rows])
    with_own_rate: dict[int, set[int]] = defaultdict(set)
    for symbol_id, group_id in standing.dated():
        if group_id is not None:
            with_own_rate[symbol_id].add(group_id)
    with_own_rule = {rule.account_group_id for rule in rules if rule.account_group_id is not None}
    grid: dict[tuple[int, int | None], SwapSheetRow] = {}
    for row, symbol, group in rows:
        key = (symbol.pk, group.pk if group is not None else None)
        grid.setdefault(key, _marked(sheet, row, symbol, key[1], rules))
    for row, symbol, group in rows:
        if group is not None:
            continue
        for group_id in sorted(with_own_rate[symbol.pk] | with_own_rule):
            rule = _rule(rules, symbol, group_id)
            speaks_of_it = rule is not None and rule.account_group_id == group_id
            if speaks_of_it or group_id in with_own_rate[symbol.pk]:
                grid.setdefault((symbol.pk, group_id), _marked(sheet, row, symbol, group_id, rules))
    lacking = []
    for symbol, positions, servers in symbols_open_elsewhere({symbol.pk for _, symbol, _ in rows}):
        problem = missing(symbol.code, positions)
        lacking.append(
            SheetProblem(None, problem.field, f"{servers}: {problem.message}", "", symbol.code, problem.code)
        )
        grid[symbol.pk, None] = SwapSheetRow(
            sheet=sheet, symbol=symbol, mode=_standing_mode(symbol.pk), flag_percent=_flag(_rule(rules, symbol, None))
        )
    if len(grid) > MAX_GRID_ROWS:
        raise InvalidInput(f"A grid has at most {MAX_GRID_ROWS:,} rows.", row=None, field="sheet")
    return list(grid.values()), lacking


def symbols_open_elsewhere(symbol_ids: set[int]) -> list[tuple[Symbol, int, str]]:
    """Symbols with open positions of clients that are none of the given ones: how many, and on which servers."""
    counted = (
        Position.objects.filter(server_symbol__symbol__isnull=False, account__is_demo=False)
        .exclude(server_symbol__symbol_id__in=symbol_ids)
        .values("server_symbol__symbol_id", "server_symbol__server__code")
        .annotate(positions=Count("pk"))
        .order_by("server_symbol__symbol_id", "server_symbol__server__code")
    )
    by_symbol: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for row in counted:
        by_symbol[row["server_symbol__symbol_id"]].append((row["server_symbol__server__code"], row["positions"]))
    symbols = Symbol.objects.in_bulk(by_symbol)
    return [
        (symbols[pk], sum(count for _, count in servers), ", ".join(code for code, _ in servers))
        for pk, servers in sorted(by_symbol.items(), key=lambda pair: symbols[pair[0]].code)
    ]


def _standing_mode(symbol_id: int) -> int:
    rate = Standing(at=clock.now(), symbol_ids=[symbol_id]).counts((symbol_id, None))
    return int(rate.mode if rate is not None else SwapMode.POINTS)


def _rule(rules: list[SwapMarkupRule], symbol: Symbol, group_id: int | None) -> SwapMarkupRule | None:
    found: SwapMarkupRule | None = rule_for(
        rules, symbol_id=symbol.pk, symbol_group_id=symbol.group_id, account_group_id=group_id
    )
    return found


def _flag(rule: SwapMarkupRule | None) -> Any:
    return rule.flag_percent if rule is not None else DEFAULT_FLAG_PERCENT


def _marked(
    sheet: SwapSheet, row: SheetRow, symbol: Symbol, group_id: int | None, rules: list[SwapMarkupRule]
) -> SwapSheetRow:
    """The row with the provider's figures and what the rules make of them; without a rule they stay as they are."""
    rule = _rule(rules, symbol, group_id)
    given = Rates(row.long, row.short, row.mode)
    made = apply_markup(given, markup_of(rule)) if rule is not None else given
    return SwapSheetRow(
        sheet=sheet,
        symbol=symbol,
        group_id=group_id,
        line=row.number,
        sheet_name=row.name,
        mode=int(row.mode),
        lp_long=row.long,
        lp_short=row.short,
        expected_long=made.long,
        expected_short=made.short,
        long=made.long,
        short=made.short,
        markup=markup_words(rule),
        flag_percent=_flag(rule),
    )


def markup_words(rule: SwapMarkupRule | None) -> str:
    """What a rule does, in a few words."""
    if rule is None:
        return "as the provider"
    long, short = (format(value.normalize(), "f") for value in (rule.long_value, rule.short_value))
    values = long if long == short else f"{long} / {short}"
    return {
        SwapMarkupRule.Kind.PERCENT: f"+{values} % against the client",
        SwapMarkupRule.Kind.ABSOLUTE: f"{values} against the client",
        SwapMarkupRule.Kind.CUSTOM: f"{values} % of the rate",
    }[SwapMarkupRule.Kind(rule.kind)][:120]
