"""A simulated trading server that speaks the MetaTrader 5 Web API over a socket.

It is its own process, knows nothing of Django or of the product, and computes its money by itself: what the product's
client, rules and reconciliation say is checked against it, so it must never borrow from them. For demo, tests and
bench only. Start with `server.py` (the socket), `commands.py` (what it answers), `broker.py` (what it keeps).
"""
