"""The demo broker: an invented, deterministic broker with true symbol specifications and realistic trading.

Everything random comes from one seed; two runs on the same last day make the same broker. It writes only through the
product's own use cases.
"""
