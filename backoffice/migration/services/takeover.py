"""A take-over: one package, one transaction. The dry run is the same work, rolled back, so that what it says is true.

Everything that is wrong is collected first; with one problem nothing is kept. Before a real run commits, the deferred
rules of the database and the proofs of the books have been asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db import Error as DatabaseFailure
from django.db import connection, transaction

from backoffice.core import crash_points
from backoffice.core.access import authorise, get_visible
from backoffice.core.books import verify_books
from backoffice.core.locks import advisory_key
from backoffice.core.models import LegalEntity
from backoffice.core.services import audit, outbox
from backoffice.core.services.entities import require_permitted_currency
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import DomainError, InvalidInput, NotFound, Retryable
from backoffice.migration import staging
from backoffice.migration.events import PACKAGE_APPLIED
from backoffice.migration.formats import CONTENTS
from backoffice.migration.models import MigrationPackage
from backoffice.migration.package import Package, check_bytes
from backoffice.migration.permissions import GIVE_PACKAGE
from backoffice.migration.services import history, openings
from backoffice.migration.services.applying import apply_content, publish_versions
from backoffice.migration.services.targets import Run
from backoffice.migration.types import BalanceRow, FileCounts, Problems, Report
from ib.locks import lock_tree
from ib.services.shards import enqueue_days

PROOFS = [
    "ledger.entries_balance",
    "ledger.balances_equal_postings",
    "ledger.holds_consistent",
    "funding.result_lines_equal_postings",
    "funding.account_balances_equal_operations",
    "ib.tree_acyclic",
    "migration.keys_have_rows",
    "migration.openings_equal_postings",
]
"""What must hold of the books before a package is kept. Proofs that ask account by account wait for `verify_books`."""
ORPHANS_SHOWN = 20
LOCK_WAIT = "30s"

crash_points.declare(
    "migration.takeover.after_staging",
    "migration.takeover.after_openings",
    "migration.takeover.before_commit",
)

Progress = Callable[[str, int], None]
Finish = Callable[[Report], None]


def apply_takeover(
    *,
    package: Package,
    actor: Actor,
    is_dry_run: bool,
    record: MigrationPackage | None = None,
    progress: Progress = lambda content, rows: None,
    finish: Finish | None = None,
) -> Report:
    """Applies a take-over package, or says what applying it would do. All or nothing; a repeat creates nothing.

    *record* is the package's row where it has one already. *finish* is called with the report inside the transaction of
    a run that is kept. Raises NotFound for an entity that is not the actor's, Retryable when another run takes too long.
    """
    authorise(actor, GIVE_PACKAGE)
    entity = _entity(package, actor)
    started = time.monotonic()
    problems = Problems()
    report = Report(form=package.form, entity=entity.code, digest=package.digest, is_dry_run=is_dry_run)
    with transaction.atomic():
        _wait_for_turn(entity)
        before = _balances(entity)
        kept = record or _record(package, entity, actor)
        run = Run(entity.pk, kept, actor, problems, {}, progress=progress)
        _stage(package, entity, run)
        crash_points.reach("migration.takeover.after_staging")
        _apply(package, run)
        _settle_again(run)
        _describe(report, run, entity, before)
        _prove(report, run)
        report.problems, report.problem_count = problems.kept, problems.count
        report.seconds = str(Decimal(str(time.monotonic() - started)).quantize(Decimal("0.01")))
        if is_dry_run or not report.ok:
            transaction.set_rollback(True)
        else:
            _keep(report, kept, actor)
            if finish is not None:
                finish(report)
            crash_points.reach("migration.takeover.before_commit")
    return report


def _entity(package: Package, actor: Actor) -> LegalEntity:
    try:
        return get_visible(LegalEntity.objects.all(), actor, code=package.entity)
    except NotFound:
        raise NotFound(
            f"There is no legal entity {package.entity}, or it is not yours: set it up first.", entity=package.entity
        ) from None


def _wait_for_turn(entity: LegalEntity) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_WAIT])
        try:
            with transaction.atomic():
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key("migration", "entity", entity.code)])
        except DatabaseFailure as error:
            raise Retryable("Another package of this legal entity is being applied.") from error
    lock_tree()


def _record(package: Package, entity: LegalEntity, actor: Actor) -> MigrationPackage:
    known = MigrationPackage.objects.filter(entity=entity, digest=package.digest, state="applied").first()
    return known or MigrationPackage.objects.create(
        entity=entity,
        form=package.form,
        file_name=package.folder.name[:255],
        size_bytes=package.size_bytes,
        digest=package.digest,
        state=MigrationPackage.State.CHECKED,
        given_by_id=actor.user_id,
        checked_at=clock.now(),
    )


def _stage(package: Package, entity: LegalEntity, run: Run) -> None:
    staging.create_stage()
    order = list(CONTENTS)
    for file in package.files:
        run.counts[file.content] = FileCounts(file=file.name, content=file.content)
    readable = check_bytes(package, run.problems)
    for file in sorted(readable, key=lambda item: order.index(item.content)):
        run.counts[file.content] = staging.stage_file(package, file, run.problems)
        run.progress(f"read {file.content}", run.counts[file.content].rows)
    staging.check_sets(package, entity.pk, run.problems)
    _check_currencies(run)


def _check_currencies(run: Run) -> None:
    """The entity opens accounts only in its permitted currencies."""
    for content in ("account_groups", "accounts"):
        if content not in run.counts:
            continue
        for currency, row in staging.first_rows_by(content, "currency"):
            try:
                require_permitted_currency(entity_id=run.entity_id, currency=currency)
            except InvalidInput as error:
                run.problems.add(
                    run.counts[content].file,
                    error.code,
                    error.message,
                    "Permit the currency on the legal entity first, or correct the file.",
                    row=row,
                    field="currency",
                    value=currency,
                )


def _apply(package: Package, run: Run) -> None:
    """Writes content after content. With problems noted already this goes on, to name more of them; nothing is kept."""
    for content in CONTENTS:
        if content == "agreements":
            publish_versions(run)
        if content not in run.counts:
            continue
        try:
            with transaction.atomic():
                if content == "deals":
                    history.apply_deals(run, as_of=package.as_of)
                elif content == "opening_balances":
                    openings.apply_openings(run)
                    crash_points.reach("migration.takeover.after_openings")
                else:
                    apply_content(run, content)
                    if content == "partner_edges":
                        _refuse_circles(run)
        except Retryable:
            raise
        except (DomainError, DatabaseFailure) as error:
            message = error.message if isinstance(error, DomainError) else _said(error)
            code = error.code if isinstance(error, DomainError) else "refused_by_the_database"
            run.problems.add(run.counts[content].file, code, message, "Correct the rows of this file, and check again.")


def _said(error: Exception) -> str:
    diagnosis = getattr(error.__cause__, "diag", None)
    return getattr(diagnosis, "message_primary", None) or str(error).splitlines()[0]


# From every partner upwards, keeping only the time during which the whole chain holds; meeting the start is a circle.
_CIRCLES = """
WITH RECURSIVE walk AS (
    SELECT edge.child_id AS start_id, edge.parent_id AS at_id, edge.validity, ARRAY[edge.child_id] AS path
    FROM ib_partneredge edge JOIN ib_partner partner ON partner.id = edge.child_id
    WHERE partner.entity_id = %s AND NOT isempty(edge.validity)
    UNION ALL
    SELECT walk.start_id, edge.parent_id, walk.validity * edge.validity, walk.path || walk.at_id
    FROM walk JOIN ib_partneredge edge ON edge.child_id = walk.at_id AND edge.validity && walk.validity
    WHERE walk.at_id <> ALL (walk.path)
)
SELECT DISTINCT keyed.external_id FROM walk
JOIN migration_migrationkey keyed ON keyed.content = 'partners' AND keyed.object_id = walk.start_id
WHERE walk.at_id = walk.start_id ORDER BY 1
"""


def _refuse_circles(run: Run) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_CIRCLES, [run.entity_id])
        partners = [row[0] for row in cursor.fetchall()]
    for partner, row in staging.rows_of("partner_edges", "partner", partners):
        run.refuse(
            "partner_edges",
            row,
            "tree_cycle",
            f"Partner {partner} stands above itself at some time: that is a circle.",
            "Look at the rows that are named together; one of them points the wrong way or begins too early.",
            name="parent",
            value=partner,
        )


# Clients of the package who traded before on accounts that stand already: their days are worth something else now.
_DAYS = """
SELECT DISTINCT trade.business_day
FROM migration_migrationkey keyed
JOIN ib_clientreferral referral ON referral.client_id = keyed.object_id
JOIN platform_ops_tradingaccount account ON account.client_id = referral.client_id
JOIN platform_ops_trade trade ON trade.account_id = account.id AND referral.validity @> trade.closed_at
WHERE keyed.content = 'clients' AND keyed.entity_id = %s
"""


def _settle_again(run: Run) -> None:
    counts = run.counts.get("client_referrals"), run.counts.get("accounts")
    if any(count is not None and (count.created or count.updated) for count in counts):
        with connection.cursor() as cursor:
            cursor.execute(_DAYS, [run.entity_id])
            days = [row[0] for row in cursor.fetchall()]
        if days:
            enqueue_days(days=days, cause=f"migration:{run.package.digest[:12]}", actor=run.actor)


def _balances(entity: LegalEntity) -> dict[tuple[str, str], Decimal]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT account.kind, account.currency, sum(balance.balance) FROM ledger_ledgeraccount account"
            " JOIN ledger_accountbalance balance ON balance.account_id = account.id"
            " WHERE account.entity_id = %s GROUP BY 1, 2",
            [entity.pk],
        )
        return {(kind, currency): amount for kind, currency, amount in cursor.fetchall()}


_DEPTH = """
WITH RECURSIVE tree AS (
    SELECT partner.id, 1 AS depth FROM ib_partner partner
    WHERE partner.entity_id = %(entity)s
      AND NOT EXISTS (SELECT FROM ib_partneredge edge WHERE edge.child_id = partner.id AND edge.validity @> %(now)s::timestamptz)
    UNION ALL
    SELECT edge.child_id, tree.depth + 1 FROM tree
    JOIN ib_partneredge edge ON edge.parent_id = tree.id AND edge.validity @> %(now)s::timestamptz
    WHERE tree.depth < 1000
)
SELECT coalesce(max(depth), 0) FROM tree
"""
_ORPHANS = """
SELECT keyed.external_id, count(*) OVER () FROM migration_migrationkey keyed
WHERE keyed.content = 'clients' AND keyed.entity_id = %(entity)s AND NOT EXISTS (
    SELECT FROM ib_clientreferral referral
    WHERE referral.client_id = keyed.object_id AND referral.validity @> %(now)s::timestamptz)
