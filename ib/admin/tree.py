"""The partner tree as it stands now, as nested lists that open and close without script."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from backoffice.core.access import get_visible
from backoffice.core.types import Actor
from backoffice.ui.views import DeskPage, register_desk_page
from ib import selectors
from ib.models import Partner
from ib.types import TreeNode

OPEN_LEVELS = 2


@dataclass
class Branch:
    """A partner with the partners below."""

    node: TreeNode
    children: list[Branch] = field(default_factory=list)
    below: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it is shown unfolded at first."""
        return self.node.depth < OPEN_LEVELS


def branches(nodes: list[TreeNode]) -> list[Branch]:
    """The nodes as a forest; parents come before their children in *nodes*."""
    known = {node.partner_id: Branch(node) for node in nodes}
    roots: list[Branch] = []
    for branch in known.values():
        parent = known.get(branch.node.parent_id) if branch.node.parent_id and branch.node.depth else None
        (parent.children if parent else roots).append(branch)
    for branch in reversed(list(known.values())):
        branch.below = sum(child.below + 1 for child in branch.children)
    return roots


@register_desk_page
class TreePage(DeskPage):
    """Who stands under whom."""

    desk, slug, title, capability = "ib", "tree", "Partner tree", "ib.view_partners"
    subtitle = "As it stands now. Moves are dated: what was earned before a move stays as it was."
    template_name = "ib/tree.html"

    def context(self, actor: Actor) -> dict[str, Any]:
        """The whole tree, or the part below ?root=."""
        root = self.request.GET.get("root", "")
        if root.isdigit():
            partner = get_visible(Partner.objects.all(), actor, pk=int(root))
            nodes = selectors.subtree(actor=actor, partner=partner)
        else:
            nodes = selectors.tree_of_entities(actor=actor)
        depths: dict[int, int] = defaultdict(int)
        for node in nodes:
            depths[node.depth] += 1
        return {
            "branches": branches(nodes),
            "total": len(nodes),
            "clients": sum(node.clients for node in nodes),
            "depths": sorted(depths.items()),
            "is_part": root.isdigit(),
        }
