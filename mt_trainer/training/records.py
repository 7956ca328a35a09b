"""What a run writes down: metrics.jsonl (reproducible), timing.jsonl (not), and the same for TensorBoard."""

import json
import math
import os
from pathlib import Path
from typing import Any, TextIO

from torch import Tensor

from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.training.step import StepResult


class Window:
    """Sums over the steps since the last log line. They stay on the device until they are read.

    A sum that not all of these steps have is left out: stages of an objective may differ in what they tell.
    """

    def __init__(self, sums: dict[str, float] | None = None) -> None:
        self._sums: dict[str, Tensor | float] = dict(sums or {})

    def add(self, result: StepResult) -> None:
        """One more step."""
        values = {name: value for name, value in result.sums._asdict().items() if value is not None}
        finite = result.is_finite.to(result.grad_norm.dtype)
        values |= {"grad_norm": result.grad_norm, "num_steps": finite.new_ones(()), "num_skipped": 1 - finite}
        if self._sums:
            self._sums = {name: total + values[name].double() for name, total in self._sums.items() if name in values}
        else:
            self._sums = {name: value.double() for name, value in values.items()}

    def read(self) -> dict[str, float]:
        """The sums as numbers; this waits for the device."""
        return {name: float(value) for name, value in self._sums.items()}


def per_token(sums: dict[str, float]) -> dict[str, float]:
    """What a log line tells of a window or a validation: means over target tokens, in nats.

    Returns:
        `loss` (the objective), `nll` (true, never smoothed), `ppl` = exp(nll), `accuracy`, and where they were summed
        `entropy`, `confidence`, `mean_weight`, `share_at_floor`.
    """
    tokens = max(1.0, sums["num_tokens"])
    nll = sums["nll"] / tokens
    means = {
        "loss": sums["loss"] / tokens,
        "nll": nll,
        "ppl": math.exp(min(nll, 700.0)),
        "accuracy": sums["num_correct"] / tokens,
    }
    names = {
        "entropy": "entropy",
        "confidence": "confidence",
        "weight": "mean_weight",
        "num_at_floor": "share_at_floor",
    }
    return means | {name: sums[key] / tokens for key, name in names.items() if key in sums}


class Records:
    """The record files of a run, open for appending.

    Args:
        folder: the run folder.
        metrics_bytes: length of metrics.jsonl that belongs to the checkpoint gone on from; what follows is cut off.
        step: of that checkpoint.
    """

    def __init__(self, folder: Path, *, metrics_bytes: int, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._metrics = _open_at(folder / "metrics.jsonl", metrics_bytes)
        self._timing = (folder / "timing.jsonl").open("a", encoding="utf-8", buffering=1)
        self._tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, part: str, metrics: dict[str, Any], timing: dict[str, float]) -> None:
        """One object in each file; `part` is `train` or `dev`."""
        self._metrics.write(json.dumps({"step": step, "part": part, **metrics}) + "\n")
        self._timing.write(json.dumps({"step": step, "part": part, **timing}) + "\n")
        for name, value in {**metrics, **timing}.items():
            if isinstance(value, int | float):
                self._tensorboard.add_scalar(f"{part}/{name}", value, step)

    def metrics_bytes(self) -> int:
        """Length of metrics.jsonl now, for a checkpoint; so much of it is on the disk then."""
        self._metrics.flush()
        os.fsync(self._metrics.fileno())
        self._tensorboard.flush()
        return self._metrics.tell()

    def close(self) -> None:
        """Flush and close all files."""
        self._metrics.close()
        self._timing.close()
        self._tensorboard.close()


class NoRecords(Records):
    """Of a rank that leaves them to the main one."""

    def __init__(self) -> None:
        """Opens nothing."""

    def write(self, step: int, part: str, metrics: dict[str, Any], timing: dict[str, float]) -> None:
        """Writes nothing."""

    def close(self) -> None:
        """There is nothing to close."""


def _open_at(path: Path, length: int) -> TextIO:
    """The file, cut to a length and open for appending, each line at once.

    Raises:
        CheckpointError: MT102, when the file is shorter.
    """
    file = path.open("a+", encoding="utf-8", buffering=1)
    size = path.stat().st_size
    if size < length:
        file.close()
        message = f"the log has {size:,} bytes, but the checkpoint was saved when it had {length:,}"
        help_ = "restore it from a copy; or remove the folder `checkpoints` to train from the start"
        raise CheckpointError(Problem("MT102", message, where=str(path), help=help_))
    file.truncate(length)
    file.seek(0, 2)
    return file
