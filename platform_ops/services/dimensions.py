"""Dated facts on accounts: each desk writes its own dimension, everybody groups by them."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import F, Func, Q

from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput, NotFound
from platform_ops.models import AccountDimension, TradingAccount


@transaction.atomic
def set_dimension(
    *, account_id: int, dimension: str, value: str, valid_from: datetime, actor: Actor, reason: str = ""
) -> AccountDimension:
    """Gives an account the value of a dimension from a moment on; what it had before ends there.

    The desk that owns the dimension authorises before it calls. Values dated later than the moment are replaced.
    Repeating the same value from the same moment changes nothing. Raises NotFound and InvalidInput.
    """
    if not dimension.strip() or not value.strip():
        raise InvalidInput("A dimension has a name and a value.", field="value")
    account = (
        TradingAccount.objects.select_for_update(of=("self",)).select_related("server").filter(pk=account_id).first()
    )
    if account is None:
        raise NotFound("No such trading account.", account_id=account_id)
    rows = AccountDimension.objects.filter(account=account, dimension=dimension)
    same = rows.filter(value=value, validity=DateTimeTZRange(valid_from, None)).first()
    if same is not None:
        return same
    before = list(rows.order_by("validity").values_list("value", flat=True))
    rows.filter(validity__startswith__gte=valid_from).delete()
    rows.filter(Q(validity__endswith__gt=valid_from) | Q(validity__endswith__isnull=True)).update(
        validity=Func(
            Func(F("validity"), function="lower"), valid_from, function="tstzrange", output_field=_range_field()
        )
    )
    row = AccountDimension.objects.create(
        account=account, dimension=dimension, value=value, validity=DateTimeTZRange(valid_from, None)
    )
    audit.record(
        actor=actor,
        action="platform.set_dimension",
        target=account,
        reason=reason,
        changes={dimension: [before[-1] if before else None, value], "from": valid_from.isoformat()},
        entity_id=account.server.entity_id,
    )
    return row


def _range_field():  # type: ignore[no-untyped-def]
    return AccountDimension._meta.get_field("validity").__class__()
