"""The numbers of clients' references, given once each, in the order of asking."""

from django.db import migrations


class Migration(migrations.Migration):

    replaces = [
        ("crm", "0003_client_reference"),
    ]

    dependencies = [
        ("crm", "0001_tables"),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE SEQUENCE crm_client_reference",
            "DROP SEQUENCE crm_client_reference",
        ),
    ]
