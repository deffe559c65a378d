"""Price complaints: from a trade to the evidence, the decision by two people, the money, the commission, the letter."""

from platform_ops.services.complaints.deciding import propose_decision
from platform_ops.services.complaints.evidence import collect_evidence
from platform_ops.services.complaints.finishing import finish_complaints, send_money_again
from platform_ops.services.complaints.opening import open_complaint

__all__ = ["collect_evidence", "finish_complaints", "open_complaint", "propose_decision", "send_money_again"]
