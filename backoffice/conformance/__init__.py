"""Scenarios: a small brokerage written down in one file, run through the services, and compared with what it expects."""
