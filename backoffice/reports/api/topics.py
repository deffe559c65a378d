"""What other systems hear of reports."""

from __future__ import annotations

from typing import Any

from backoffice.core.webhooks.topics import DAY, ID, TEXT, object_schema, register_public_topic
from backoffice.reports.models import IssuedReport
from backoffice.reports.services.issue import REPORT_ISSUED


def describe_report(payload: dict[str, Any]) -> dict[str, Any] | None:
    """Which report, about which day, with the digest of its bytes."""
    issued = IssuedReport.objects.filter(pk=payload["report_id"]).first()
    if issued is None:
        return None
    return {
        "entity": issued.entity_id,
        "report": str(issued.public_id),
        "definition": issued.definition,
        "as_of": issued.as_of.isoformat(),
        "format": issued.format,
        "sha256": issued.sha256,
    }


def register() -> None:
    """Opens the topic."""
    register_public_topic(
        REPORT_ISSUED,
        1,
        describe_report,
        object_schema(report=ID, definition=TEXT, as_of=DAY, format=TEXT, sha256=TEXT),
        title="Report issued",
        capability="reports.view_report",
    )
