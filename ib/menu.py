"""The headings inside the partner desk's part of the menu: what belongs together stands together, in the order of the work."""

from __future__ import annotations

from backoffice.ui.navigation import arrange

GROUPS = (
    (
        "People",
        (
            "data_centre",
            "partner_changelist",
            "tree",
            "applications_board",
            "partnerapplication_changelist",
            "partnerrank_changelist",
            "rankevaluation_changelist",
            "agreement_changelist",
            "termsacceptance_changelist",
            "partnertaxdata_changelist",
            "whitelabel_changelist",
        ),
    ),
    (
        "Their clients",
        (
            "clientreferral_changelist",
            "partnerlink_changelist",
            "clientclaim_changelist",
            "claimconflict_changelist",
            "clientevent_changelist",
            "namepolicy_changelist",
        ),
    ),
    (
        "Plans",
        (
            "plan_changelist",
            "planversion_changelist",
            "planrule_changelist",
            "negotiatedrate_changelist",
            "whatifstudy_changelist",
        ),
    ),
    (
        "Commissions",
        (
            "lines",
            "period_lines",
            "cpaclaim_changelist",
            "carrybalance_changelist",
            "settle",
            "settle_periods",
            "settlementbatch_changelist",
            "coverage",
            "quarantinedtrade_changelist",
        ),
    ),
    (
        "Statements and payouts",
        (
            "commissionstatement_changelist",
            "payout_changelist",
            "paymentfile_changelist",
            "payoutmethod_changelist",
            "payoutterms_changelist",
        ),
    ),
    (
        "Disputes",
        (
            "dispute_changelist",
            "dispute_statistics",
            "commissionadjustment_changelist",
            "goodwilllimit_changelist",
        ),
    ),
)
"""Headings with the URL names of their pages, each without `admin:ib_`. A page that no group names stands above them."""


def register() -> None:
    """Tells the menu."""
    arrange([(title, [f"admin:ib_{name}" for name in names]) for title, names in GROUPS])
