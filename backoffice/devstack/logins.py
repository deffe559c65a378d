"""The demo broker's logins, one for each role. The seed makes these users; the box shows them.

The password is no secret: it opens invented data on one's own machine, and the stack refuses to be a deployment.
"""

from __future__ import annotations

from dataclasses import dataclass

DEMO_PASSWORD = "demo-broker-2026"  # noqa: S105 - printed on the screen on purpose
DEMO_MAIL_DOMAIN = "demo.example"


@dataclass(frozen=True)
class DemoLogin:
    """One person of the demo broker. *role* is the value of `core.Role`."""

    role: str
    title: str
    full_name: str

    @property
    def email(self) -> str:
        """The address that the person logs in with."""
        return f"{self.role.replace('_', '-')}@{DEMO_MAIL_DOMAIN}"


DEMO_LOGINS = (
    DemoLogin("administrator", "Administrator", "Ada Brandt"),
    DemoLogin("finance", "Finance", "Farid Osman"),
    DemoLogin("dealing", "Dealing", "Dora Keller"),
    DemoLogin("partner_manager", "Partner manager", "Pedro Almeida"),
    DemoLogin("sales", "Sales", "Sofia Rossi"),
    DemoLogin("retention", "Retention", "Ravi Menon"),
    DemoLogin("compliance", "Compliance", "Clara Novak"),
    DemoLogin("marketing", "Marketing", "Mina Haddad"),
    DemoLogin("platform_operations", "Platform operations", "Petr Svoboda"),
    DemoLogin("auditor", "Auditor", "Aiko Tanaka"),
    DemoLogin("ib", "Introducing broker", "Ivan Petrov"),
    DemoLogin("trader", "Trader", "Tomas Lind"),
)
