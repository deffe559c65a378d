"""Following trading servers: their deals come in as they are made, and what was missed is read again."""

from platform_ops.services.sync.follow import Followed, follow_once, look_back

__all__ = ["Followed", "follow_once", "look_back"]
