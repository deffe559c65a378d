"""What a provider calls an instrument, and what that is here."""

from __future__ import annotations

from platform_ops.models import LiquidityProvider, LiquiditySymbol, Symbol

MAX_NAME = 64


class Names:
    """The names of one provider. One that nobody knew is noted, and mapped where it reads as a symbol's own code."""

    def __init__(self, provider: LiquidityProvider) -> None:
        self._provider = provider
        self._known = {(name.id_source, name.name): name for name in provider.symbols.all()}

    def of(self, name: str, id_source: str) -> LiquiditySymbol:
        """The name's row."""
        key = (id_source[:8], name[:MAX_NAME] or "?")
        if key not in self._known:
            code = "" if id_source else key[1].replace("/", "").upper()
            self._known[key] = LiquiditySymbol.objects.create(
                provider=self._provider,
                id_source=key[0],
                name=key[1],
                symbol=Symbol.objects.filter(code=code).first() if code else None,
            )
        return self._known[key]
