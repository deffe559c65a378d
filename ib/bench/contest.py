"""The contests of settlement: the whole of it against the write limit, the arithmetic alone, and what is usually written.

Ours is the real engine through its own doors: job rows, claims, lines, postings, balances, control totals.
"""

# ruff: noqa: S608 -- own text and own numbers
from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

from backoffice.core.measuring.bench import Comparison, Contender, Contest
from backoffice.core.measuring.database import SCHEMA, empty_tables, fetch_all, run_sql, settle_down
from backoffice.core.services import jobs
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict
from ib.bench import copying, naive
from ib.bench.backfill import backfill
from ib.bench.duck import Duck
from ib.bench.mixed import tiers
from ib.bench.moving import moves
from ib.bench.worker import SecondProcess, second_process
from ib.bench.world import ACTOR, DAYS, FIRST_TICKET, SCALES, WRITTEN_BY_SETTLEMENT, World, build_world
from ib.engine.target import scope_of_trades
from ib.models import RateCardVersion
from ib.services.proof import differences, prove_range
from ib.services.settlement import settle_ingest_batch, settle_range
from ib.services.shards import SETTLE_BATCH, enqueue_batch
from platform_ops.services.ingest import ingest_csv

MICRO_BATCH_TRADES = 100
SMALLEST = "smoke"
CORRECTED_SHARE = 100
"""One trade in so many is corrected."""

ONE, TWO = "ours, 1 process", "ours, 2 processes"
TENTH, HUNDREDTH = "ours, a tenth of the trades", "ours, a hundredth of the trades"
AGAIN, PROOF, DELTA = "ours, settled again", "ours, proof", "ours, 1 % corrected"
COPY_ONE, COPY_TWO = "COPY with key, 1 connection", "COPY with key, 2 connections"
BARE_TWO = "COPY, key after, 2 connections"
DUCK, ORM, CACHED = "DuckDB, arithmetic only", "ORM trade by trade", "dictionaries and bulk_create"


def settle(size: str) -> Iterator[Contest]:
    """The suite: settlement of thirty days, of a hundred trades at a time, of a move in the past, of a month of history."""
    world = build_world(SCALES[size])
    with tempfile.TemporaryDirectory(prefix="bench-") as name, second_process() as second:
        bench = _Bench(world, Path(name), second)
        try:
            yield bench.whole_period(rounds=2)
        finally:
            bench.close()
        yield _micro_batches(world)
        yield moves(world)
        if size != SMALLEST:  # it takes as long as all the small world's other contests of a month together
            yield tiers(world)
        yield backfill(world)


