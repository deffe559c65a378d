"""Registers the watched folder as a kind of connector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.csv_files.client import CsvFolderGateway
from platform_ops.gateways.registry import ConnectionSettings, Options, checked_options, register_connector

KIND = "files"


def register() -> None:
    """Adds the kind; called once when the application starts."""
    register_connector(KIND, build, check_options, needs_address=False)


def check_options(options: Mapping[str, Any]) -> Options:
    """`folder`: the name of a folder below the deals inbox; no path leads out of it."""
    whole = checked_options(options, known={"folder": (str, "")})
    folder_of(whole["folder"])
    return whole


def folder_of(name: str) -> Path:
    """The folder of a name. Raises InvalidInput for one outside the inbox, or when there is no inbox."""
    if not settings.DEALS_INBOX:
        raise InvalidInput("This installation has no inbox for deals (BACKOFFICE_DEALS_INBOX).", field="options")
    inbox = Path(settings.DEALS_INBOX).resolve()
    folder = (inbox / name).resolve()
    if not name.strip() or not folder.is_relative_to(inbox) or folder == inbox:
        raise InvalidInput("The option folder names a folder within the deals inbox.", field="options", value=name)
    return folder


def build(connection: ConnectionSettings) -> CsvFolderGateway:
    """A connector that reads with its first call."""
    options = check_options(connection.options)
    return CsvFolderGateway(server=connection.server, folder=folder_of(options["folder"]), zone=connection.zone)
