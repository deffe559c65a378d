"""Checks that a file is a report that was issued here, unaltered."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.kernel.errors import DomainError
from backoffice.reports.services.verify import verify_file, verify_signature
from backoffice.reports.signing import public_key_from_pem
from backoffice.reports.types import Verification

LARGEST_FILE_BYTES = 200 * 1024 * 1024


class Command(BaseCommand):
    """`verify_report FILE [--signature FILE.sig --public-key KEY.pem] [--json]`; exit status 1 when it is not authentic."""

    help = (
        "Checks a file by its digest against the issued reports, or, given a detached signature and a public key, "
        "without the database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("file")
        parser.add_argument("--signature", metavar="FILE", help="detached signature, 64 bytes")
        parser.add_argument("--public-key", metavar="FILE", help="public key in PEM")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Checks and says what is true."""
        if bool(options["signature"]) != bool(options["public_key"]):
            raise CommandError("Give both --signature and --public-key, or neither.")
        data = _bytes_of(options["file"])
        try:
            if options["signature"]:
                found = verify_signature(
                    data=data,
                    signature=_bytes_of(options["signature"]),
                    public_key=public_key_from_pem(_bytes_of(options["public_key"])),
                )
            else:
                found = verify_file(data=data)
        except DomainError as error:
            raise CommandError(error.message) from error
        self._print(found, as_json=options["json"])
        if not found.is_authentic:
            sys.exit(1)

    def _print(self, found: Verification, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(
                json.dumps(
                    {
                        "authentic": found.is_authentic,
                        "sha256": found.sha256,
                        "signing_key": found.signing_key_id,
                        "report": found.report,
                        "message": found.message,
                    },
                    indent=2,
                )
            )
            return
        self.stdout.write(f"{'AUTHENTIC' if found.is_authentic else 'NOT AUTHENTIC'}  {found.message}")
        self.stdout.write(f"sha256 {found.sha256}")
        if found.report:
            self.stdout.write(f"report {found.report}, key {found.signing_key_id}")


def _bytes_of(name: str) -> bytes:
    path = Path(name)
    if not path.is_file():
        raise CommandError(f"There is no file {name}.")
    if path.stat().st_size > LARGEST_FILE_BYTES:
        raise CommandError(f"{name} is larger than {LARGEST_FILE_BYTES} bytes.")
    return path.read_bytes()