class _Bench:
    """The contest of the whole period, and what its contenders keep between their turns."""

    def __init__(self, world: World, folder: Path, second: SecondProcess) -> None:
        self.world = world
        self.folder = folder
        self.second = second
        self.all_units = world.scale.trades
        self.part = world.days[: len(world.days) // 3]
        self.part_units = _count("platform_ops_trade", f"business_day <= '{self.part[-1]}'")
        self.orm_sample = _sample(world, world.scale.orm_sample)
        self.cached_sample = _sample(world, world.scale.cached_sample)
        self.tables = naive.CachedTables()
        self.duck = Duck(days=world.days, folder=folder)
        self.exported = False
        self.corrections = 0
        self.hundredth = 0
        first = int(fetch_all("SELECT min(id) FROM platform_ops_trade")[0][0])
        self.last_of_hundredth = first + self.all_units // 100 - 1

    def close(self) -> None:
        """Frees what is not in the database."""
        self.duck.close()

    def whole_period(self, *, rounds: int) -> Contest:
        """Every contender, in an order in which each finds what it needs; settlement by two processes comes last."""
        units = self.all_units
        contenders = [
            Contender(HUNDREDTH, self._settle_alone, units // 100, prepare=self._queue_hundredth,
                      checksums=self._checksum_of_hundredth, clean=self._give_hundredth_back, turns=1),
            Contender(TENTH, self._settle_alone, units // 10,
                      prepare=lambda: self.world.reset(self.world.batch_ids[: DAYS // 10]),
                      checksums=self._checksum_of_tenth, turns=1),
            Contender(ONE, self._settle_alone, units, prepare=self.world.reset, notes=_count_lines,
                      checksums=self._checksums_of_ours, clean=self._export, turns=1),
            Contender(AGAIN, self._settle_again, self.part_units, checksums=self._nothing_new, turns=1),
            Contender(PROOF, self._prove, self.part_units, turns=1),
            Contender(DELTA, self._settle_corrections, units, prepare=self._correct,
                      clean=self._take_corrections_back, turns=1),
            self._copy(COPY_ONE, keyed=True, connections=1, turns=1),
            self._copy(COPY_TWO, keyed=True, connections=2),
            self._copy(BARE_TWO, keyed=False, connections=2),
            Contender(DUCK, self.duck.compute, units, checksums=self.duck.checksums, turns=1),
            Contender(ORM, lambda: naive.settle_with_the_orm(self.orm_sample), len(self.orm_sample),
                      prepare=_empty_lines, checksums=lambda: {"ORM sample": checksum_of("TRUE")}, turns=1),
            Contender(CACHED, lambda: naive.settle_with_dictionaries(self.tables, self.cached_sample),
                      len(self.cached_sample), prepare=_empty_lines,
                      checksums=lambda: {"dictionaries sample": checksum_of("TRUE")}, turns=1),
            Contender(TWO, self._settle_together, units, prepare=self.world.reset, notes=_count_lines,
                      checksums=self._checksums_of_ours),
        ]  # fmt: skip
        return Contest("settle", "trades", contenders, _COMPARISONS, rounds=rounds)

    def _copy(self, name: str, *, keyed: bool, connections: int, turns: int | None = None) -> Contender:
        days = self.world.days
        return Contender(
            name,
            lambda: copying.copy_lines(days, self.folder, keyed=keyed, connections=connections),
            self.all_units,
            prepare=lambda: copying.make_table(days, keyed=keyed),
            notes=lambda: {"lines": _count(copying.COPIED)},
            checksums=lambda: {"all lines": checksum_of("TRUE", table=copying.COPIED)},
            clean=copying.drop_table,
            turns=turns,
        )

    def _queue_hundredth(self) -> None:
        """The first trades of the first day become a batch of their own."""
        self.world.reset(())
        (self.hundredth,) = fetch_all(_ANOTHER_BATCH, {"like": self.world.batch_ids[0]})[0]
        self._hand_over(self.world.batch_ids[0], self.hundredth)
        enqueue_batch(ingest_batch_id=self.hundredth)

    def _give_hundredth_back(self) -> None:
        empty_tables(WRITTEN_BY_SETTLEMENT)
        self._hand_over(self.hundredth, self.world.batch_ids[0])

    def _hand_over(self, given: int, taken: int) -> None:
        run_sql("SET session_replication_role = 'replica'")
        run_sql(_HAND_OVER, {"given": given, "taken": taken, "last": self.last_of_hundredth})
        run_sql("RESET session_replication_role")
        settle_down(["platform_ops_trade"])

    def _checksum_of_hundredth(self) -> Mapping[str, Any]:
        return {"first hundredth": checksum_of(f"day = '{self.part[0]}' AND trade_id <= {self.last_of_hundredth}")}

    def _checksum_of_tenth(self) -> Mapping[str, Any]:
        return {"first tenth": checksum_of(f"day <= '{self.world.days[DAYS // 10 - 1]}'")}

    def _settle_alone(self) -> None:
        jobs.run_ready(kind=SETTLE_BATCH, owner="bench:1")

    def _settle_together(self) -> None:
        self.second.start()
        jobs.run_ready(kind=SETTLE_BATCH, owner="bench:1")
        self.second.wait()

    def _settle_again(self) -> None:
        self.again = settle_range(from_day=self.part[0], to_day=self.part[-1], actor=ACTOR)

    def _nothing_new(self) -> Mapping[str, Any]:
        if self.again.lines or self.again.trades != self.part_units:
            raise Conflict(f"Settling again booked {self.again.lines} lines.", code="bench_checksum")
        return {"all lines": checksum_of("TRUE")}

    def _prove(self) -> None:
        proof = prove_range(from_day=self.part[0], to_day=self.part[-1], actor=ACTOR)
        if not proof.ok:
            raise Conflict(f"The proof found {proof.count} contradictions.", code="bench_checksum", rows=proof.rows[:3])

    def _correct(self) -> None:
        """The server corrects the volume of one trade in a hundred, spread over the month; other volumes each time."""
        self.corrections += 1
        rows = fetch_all(
            f"SELECT {_CSV_OF_A_DEAL.format(lots=f'volume_lots + 0.0{self.corrections % 9 + 1}')}"
            f" FROM platform_ops_deal WHERE revision = 0 AND ticket %% {CORRECTED_SHARE} = 0",
            {},
        )
        text = StringIO("".join(f"{row[0]}\n" for row in rows))
        batch = ingest_csv(server_id=self.world.server_id, source="bench", stream=text, as_of=clock.now())
        self.corrected_batch = int(batch.pk)
        settle_down()

    def _settle_corrections(self) -> None:
        settle_ingest_batch(ingest_batch_id=self.corrected_batch, actor=ACTOR)

    def _take_corrections_back(self) -> None:
        """Proves that the corrected trades are paid to the cent, and makes the world what it was."""
        batch = {"batch": self.corrected_batch}
        corrected = fetch_all("SELECT id FROM platform_ops_trade WHERE batch_id = %(batch)s", batch)
        scope = scope_of_trades(trade_ids=[trade_id for (trade_id,) in corrected], days=self.world.days)
        wrong = differences(scope, RateCardVersion.objects.get(is_active=True))
        if wrong or len(corrected) != self.all_units // CORRECTED_SHARE:
            raise Conflict(f"After the delta of {len(corrected)} trades {wrong[:1]} is wrong.", code="bench_checksum")
        for statement in _TAKE_BACK:
            run_sql(statement, batch)

    def _checksums_of_ours(self) -> Mapping[str, Any]:
        left = fetch_all("SELECT count(*) FROM core_job WHERE kind = 'ib.settle_batch' AND state <> 'done'")
        books = fetch_all(_ACCRUED_BUT_NOT_LINES)
        if left != [(0,)] or books:
            raise Conflict(f"Jobs left: {left}; accrued and lines differ: {books}.", code="bench_checksum")
        return {
            "all lines": checksum_of("TRUE"),
            **self._checksum_of_hundredth(),
            **self._checksum_of_tenth(),
            "ORM sample": checksum_of("trade_id = ANY(%(ids)s)", self.orm_sample),
            "dictionaries sample": checksum_of("trade_id = ANY(%(ids)s)", self.cached_sample),
        }

    def _export(self) -> None:
        if not self.exported:
            copying.export_lines(self.world.days, self.folder)
            self.exported = True


_COMPARISONS = (
    Comparison("settle, 1 process", ONE, COPY_ONE),
    Comparison("settle, 2 processes", TWO, COPY_TWO, target=4),
    Comparison("settle, 2 processes", TWO, BARE_TWO, target=4,
               limits={"microseconds_per_unit": 10, "wal_bytes_per_line": 220}),
    Comparison("settle, 2 processes", TWO, DUCK),
    Comparison("settle, 2 processes", TWO, ORM, target=1 / 2_000),
    Comparison("settle, 2 processes", TWO, CACHED, target=1 / 20),
    Comparison("cost of a trade: a tenth against a hundredth", TENTH, HUNDREDTH, target=1.25),
    Comparison("cost of a trade: all against a tenth", ONE, TENTH, target=1.25),
    Comparison("settle again: 0 lines", AGAIN, ONE, target=1.5),
    Comparison("prove every line", PROOF, ONE, target=1.5),
    Comparison("settle the delta of 1 % corrected trades", DELTA, ONE, target=0.1),
)  # fmt: skip


class _Micro:
    """Batches of a hundred trades, as they arrive through the day."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.next_ticket = FIRST_TICKET + 10 * world.scale.trades
        self.batches: list[int] = []
        self.seconds: list[float] = []

    def prepare(self) -> None:
        """Lets the batches arrive; only their settlement is timed."""
        self.batches = []
        account, symbol = fetch_all(
            "SELECT (SELECT min(id) FROM platform_ops_tradingaccount), (SELECT min(name) FROM platform_ops_serversymbol)"
        )[0]
        for _ in range(self.world.scale.micro_batches):
            rows = fetch_all(_NEW_DEALS, {
                "first": self.next_ticket, "last": self.next_ticket + MICRO_BATCH_TRADES - 1, "account": account,
                "clients": self.world.scale.clients, "symbol": symbol, "day": self.world.days[-1],
            })  # fmt: skip
            self.next_ticket += MICRO_BATCH_TRADES
            text = StringIO("".join(f"{row[0]}\n" for row in rows))
            batch = ingest_csv(server_id=self.world.server_id, source="bench", stream=text, as_of=clock.now())
            self.batches.append(int(batch.pk))
        settle_down()

    def run(self) -> None:
        """Settles one batch after the other."""
        self.seconds = []
        for batch_id in self.batches:
            started = time.perf_counter()
            settle_ingest_batch(ingest_batch_id=batch_id, actor=ACTOR)
            self.seconds.append(time.perf_counter() - started)

    def notes(self) -> Mapping[str, float]:
        """How long a batch took: the middle one, the slowest in a hundred, the slowest."""
        ordered = sorted(self.seconds)
        return {
            "p50_ms": statistics.median(ordered) * 1_000,
            "p99_ms": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1_000,
            "max_ms": ordered[-1] * 1_000,
        }


def _micro_batches(world: World) -> Contest:
    count = world.scale.micro_batches
    micro = _Micro(world)
    run_sql(f"CREATE TABLE {SCHEMA}.committed (number int)")

    def commit_rows() -> None:
        for number in range(count):
            run_sql(f"INSERT INTO {SCHEMA}.committed VALUES (%(number)s)", {"number": number})

    name, peer = f"ours, {MICRO_BATCH_TRADES} trades to posted", "one row committed"
    return Contest(
        "settle small batches",
        "batches",
        [
            Contender(name, micro.run, count, prepare=micro.prepare, notes=micro.notes),
            Contender(peer, commit_rows, count),
        ],
        [Comparison(f"settle {MICRO_BATCH_TRADES} trades to posted", name, peer, limits={"p50_ms": 10, "p99_ms": 15})],
        rounds=2,
    )


def checksum_of(
    condition: str, trade_ids: list[int] | None = None, *, table: str = "ib_commissionline"
) -> tuple[int, tuple[tuple[str, Decimal], ...], Decimal, Decimal]:
    """Lines, their sum by currency, and two weighted sums that change when an amount moves to another trade or partner."""
    rows = fetch_all(
        f"SELECT currency, count(*), sum(amount), sum(amount * (trade_id %% 1009)), sum(amount * (partner_id %% 997))"
        f" FROM {table} WHERE {condition} GROUP BY currency ORDER BY currency",
        {"ids": trade_ids},
    )
    return (
        sum(lines for _, lines, *_ in rows),
        tuple((currency, amount) for currency, _, amount, *_ in rows),
        sum((weighted for *_, weighted, _ in rows), Decimal(0)),
        sum((weighted for *_, weighted in rows), Decimal(0)),
    )


def _sample(world: World, size: int) -> list[int]:
    """Trades spread evenly over the period."""
    first, last = fetch_all("SELECT min(id), max(id) FROM platform_ops_trade")[0]
    step = (last - first + 1) // size
    return list(range(first, first + step * size, step))


def _count(table: str, condition: str = "TRUE") -> int:
    return int(fetch_all(f"SELECT count(*) FROM {table} WHERE {condition}")[0][0])


def _count_lines() -> Mapping[str, float]:
    return {"lines": _count("ib_commissionline")}


def _empty_lines() -> None:
    empty_tables(WRITTEN_BY_SETTLEMENT)
    settle_down()


_ACCRUED_BUT_NOT_LINES = """
SELECT partner_id, sum(booked) FROM (
    SELECT partner_id, amount AS booked FROM ib_commissionline
    UNION ALL
    SELECT account.owner_id, -balance.balance
    FROM ledger_ledgeraccount AS account JOIN ledger_accountbalance AS balance ON balance.account_id = account.id
    WHERE account.kind = 'partner_accrued'
) AS both_sides
GROUP BY partner_id HAVING sum(booked) <> 0 LIMIT 3
"""

_ANOTHER_BATCH = """
INSERT INTO platform_ops_ingestbatch
    (server_id, source, new_deals, corrected_deals, stale_deals, changed_trades, changed_positions, changed_operations,
     created_at)
SELECT server_id, source, 0, 0, 0, 0, 0, 0, created_at FROM platform_ops_ingestbatch WHERE id = %(like)s RETURNING id
"""
_HAND_OVER = """
UPDATE platform_ops_trade SET batch_id = %(taken)s, first_batch_id = %(taken)s
WHERE batch_id = %(given)s AND id <= %(last)s
"""

# In the order of the staging table's columns.
_CSV_OF_A_DEAL = (
    "concat_ws(',', ticket, leg, '', '', account_id, kind, entry, position_ticket, order_ticket,"
    " (SELECT name FROM platform_ops_serversymbol AS named WHERE named.id = server_symbol_id), {lots}, price, at,"
    " open_price, opened_at, profit, swap, commission, fee, '')"
)

_NEW_DEALS = f"""
SELECT concat_ws(',', ticket, 0, '', '', %(account)s + floor(%(clients)s * {SCHEMA}.chance(ticket, 51))::bigint, 1, 1,
    ticket, 0, %(symbol)s::text, 1.5, 1.1,
    %(day)s::date::timestamp AT TIME ZONE 'UTC' + make_interval(secs => floor(72000 * {SCHEMA}.chance(ticket, 52))),
    1.09, %(day)s::date::timestamp AT TIME ZONE 'UTC' - interval '1 day', 12.5, 0, 0, 0, '')
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS ticket
"""

# Corrections change trades; each batch of a day holds the deals as they were first told.
_TAKE_BACK = (
    "SET session_replication_role = 'replica'",
    "UPDATE platform_ops_trade AS t SET volume_lots = deal.volume_lots, deal_revision = 0, batch_id = deal.batch_id"
    " FROM platform_ops_deal AS deal WHERE t.batch_id = %(batch)s AND deal.revision = 0"
    " AND deal.server_id = t.server_id AND deal.ticket = t.ticket AND deal.leg = t.leg",
    "DELETE FROM platform_ops_deal WHERE batch_id = %(batch)s",
    "DELETE FROM platform_ops_ingestbatch WHERE id = %(batch)s",
    "RESET session_replication_role",
)
