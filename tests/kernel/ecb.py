"""The euro reference rates since 1999, read from the package that ships them."""

from __future__ import annotations

import csv
import functools
import io
import zipfile
from datetime import date
from decimal import Decimal
from importlib import resources

from backoffice.kernel.fx import PerEuroRateProvider

SOURCE = "ECB"


@functools.cache
def reference_table() -> dict[date, dict[str, Decimal]]:
    packed = resources.files("currency_converter") / "eurofxref-hist.zip"
    with packed.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        text = archive.read("eurofxref-hist.csv").decode("ascii")
    table: dict[date, dict[str, Decimal]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        day = date.fromisoformat(row.pop("Date"))
        table[day] = {code: Decimal(value) for code, value in row.items() if code and value not in ("N/A", "")}
    return table


def reference_rates() -> PerEuroRateProvider:
    return PerEuroRateProvider(reference_table(), SOURCE)
