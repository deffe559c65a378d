"""What a paper needs to know of a partner's tax: asked of whoever keeps it, or nobody.

The room that keeps dated tax data names itself with `use_tax_profiles`; until it does, no partner has any, and papers are
commission statements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import round_decimal

HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class TaxProfile:
    """A partner's tax data on a day. `rate_percent` is what an invoice states; nothing where it does not apply."""

    is_self_billing: bool
    address: str
    tax_number: str
    rate_percent: Decimal = Decimal(0)
    note: str = ""


Source = Callable[[int, date], TaxProfile | None]
_sources: list[Source] = []


def use_tax_profiles(source: Source) -> None:
    """Names who knows: called with a partner's number and a day."""
    _sources[:] = [source]


def tax_profile(*, partner_id: int, on: date) -> TaxProfile | None:
    """The partner's tax data on a day; None where nobody keeps any."""
    return _sources[0](partner_id, on) if _sources else None


def split_tax(payable: Decimal, currency: str, profile: TaxProfile | None) -> dict[str, str]:
    """Net, tax and total of what is paid, as text. The tax is contained in what is paid, half away from zero."""
    rate = profile.rate_percent if profile is not None else Decimal(0)
    digits = Currency.of(currency).digits
    total = round_decimal(payable, digits)
    net = round_decimal(payable * HUNDRED / (HUNDRED + rate), digits)
    return {
        "net": f"{net:f}",
        "tax": f"{total - net:f}",
        "tax_percent": f"{rate.normalize():f}",
        "tax_note": profile.note if profile is not None else "",
        "total": f"{total:f}",
    }
