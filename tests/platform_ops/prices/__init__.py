"""Prices: the filter, the intake, the store, bars."""
