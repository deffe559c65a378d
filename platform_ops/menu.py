"""The headings inside the platform desk's part of the menu: what belongs together stands together, in the order of the work."""

from __future__ import annotations

from backoffice.ui.navigation import arrange

GROUPS = (
    (
        "Servers and days",
        (
            "server_health",
            "businessday_changelist",
            "statementimport_changelist",
            "ingestbatch_changelist",
            "tradingserver_changelist",
            "serverconnection_changelist",
        ),
    ),
    (
        "Reconciliation",
        ("reconciliation", "reconciliationbreak_changelist", "reconciliationrun_changelist"),
    ),
    (
        "Accounts",
        (
            "tradingaccount_changelist",
            "serveroperation_changelist",
            "accountoffer_changelist",
            "accounttype_changelist",
            "accountgroup_changelist",
            "operationlimit_changelist",
        ),
    ),
    (
        "Trading",
        (
            "position_changelist",
            "trade_changelist",
            "orderexecution_changelist",
            "currentdeal_changelist",
            "balanceoperation_changelist",
            "execution_quality",
            "pricecomplaint_changelist",
            "complaint_causes",
        ),
    ),
    (
        "Symbols",
        (
            "symbol_explorer",
            "symbol_changelist",
            "symbolspec_changelist",
            "groupsymboloverride_changelist",
            "specification_import",
            "serversymbol_changelist",
            "symbol_names",
            "symbol_servers",
            "look_at_symbols",
            "symboldrift_changelist",
            "sessions_calendar",
            "marketcalendar_changelist",
            "calculator",
        ),
    ),
    (
        "Swaps and dividends",
        (
            "swap_desk",
            "swap_rates",
            "swapmarkuprule_changelist",
            "swap_pushes",
            "swaprun_changelist",
            "swap_lines",
            "swapbreak_changelist",
            "swapcharge_changelist",
            "swapfreepolicy_changelist",
            "swapfreerevocation_changelist",
            "dividendevent_changelist",
            "swapsetting_changelist",
        ),
    ),
    (
        "Prices",
        (
            "quote_changelist",
            "pricefeed_changelist",
            "rejectionepisode_changelist",
            "near_rejections",
            "filter_studio",
            "pricefiltersetting_changelist",
            "price_bars",
            "dailyprice_changelist",
            "pricesource_changelist",
            "fxreferencerate_changelist",
        ),
    ),
    (
        "Liquidity providers",
        (
            "liquidityprovider_changelist",
            "currentfill_changelist",
            "dropcopysession_changelist",
            "dropcopymessage_changelist",
            "liquiditysymbol_changelist",
            "liquiditymessage_changelist",
        ),
    ),
)


def register() -> None:
    """Called once, when the application starts."""
    arrange([(title, [f"admin:platform_ops_{name}" for name in names]) for title, names in GROUPS])
