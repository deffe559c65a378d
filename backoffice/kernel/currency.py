"""Currencies and the number of decimal places in which each is booked.

Owns the register: ISO 4217 national currencies in use, those withdrawn ones that the rate history still
quotes, the offshore yuan, metals and the larger crypto currencies, and the cents in which cent accounts are kept.
It must never hold market rates or amounts.
"""

from __future__ import annotations

from dataclasses import dataclass

from backoffice.kernel.errors import InvalidInput

_ISO_ACTIVE = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
    CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD
    HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL
    LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP
    PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT
    TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
# Old statements and the euro reference rates since 1999 still name these.
_WITHDRAWN = "ANG BGN CYP EEK HRK LTL LVL MTL ROL SIT SKK TRL"
_OFFSHORE = "CNH"
_METALS = "XAG XAU XPD XPT"
_CRYPTO = "BTC ETH LTC USDC USDT XRP"
# Cent accounts are kept in hundredths of a currency and show them with two digits: 100.00 USC is one dollar.
_CENTS = {"USC": "USD", "EUC": "EUR"}
CENTS_PER_UNIT = 100

_DIGITS_OTHER_THAN_TWO = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF ROL TRL",
    3: "BHD IQD JOD KWD LYD OMR TND",
    6: "XRP",
    8: "BTC ETH LTC",
}
DEFAULT_DIGITS = 2


def _digits_by_code() -> dict[str, int]:
    digits = {
        code: DEFAULT_DIGITS
        for codes in (_ISO_ACTIVE, _WITHDRAWN, _OFFSHORE, _METALS, _CRYPTO, " ".join(_CENTS))
        for code in codes.split()
    }
    for number, codes in _DIGITS_OTHER_THAN_TWO.items():
        for code in codes.split():
            digits[code] = number
    return digits


_REGISTER = _digits_by_code()


@dataclass(frozen=True, slots=True, order=True)
class Currency:
    """A currency of the register: its code and its booking digits. Sorts by code.

    Build it by `Currency.of("USD")`. The constructor takes only what the register says, so two currencies of
    one code can never differ.
    """

    code: str
    digits: int

    def __post_init__(self) -> None:
        known = _REGISTER.get(self.code)
        if known is None:
            raise InvalidInput(f"Unknown currency {self.code!r}.", field="currency", value=self.code)
        if self.digits != known:
            raise InvalidInput(
                f"{self.code} is booked with {known} digits, not {self.digits}.",
                field="digits",
                value=self.digits,
            )

    @classmethod
    def of(cls, code: str | Currency) -> Currency:
        """The currency of a code, in any letter case.

        Raises InvalidInput when the register does not know it.
        """
        if isinstance(code, Currency):
            return code
        normal = code.upper() if isinstance(code, str) else ""
        found = _BY_CODE.get(normal)
        if found is None:
            raise InvalidInput(f"Unknown currency {code!r}.", field="currency", value=str(code))
        return found

    @staticmethod
    def is_known(code: str) -> bool:
        """Whether the register knows the code, in any letter case."""
        return code.upper() in _REGISTER

    @staticmethod
    def all() -> list[Currency]:
        """Every currency of the register, sorted by code."""
        return sorted(_BY_CODE.values())

    @property
    def parent(self) -> Currency:
        """The currency that this one is hundredths of; itself for all that are no cents."""
        return _BY_CODE[_CENTS.get(self.code, self.code)]

    @property
    def per_parent(self) -> int:
        """How many of this one make one of its parent: 100 for cents, else 1."""
        return CENTS_PER_UNIT if self.code in _CENTS else 1

    def __str__(self) -> str:
        return self.code


_BY_CODE = {code: Currency(code, digits) for code, digits in _REGISTER.items()}
