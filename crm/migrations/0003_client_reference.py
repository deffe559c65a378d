"""The numbers of clients' references, given once each, in the order of asking."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("crm", "0002_client_history"),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE SEQUENCE crm_client_reference",
            "DROP SEQUENCE crm_client_reference",
        ),
    ]
