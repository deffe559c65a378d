"""Change requests: their kinds, rules, proofs and who may draft and approve."""
