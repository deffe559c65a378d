"""Bases of API views. A list and a page of a model, and use cases on it:

    class ClientViewSet(ScopedReadOnlyViewSet):
        capability = "crm.view_clients"
        queryset = Client.objects.select_related("entity")
        serializer_class = ClientSerializer
        lookup_field = "public_id"
        filterset_fields = {"stage": ["exact"]}

        @use_case(capability="crm.register_client", input=NewClientSerializer, output=ClientSerializer, status=201)
        def create(self, call: Call) -> Client:                                     # POST clients/
            return clients.register_client(actor=call.actor, **call.data)

        @use_case(capability="crm.assign_client", input=AssignSerializer, output=ClientSerializer, route="assign")
        def assign(self, call: Call) -> Client:                                     # POST clients/{public_id}/assign/
            return clients.assign_client(client_id=call.target.pk, actor=call.actor, **call.data)

A use case that stands alone is a method `post` of an `ApiView`. Every one of them takes an `Idempotency-Key` header;
money use cases (`needs_key=True`) demand it. `apart=True` is for use cases that commit on their own
(`@transaction.atomic(durable=True)`, jobs): they are given `call.idempotency_key` and must take effect once for it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from backoffice.core.access import visible_to
from backoffice.core.actors import actor_of
from backoffice.core.sealing.secrets import seal, unseal
from backoffice.core.services import idempotency
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput, Misconfigured
from backoffice.kernel.ids import uuid7
from backoffice.ui.api_pages import refuse_unknown

KEY_HEADER = "Idempotency-Key"
MAX_GIVEN_KEY_LENGTH = 120
_SEALED_PURPOSE = "core.IdempotencyRecord.result"
SerializerT = TypeVar("SerializerT", bound=serializers.Serializer)


class StrictSerializer(serializers.Serializer):
    """Input of a use case: a field that is not declared is refused, because a misspelt one would be ignored in silence."""

    def to_internal_value(self, data: Any) -> Any:
        """See the class."""
        if isinstance(data, Mapping):
            unknown = [str(name) for name in data if name not in self.fields]
            if unknown:
                raise serializers.ValidationError({name[:60]: ["There is no such field."] for name in unknown[:20]})
        return super().to_internal_value(data)


class ReasonSerializer(StrictSerializer):
    """Why something is done; kept in the audit."""

    reason = serializers.CharField(max_length=500)


class NoInputSerializer(StrictSerializer):
    """An empty object."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a use case is called with: who, the checked input, the key, and the object of a detail route."""

    actor: Actor
    data: dict[str, Any]
    idempotency_key: str
    target: Any = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    request: Any = None


