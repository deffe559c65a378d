"""Settings of the test suite: the real servers, quicker password hashing, mail kept in memory, files in a temporary folder."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from backoffice.settings import *  # noqa: F403
from backoffice.settings import CACHES, redis_urls

# Workers of one run have a database of Valkey each: one of them emptying its cache must not make another forget what
# it counts, such as used one-time codes. The number is set, not added, so that processes which tests start agree; and
# what was read from the environment before (a package is imported before its modules) is read again.
if _worker := os.environ.get("PYTEST_XDIST_WORKER", ""):
    os.environ["REDIS_URL"] = re.sub(r"db=\d+", f"db={int(_worker[2:]) + 1}", os.environ.get("REDIS_URL", ""))
    CACHE_URL, CELERY_BROKER_URL = redis_urls(os.environ["REDIS_URL"])
    CACHES = {"default": {**CACHES["default"], "LOCATION": CACHE_URL}}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
_own_folder = tempfile.TemporaryDirectory(prefix="backoffice-test-")  # removed when the process ends
# Whitenoise wants the folder to be there; tests serve static files from where the apps keep them.
STATIC_ROOT = Path(_own_folder.name) / "static"
STATIC_ROOT.mkdir()
STORAGES = {
    "default": {
        "BACKEND": "backoffice.core.files.storage.PrivateFolderStorage",
        "OPTIONS": {"location": f"{_own_folder.name}/files"},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
TICK_FOLDER = f"{_own_folder.name}/ticks"
LOGGING = {"format": "console", "level": "WARNING"}
