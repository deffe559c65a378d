"""The numbers of clients' references, given once each, in the order of asking."""

from django.db import migrations

from crm.migrations import _client_reference


class Migration(migrations.Migration):
    dependencies = [
        ("crm", "0002_client_history"),
    ]

    operations = _client_reference.OPERATIONS