ORDER BY 1 LIMIT %(limit)s
"""


def _describe(report: Report, run: Run, entity: LegalEntity, before: dict[tuple[str, str], Decimal]) -> None:
    after = _balances(entity)
    bad = staging.bad_rows()
    for content, counts in run.counts.items():
        counts.refused = max(counts.refused, bad.get(content, 0))
    report.files = [run.counts[content] for content in CONTENTS if content in run.counts]
    report.balances = [
        BalanceRow(kind, currency, _plain(before.get((kind, currency))), _plain(after.get((kind, currency))))
        for kind, currency in sorted(set(before) | set(after))
    ]
    values: dict[str, Any] = {"entity": entity.pk, "now": clock.now(), "limit": ORPHANS_SHOWN}
    with connection.cursor() as cursor:
        cursor.execute(_DEPTH, values)
        report.tree_depth = cursor.fetchone()[0]
        cursor.execute(_ORPHANS, values)
        orphans = cursor.fetchall()
    report.orphaned_clients = orphans[0][1] if orphans else 0
    report.orphaned_examples = [row[0] for row in orphans]


def _plain(amount: Decimal | None) -> str:
    return "0" if not amount else f"{amount.normalize():f}"


def _prove(report: Report, run: Run) -> None:
    """Asks the deferred rules of the database and the proofs; only of a package that nothing else speaks against."""
    if run.problems:
        return
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    except DatabaseFailure as error:
        run.problems.add("", "refused_by_the_database", _said(error), "Look at the rows that it names.")
        return
    outcome = verify_books(only=PROOFS)
    report.checks = [check["name"] for check in outcome["checks"]]
    for check in outcome["checks"]:
        if not check["ok"]:
            run.problems.add(
                "",
                "books_do_not_hold",
                f"With the package the proof {check['name']} would find {check['count']} contradictions: {check['rows'][:1]}",
                "Run verify_books: if it holds without the package, look at the opening balances and deals.",
                field=check["name"],
            )


def _keep(report: Report, kept: MigrationPackage, actor: Actor) -> None:
    kept.state = MigrationPackage.State.APPLIED
    kept.report = report.as_dict()
    kept.rows = sum(counts.rows for counts in report.files)
    kept.problems = 0
    kept.finished_at = clock.now()
    kept.save(update_fields=["state", "report", "rows", "problems", "finished_at"])
    changes: dict[str, Any] = {
        "digest": report.digest,
        "files": {counts.file: [counts.created, counts.updated, counts.unchanged] for counts in report.files},
    }
    audit.record(actor=actor, action="migration.apply_package", target=kept, changes=changes, entity_id=kept.entity_id)
    outbox.publish(topic=PACKAGE_APPLIED, payload={"package_id": kept.pk})
