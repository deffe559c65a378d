"""Invented people of twelve countries."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Country:
    """Names, language, account currency and how many of a hundred clients live there."""

    code: str
    language: str
    currency: str
    share: int
    given_names: tuple[str, ...]
    family_names: tuple[str, ...]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


COUNTRIES: tuple[Country, ...] = (
    Country("CY", "en", "EUR", 6, _names("Andreas Maria Giorgos Eleni Christos Despina"), _names("Georgiou Ioannou Charalambous Panayiotou Savva")),
    Country("DE", "de", "EUR", 14, _names("Lukas Anna Jonas Lena Felix Clara Moritz"), _names("Brandt Keller Vogel Lindner Hoffmann Seidel")),
    Country("ES", "es", "EUR", 9, _names("Pablo Lucía Javier Carmen Diego Alba"), _names("Navarro Ortega Molina Vidal Herrero")),
    Country("IT", "it", "EUR", 8, _names("Marco Giulia Luca Chiara Matteo Elisa"), _names("Ferrari Galli Moretti Conti Rinaldi")),
    Country("GB", "en", "GBP", 12, _names("Oliver Amelia Harry Isla George Freya"), _names("Ashworth Bennett Carver Doyle Ellison Fletcher")),
    Country("PL", "pl", "EUR", 7, _names("Jan Zofia Piotr Hanna Tomasz Ewa"), _names("Nowicki Zielińska Wójcik Kamińska Lis")),
    Country("AE", "en", "USD", 9, _names("Omar Fatima Khalid Mariam Yusuf Layla"), _names("Haddad Nasser Rahman Saleh Farouk")),
    Country("ZA", "en", "USD", 8, _names("Thabo Lerato Pieter Naledi Sipho Anneke"), _names("Dlamini Botha Mokoena Venter Nkosi")),
    Country("VN", "vi", "USD", 9, _names("Minh Lan Huy Thao Quan Linh"), _names("Nguyen Tran Pham Vo Dang")),
    Country("TH", "th", "USD", 6, _names("Somchai Malee Anan Ploy Kittisak Nisa"), _names("Srisuk Chaiyaporn Wongsa Rattana Boonmee")),
    Country("JP", "ja", "JPY", 7, _names("Haruto Yui Sota Aoi Ren Hana"), _names("Takahashi Mori Ishikawa Ueda Hayashi")),
    Country("MX", "es", "USD", 5, _names("Diego Valentina Emiliano Regina Andrés Ximena"), _names("Castillo Ríos Salazar Fuentes Mejía")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """A made-up person."""

    full_name: str
    email: str
    phone: str
    country: Country


def invent_person(source: random.Random, number: int) -> Person:
    """The person with this number: name and country by chance, the address unique by the number (example.com)."""
    country = source.choices(COUNTRIES, weights=[c.share for c in COUNTRIES])[0]
    given, family = source.choice(country.given_names), source.choice(country.family_names)
    plain = f"{given}.{family}".lower().encode("ascii", "ignore").decode()
    return Person(
        full_name=f"{given} {family}",
        email=f"{plain or 'client'}.{number}@example.com",
        phone=f"+1555{source.randrange(10**6, 10**7)}",
        country=country,
    )
