"""What liquidity providers tell: messages kept as they came, executions that follow from them, names mapped to symbols."""

from platform_ops.services.liquidity.intake import FileIntake, accept_messages, import_fix_log
from platform_ops.services.liquidity.providers import map_provider_symbol, save_provider

__all__ = ["FileIntake", "accept_messages", "import_fix_log", "map_provider_symbol", "save_provider"]
