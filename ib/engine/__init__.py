"""The commission engine: pure SQL texts and the few statements around them. It decides nothing by itself and writes no audit.

`target` says what each (trade, partner) is worth; settlement, delta, proof, coverage and preview all use that one text.
"""
