"""Disputes about commission: opened with evidence, looked into under a clock, decided, and followed until the money is there.

`opening` takes one in, `handling` talks and decides, `following` waits for the difference, `goodwill` gives money by two
people, `evidence` keeps what the engine said, `work` tells the desk, `letters` the partner.
"""

from ib.services.disputes.evidence import issue_documents
from ib.services.disputes.following import chase_disputes, correct_dispute, follow_disputes
from ib.services.disputes.goodwill import propose_goodwill, request_goodwill_limit
from ib.services.disputes.handling import (
    answer_question,
    appeal_dispute,
    ask_partner,
    note_dispute,
    reject_dispute,
    take_dispute,
    withdraw_dispute,
    write_message,
)
from ib.services.disputes.opening import add_file, open_dispute

__all__ = [
    "add_file",
    "answer_question",
    "appeal_dispute",
    "ask_partner",
    "chase_disputes",
    "correct_dispute",
    "follow_disputes",
    "issue_documents",
    "note_dispute",
    "open_dispute",
    "propose_goodwill",
    "reject_dispute",
    "request_goodwill_limit",
    "take_dispute",
    "withdraw_dispute",
    "write_message",
]
