"""The audit trail: records of privileged acts, their sealing into a hash chain, and the proof of that chain.

A record is written in the transaction of the act, so that one never exists without the other. Sealing happens
afterwards, by one sealer, over committed records only. It must never skip a record that commits late: a seal covers
a range of transaction numbers, and only up to the oldest transaction that still runs. Below that line every
transaction is finished, so nothing can appear there any more, whatever its id. A transaction that is left open holds
the sealer up; `verify_audit` tells how many records wait.

Seals are worth as much as the copy of a digest that is kept where the database's owner cannot reach: each digest is
logged when it is made, and `verify_audit(anchor=...)` compares with such a copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import connection, models, transaction
from django.db.models import Q

from backoffice.core.locks import lock_audit_chain
from backoffice.core.models import AuditRecord, AuditSeal, LegalEntity
from backoffice.core.observing.trace import current_trace_id
from backoffice.core.types import Actor
from backoffice.kernel.errors import Misconfigured

MAX_RECORDS_PER_SEAL = 20_000
MAX_FINDINGS = 50
SEALS_PER_PAGE = 50
MAX_LABEL_LENGTH = 200
FIRST_DIGEST = bytes(32)
_ID_BYTES = 8
_ENTRY_BYTES = _ID_BYTES + 32

# The columns of a record as one text that reads back to nothing else: jsonb quotes and separates the values, and
# no session setting (time zone, float digits) changes it.
_RECORD_DIGEST_SQL = """
    sha256(convert_to(jsonb_build_array(
        id, xid::text, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), actor, user_id, entity_id, action,
        object_type, object_id, object_label, reason, changes, trace_id)::text, 'UTF8'))
"""
_MANIFEST_SQL = f"""
    SELECT count(*), coalesce(string_agg(int8send(id) || {_RECORD_DIGEST_SQL}, ''::bytea ORDER BY id), ''::bytea)
    FROM core_auditrecord WHERE xid >= %s::xid8 AND xid < %s::xid8
"""  # noqa: S608 - built of constants only
# Transactions are numbered for the whole server. One that surely belongs to another database, or to the vacuum, writes
# no record here and need not be waited for; one whose session cannot be found is.
_HORIZON_SQL = """
    WITH taken AS (SELECT pg_current_snapshot() AS snapshot)
    SELECT coalesce(
        (SELECT running FROM pg_snapshot_xip(snapshot) AS running
         WHERE NOT EXISTS (
             SELECT 1 FROM pg_stat_activity
             WHERE backend_xid = (running::text::bigint & 4294967295)::text::xid
               AND (datname <> current_database() OR backend_type = 'autovacuum worker'))
         ORDER BY running LIMIT 1),
        pg_snapshot_xmax(snapshot))::text
    FROM taken
"""
# The transaction of the last record that fits into one seal; a transaction is never split between two seals.
_LAST_FITTING_XID_SQL = """
    SELECT xid::text FROM core_auditrecord WHERE xid >= %s::xid8 AND xid < %s::xid8
    ORDER BY xid OFFSET %s LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A seal's number and hexadecimal digest, as copied out of the database's reach when it was made."""

    number: int
    digest: str


def record(
    *,
    actor: Actor,
    action: str,
    target: models.Model,
    reason: str = "",
    changes: dict[str, Any] | None = None,
    entity_id: int | None = None,
) -> AuditRecord:
    """Writes down that *actor* did *action* (`"ib.sign_agreement"`) to *target*, in the transaction of the act.

    *changes* says what became of what (`{"stage": ["lead", "verified"]}`). Without *entity_id* the record belongs
    to the target's legal entity, if it has one. Raises Misconfigured outside of a transaction.
    """
    if not connection.in_atomic_block:
        raise Misconfigured("An audit record is written in the transaction of its act.", action=action)
    if entity_id is None:
        entity_id = target.pk if isinstance(target, LegalEntity) else getattr(target, "entity_id", None)
    return AuditRecord.objects.create(
        actor=actor.label,
        user_id=actor.user_id,
        entity_id=entity_id,
        action=action,
        object_type=target._meta.label_lower,
        object_id=str(target.pk),
        object_label=_label_of(target),
        reason=reason,
        changes=changes or {},
        trace_id=current_trace_id(),
    )


def _label_of(target: models.Model) -> str:
    """How people call the object. A reference is preferred: it stays when a person's name must be erased."""
    return str(getattr(target, "reference", "") or target)[:MAX_LABEL_LENGTH]


def history_of(target: models.Model) -> list[dict[str, Any]]:
    """The versions of a tracked row, oldest first, each with the audit records of its transaction."""
    event_model = target.pgh_event_model  # type: ignore[attr-defined]  # set by keep_history
    versions = list(event_model.objects.filter(pgh_obj_id=target.pk).order_by("pgh_id"))
    records: dict[int, list[AuditRecord]] = {}
    for found in AuditRecord.objects.filter(xid__in=[version.pgh_transaction for version in versions]).order_by("id"):
        records.setdefault(found.xid, []).append(found)
    return [{"version": version, "records": records.get(version.pgh_transaction, [])} for version in versions]


