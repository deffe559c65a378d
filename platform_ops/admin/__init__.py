"""The platform desk's screens, by subject. Django finds them here; each module registers its own."""

from platform_ops.admin import accounts, days, imports, market, servers, trading  # noqa: F401 - importing registers them
