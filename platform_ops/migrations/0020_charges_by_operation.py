"""A swap charge that goes to a server is handed over to one operation, and ends as that does."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("platform_ops", "0019_deal_markets"),
    ]

    operations = [
        migrations.AddField(
            model_name="swapcharge",
            name="operation",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="swap_charge",
                to="platform_ops.serveroperation",
            ),
        ),
        migrations.AddConstraint(
            model_name="swapcharge",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "sending"), _negated=True), ("operation__isnull", False), _connector="OR"
                ),
                name="platform_swapcharge_sending_has_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="swapcharge",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "due"), _negated=True), ("operation__isnull", True), _connector="OR"
                ),
                name="platform_swapcharge_due_has_none",
            ),
        ),
        migrations.AddConstraint(
            model_name="swapcharge",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "done"), _negated=True), ("deal_ticket__isnull", False), _connector="OR"
                ),
                name="platform_swapcharge_done_has_deal",
            ),
        ),
    ]
