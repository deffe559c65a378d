"""The entry point of the streams' process: `gunicorn -k asgi backoffice.streams.asgi:application`."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
django.setup()

from backoffice.streams.application import StreamsApplication  # noqa: E402 - needs the settings

application = StreamsApplication()
