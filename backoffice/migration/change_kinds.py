"""Four eyes for taking a broker over: what the second person sees, and what their approval sets going."""

from __future__ import annotations

from typing import Any

from backoffice.core.changes.kinds import ChangeKind, Impact, register_change_kind
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput
from backoffice.migration.models import MigrationPackage
from backoffice.migration.permissions import CONFIRM_PACKAGE, GIVE_PACKAGE
from backoffice.migration.services.packages import queue_application
from backoffice.migration.types import CHANGE_KIND

Payload = dict[str, Any]
MAXIMUM_ROWS = 60


def _package(payload: Payload) -> MigrationPackage:
    package = MigrationPackage.objects.filter(pk=payload.get("package_id") or 0).first()
    if package is None:
        raise InvalidInput("No such package.", field="package_id", value=payload.get("package_id"))
    return package


def _check(payload: Payload) -> None:
    package = _package(payload)
    if package.digest != payload.get("digest"):
        raise InvalidInput("The package is not the one that was checked.", field="digest")
    if package.state != MigrationPackage.State.CHECKED:
        raise Conflict("Only a package whose check found no problem can be applied.", code="not_checked")


def _current(payload: Payload) -> Payload:
    return {"package": payload["digest"], "state": "checked, not applied"}


def _proposed(payload: Payload) -> Payload:
    return {"package": payload["digest"], "state": "applied"}


def _preview(payload: Payload, actor: Actor) -> Impact:
    """What the dry run said. It is not run again here: it may take minutes, and runs again before anything is kept."""
    report = _package(payload).report
    rows = [
        {"what": f"{item['kind']} {item['currency']}", "before": item["before"], "after": item["after"]}
        for item in report.get("balances", [])
        if item["before"] != item["after"]
    ]
    files = report.get("files", [])
    figures = {
        "rows": str(sum(item["rows"] for item in files)),
        "created": str(sum(item["created"] for item in files)),
        "updated": str(sum(item["updated"] for item in files)),
        "unchanged": str(sum(item["unchanged"] for item in files)),
        "tree depth": str(report.get("tree_depth", 0)),
        "clients without a partner": str(report.get("orphaned_clients", 0)),
    }
    return Impact(f"{figures['created']} rows created, {figures['updated']} updated.", rows[:MAXIMUM_ROWS], figures)


def _apply(payload: Payload, actor: Actor, request: Any) -> Payload:
    package = queue_application(package_id=payload["package_id"], actor=actor, request=request)
    return {"package_id": package.pk}


def _verify(outcome: Payload) -> list[str]:
    package = MigrationPackage.objects.filter(pk=outcome["package_id"]).first()
    started = (MigrationPackage.State.QUEUED, MigrationPackage.State.APPLIED)
    return [] if package is not None and package.state in started else ["The package is not queued."]


def register() -> None:
    """Registers the kind; called once when the application starts."""
    register_change_kind(
        ChangeKind(
            kind=CHANGE_KIND,
            label="Take-over package",
            desk="migration",
            maker_capability=GIVE_PACKAGE,
            checker_capability=CONFIRM_PACKAGE,
            title=lambda payload: f"Apply package {_package(payload).file_name}",
            current=_current,
            proposed=_proposed,
            preview=_preview,
            apply=_apply,
            verify=_verify,
            check=_check,
            labels={"package": "Package (SHA-256)", "state": "State"},
            target=_package,
            entity_of=lambda payload: _package(payload).entity_id,
        )
    )