def seal_audit() -> AuditSeal | None:
    """Adds one seal over the committed records that no seal covers yet; None when there is none to cover.

    Raises Misconfigured when the server's transaction numbers lie below the chain's end: the database was restored
    from a logical dump into a new server, whose numbering must first be raised above that end
    (`pg_resetwal --epoch`), or new records would fall into ranges that are already sealed.
    """
    with transaction.atomic():
        lock_audit_chain()
        last = AuditSeal.objects.order_by("-number").first()
        first_xid = last.end_xid if last else 0
        horizon = _finished_below()
        if horizon < first_xid:
            raise Misconfigured(
                f"Transaction numbers of this server (now {horizon}) lie below the end of the audit chain ({first_xid}).",
                code="audit_chain_ahead",
                horizon=horizon,
                chain_end=first_xid,
            )
        end_xid = _end_of_next_seal(first_xid, horizon)
        if end_xid is None:
            return None
        count, manifest = _manifest(first_xid, end_xid)
        seal = AuditSeal(
            number=last.number + 1 if last else 1,
            first_xid=first_xid,
            end_xid=end_xid,
            record_count=count,
            manifest=manifest,
            previous_digest=bytes(last.digest) if last else FIRST_DIGEST,
        )
        seal.digest = _digest_of(seal)
        seal.save(force_insert=True)
    # The log leaves the machine: this line is the copy of the digest that the database's owner cannot rewrite.
    structlog.get_logger(__name__).info("audit_sealed", seal=seal.number, records=count, digest=seal.digest.hex())
    return seal


def _finished_below() -> int:
    """The lowest transaction number that may still write a record; below it, every transaction is finished."""
    with connection.cursor() as cursor:
        cursor.execute(_HORIZON_SQL)
        return int(cursor.fetchone()[0])


def _end_of_next_seal(first_xid: int, horizon: int) -> int | None:
    """Where the next seal ends: at the horizon, or earlier when there are too many records; None without records."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST_FITTING_XID_SQL, [str(first_xid), str(horizon), MAX_RECORDS_PER_SEAL - 1])
        full = cursor.fetchone()
        if full is not None:
            return int(full[0]) + 1
        cursor.execute(_LAST_FITTING_XID_SQL, [str(first_xid), str(horizon), 0])
        return None if cursor.fetchone() is None else horizon


def _manifest(first_xid: int, end_xid: int) -> tuple[int, bytes]:
    with connection.cursor() as cursor:
        cursor.execute(_MANIFEST_SQL, [str(first_xid), str(end_xid)])
        count, manifest = cursor.fetchone()
    return count, bytes(manifest)


def _digest_of(seal: AuditSeal) -> bytes:
    numbers = (seal.number, seal.first_xid, seal.end_xid, seal.record_count)
    head = b"".join(int(number).to_bytes(_ID_BYTES, "big") for number in numbers)
    return hashlib.sha256(bytes(seal.previous_digest) + head + bytes(seal.manifest)).digest()


def verify_audit(*, anchor: Anchor | None = None) -> list[dict[str, Any]]:
    """What is wrong with the trail, the first broken seal first; an empty list means that the chain is intact.

    Each finding names the `seal`, the `problem` (seal_missing, chain_broken, seal_altered, record_altered,
    record_missing, record_added, anchor_mismatch) and the `record` where there is one. At most 50 are listed.
    """
    findings: list[dict[str, Any]] = []
    anchored = anchor is None
    for finding in _findings_of_chain():
        findings.append(finding)
        if len(findings) == MAX_FINDINGS:
            return findings
    if anchor is not None:
        seal = AuditSeal.objects.filter(number=anchor.number).first()
        anchored = seal is not None and bytes(seal.digest).hex() == anchor.digest.lower()
    if not anchored and anchor is not None:
        findings.append({"seal": anchor.number, "problem": "anchor_mismatch"})
    return findings


def _findings_of_chain() -> Iterator[dict[str, Any]]:
    number, end_xid, digest = 0, 0, FIRST_DIGEST
    for seal in AuditSeal.objects.order_by("number").iterator(chunk_size=SEALS_PER_PAGE):
        number += 1
        if seal.number != number:
            yield {"seal": number, "problem": "seal_missing"}
        elif seal.first_xid != end_xid or bytes(seal.previous_digest) != digest:
            yield {"seal": seal.number, "problem": "chain_broken"}
        if _digest_of(seal) != bytes(seal.digest):
            yield {"seal": seal.number, "problem": "seal_altered"}
        yield from _findings_of_records(seal)
        number, end_xid, digest = seal.number, seal.end_xid, bytes(seal.digest)


def _findings_of_records(seal: AuditSeal) -> Iterator[dict[str, Any]]:
    _, manifest = _manifest(seal.first_xid, seal.end_xid)
    sealed_bytes = bytes(seal.manifest)
    if manifest == sealed_bytes:
        return
    sealed, present = _entries(sealed_bytes), _entries(manifest)
    for record_id in sorted(sealed.keys() | present.keys()):
        if record_id not in present:
            problem = "record_missing"
        elif record_id not in sealed:
            problem = "record_added"
        elif sealed[record_id] != present[record_id]:
            problem = "record_altered"
        else:
            continue
        yield {"seal": seal.number, "problem": problem, "record": record_id}


def _entries(manifest: bytes) -> dict[int, bytes]:
    """The digest of each record id in a manifest."""
    return {
        int.from_bytes(manifest[start : start + _ID_BYTES], "big"): manifest[start + _ID_BYTES : start + _ENTRY_BYTES]
        for start in range(0, len(manifest), _ENTRY_BYTES)
    }


def unsealed_count() -> int:
    """How many records wait for the sealer."""
    last = AuditSeal.objects.order_by("-number").first()
    return AuditRecord.objects.filter(Q(xid__gte=last.end_xid) if last else Q()).count()
