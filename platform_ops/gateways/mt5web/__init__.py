"""The MetaTrader 5 Web API over plain TCP: packets, the handshake, and a `TradingGateway` on top of them."""
