"""Measures ours against its limits and its naive rivals, side by side in one run.

A desk registers suites; a suite prepares data of a size and yields contests. In a contest every contender does the
same work in turn, round after round, so that a machine whose speed drifts slows all of them. Each contender returns a
checksum of what it produced; a contest whose checksums differ has no result, because the speed of a wrong answer means
nothing. Only ratios of medians are judged.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backoffice.kernel.errors import Conflict
from backoffice.kernel.registry import Registry

SIZES = ("smoke", "std", "big")
FSYNC_PROBES = 200


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work. *run* is timed and returns a checksum; *prepare* and *clean* are not timed.

    `units` is how much of the work it does (a slow rival may do a sample; times are compared per unit). A rival whose
    checksum is of another kind (a sample) names it in `checksum_group`; checksums are compared within a group.
    """

    name: str
    run: Callable[[], Any]
    units: int
    prepare: Callable[[], None] | None = None
    clean: Callable[[], None] | None = None
    checksum_group: str = "all"


@dataclass(frozen=True, slots=True)
class Contest:
    """Ours against peers on one job. `target` maps a peer to the largest ratio ours/peer (per unit) that is good."""

    job: str
    unit: str
    ours: Contender
    peers: tuple[Contender, ...]
    target: dict[str, float] = field(default_factory=dict)


Suite = Callable[[str], Iterator[Contest]]
_suites: Registry[Suite] = Registry("bench suites")


def register_suite(name: str, suite: Suite) -> None:
    """Adds a suite: a function from a size (`smoke`, `std`, `big`) to contests. It cleans up behind itself."""
    _suites.register(name, suite)


def suite_names() -> list[str]:
    """The names of the registered suites."""
    return [name for name, _ in _suites.items()]


def run_suite(name: str, *, size: str, rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Runs one suite; a row per peer: job, ours and peer (median seconds), ratio per unit, unit, size and spread."""
    rows: list[dict[str, Any]] = []
    for contest in _suites.get(name)(size):
        say(f"{contest.job}: {rounds} rounds of {1 + len(contest.peers)} contenders")
        rows += _run_contest(contest, size=size, rounds=rounds, say=say)
    return rows


def _run_contest(contest: Contest, *, size: str, rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    seconds: dict[str, list[float]] = {}
    checksums: dict[str, dict[str, Any]] = {}
    for number in range(rounds):
        for contender in (contest.ours, *contest.peers):
            elapsed, checksum = _timed(contender)
            seconds.setdefault(contender.name, []).append(elapsed)
            checksums.setdefault(contender.checksum_group, {})[contender.name] = checksum
            say(f"  round {number + 1}: {contender.name} {elapsed:.3f} s")
    for group, found in checksums.items():
        if len(set(found.values())) > 1:
            raise Conflict(f"{contest.job}: the contenders disagree ({group}): {found}", code="bench_checksum")
    ours_median = statistics.median(seconds[contest.ours.name])
    rows = []
    for peer in contest.peers:
        peer_median = statistics.median(seconds[peer.name])
        ratio = (ours_median / contest.ours.units) / (peer_median / peer.units)
        rows.append(
            {
                "job": contest.job,
                "peer_name": peer.name,
                "ours": round(ours_median, 4),
                "peer": round(peer_median, 4),
                "ratio": round(ratio, 5),
                "target": contest.target.get(peer.name),
                "unit": contest.unit,
                "size": size,
                "ours_units": contest.ours.units,
                "peer_units": peer.units,
                "ours_per_second": round(contest.ours.units / ours_median),
                "rounds": rounds,
                "ours_range": [round(min(seconds[contest.ours.name]), 4), round(max(seconds[contest.ours.name]), 4)],
                "peer_range": [round(min(seconds[peer.name]), 4), round(max(seconds[peer.name]), 4)],
            }
        )
    return rows


def _timed(contender: Contender) -> tuple[float, Any]:
    if contender.prepare is not None:
        contender.prepare()
    started = time.perf_counter()
    checksum = contender.run()
    elapsed = time.perf_counter() - started
    if contender.clean is not None:
        contender.clean()
    return elapsed, checksum


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
