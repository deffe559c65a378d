"""The numbers of clients' references, given once each, in the order of asking."""

from django.db import migrations

OPERATIONS = [
    migrations.RunSQL(
        "CREATE SEQUENCE crm_client_reference",
        "DROP SEQUENCE crm_client_reference",
    ),
]
