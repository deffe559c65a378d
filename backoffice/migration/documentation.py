"""The documentation of the formats, made from their declaration: `docs/formats/migration.md` is this text."""

from __future__ import annotations

from collections.abc import Iterator

from backoffice.migration.formats import CONTENTS, Column, Content

_TYPES = {
    "text": "text",
    "code": "code",
    "symbol": "name of a symbol",
    "identifier": "external id",
    "login": "login",
    "group": "name of a group",
    "email": "e-mail address",
    "phone": "telephone number",
    "language": "language code",
    "country": "country code",
    "currency": "currency code",
    "boolean": "yes or no",
    "zone": "clock",
    "integer": "whole number",
    "ticket": "ticket",
    "decimal": "decimal",
    "amount": "amount",
    "positive": "decimal above zero",
    "not_negative": "decimal, zero or more",
    "day": "business day",
    "moment": "moment",
}

HEAD = """# Migration packages, version 1

A broker that comes from another system is taken over by a **package**: a folder, or a zip of one, with a `manifest.json` and
one file for each kind of thing. The same command reads the export of a whole broker (below). This page is made from the
declaration of the formats; a complete example stands in [migration-example](migration-example/manifest.json).

```
python manage.py migrate_in PACKAGE --dry-run [--json]
python manage.py migrate_in PACKAGE [--json]
python manage.py migration_formats --example FOLDER --entity CODE
```

A package is applied whole or not at all. The dry run does the same work in a transaction that is rolled back, so what it
says is what happens. All problems are collected (the first 1,000 with file, row, column, value, what is wrong and how to mend
it; all are counted). A repeat creates nothing: clients and partners are found again by their external ids, everything else
by its codes. Before anything is kept, the proofs of the books are run.

## Manifest

```json
{
  "format": "backoffice-migration", "version": 1, "form": "takeover",
  "entity": "newhouse", "created_at": "2026-06-05T20:10:00Z", "as_of": "2026-06-05T20:00:00Z",
  "files": [
    {"name": "opening_balances.csv", "content": "opening_balances", "rows": 6, "sha256": "…",
     "totals": {"USD": "33060.90", "JPY": "-1500", "EUR": "75.25"}, "delimiter": ","}
  ]
}
```

| name | meaning |
|---|---|
| `entity` | code of the legal entity, which is set up on the desk before, with its brands, teams and staff |
| `as_of` | moment at which the old system told all this; deals may not lie after it |
| `files` | each file of the package, and no other; `content` is one of those below |
| `rows` | data rows, the header not counted |
| `sha256` | of the file's bytes |
| `totals` | control totals by currency, for contents that have them; they must agree to the last digit |
| `delimiter` | `,` or `;`; when left out the header decides |

## Files

- **CSV**: UTF-8 with or without a byte order mark, comma or semicolon, RFC 4180 quoting, CRLF or LF, the header first; columns
  in any order, columns that are not required may be left out. A column that the format does not know is refused.
- **JSON Lines** (`.jsonl`): one flat object a line, every value text in quotes, numbers too.
- **Moments**: `YYYY-MM-DDThh:mm:ssZ`, or with an offset such as `+02:00`. A moment without a zone is refused.
- **Days**: `YYYY-MM-DD`, a business day.
- **Decimals**: digits with a point (`-1234.50`); no exponent, no thousands marks, no plus sign. Amounts have no more decimals
  than their currency: nothing is rounded.
- **Text** that begins with `=`, `+`, `-`, `@` or `'` is written with one apostrophe before it, which the reader takes away; without
  one it is refused as a formula. Control characters (zero bytes, tabs, line breaks) are refused.
- **Validity**: from `valid_from` up to, and without, `valid_to`.
- **Zip**: plain file names without folders, at most 400 members, 2 GB unpacked (512 MB through the desk), 200 times packed.

What a later package may change is named with each content; what is dated, booked, published or says whose money it is
(currencies, owners, legal entity) is never rewritten by a file, and a row that would is refused.
"""

TAIL = """
## Opening balances

Each day and currency becomes one balanced entry against `opening_equity`, with the package's SHA-256 as its reason; a day whose
books are closed is refused. Balance and credit of a trading account become what they are for an imported statement: an
opening that earlier history takes the place of ([ADR 4](../adr/0004-opening-balances-are-derived.md)). Deals before that day
in the same package are history that the opening balance includes; deals after it move on from there. An opening balance is
booked once: a correction is a manual journal.

## Export of a whole broker

```
python manage.py export_broker --out FOLDER [--entity CODE] [--without-files] [--json]
```

`"form": "broker"`: one CSV for each table, named after it, the columns of the table in the header, rows in the order of the
primary key, as PostgreSQL's COPY writes them (an empty unquoted value is no value, `""` is empty text); `private_files.csv`
holds statements and issued documents in base64 lines. The manifest holds `schema` (the last migration of each app, which must be
the same on both sides), `sequences`, `notes`, and control totals of every table with amounts. The same broker gives the same
bytes, the manifest's `created_at` apart; the file is meant for the reader here, not for spreadsheets.

Not taken along: passwords and second factors (people set them anew), API keys, webhook endpoints, sessions and machinery. The
audit trail, its seals and the versions of rows are written as evidence (`core_auditrecord.csv`, …) and not loaded: they name
transactions of the old server. Sealed columns stay sealed: the receiving side needs the same encryption keys.

`migrate_in` rebuilds it in an **empty** database (migrated, no legal entity, no user): rows keep their numbers, balances are made by
the ledger's triggers from the postings, counts and control totals are compared, and every proof of the books is run before
anything is kept. Settlement, trading results and rebuilt projections then find nothing to book. See
[ADR 17](../adr/0017-an-export-keeps-its-numbers.md).
"""


def documentation() -> str:
    """The whole page."""
    return "\n".join(
        [HEAD, "## Contents, in the order in which they are applied", "", *_contents(), TAIL.strip("\n"), ""]
    )


def _contents() -> Iterator[str]:
    for content in CONTENTS.values():
        yield f"### `{content.name}`: {content.title}"
        yield ""
        yield f"Key: {' + '.join(f'`{name}`' for name in content.key)}. A later package may change: {content.updates or 'nothing'}."
        yield from _rules(content)
        yield ""
        yield "| column | required | value | meaning |"
        yield "|---|---|---|---|"
        for column in content.columns:
            yield f"| `{column.name}` | {'yes' if column.required else ''} | {_type(column)} | {column.meaning} |"
        yield ""


def _rules(content: Content) -> Iterator[str]:
    for reference in content.references:
        columns = " + ".join(f"`{name}`" for name in reference.columns)
        there = f"`{reference.content}`" if reference.content in CONTENTS else f"{reference.content} of the entity"
        yield f"{columns} refers to {there}."
    if content.dated_by:
        yield f"One row at a time for each {' + '.join(f'`{name}`' for name in content.dated_by)}."
    if content.total:
        yield f"Control total: {' + '.join(f'`{name}`' for name in content.total[0])} by `{content.total[1]}`."


def _type(column: Column) -> str:
    text = " / ".join(f"`{choice}`" for choice in column.choices) if column.choices else _TYPES[column.type]
    return f"{text}; default `{column.default}`" if column.default else text
