"""The demo's share of migration: a package of a house that the broker is taking over, given and waiting for its check."""

from __future__ import annotations

import io
import zipfile
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

from backoffice.core.actors import actor_of_user
from backoffice.core.models import Brand, LegalEntity, User
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.migration.example import EXAMPLE
from backoffice.migration.models import MigrationPackage
from backoffice.migration.services.packages import give_package
from backoffice.migration.writing import write_package

CONTENTS = (
    "servers",
    "account_types",
    "account_groups",
    "clients",
    "partners",
    "partner_edges",
    "client_referrals",
    "plans",
    "plan_versions",
    "plan_rules",
    "agreements",
    "accounts",
    "opening_balances",
)


def give_example(*, entity: LegalEntity, brand: Brand) -> MigrationPackage | None:
    """Gives the example's clients, partners, plan, accounts and balances as finance would; a worker checks them."""
    giver = User.objects.filter(roles__contains=[Role.FINANCE], entities=entity, is_active=True).first()
    if giver is None:
        return None
    contents = deepcopy({name: EXAMPLE[name] for name in CONTENTS})
    for row in (*contents["clients"], *contents["partners"]):
        row["brand"] = brand.code
    for row in contents["opening_balances"]:
        row["business_day"] = clock.today_business_day().isoformat()
    now = clock.now().isoformat(timespec="seconds")
    data = io.BytesIO()
    with TemporaryDirectory(prefix="backoffice-demo-") as folder:
        write_package(Path(folder), entity=entity.code, contents=contents, as_of=now, created_at=now)
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(Path(folder).iterdir()):
                archive.write(file, file.name)
    return give_package(data=data.getvalue(), file_name="harbour-house.zip", actor=actor_of_user(giver))
