"""The desk's pure decisions and arithmetic, without a database: rates, amounts, sentences, explanations."""

from ib.rules.amounts import commission
from ib.rules.explaining import cause_text, explain
from ib.rules.references import line_reference, mask_email, money_text, parse_line_reference, plain
from ib.rules.sentences import rule_terms, sentence

__all__ = [
    "cause_text",
    "commission",
    "explain",
    "line_reference",
    "mask_email",
    "money_text",
    "parse_line_reference",
    "plain",
    "rule_terms",
    "sentence",
]
