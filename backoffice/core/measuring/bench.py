"""Measures ours against its limits and its naive rivals, side by side in one run.

A desk registers suites; a suite builds a world of a size in the bench's own database and yields contests. In a contest
every contender does the same work in turn, round after round, so that a machine whose speed drifts slows all of them.
After each run (not timed) a contender states checksums of what it produced; a contest whose checksums differ has no
result, because the speed of a wrong answer means nothing. Only ratios of medians of one run are judged.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils.module_loading import import_string

from backoffice.core.measuring.database import own_database, wal_position
from backoffice.kernel.errors import Conflict
from backoffice.kernel.registry import Registry

SIZES = ("smoke", "std", "big")
FSYNC_PROBES = 200


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work. Only *run* is timed; *prepare* before it and what follows it are not.

    `units` is how much of the work it does: a slow rival may do a sample, times are compared per unit. `checksums` says
    what it produced, by name; contenders that state the same name must agree. `notes` are further figures of the last
    run, such as `lines` or `p99_ms`; to them are added `milliseconds`, `microseconds_per_unit`, `wal_bytes` and, where
    there are `lines`, `wal_bytes_per_line`. `turns` is the number of rounds it takes part in, from the first on, when
    fewer than all are enough: for a slow one, or one whose figure says little.
    """

    name: str
    run: Callable[[], object]
    units: int
    prepare: Callable[[], None] | None = None
    clean: Callable[[], None] | None = None
    checksums: Callable[[], Mapping[str, Any]] | None = None
    notes: Callable[[], Mapping[str, float]] | None = None
    turns: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row of the result: one of ours against a peer, by the names of the contenders.

    `target` is the largest ratio ours/peer (per unit) that is good. `limits` are the largest good values of notes of
    ours, whatever the peer did.
    """

    job: str
    ours: str
    peer: str
    target: float | None = None
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contest:
    """Contenders that take turns, and which of them are compared. `rounds` holds unless the caller asks for others."""

    name: str
    unit: str
    contenders: Sequence[Contender]
    comparisons: Sequence[Comparison]
    rounds: int = 3


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a contender took, round by round."""

    seconds: list[float] = field(default_factory=list)
    notes: dict[str, list[float]] = field(default_factory=dict)

    def median_notes(self) -> dict[str, float]:
        return {name: round(statistics.median(values), 3) for name, values in self.notes.items()}


Suite = Callable[[str], Iterator[Contest]]
Say = Callable[[str], object]
_suites: Registry[str] = Registry("bench suites")


def register_suite(name: str, path: str) -> None:
    """Adds a suite by the dotted path of a function from a size (`smoke`, `std`, `big`) to contests.

    It is imported when it is run, so that a normal start does not pay for it.
    """
    _suites.register(name, path)


def suite_names() -> list[str]:
    """The names of the registered suites."""
    return [name for name, _ in _suites.items()]


def run_suite(name: str, *, size: str, rounds: int | None = None, say: Say) -> list[dict[str, Any]]:
    """Runs one suite in a database of its own; a row per comparison.

    Raises Conflict when the database holds a broker (`bench_database_in_use`) or the contenders disagree
    (`bench_checksum`). Whatever happens, the database is left as it was found.
    """
    suite: Suite = import_string(_suites.get(name))
    rows: list[dict[str, Any]] = []
    with own_database():
        started = time.perf_counter()
        for contest in suite(size):
            turns = rounds or contest.rounds
            say(
                f"{contest.name} ({time.perf_counter() - started:.0f} s): {turns} × {len(contest.contenders)} contenders"
            )
            rows += _run_contest(contest, size=size, rounds=turns, say=say)
        say(f"{name}: {time.perf_counter() - started:.0f} s in all")
    return rows


