"""Writing staged rows: what is new is created, what says the same is left alone, what differs is updated or refused.

One engine for all contents (`contents.py` says what each becomes). Policies are the desks' own: no dated row, published
rule, currency or owner is ever rewritten by a file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.db import DatabaseError, OperationalError, models, transaction

from backoffice.kernel import clock
from backoffice.migration.formats import CONTENTS, Row
from backoffice.migration.models import MigrationKey
from backoffice.migration.services.contents import DATED, TARGETS
from backoffice.migration.services.targets import DatedTarget, Ids, Run, Target
from backoffice.migration.staging import SEPARATOR, ids_of, staged_chunks

WRITE_ROWS = 1_000
"""Rows of one INSERT or UPDATE."""


def apply_content(run: Run, content: str) -> None:
    """Writes the rows of a content."""
    if content in DATED:
        for chunk in staged_chunks(content):
            _apply_dated(run, content, DATED[content], chunk)
            run.progress(content, chunk[-1][0])
        return
    for chunk in staged_chunks(content):
        _apply_chunk(run, content, TARGETS[content], chunk)
        run.progress(content, chunk[-1][0])


def _references(run: Run, content: str, chunk: Sequence[tuple[int, str, Row]]) -> Ids:
    wanted: dict[str, set[str]] = defaultdict(set)
    for reference in CONTENTS[content].references:
        for _, _, row in chunk:
            if all(row[column] for column in reference.columns):
                wanted[reference.content].add(SEPARATOR.join(row[column] for column in reference.columns))
    return {name: ids_of(name, keys, run.entity_id) for name, keys in wanted.items()}


def _apply_chunk(run: Run, content: str, target: Target, chunk: Sequence[tuple[int, str, Row]]) -> None:
    model = apps.get_model(target.model)
    counts = run.counts[content]
    ids = _references(run, content, chunk)
    known_ids = _known(run, content, chunk, ids)
    known = model._default_manager.in_bulk(list(known_ids.values()))
    new: list[tuple[str, models.Model]] = []
    changed: list[models.Model] = []
    names: set[str] = set()
    for number, key, row in chunk:
        values = target.values(run, row, ids)
        if values is None:
            counts.refused += 1
            continue
        standing = known.get(known_ids.get(key, 0))
        if standing is None:
            if _may_create(run, content, number, values):
                new.append((key, model(**values)))
            continue
        differences = _differences(run, content, number, standing, values, target)
        if differences is None:
            continue
        if not differences:
            counts.unchanged += 1
            continue
        for name, value in differences.items():
            setattr(standing, name, value)
        if target.updated is not None:
            target.updated(run, standing, differences)
        changed.append(standing)
        names.update(differences)
        counts.updated += 1
    _create(run, content, target, model, new)
    if changed:
        model._default_manager.bulk_update(changed, sorted(names), batch_size=WRITE_ROWS)


def _known(run: Run, content: str, chunk: Sequence[tuple[int, str, Row]], ids: Ids) -> dict[str, int]:
    if content == "plan_rules":
        return _known_rules(chunk, ids)
    return ids_of(content, {key for _, key, _ in chunk}, run.entity_id)


def _known_rules(chunk: Sequence[tuple[int, str, Row]], ids: Ids) -> dict[str, int]:
    versions = ids.get("plan_versions", {})
    rules = apps.get_model("ib.PlanRule")._default_manager.filter(version_id__in=versions.values())
    standing: dict[tuple[int | None, int | None, int], int] = {
        (version, group, level or 0): pk
        for pk, version, group, level in rules.values_list("pk", "version_id", "symbol_group_id", "level")
    }
    found = {}
    for _, key, row in chunk:
        version = versions.get(SEPARATOR.join((row["plan"], row["number"])))
        group = ids.get("symbol_groups", {}).get(row["symbol_group"])
        pk = standing.get((version, group, int(row["level"])))
        if pk is not None:
            found[key] = pk
    return found


def _may_create(run: Run, content: str, number: int, values: dict[str, Any]) -> bool:
    if content == "plan_rules" and values["version_id"] not in run.created_versions:
        run.refuse(
            content,
            number,
            "published_version",
            "The version is published and takes no further rule.",
            "Give the plan a new version.",
            name="number",
            value=values["level"],
        )
        return False
    return True


def _differences(
    run: Run, content: str, number: int, standing: models.Model, values: dict[str, Any], target: Target
) -> dict[str, Any] | None:
    """What the row would change; None when it would change what must stand (which is noted)."""
    different = {
        name: value for name, value in values.items() if name not in target.ignored and getattr(standing, name) != value
    }
    for name in sorted(different):
        held = getattr(standing, name)
        is_set = name in target.once and held not in (None, "")
        if name in target.frozen or is_set or (name, held) == target.final:
            run.refuse(
                content,
                number,
                "would_rewrite",
                f"The back office holds {held!s} as {name.removesuffix('_id')}, and a package does not change that.",
                "Correct the file, or make the change on the desk, where it is dated and approved.",
                name=name.removesuffix("_id"),
                value=different[name],
            )
            return None
    return different


def _create(
    run: Run, content: str, target: Target, model: type[models.Model], new: list[tuple[str, models.Model]]
) -> None:
    if not new:
        return
    rows = [row for _, row in new]
    if target.prepare is not None:
        target.prepare(run, rows)
    if not _written(run, content, model, rows):
        return
    if target.is_keyed:
        MigrationKey.objects.bulk_create(
            [
                MigrationKey(
                    entity_id=run.entity_id, content=content, external_id=key, object_id=row.pk, package=run.package
                )
                for key, row in new
            ],
            batch_size=WRITE_ROWS,
        )
    if target.created is not None:
        target.created(run, rows)
    run.counts[content].created += len(rows)


def _written(run: Run, content: str, model: type[models.Model], rows: list[models.Model]) -> bool:
    """Inserts rows; what the database refuses, such as a code that another legal entity uses, becomes a problem."""
    try:
        with transaction.atomic():
            model._default_manager.bulk_create(rows, batch_size=WRITE_ROWS)
    except OperationalError:
        raise
    except DatabaseError as error:
        diagnosis = getattr(error.__cause__, "diag", None)
        said = getattr(diagnosis, "message_detail", None) or getattr(diagnosis, "message_primary", None) or str(error)
        run.counts[content].refused += len(rows)
        run.problems.add(
            run.counts[content].file,
            "refused_by_the_database",
            f"The database refused rows of this file: {said}",
            "The name is used by something else, or the row contradicts one that stands. Change it in the file.",
        )
        return False
    return True


def _apply_dated(run: Run, content: str, target: DatedTarget, chunk: Sequence[tuple[int, str, Row]]) -> None:
    model = apps.get_model(target.model)
    counts = run.counts[content]
    ids = _references(run, content, chunk)
    built = [(number, target.values(run, row, ids)) for number, _, row in chunk]
    first = target.owner[0]
    owners = {values[first] for _, values in built if values is not None}
    standing: dict[tuple[Any, ...], list[models.Model]] = defaultdict(list)
    for held in model._default_manager.filter(**{f"{first}__in": owners}):
        standing[tuple(getattr(held, name) for name in target.owner)].append(held)
    new: list[models.Model] = []
    for number, values in built:
        if values is None:
            counts.refused += 1
            continue
        verdict = _dated_verdict(standing[tuple(values[name] for name in target.owner)], values)
        if verdict == "same":
            counts.unchanged += 1
        elif verdict == "new":
            new.append(model(**values))
        else:
            run.refuse(
                content,
                number,
                verdict,
                "The back office holds another row for this time, and dated rows are not rewritten by a package.",
                "Correct the file, or make the change on the desk, from a moment on.",
                name="valid_from",
                value=values["validity"].lower,
            )
    drafts = [_drafted(version) for version in new] if content == "plan_versions" else []
    if new and _written(run, content, model, new):
        if content == "plan_versions":
            run.created_versions.update({version.pk: validity for version, validity in zip(new, drafts, strict=True)})
        counts.created += len(new)


def _drafted(version: Any) -> Any:
    """Makes the version a draft until its rules are in, because a published one takes none; its validity."""
    validity = version.validity
    version.state, version.validity, version.published_at, version.published_by = "draft", None, None, ""
    return validity


def publish_versions(run: Run) -> None:
    """Publishes the versions of the package, whose rules are all in."""
    versions = list(apps.get_model("ib.PlanVersion")._default_manager.filter(pk__in=run.created_versions))
    for version in versions:
        version.state, version.validity = "published", run.created_versions[version.pk]
        version.published_at, version.published_by = clock.now(), f"package {run.package.digest[:12]}"
        version.save(update_fields=["state", "validity", "published_at", "published_by"])


def _dated_verdict(standing: list[Any], values: dict[str, Any]) -> str:
    validity = values["validity"]
    for held in standing:
        if getattr(held, "number", None) != values.get("number") and (held.validity is None or held.validity.isempty):
            continue
        if "number" not in values and held.validity.isempty:
            continue
        if held.validity is None or held.validity.isempty:
            return "would_rewrite"
        if held.validity.lower == validity.lower and held.validity.upper == validity.upper:
            return "same" if all(getattr(held, name) == value for name, value in values.items()) else "would_rewrite"
        if _overlap(held.validity, validity):
            return "overlaps_existing"
        if getattr(held, "number", None) is not None and held.number == values["number"]:
            return "would_rewrite"
    return "new"


def _overlap(one: Any, other: Any) -> bool:
    starts_before = one.lower is None or other.upper is None or one.lower < other.upper
    ends_after = one.upper is None or other.lower is None or other.lower < one.upper
    return starts_before and ends_after
