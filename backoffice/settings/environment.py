"""Reads the values of environment variables into what Django, Celery and the cache expect."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CONNECTION_MAX_AGE_SECONDS = 60


def env_bool(name: str, *, default: bool) -> bool:
    """The truth of variable *name*: 1, true, yes and on are true; unset gives *default*."""
    value = os.environ.get(name)
    return default if value is None else value.strip().lower() in {"1", "true", "yes", "on"}


def env_int(name: str, *, default: int) -> int:
    """The whole number in variable *name*; unset gives *default*. Raises ValueError for anything else."""
    value = os.environ.get(name)
    return default if value is None else int(value)


def env_list(name: str, *, default: list[str]) -> list[str]:
    """The comma-separated parts of variable *name*, without blanks; unset gives *default*."""
    value = os.environ.get(name)
    return default if value is None else [part.strip() for part in value.split(",") if part.strip()]


def env_group(prefix: str) -> dict[str, str]:
    """Every variable whose name begins with *prefix*, by the rest of its name."""
    return {name[len(prefix) :]: value for name, value in os.environ.items() if name.startswith(prefix) and value}


def private_storage(*, folder: str, bucket: str) -> dict[str, Any]:
    """Django's description of the store for private files: the S3 bucket if one is named, else the folder.

    Objects are private, encrypted by the server, and written under names that are never taken twice; nothing is
    served from the bucket itself, so no address of it is ever signed for a browser.
    """
    if not bucket:
        return {"BACKEND": "backoffice.core.files.storage.PrivateFolderStorage", "OPTIONS": {"location": folder}}
    options = {
        "bucket_name": bucket,
        "endpoint_url": os.environ.get("BACKOFFICE_S3_ENDPOINT") or None,
        "region_name": os.environ.get("BACKOFFICE_S3_REGION") or None,
        "access_key": os.environ.get("BACKOFFICE_S3_ACCESS_KEY") or None,
        "secret_key": os.environ.get("BACKOFFICE_S3_SECRET_KEY") or None,
        "default_acl": "private",
        "file_overwrite": False,
        "addressing_style": "path" if os.environ.get("BACKOFFICE_S3_ENDPOINT") else None,
        "object_parameters": {"ServerSideEncryption": "AES256"},
    }
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}


def database_from_url(url: str) -> dict[str, Any]:
    """Django's database dictionary for a `postgresql://user:password@host:port/name?host=/socket/folder` URL.

    Without a URL the dictionary names a database that cannot be reached, so that commands which need none
    (starting the embedded servers, checks) still run.
    """
    parts = urlsplit(url or "postgresql://backoffice@/backoffice?host=/nonexistent")
    query = parse_qs(parts.query)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "backoffice",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": (query.get("host") or [parts.hostname or ""])[0],
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": CONNECTION_MAX_AGE_SECONDS,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
        "OPTIONS": {"application_name": os.environ.get("BACKOFFICE_PROCESS", "backoffice")},
    }


def redis_urls(url: str) -> tuple[str, str]:
    """(cache URL, Celery broker URL) for REDIS_URL, which is `redis://…` or `unix:///path.sock?db=0`.

    Celery spells a unix socket `redis+socket://…?virtual_host=0`; everything else passes through.
    """
    url = url or "unix:///nonexistent/valkey.sock?db=0"
    if not url.startswith("unix://"):
        return url, url
    parts = urlsplit(url)
    database = (parse_qs(parts.query).get("db") or ["0"])[0]
    return url, f"redis+socket://{parts.path}?virtual_host={database}"
