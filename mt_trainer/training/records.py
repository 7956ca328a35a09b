"""What a run writes down: metrics.jsonl (reproducible), timing.jsonl (not), and the same for TensorBoard."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.files import Fingerprint, room, write_all
from mt_trainer.objectives.loss_sums import per_token
from mt_trainer.training.event_file import EventFile
from mt_trainer.training.step import StepResult


class Window:
    """Sums over the steps since the last log line. They stay on the device until they are read.

    Of a step that was skipped nothing is added; it is counted. A sum that not all of these steps have is left out:
    stages of an objective may differ in what they tell.
    """

    def __init__(self, sums: dict[str, float] | None = None) -> None:
        self._sums: dict[str, Tensor | float] = dict(sums or {})

    def add(self, result: StepResult) -> None:
        """One more step."""
        values = {name: value for name, value in result.sums._asdict().items() if value is not None}
        values |= {"grad_norm": result.grad_norm, "num_steps": torch.ones_like(result.grad_norm)}
        values = {name: value.where(result.is_finite, 0) for name, value in values.items()}
        values["num_skipped"] = ~result.is_finite
        if self._sums:
            self._sums = {name: total + values[name].double() for name, total in self._sums.items() if name in values}
        else:
            self._sums = {name: value.double() for name, value in values.items()}

    def read(self) -> dict[str, float]:
        """The sums as numbers; this waits for the device."""
        return {name: float(value) for name, value in self._sums.items()}


def means_of_steps(sums: dict[str, float]) -> dict[str, float]:
    """What a log line tells of the steps of a window that were taken; empty where all were skipped."""
    if not sums["num_steps"]:
        return {}
    return per_token(sums) | {"grad_norm": sums["grad_norm"] / sums["num_steps"]}


class Records:
    """The record files of a run, open for appending.

    They go on as if the run had never stopped: what was written after the checkpoint is cut off, in timing.jsonl as
    many lines as in metrics.jsonl, and TensorBoard is told to forget it.

    Args:
        folder: the run folder.
        log: of metrics.jsonl, as far as it belongs to the checkpoint gone on from.
        step: of that checkpoint.

    Raises:
        CheckpointError: MT106, when metrics.jsonl does not begin with what belongs to the checkpoint; MT103, when a
            file cannot be written.
    """

    def __init__(self, folder: Path, *, log: Fingerprint, step: int) -> None:
        self._folder = folder
        self._open(log, step)

    def _open(self, log: Fingerprint, step: int) -> None:
        before = log_before(self._folder, log)
        self._digest, self._num_bytes = hashlib.sha256(before), len(before)
        self._metrics = _Lines(self._folder / "metrics.jsonl", length=len(before))
        timing = self._folder / "timing.jsonl"
        self._timing = _Lines(timing, length=_end_of_line(timing, before.count(b"\n")))
        with _told_if_not_written(self._folder / "tensorboard", 0):
            self._tensorboard = EventFile(self._folder / "tensorboard", first_step=step + 1)

    def go_back(self, *, log: Fingerprint, step: int) -> None:
        """Cut off what was written after a checkpoint; arguments and errors are those of the start."""
        self.close()
        self._open(log, step)

    def write(self, step: int, part: str, metrics: dict[str, Any], timing: dict[str, float]) -> None:
        """One object in each file; `part` is `train`, `dev`, `skipped` or `roll_back`; the last two take no time.

        Raises:
            CheckpointError: MT103, when one cannot be written.
        """
        line = _as_line({"step": step, "part": part, **metrics})
        self._metrics.append(line)
        self._digest.update(line)
        self._num_bytes += len(line)
        self._timing.append(_as_line({"step": step, "part": part, **timing}))
        scalars = {f"{part}/{name}": value for name, value in {**metrics, **timing}.items() if _is_number(value)}
        with _told_if_not_written(self._tensorboard.path, len(line)):
            self._tensorboard.add(step, scalars)

    def log(self) -> Fingerprint:
        """Of metrics.jsonl as it is now, for a checkpoint; so much of it is on the disk then."""
        self._metrics.sync()
        return Fingerprint(self._num_bytes, self._digest.hexdigest())

    def close(self) -> None:
        """Close all files."""
        for file in (self._metrics, self._timing, self._tensorboard):
            file.close()


class NoRecords(Records):
    """Of a rank that leaves them to the main one."""

    def __init__(self) -> None:
        """Opens nothing."""

    def go_back(self, *, log: Fingerprint, step: int) -> None:
        """There is nothing to cut off."""

    def write(self, step: int, part: str, metrics: dict[str, Any], timing: dict[str, float]) -> None:
        """Writes nothing."""

    def close(self) -> None:
        """There is nothing to close."""


def log_before(folder: Path, log: Fingerprint) -> bytes:
    """The part of metrics.jsonl that belongs to a checkpoint.

    Raises:
        CheckpointError: MT106, when it is not there or not what was written.
    """
    path = folder / "metrics.jsonl"
    content = path.read_bytes() if path.exists() else b""
    if len(content) < log.bytes:
        message = f"the log has {len(content):,} bytes, but a checkpoint was saved when it had {log.bytes:,}"
    elif hashlib.sha256(content[: log.bytes]).hexdigest() != log.sha256:
        message = f"the first {log.bytes:,} bytes of the log are not those that were there when a checkpoint was saved"
    else:
        return content[: log.bytes]
    help_ = "restore it from a copy; or remove the folder `checkpoints` to train from the start"
    raise CheckpointError(Problem("MT106", message, where=str(path), help=help_))


class _Lines:
    """A file that is appended to, line by line, each handed to the system at once."""

    def __init__(self, path: Path, *, length: int) -> None:
        self._path = path
        with _told_if_not_written(path, 0):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.ftruncate(self._descriptor, length)

    def append(self, line: bytes) -> None:
        with _told_if_not_written(self._path, len(line)):
            write_all(self._descriptor, line)

    def sync(self) -> None:
        with _told_if_not_written(self._path, 0):
            os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


@contextlib.contextmanager
def _told_if_not_written(path: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"the records of the run cannot be written: {error.strerror or error} ({room(path, needed)})"
        help_ = "make room, or make the folder writable; the same command goes on from the last checkpoint"
        raise CheckpointError(Problem("MT103", message, where=str(path), help=help_)) from error


def _as_line(values: dict[str, Any]) -> bytes:
    return (json.dumps(values) + "\n").encode()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _end_of_line(path: Path, number: int) -> int:
    """Where the line with this number ends, or the last whole line if there are fewer."""
    end = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            if not number or not line.endswith(b"\n"):
                break
            end, number = end + len(line), number - 1
    return end