class ApiView(APIView):
    """A single endpoint. `query` names the serializer of a GET's parameters; what it does not know is refused."""

    capability: ClassVar[str] = ""
    query: ClassVar[type[serializers.Serializer] | None] = None

    @property
    def actor(self) -> Actor:
        """Who calls."""
        return actor_of(self.request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuses parameters that nobody reads; a list leaves that to its filters."""
        super().initial(request, *args, **kwargs)
        if self.query is not None:
            refuse_unknown(request, set(self.query().fields))
        elif getattr(self, "action", None) != "list":
            refuse_unknown(request, set())

    def parameters(self) -> dict[str, Any]:
        """The checked parameters of a GET."""
        assert self.query is not None, "a view that reads parameters declares them"
        given = self.query(data=self.request.query_params, context={"actor": self.actor})
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)


class ScopedViewSet(ApiView, GenericViewSet):
    """Reads rows of `queryset` that the caller may see through the access door; what is not visible does not exist."""

    def get_queryset(self) -> Any:
        """Through the door; while the schema is generated, nothing."""
        rows = super().get_queryset()
        return rows.none() if getattr(self, "swagger_fake_view", False) else visible_to(rows, self.actor)

    def filter_queryset(self, queryset: Any) -> Any:
        """Filters belong to the list; one object is found by its id alone."""
        return super().filter_queryset(queryset) if getattr(self, "action", None) == "list" else queryset


class ScopedReadOnlyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    """Lists and shows rows of `queryset` that the caller may see through the access door."""


UseCase = Callable[[Any, Call], Any]


def use_case(
    *,
    capability: str,
    input: type[serializers.Serializer] = NoInputSerializer,
    output: type[serializers.Serializer] | None = None,
    many: bool = False,
    status: int = 200,
    route: str = "",
    detail: bool = True,
    needs_key: bool = False,
    apart: bool = False,
    answers_secret: bool = False,
    operation_id: str | None = None,
    description: str | None = None,
) -> Callable[[UseCase], Any]:
    """Makes a method a POST that calls one use case; see the module. Without *output* the answer is 204.

    *route* makes it an action of a viewset, on one object or (`detail=False`) on the list. *answers_secret* seals the
    stored answer, which is kept so that a repetition gets the same.
    """
    if status == 200 and output is None:
        status = 204

    def decorate(perform: UseCase) -> Any:
        operation = operation_id or f"{perform.__module__}.{perform.__qualname__}"

        @functools.wraps(perform)
        def handle(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
            given = input(data=request.data, context={"request": request, "view": self, "actor": self.actor})
            given.is_valid(raise_exception=True)
            key = _given_key(request, needed=needs_key)
            inner_key = _inner_key(self.actor, operation, key)
            is_on_object = (bool(route) and detail) or perform.__name__ in {"update", "partial_update", "destroy"}

            def execute() -> dict[str, Any]:
                call = Call(
                    actor=self.actor,
                    data=dict(given.validated_data),
                    idempotency_key=inner_key,
                    target=self.get_object() if is_on_object else None,
                    kwargs=kwargs,
                    request=request,
                )
                body = _rendered(perform(self, call), output, many=many)
                return {"status": status, "body": seal(body, purpose=_SEALED_PURPOSE) if answers_secret else body}

            result = execute() if not key else _once(self.actor, operation, key, request, execute, apart=apart)
            return _answer(result, sealed=answers_secret)

        # The order matters: `action` starts the method's keyword arguments anew, among which the schema stands.
        method: Any = action(detail=detail, methods=["post"], url_path=route)(handle) if route else handle
        extended: Any = extend_schema(
            request=input if input is not NoInputSerializer else None,
            responses={status: _many(output, many) if output is not None else None},
            operation_id=operation_id,
            description=description,
        )(method)
        extended.capability = capability
        extended.needs_key = needs_key
        extended.is_use_case = True
        return extended

    return decorate


def _many(output: type[serializers.Serializer], many: bool) -> Any:
    return output(many=True) if many else output


def _given_key(request: Request, *, needed: bool) -> str:
    key = request.headers.get(KEY_HEADER, "")
    if not key and needed:
        raise InvalidInput(
            f"This moves money: send an {KEY_HEADER} header, so that a repetition does not move it twice.",
            code="idempotency_key_missing",
            field=KEY_HEADER,
        )
    if len(key) > MAX_GIVEN_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        raise InvalidInput(
            f"An {KEY_HEADER} has 1 to {MAX_GIVEN_KEY_LENGTH} printable ASCII characters.",
            code="idempotency_key_invalid",
            field=KEY_HEADER,
        )
    return key


def _inner_key(actor: Actor, operation: str, key: str) -> str:
    """What the use case is given: one value for each caller, endpoint and key, that nobody else can hit."""
    if not key:
        return f"{idempotency.API_SCOPE}{uuid7()}"
    digest = hashlib.sha256(f"{actor.user_id}\x1f{operation}\x1f{key}".encode()).hexdigest()
    return f"{idempotency.API_SCOPE}{digest}"


def _once(
    actor: Actor, operation: str, key: str, request: Request, execute: Callable[[], dict[str, Any]], *, apart: bool
) -> dict[str, Any]:
    digest = hashlib.sha256(operation.encode()).hexdigest()[:40]
    run = idempotency.run_once_apart if apart else idempotency.run_once
    return run(
        scope=f"{idempotency.API_SCOPE}{actor.user_id}:{digest}",
        key=key,
        request={"method": request.method, "path": request.path, "body": _comparable(request)},
        execute=execute,
    )


def _comparable(request: Request) -> Any:
    """The body as it was given; of files, their names and digests."""
    if not request.FILES:
        return request.data
    data: Any = request.data
    fields = {name: data.getlist(name) for name in data if name not in request.FILES}
    files = []
    for name in sorted(request.FILES):
        for upload in request.FILES.getlist(name):
            files.append([name, upload.name, hashlib.file_digest(upload, "sha256").hexdigest()])
            upload.seek(0)
    return {"fields": fields, "files": files}


def _rendered(result: Any, output: type[serializers.Serializer] | None, *, many: bool) -> str:
    """JSON text, so that a repetition answers the same bytes."""
    if output is None:
        return ""
    return JSONRenderer().render(output(result, many=many).data).decode()


def _answer(result: dict[str, Any], *, sealed: bool) -> Response:
    body = _opened(result["body"]) if sealed else result["body"]
    response = Response(json.loads(body) if body else None, status=result["status"])
    if sealed:
        response.headers["Cache-Control"] = "no-store"
    return response


def _opened(sealed: str) -> str:
    try:
        return unseal(sealed, purpose=_SEALED_PURPOSE)
    except Misconfigured:
        # The encryption key was changed since: the secret cannot be shown again, and need not be.
        raise Conflict("The secret was shown once, and is kept no more.", code="secret_not_kept") from None
