"""What goes wrong between us and a trading server. Each error names the server, and the command where there is one."""

from __future__ import annotations

from backoffice.kernel.errors import Conflict, DomainError, InvalidInput, Retryable


class GatewayError(DomainError):
    """Anything that a connector reports. `details` holds server, command, and the server's code where it gave one."""

    default_code = "gateway_error"
    http_status = 502


class GatewayUnavailable(GatewayError, Retryable):  # noqa: N818
    """The server does not answer, or not in time. Nothing happened there, or nothing that matters: try again later."""

    default_code = "gateway_unavailable"
    http_status = 503


class GatewayUncertain(GatewayError):  # noqa: N818
    """A changing command was sent and its answer lost: look up what happened before trying again."""

    default_code = "gateway_uncertain"


class GatewayRefused(GatewayError, Conflict):  # noqa: N818
    """The server understood and said no; `details` holds its code and name."""

    default_code = "gateway_refused"
    http_status = 409


class GatewayGarbled(GatewayError):  # noqa: N818
    """The peer broke the protocol: a packet, a field or a number that cannot be. The connection is given up."""

    default_code = "gateway_garbled"


class NotOffered(GatewayError, InvalidInput):  # noqa: N818
    """The connector cannot do this at all."""

    default_code = "gateway_not_offered"
    http_status = 400
