"""Which rank is lost, judged by what each has last said of itself, and when."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mt_trainer.errors import Problem

BROKEN_SECONDS = 5.0
"""Once a connection between ranks has broken, so long a silence tells which one is gone."""


@dataclass
class Heard:
    """What a rank last said of itself, and when that was, by the clock of the listener.

    Attributes:
        beat: number of the sign of life.
        step: the step under way.
        meetings: how often it has come to where all meet.
        behind_since: since when another has come more often; None where it has not.
    """

    at: float
    beat: int = -1
    step: int = 0
    meetings: int = 0
    behind_since: float | None = None
    pid: int = 0
    group: str | None = None

    def hear(self, said: dict[str, Any], now: float) -> None:
        """Take note of a sign of life."""
        if said["beat"] != self.beat:
            self.at = now
        if said["meetings"] != self.meetings:
            self.behind_since = None
        self.beat, self.step, self.meetings = said["beat"], said["step"], said["meetings"]
        self.pid, self.group = said["pid"], said["group"]


@dataclass(frozen=True)
class Lost:
    """A rank that the others cannot wait for.

    Attributes:
        is_silent: whether it gives no sign of life; else it lives, but does not come to where the others wait.
        seconds: how long.
        step: the last one that it was at.
        is_gone: whether its process is known to have ended; of one on another machine that is not known.
    """

    rank: int
    is_silent: bool
    seconds: float
    step: int
    is_gone: bool = False

    def problem(self) -> Problem:
        """What the user is told."""
        if self.is_gone:
            message = f"rank {self.rank} is gone: its process ended without a word, at step {self.step:,}"
            help_ = (
                "the launcher's report says by which signal; SIGKILL often means that memory ran out, see the system's "
                "log; the same command goes on from the last checkpoint"
            )
            return Problem("MT160", message, help=help_)
        what = "has been silent" if self.is_silent else "has kept the others waiting"
        message = f"rank {self.rank} {what} for {self.seconds:.0f} s, since step {self.step:,}"
        help_ = (
            "its own last lines and the system's log (memory, GPU, network) may say why; the same command goes on from "
            "the last checkpoint; where ranks may be so slow, raise runtime.rank_timeout_seconds"
        )
        return Problem("MT160", message, help=help_)


def has_ended(pid: int) -> bool:
    """Whether there is no such process on this machine, or nothing of it but its status."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def find_lost(heard: dict[int, Heard], *, own_rank: int, silence: float, timeout: float, now: float) -> Lost | None:
    """The rank that has been silent the longest, beyond `silence` seconds, or else behind, beyond `timeout`."""
    silent = [rank for rank in heard if rank != own_rank and now - heard[rank].at > silence]
    if silent:
        rank = min(silent, key=lambda rank: heard[rank].at)
        return Lost(rank, True, now - heard[rank].at, heard[rank].step)
    furthest = max(each.meetings for each in heard.values())
    for rank, each in heard.items():
        if each.meetings == furthest:
            each.behind_since = None
        elif each.behind_since is None:
            each.behind_since = now
        elif now - each.behind_since > timeout:
            is_silent = rank != own_rank and now - each.at > BROKEN_SECONDS
            return Lost(rank, is_silent, now - (each.at if is_silent else each.behind_since), each.step)
    return None
