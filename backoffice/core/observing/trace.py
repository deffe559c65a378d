"""The trace id that ties a request, the tasks it started, its log lines and its audit records together."""

from __future__ import annotations

import structlog

MAX_LENGTH = 64


def current_trace_id() -> str:
    """The trace id bound to this thread of work, or an empty text outside of requests and tasks."""
    bound = structlog.contextvars.get_contextvars()
    return str(bound.get("correlation_id") or bound.get("request_id") or bound.get("task_id") or "")[:MAX_LENGTH]
