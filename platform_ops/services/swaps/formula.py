"""The swap formula as SQL, over a relation `position` joined with its `term`: the same arithmetic as `rules.swaps.money_of`.

Products of numerics are exact. A quotient is computed to eight places beyond the exact numerator's, so that rounding it once
more can never cross a half.
"""

from __future__ import annotations

_IS_PAST = "(position.opened_at < term.grace_start)"
HAS_SWAP = f"(term.swap_applies = 1 OR (term.swap_applies = 2 AND {_IS_PAST}))"
_HAS_FEE = f"(term.fee_applies = 2 AND {_IS_PAST})"

INNER = """CASE WHEN term.rounds_unit_first THEN round(position.volume_lots * term.unit, term.digits)
     WHEN term.uses_open_price THEN position.volume_lots * term.unit * position.open_price
     ELSE position.volume_lots * term.unit END"""
"""What the weight of a night is multiplied with; joined laterally as `base.amount`."""


def _weighed(weight: str) -> str:
    return (
        f"CASE WHEN term.divisor = 1 THEN round(base.amount * {weight}, term.digits)"
        f" ELSE round(base.amount * {weight} * 1.00000000 / term.divisor, term.digits) END"
    )


_WEIGHT = f"CASE WHEN {HAS_SWAP} THEN term.weight ELSE term.dividend_in_swap END"
EFFECT = _weighed(f"({_WEIGHT})")
"""What the night is worth to the client, whether it is booked as swap or comes through a reopened price."""
SWAP = f"CASE WHEN term.mode IN (7, 8) THEN 0 ELSE {EFFECT} END"
LP_SWAP = f"CASE WHEN term.lp_weight IS NULL THEN NULL ELSE {_weighed('term.lp_weight')} END"
DIVIDEND = (
    "CASE WHEN term.dividend_unit = 0 THEN 0 ELSE round(position.volume_lots * term.dividend_unit, term.digits) END"
)
FEE = f"CASE WHEN {_HAS_FEE} THEN -round(position.volume_lots * term.fee_unit, term.digits) ELSE 0 END"
CAUSE = f"""CASE WHEN term.cause <> 'swap_free' THEN term.cause
     WHEN {HAS_SWAP} THEN 'swap'
     WHEN {_HAS_FEE} THEN 'fee'
     WHEN {_IS_PAST} AND term.inputs ->> 'after_grace' = 'close' THEN 'close_due'
     ELSE 'swap_free' END"""

SAME_KIND = """term.server_symbol_id = position.server_symbol_id AND term.side = position.side
   AND coalesce(term.group_id, 0) = coalesce(account.group_id, 0)
   AND coalesce(term.account_type_id, 0) = coalesce(account.type_id, 0)
   AND term.currency = account.currency AND coalesce(term.account_id, 0) = account.special"""
"""Which term is a position's; `account` is the relation below."""

ACCOUNTS = """SELECT account.id, account.server_id, account.client_id, account.group_id, account.currency,
       coalesce(account.account_type_id, account_group.account_type_id) AS type_id,
       CASE WHEN account.id = ANY (%(special)s) THEN account.id ELSE 0 END AS special
  FROM platform_ops_tradingaccount account
  LEFT JOIN platform_ops_accountgroup account_group ON account_group.id = account.group_id"""
"""Accounts with what makes their positions' kind."""
