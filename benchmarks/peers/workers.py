"""A candidate's process: started once, asked for one stretch after the other, waiting in between."""

import json
import os
import selectors
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.environments import Unavailable

BENCHMARKS = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 900.0
"""How long a first step, or the overtime of a stretch, may take."""


@dataclass(frozen=True)
class Stretch:
    """What a candidate did in one go: `values` has what its runner tells beside."""

    seconds: float
    steps: int
    tokens: int
    positions: int
    peak_mib: float | None
    values: dict[str, float]

    @property
    def tokens_per_second(self) -> float:
        """Target tokens that are not padding."""
        return self.tokens / self.seconds


class Worker:
    """The process of one runner.

    Attributes:
        first_step_seconds: from its command to the end of its first step.
    """

    def __init__(self, name: str, python: Path, module: str, job: Path, *, threads: int, log: Path) -> None:
        """Starts it; raises Unavailable when its first step does not come."""
        self.name, self._log = name, log
        variables = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent)]),
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        started = time.perf_counter()
        with log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                [str(python), "-m", module, str(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=job.parent,
                env=variables,
            )
        self._buffer = b""
        self.first_step = self._read(PATIENCE_SECONDS)
        self.first_step_seconds = time.perf_counter() - started

    def stretch(self, seconds: float) -> Stretch:
        """Lets it run for about so long, and waits; raises Unavailable when it ends or does not answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"go {seconds}\n".encode())
            self._process.stdin.flush()
        except OSError:
            raise Unavailable(self._reason()) from None
        return self._read(seconds + PATIENCE_SECONDS)

    def stop(self) -> None:
        """Ends it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self, timeout: float) -> Stretch:
        """The next answer."""
        stream = self._process.stdout
        assert stream is not None
        end = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, end - time.monotonic())):
                    self.stop()
                    raise Unavailable(f"no answer within {timeout:.0f} s; its log: {self._log}")
                part = os.read(stream.fileno(), 1 << 16)
                if not part:
                    self.stop()
                    raise Unavailable(self._reason())
                self._buffer += part
        line, self._buffer = self._buffer.split(b"\n", 1)
        content: dict[str, Any] = json.loads(line)
        names = ("seconds", "steps", "tokens", "positions", "peak_mib")
        known = {name: content.pop(name) for name in names}
        return Stretch(**known, values=content)

    def _reason(self) -> str:
        """The last line of its log, which in Python is the error."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"{lines[-1].strip() if lines else 'it ended without a word'} (log: {self._log})"
