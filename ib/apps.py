"""Registers the introducing-broker desk with Django."""

from django.apps import AppConfig


class IbConfig(AppConfig):
    """Partners, plans and commissions."""

    name = "ib"
    label = "ib"
    verbose_name = "Partners and commissions"

    def ready(self) -> None:
        """Declares permissions, checks, work and the step of the business day, with the rooms that keep them."""
        from backoffice.core.measuring.bench import register_suite
        from backoffice.core.observing.metrics import register_gauge
        from backoffice.core.schedule import register_periodic
        from backoffice.core.services.client_views import register_viewable
        from funding.ledger.services.entries import register_derived_source
        from ib import (
            api,
            application_room,
            change_kinds,
            checks,
            data_centre_room,
            dispute_checks,
            events,
            groupings,
            menu,
            payout_room,
            period_room,
            permissions,
            rank_room,
            screens,
            statement_checks,
            study_room,
        )
        from ib.models import Partner
        from ib.services import (
            day_step,
            payout_terms,
            posting,
            quarantine,
            runners,
            statement_work,
            statements,
            upkeep,
            work,
        )
        from ib.services.disputes import goodwill
        from ib.services.disputes import letters as dispute_letters
        from ib.services.disputes import work as dispute_work

        permissions.register()
        register_viewable("ib.partners", Partner.objects.all)
        api.register()
        checks.register()
        statement_checks.register()
        change_kinds.register()
        payout_terms.register()
        runners.register()
        events.subscribe()
        screens.register()
        groupings.register()
        day_step.register()
        period_room.register()
        rank_room.register()
        payout_room.register()
        data_centre_room.register()
        application_room.register()
        study_room.register()
        menu.register()
        work.register()
        statement_work.register()
        dispute_letters.register()
        dispute_work.register()
        goodwill.register()
        dispute_checks.register()
        register_derived_source(posting.SOURCE_TYPE, "correct the trade, the plan or the tree, and settle again")
        register_derived_source(
            statements.SOURCE_TYPE, "an approved statement stands; correct the line, and settle again"
        )
        register_periodic("ib.disputes", "ib.tasks.follow_disputes", 15)
        register_periodic("ib.silent_disputes", "ib.tasks.chase_disputes", 600)
        register_periodic("ib.statements", "ib.tasks.run_statements", 600)
        register_periodic("ib.partitions", "ib.tasks.make_line_partitions", 3600)
        register_periodic("ib.unsettled_batches", "ib.tasks.enqueue_unsettled_batches", 30)
        register_gauge(
            "settlement_lag_seconds",
            "How long the oldest ingest batch with trades has been waiting for its settlement.",
            upkeep.settlement_lag,
        )
        register_gauge(
            "trades_set_aside",
            "Trades that settlement set aside because the books refused them.",
            lambda: len(quarantine.rows_set_aside()),
        )
        register_suite("settle", "ib.bench.contest.settle")
