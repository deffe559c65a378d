"""Structured logs on standard error: one event per line, with the trace id, without personal data."""

from __future__ import annotations

import logging.config
from typing import Any

import structlog

from backoffice.core.observing.masks import mask_event


def remove_personal_data(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Takes out of an event what identifies people or opens doors; see `backoffice.core.observing.masks`."""
    return mask_event(event)


def _drop_celery_noise(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Celery repeats its own message's fields in `data`; they may hold a task's arguments."""
    event.pop("data", None)
    return event


class NoTraceOfRefusals(logging.Filter):
    """A request that is refused (403, 404, 405 …) is a decision and no failure: one line without a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record through."""
        if getattr(record, "status_code", 500) < 500:
            record.exc_info = record.exc_text = None
        return True


def configure(config: dict[str, Any]) -> None:
    """Sends every log, ours and the libraries', to standard error as `json` or `console` lines from the level up."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(allow=()),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.UnicodeDecoder(),
        _drop_celery_noise,
        remove_personal_data,
    ]
    json_lines = config["format"] == "json"
    renderer: Any = structlog.processors.JSONRenderer() if json_lines else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": shared,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    }
    through_root: dict[str, Any] = {"handlers": [], "propagate": True}
    # Ticks come several times a second; that each was sent, received and done is news for debugging only.
    routine = {"level": "DEBUG" if config["level"] == "DEBUG" else "WARNING", "propagate": True}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"events": formatter},
            "filters": {"no_trace_of_refusals": {"()": NoTraceOfRefusals}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "events"}},
            "root": {"handlers": ["stderr"], "level": config["level"]},
            # Django sets up handlers of its own first; everything goes one way instead.
            "loggers": {
                "django": through_root,
                "django.request": {"filters": ["no_trace_of_refusals"]},
                # The development server's own line repeats the query, and the request is logged already.
                "django.server": {"level": "WARNING", **through_root},
                "celery.beat": routine,
                "celery.worker.strategy": routine,
                "celery.app.trace": routine,
                "weasyprint": routine,
                "weasyprint.progress": routine,
                "fontTools": routine,
            },
        }
    )
