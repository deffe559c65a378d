"""Partners, the tree below them, their balances and their clients."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from django.db import connection

from backoffice.core.access import authorise, holds, visible_to
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import NotFound
from ib.models import Partner
from ib.rules.masking import shown_email, shown_name
from ib.services.name_policies import display_of
from ib.types import PartnerBalances, PartnerClient, TreeNode

MAXIMUM_NODES = 5_000
MAXIMUM_CLIENTS = 5_000

# The tree as it stands at a moment, from given roots down. UNION ends a cycle that tampering made.
_TREE = """
WITH RECURSIVE below AS (
    SELECT id AS partner_id, NULL::bigint AS parent_id, 0 AS depth, ARRAY[id] AS path
    FROM ib_partner WHERE id = ANY(%(roots)s)
    UNION ALL
    SELECT edge.child_id, edge.parent_id, below.depth + 1, below.path || edge.child_id
    FROM ib_partneredge AS edge JOIN below ON edge.parent_id = below.partner_id
    WHERE edge.validity @> %(now)s AND edge.child_id <> ALL(below.path)
),
clients AS (
    SELECT partner_id, count(*) AS clients FROM ib_clientreferral WHERE validity @> %(now)s GROUP BY partner_id
)
SELECT below.partner_id, below.parent_id, below.depth, partner.reference, partner.name, partner.status,
       partner.currency, coalesce(clients.clients, 0),
       coalesce((SELECT plan.name FROM ib_agreement AS agreement JOIN ib_plan AS plan ON plan.id = agreement.plan_id
                 WHERE agreement.partner_id = below.partner_id AND agreement.validity @> %(now)s), '')
FROM below
JOIN ib_partner AS partner ON partner.id = below.partner_id
LEFT JOIN clients ON clients.partner_id = below.partner_id
WHERE %(with_clients)s OR partner.kind <> 'trader'
ORDER BY below.path
LIMIT %(limit)s
"""

_ROOTS = """
SELECT partner.id FROM ib_partner AS partner
WHERE partner.id = ANY(%s)
  AND NOT EXISTS (SELECT 1 FROM ib_partneredge AS edge WHERE edge.child_id = partner.id AND edge.validity @> %s)
"""

_BALANCES = """
SELECT account.owner_id, account.kind, balance.balance
FROM ledger_ledgeraccount AS account JOIN ledger_accountbalance AS balance ON balance.account_id = account.id
WHERE account.owner_type = 'partner' AND account.owner_id = ANY(%s)
"""

_CLIENTS = """
SELECT client.reference, client.email, client.country, lower(referral.validity)::date AS since,
       count(t.id) FILTER (WHERE NOT t.is_cancelled) AS trades,
       coalesce(sum(t.volume_lots) FILTER (WHERE NOT t.is_cancelled), 0) AS lots, max(t.closed_at)::date AS last_trade,
       client.full_name
FROM ib_clientreferral AS referral
JOIN crm_client AS client ON client.id = referral.client_id
LEFT JOIN platform_ops_tradingaccount AS account ON account.client_id = client.id AND NOT account.is_demo
LEFT JOIN platform_ops_trade AS t
  ON t.account_id = account.id AND t.business_day BETWEEN %(from)s AND %(to)s AND referral.validity @> t.closed_at
WHERE referral.partner_id = %(partner)s AND referral.validity @> %(now)s
GROUP BY client.id, referral.id
ORDER BY lots DESC, client.reference
LIMIT %(limit)s
"""


def partner_of_login(*, actor: Actor) -> Partner | None:
    """The partner that the actor's login belongs to, if it belongs to one."""
    return Partner.objects.filter(user=actor.user_id).first() if actor.user_id else None


def own_partner(*, actor: Actor) -> Partner:
    """The partner that the actor's login belongs to. Raises NotFound for everybody else."""
    partner = partner_of_login(actor=actor)
    if partner is None:
        raise NotFound("Your login belongs to no partner.")
    return partner


def subtree(*, actor: Actor, partner: Partner) -> list[TreeNode]:
    """The partner and everybody below, as the tree stands now, parents before children. Bounded.

    Clients with a rebate, who are nodes of the tree as well, are for staff: to partners they are clients like others.
    """
    if not visible_to(Partner.objects.filter(pk=partner.pk), actor).exists():
        raise NotFound("No such partner, or it is not yours to see.")
    return _tree([partner.pk], with_clients=holds(actor, "ib.view_partners"))


def tree_of_entities(*, actor: Actor) -> list[TreeNode]:
    """Every partner that the actor sees, as the tree stands now, parents before children. Bounded."""
    authorise(actor, "ib.view_partners")
    visible = list(visible_to(Partner.objects.all(), actor).order_by().values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(_ROOTS, [visible, clock.now()])
        roots = [row[0] for row in cursor.fetchall()]
    return _tree(roots)


def balances_of(*, actor: Actor, partner: Partner) -> PartnerBalances:
    """What the partner's three ledger accounts hold: accrued, payable, wallet."""
    check_own_or_staff(actor, partner, "ib.view_commissions")
    with connection.cursor() as cursor:
        cursor.execute(_BALANCES, [[partner.pk]])
        held = {kind: balance for _, kind, balance in cursor.fetchall()}
    return PartnerBalances(
        accrued=held.get("partner_accrued", Decimal(0)),
        payable=held.get("partner_payable", Decimal(0)),
        wallet=held.get("partner_wallet", Decimal(0)),
        currency=partner.currency,
    )


def clients_of(*, actor: Actor, partner: Partner, from_day: date, to_day: date) -> list[PartnerClient]:
    """The clients whom the partner introduces now, with what they traded in the days. Names as the house's policy says."""
    check_own_or_staff(actor, partner, "ib.view_partners")
    display = display_of(entity_id=partner.entity_id)
    with connection.cursor() as cursor:
        cursor.execute(
            _CLIENTS,
            {"partner": partner.pk, "from": from_day, "to": to_day, "now": clock.now(), "limit": MAXIMUM_CLIENTS},
        )
        return [
            PartnerClient(
                reference,
                shown_email(email, display),
                country,
                since,
                trades,
                lots,
                last_trade,
                shown_name(name, display),
            )
            for reference, email, country, since, trades, lots, last_trade, name in cursor.fetchall()
        ]


def check_own_or_staff(actor: Actor, partner: Partner, capability: str) -> None:
    """Money and clients of a partner are for the partner and for staff of the entity, not for whoever stands above."""
    if actor.is_system or (partner.user_id is not None and partner.user_id == actor.user_id):
        return
    authorise(actor, capability)
    if not visible_to(Partner.objects.filter(pk=partner.pk), actor).exists():
        raise NotFound("No such partner, or it is not yours to see.")


def name_for_partners(partner: Partner) -> str:
    """What partners read of another in their tree: of a client with a rebate the number only, never the person."""
    if partner.kind == Partner.Kind.TRADER:
        return f"{partner.reference} (client with a rebate)"
    return str(partner)


def _tree(roots: list[int], *, with_clients: bool = True) -> list[TreeNode]:
    with connection.cursor() as cursor:
        cursor.execute(
            _TREE, {"roots": roots, "now": clock.now(), "limit": MAXIMUM_NODES, "with_clients": with_clients}
        )
        return [TreeNode(*row) for row in cursor.fetchall()]
