"""Checkpoints: one folder each, verified by content, published by a rename. No pickle anywhere.

step_00012000/
├── model.safetensors       the weights to translate with (the moving average where there is one)
├── optimizer.safetensors   AdamW's moments, and the raw weights where model.safetensors is an average
├── state.json              step, position in the data, scores, counters
└── MANIFEST.json           SHA-256 and size of each file, written last
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mt_trainer.artefacts import read_json, require_file, require_header
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.files import sync

SelectBy = Literal["bleu", "nll"]

MANIFEST = "MANIFEST.json"
MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint folder."""

    path: Path
    state: dict[str, Any]

    @property
    def name(self) -> str:
        """Such as `step_00012000`."""
        return self.path.name

    @property
    def is_of_training(self) -> bool:
        """Whether training can go on from it; an average only translates."""
        return "progress" in self.state

    @property
    def is_validated(self) -> bool:
        """Whether it has scores on dev; one that a signal left may have none."""
        return bool(self.state.get("dev"))

    @property
    def step(self) -> int:
        """Optimizer steps taken."""
        return int(self.state["step"])

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the file of weights to translate with."""
        return str(read_json(self.path / MANIFEST)["files"][MODEL]["sha256"])

    def model(self) -> dict[str, Tensor]:
        """The weights to translate with, on the CPU."""
        return _tensors(self.path / MODEL)

    def optimizer(self) -> dict[str, Tensor]:
        """What training goes on from, on the CPU."""
        return _tensors(self.path / OPTIMIZER)


def save_checkpoint(
    folder: Path, name: str, *, model: Mapping[str, Tensor], optimizer: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Write `folder/name` so that a reader finds either all of it or nothing.

    One of the same name is moved aside first and removed last. What an interrupted save or removal has left behind
    under a hidden name is cleared away.

    Raises:
        CheckpointError: MT103, when it cannot be written; the checkpoints before it are untouched.
    """
    final, temporary, aside = folder / name, folder / f".{name}.tmp-{os.getpid()}", folder / f".{name}.tmp-old"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".*.tmp-*"):
            shutil.rmtree(leftover)
        temporary.mkdir()
        save_file(_contiguous(model), temporary / MODEL)
        save_file(_contiguous(optimizer), temporary / OPTIMIZER)
        (temporary / STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")
        files = {path.name: _fingerprint(path) for path in sorted(temporary.iterdir())}
        (temporary / MANIFEST).write_text(json.dumps({"files": files}, indent=1), encoding="utf-8")
        umask = os.umask(0)
        os.umask(umask)
        for path in temporary.iterdir():
            path.chmod(0o666 & ~umask)  # safetensors makes its files private
            sync(path)
        sync(temporary)
        if final.exists():
            final.rename(aside)
        temporary.rename(final)
        sync(folder)
        shutil.rmtree(aside, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        free = shutil.disk_usage(next(part for part in (folder, *folder.parents) if part.is_dir())).free
        needed = sum(t.numel() * t.element_size() for part in (model, optimizer) for t in part.values())
        message = f"cannot write the checkpoint: {error} (needs {needed:,} bytes, {free:,} are free)"
        help_ = "make room, or make the folder writable; the same command then goes on from the checkpoint before"
        raise CheckpointError(Problem("MT103", message, where=str(final), help=help_)) from error


def remove_checkpoint(checkpoint: Checkpoint) -> None:
    """Remove a checkpoint so that no half of it is ever taken for a damaged one."""
    hidden = checkpoint.path.with_name(f".{checkpoint.name}.tmp-removed")
    checkpoint.path.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """Verify a checkpoint folder, every byte of it.

    Raises:
        CheckpointError: MT102, naming the file that is missing or altered.
    """
    try:
        if path.is_symlink():
            raise ValueError(f"{path.name} is a link")
        files = read_json(path / MANIFEST)["files"]
        if set(files) != {MODEL, OPTIMIZER, STATE}:
            raise ValueError(f"{MANIFEST} lists {sorted(files)}")
        for name, expected in files.items():
            if require_file(path / name) != expected["bytes"] or _fingerprint(path / name) != expected:
                raise ValueError(f"{name} is not what was written (size or SHA-256 differs)")
        state = _required_state(read_json(path / STATE))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        help_ = "start another run folder, or remove `checkpoints` in this one to begin again"
        raise CheckpointError(Problem("MT102", f"damaged checkpoint: {error}", where=str(path), help=help_)) from error
    return Checkpoint(path, state)


def valid_checkpoints(folder: Path) -> tuple[list[Checkpoint], list[CheckpointError]]:
    """All checkpoints of a run that verify, oldest first, and why others do not."""
    valid, damaged = [], []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir() and not path.name.startswith("."):
            try:
                valid.append(load_checkpoint(path))
            except CheckpointError as error:
                damaged.append(error)
    return sorted(valid, key=lambda checkpoint: checkpoint.step), damaged


def score_on_dev(checkpoint: Checkpoint, select_by: SelectBy) -> float:
    """What makes a checkpoint the best: its BLEU on dev, or minus its NLL; -inf without validation."""
    if not checkpoint.is_validated:
        return float("-inf")
    score = float(checkpoint.state["dev"].get(select_by, math.nan)) * (1 if select_by == "bleu" else -1)
    return float("-inf") if math.isnan(score) else score


def best_checkpoint(checkpoints: list[Checkpoint], select_by: SelectBy) -> Checkpoint:
    """The checkpoint with the highest score; of equals the earliest; the newest where none was validated."""
    if not any(checkpoint.is_validated for checkpoint in checkpoints):
        return checkpoints[-1]
    return max(checkpoints, key=lambda checkpoint: (score_on_dev(checkpoint, select_by), -checkpoint.step))


@torch.no_grad()
def load_parameters(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a model the weights of a checkpoint; tied ones are stored once.

    Raises:
        CheckpointError: MT102, when the names or shapes are not those of the model.
    """
    require_parameters(model, tensors)
    for name, parameter in model.named_parameters():
        parameter.copy_(tensors[name])


def require_parameters(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Compare names and shapes of a checkpoint's weights with those of a model, which need hold no numbers yet.

    Raises:
        CheckpointError: MT102, naming what differs.
    """
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    stored = {name: tuple(t.shape) for name, t in tensors.items()}
    if shapes != stored:
        different = sorted(name for name in {*shapes, *stored} if shapes.get(name) != stored.get(name))
        message = f"the checkpoint is of another model: {', '.join(different[:5])}"
        raise CheckpointError(Problem("MT102", message, help="use the config that the checkpoint was trained with"))


def _required_state(state: Any) -> dict[str, Any]:
    """The content of `state.json`, when it has what choosing a checkpoint asks for.

    Raises:
        ValueError: it was not written by `Learner.save` or for an average.
    """
    if not isinstance(state, dict) or type(state.get("step")) is not int:
        raise ValueError(f"{STATE} has no step")
    dev = state.get("dev") or {}
    scores = dev.values() if isinstance(dev, dict) else [dev]
    if not all(type(score) is float or (type(score) is int and abs(score) < 2**63) for score in scores):
        raise ValueError(f"{STATE} has scores on dev that are no numbers")
    return state


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        CheckpointError: MT102, for a file that is not safetensors, whatever its hash says.
    """
    try:
        require_header(path)
        return load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError, AttributeError) as error:
        message = f"{path.name} holds no usable tensors: {error}"
        help_ = "fetch the run folder again from where it was trained, or take another checkpoint of it"
        raise CheckpointError(Problem("MT102", message, where=str(path.parent), help=help_)) from error


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}
