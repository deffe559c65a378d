"""The errors that business rules raise.

Owns the one tree of refusals that every desk speaks. Each class carries a stable `code` (read by machines,
never changed once published) and the HTTP status that the API answers with; API, admin and tasks each map
the tree once. It must never hold text for one interface only, and never know a framework.
"""

from __future__ import annotations

from typing import Any, ClassVar


class DomainError(Exception):
    """A business rule refused the request; nothing was changed.

    `message` is a whole sentence for people, `code` is for machines, `details` are plain values (row, field,
    value, limit, ...) that an interface may show or log. `code=` narrows the class's own code where a caller
    must tell two causes apart.
    """

    http_status: ClassVar[int] = 400
    default_code: ClassVar[str] = "domain_error"

    def __init__(self, message: str, /, *, code: str | None = None, **details: Any) -> None:
        # Only the message goes to Exception.args, so that the error survives pickling between worker
        # processes.
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details: dict[str, Any] = details

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, code={self.code!r}, details={self.details!r})"


class InvalidInput(DomainError):  # noqa: N818
    """What was given cannot be read or is out of bounds; details name `row`, `field`, `value` if known."""

    http_status = 400
    default_code = "invalid_input"


class CurrencyMismatch(InvalidInput):
    """Two amounts, or an amount and a rate, are of currencies that do not meet."""

    default_code = "currency_mismatch"


class NotFound(DomainError):  # noqa: N818
    """The thing does not exist, or the actor may not know that it does."""

    http_status = 404
    default_code = "not_found"


class Denied(DomainError):  # noqa: N818
    """The actor is known and may not do this."""

    http_status = 403
    default_code = "denied"


class Conflict(DomainError):  # noqa: N818
    """The request is sound, but not in the present state of the books."""

    http_status = 409
    default_code = "conflict"


class IllegalTransition(Conflict):
    """A state machine has no such step from where it stands."""

    default_code = "illegal_transition"


class IdempotencyMismatch(Conflict):
    """An idempotency key came back with other inputs than those it first stood for."""

    default_code = "idempotency_mismatch"


class InsufficientFunds(Conflict):
    """The balance that would pay is smaller than the amount."""

    default_code = "insufficient_funds"


class MissingRate(DomainError):  # noqa: N818
    """No conversion rate is known for the pair and day within the allowed age."""

    http_status = 422
    default_code = "missing_rate"


class Retryable(DomainError):  # noqa: N818
    """It failed for a reason that passes (lock, time-out, broker away); the same request may come again."""

    http_status = 503
    default_code = "retryable"


class Misconfigured(DomainError):  # noqa: N818
    """The installation itself is wrong: a person must mend settings or code before it can work."""

    http_status = 500
    default_code = "misconfigured"
