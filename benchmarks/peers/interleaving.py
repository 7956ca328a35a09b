"""Rounds over all candidates, a stretch of each in turn, and what else the machine was doing meanwhile."""

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peers.environments import Unavailable
from peers.workers import Stretch, Worker

IDLE_SAMPLE_SECONDS = 0.5


@dataclass
class Rounds:
    """What the rounds gave: for each candidate a stretch a round, in order, unless it failed on the way."""

    stretches: dict[str, list[Stretch]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    idle_cores: list[float] = field(default_factory=list)
    load_averages: list[float] = field(default_factory=list)


def run_rounds(workers: Sequence[Worker], *, rounds: int, seconds: float) -> Rounds:
    """One round that does not count, then `rounds` that do; every candidate runs for about `seconds` in each.

    While one runs, all others wait for a line on their standard input and take no time.
    """
    result = Rounds(stretches={worker.name: [] for worker in workers})
    for index in range(1 + rounds):
        result.idle_cores.append(idle_cores())
        for worker in workers:
            if worker.name in result.failures:
                continue
            result.load_averages.append(os.getloadavg()[0])
            try:
                stretch = worker.stretch(seconds)
            except Unavailable as error:
                result.failures[worker.name] = str(error)
                continue
            if index:
                result.stretches[worker.name].append(stretch)
    return result


def idle_cores() -> float:
    """Cores of this machine that nothing uses just now, by /proc/stat over half a second; -1 where there is none."""
    before = _idle_and_all()
    if before is None:
        return -1.0
    time.sleep(IDLE_SAMPLE_SECONDS)
    after = _idle_and_all()
    assert after is not None
    passed = after[1] - before[1]
    return (os.cpu_count() or 1) * (after[0] - before[0]) / passed if passed else 0.0


def _idle_and_all() -> tuple[int, int] | None:
    try:
        ticks = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:9]]
    except OSError:
        return None
    return ticks[3] + ticks[4], sum(ticks)


@dataclass(frozen=True)
class Spread:
    """Median, least and largest of some numbers."""

    median: float
    least: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one number."""
        return cls(statistics.median(values), min(values), max(values))

    def show(self, digits: int) -> str:
        """`median (least to largest)`."""
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f} to {self.largest:,.{digits}f})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Of two candidates' rates, round by round: what slows the machine down for a while slows both."""
    return Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


def load_warning(rounds: Rounds, threads: int) -> str | None:
    """A line for people when other programs used the cores."""
    measured = [each for each in rounds.idle_cores if each >= 0]
    if not measured or min(measured) >= threads - 0.1:
        return None
    return (
        f"WARNING: only {min(measured):.1f} cores were idle before a round, {threads} are needed: "
        "other programs ran beside, and with them several threads slow down out of proportion"
    )