def _run_contest(contest: Contest, *, size: str, rounds: int, say: Say) -> list[dict[str, Any]]:
    measured = {contender.name: _Measured() for contender in contest.contenders}
    for number in range(1, rounds + 1):
        stated: dict[str, dict[str, Any]] = {}
        for contender in contest.contenders:
            if contender.turns is not None and number > contender.turns:
                continue
            elapsed = _take_turn(contender, measured[contender.name], stated)
            say(f"  round {number}: {contender.name} {elapsed:.3f} s")
        for what, found in stated.items():
            if len(set(found.values())) > 1:
                raise Conflict(
                    f"{contest.name}: the contenders disagree about {what}: {found}", code="bench_checksum", found=found
                )
    contenders = {contender.name: contender for contender in contest.contenders}
    return [
        _row(contest, comparison, contenders=contenders, measured=measured, size=size)
        for comparison in contest.comparisons
    ]


def _take_turn(contender: Contender, measured: _Measured, stated: dict[str, dict[str, Any]]) -> float:
    if contender.prepare is not None:
        contender.prepare()
    wal_before = wal_position()
    started = time.perf_counter()
    contender.run()
    elapsed = time.perf_counter() - started
    notes = {
        "milliseconds": elapsed * 1_000,
        "microseconds_per_unit": elapsed * 1_000_000 / contender.units,
        "wal_bytes": float(wal_position() - wal_before),
    }
    if contender.notes is not None:
        notes.update(contender.notes())
    if notes.get("lines"):
        notes["wal_bytes_per_line"] = notes["wal_bytes"] / notes["lines"]
    measured.seconds.append(elapsed)
    for name, value in notes.items():
        measured.notes.setdefault(name, []).append(value)
    if contender.checksums is not None:
        for what, value in contender.checksums().items():
            stated.setdefault(what, {})[contender.name] = value
    if contender.clean is not None:
        contender.clean()
    return elapsed


def _row(
    contest: Contest,
    comparison: Comparison,
    *,
    contenders: Mapping[str, Contender],
    measured: Mapping[str, _Measured],
    size: str,
) -> dict[str, Any]:
    ours, peer = contenders[comparison.ours], contenders[comparison.peer]
    ours_seconds, peer_seconds = measured[ours.name].seconds, measured[peer.name].seconds
    ours_median, peer_median = statistics.median(ours_seconds), statistics.median(peer_seconds)
    ratio = (ours_median / ours.units) / (peer_median / peer.units)
    notes = measured[ours.name].median_notes()
    missed = [name for name, most in comparison.limits.items() if notes[name] > most]
    if comparison.target is not None and ratio > comparison.target:
        missed.insert(0, "ratio")
    return {
        "job": comparison.job,
        "ours": round(ours_median, 4),
        "peer": round(peer_median, 4),
        "ratio": round(ratio, 6),
        "target": comparison.target,
        "unit": contest.unit,
        "size": size,
        "rounds": min(len(ours_seconds), len(peer_seconds)),
        "ours_name": ours.name,
        "peer_name": peer.name,
        "ours_units": ours.units,
        "peer_units": peer.units,
        "ours_per_second": round(ours.units / ours_median),
        "ours_range": [round(min(ours_seconds), 4), round(max(ours_seconds), 4)],
        "peer_range": [round(min(peer_seconds), 4), round(max(peer_seconds), 4)],
        "ours_notes": notes,
        "peer_notes": measured[peer.name].median_notes(),
        "limits": dict(comparison.limits),
        "missed": missed,
    }


def machine_fingerprint(folder: Path) -> dict[str, Any]:
    """What machine this is: processor, cores, and the median microseconds of a synced 8 kB write in *folder*."""
    probe = folder / f".bench-{os.getpid()}"
    times = []
    descriptor = os.open(probe, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        for _ in range(FSYNC_PROBES):
            started = time.perf_counter()
            os.write(descriptor, b"\0" * 8192)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
        probe.unlink()
    return {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "fdatasync_microseconds": round(statistics.median(times) * 1_000_000),
    }


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
