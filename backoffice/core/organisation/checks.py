"""The ground's share of `verify_books`: numbers of documents without gaps, terms that are what was published."""

from __future__ import annotations

import hashlib

from backoffice.core.books import CheckOutcome, register_check, rows_of_query
from backoffice.core.models import TermsVersion

_GAPS = """
SELECT series.entity_id, series.kind, counter.year, counter.last_number,
       count(issued.id) AS issued, min(issued.number) AS lowest, max(issued.number) AS highest
FROM core_documentcounter counter
JOIN core_documentseries series ON series.id = counter.series_id
LEFT JOIN core_documentnumber issued ON issued.counter_id = counter.id
GROUP BY series.entity_id, series.kind, counter.year, counter.last_number
HAVING count(issued.id) <> counter.last_number
    OR coalesce(min(issued.number), 1) <> 1 OR coalesce(max(issued.number), 0) <> counter.last_number
    OR bool_or(issued.entity_id <> series.entity_id OR issued.kind <> series.kind)
ORDER BY 1, 2, 3
"""
MAXIMUM_DOCUMENTS = 10_000


def document_numbers_have_no_gap() -> CheckOutcome:
    """Every series of every entity and year counts from one to its last number, each number issued once."""
    return rows_of_query(_GAPS)


def published_terms_are_unchanged() -> CheckOutcome:
    """The text of published terms still has the digest by which it was agreed to."""
    published = TermsVersion.objects.filter(published_at__isnull=False).order_by("pk")[:MAXIMUM_DOCUMENTS]
    return CheckOutcome.of(
        [
            {"terms_id": terms.pk, "terms": str(terms), "sha256": terms.sha256}
            for terms in published.iterator(chunk_size=100)
            if hashlib.sha256(terms.body.encode()).hexdigest() != terms.sha256
        ]
    )


def register() -> None:
    """Adds the checks to the registry."""
    register_check("core.document_numbers_have_no_gap", document_numbers_have_no_gap)
    register_check("core.published_terms_are_unchanged", published_terms_are_unchanged)
