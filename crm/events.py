"""What happens at this desk, as other desks may hear of it through the outbox."""

from __future__ import annotations

CLIENT_REGISTERED = "crm.client_registered"
"""{client_id, code: the referral code they came with, where there is one}"""
CLIENT_ASSIGNED = "crm.client_assigned"
"""{client_id}: another owner or team"""
