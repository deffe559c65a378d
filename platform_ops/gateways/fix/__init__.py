"""FIX 4.4 drop copies of liquidity providers and bridges: messages read strictly, and the executions they tell."""

from __future__ import annotations

from platform_ops.gateways.fix.messages import FixMessage, read_message, split_messages

__all__ = ["FixMessage", "read_message", "split_messages"]
