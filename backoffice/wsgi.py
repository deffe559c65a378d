"""The WSGI entry point of the site."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

application = get_wsgi_application()

# Needs the applications, which exist only now.
from backoffice.core.services.key_rotation import refuse_to_start_without_keys  # noqa: E402

refuse_to_start_without_keys()
