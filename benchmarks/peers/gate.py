"""Where a candidate's own loop waits between its stretches: the runner's end of the pipe. Standard library only.

A runner calls `after_step` once a step, from inside the loop of the program that is measured, with the tokens that the
step has really seen. The first call says that the first step is done; from then on the loop runs in stretches, each as
long as the command on standard input asks for, and waits in between. What the program prints goes to its log.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

NO_TOKENS = {"seconds": 0.0, "steps": 0, "tokens": 0, "positions": 0, "peak_mib": None}


class Gate:
    """Counts steps and tokens, and lets the loop go on when it is asked to.

    Args:
        device: `cuda` waits for the GPU before a clock is read, and tells its peak memory instead of the process's.
    """

    def __init__(self, device: str) -> None:
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._is_cuda = device == "cuda"
        self._has_begun = False
        self._seconds = self._started = 0.0
        self._steps = self._tokens = self._positions = 0

    def after_step(self, tokens: int, positions: int) -> None:
        """A step is done.

        Args:
            tokens: target tokens of its batch that are not padding, end marks included.
            positions: the same with padding.
        """
        self._steps, self._tokens, self._positions = self._steps + 1, self._tokens + tokens, self._positions + positions
        if self._has_begun and time.perf_counter() - self._started < self._seconds:
            return
        self._synchronize()
        elapsed = time.perf_counter() - self._started
        self._answer(
            {
                "seconds": elapsed if self._has_begun else 0.0,
                "steps": self._steps,
                "tokens": self._tokens,
                "positions": self._positions,
                "peak_mib": self._peak_mib(),
            }
        )
        self._has_begun = True
        self.wait()

    def wait(self) -> None:
        """Until the next stretch is asked for; ends the process when none is to come."""
        command = sys.stdin.readline().split()
        if not command or command[0] == "stop":
            os._exit(0)  # the program's own way out may save, validate or wait
        self._seconds = float(command[1])
        self._steps = self._tokens = self._positions = 0
        self._started = time.perf_counter()

    def tell(self, values: dict[str, float]) -> float:
        """Answers with values instead of tokens, for a runner that measures itself; returns the seconds asked for."""
        self._answer({**NO_TOKENS, **values})
        self.wait()
        return self._seconds

    def _answer(self, content: dict[str, Any]) -> None:
        """One line to the benchmark."""
        self._answers.write(json.dumps(content) + "\n")
        self._answers.flush()

    def _synchronize(self) -> None:
        if self._is_cuda:
            import torch

            torch.cuda.synchronize()

    def _peak_mib(self) -> float | None:
        """Peak of the resident set (VmHWM), or of what the allocator of the GPU gave out; None where none can tell."""
        if self._is_cuda:
            import torch

            return torch.cuda.max_memory_allocated() / 2**20
        try:
            status = Path("/proc/self/status").read_text(encoding="ascii")
        except OSError:
            return None
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
