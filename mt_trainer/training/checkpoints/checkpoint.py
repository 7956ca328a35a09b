"""Checkpoints: one folder each, verified by content, published by a rename. No pickle anywhere.

step_00012000/
├── model.safetensors       the weights to translate with (the moving average where there is one)
├── optimizer.safetensors   AdamW's moments, and the raw weights where model.safetensors is an average
├── state.json              step, position in the data, scores, counters
└── MANIFEST.json           SHA-256 and size of each file, and what they belong to; written last
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mt_trainer.artefacts import read_json, require_file
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.files import Fingerprint, fingerprint, room, sync, write_new
from mt_trainer.training.checkpoints.checkpoint_state import require_state
from mt_trainer.training.checkpoints.manifest import MANIFEST, Manifest, Origin, read_manifest
from mt_trainer.training.checkpoints.tensor_files import load_tensors, serialized

SelectBy = Literal["bleu", "nll"]

MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
FILES = frozenset({MODEL, OPTIMIZER, STATE})

ASIDE = ".old"
"""Ending of a checkpoint that is being replaced by one of the same name, until that one stands."""

_NAME = re.compile(rf"(step_\d{{8,}}|average)({re.escape(ASIDE)})?")

Traces = tuple[tuple[int, ...], ...]
"""What a change of a folder's files would show in: their inodes, sizes and times."""

_known: dict[Path, Traces] = {}
"""Checkpoints that this process has written or verified, as they were then: they are not read a second time."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder. Manifest and state are verified; the tensors, where `load_checkpoint` has given it."""

    path: Path
    state: dict[str, Any]
    manifest: Manifest

    @property
    def name(self) -> str:
        """Such as `step_00012000`."""
        return self.path.name.removesuffix(ASIDE)

    @property
    def is_of_training(self) -> bool:
        """Whether training can go on from it; an average only translates."""
        return "progress" in self.state

    @property
    def is_validated(self) -> bool:
        """Whether it has scores on dev; one that a signal left may have none."""
        return bool(self.state["dev"])

    @property
    def step(self) -> int:
        """Optimizer steps taken."""
        return int(self.state["step"])

    @property
    def origin(self) -> Origin:
        """What it belongs to."""
        return self.manifest.origin

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the file of weights to translate with."""
        return self.manifest.files[MODEL].sha256

    def model(self) -> dict[str, Tensor]:
        """The weights to translate with, on the CPU."""
        return _tensors(self.path / MODEL)

    def optimizer(self) -> dict[str, Tensor]:
        """What training goes on from, on the CPU."""
        return _tensors(self.path / OPTIMIZER)


def save_checkpoint(
    folder: Path,
    name: str,
    *,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    state: Mapping[str, Any],
    origin: Origin,
) -> None:
    """Write `folder/name` so that a reader finds either all of it or nothing.

    Each file is on the disk before the manifest is written, the manifest before the folder gets its name. One of the
    same name stays readable, under another, until then. What an interrupted save or removal has left behind is
    cleared away.

    Raises:
        CheckpointError: MT103, when it cannot be written; the checkpoints before it are untouched.
    """
    final, temporary = folder / name, folder / f".{name}.tmp-{os.getpid()}"
    aside = folder / f"{name}{ASIDE}"
    encoded_state = json.dumps(state, indent=1).encode()
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            sync(folder.parent)
        clear_leftovers(folder)
        temporary.mkdir()
        files = {
            MODEL: write_new(temporary / MODEL, serialized(model)),
            OPTIMIZER: write_new(temporary / OPTIMIZER, serialized(optimizer)),
            STATE: write_new(temporary / STATE, [encoded_state]),
        }
        write_new(temporary / MANIFEST, [Manifest(files, origin).to_bytes()])
        sync(temporary)
        for written, expected in files.items():
            if fingerprint(temporary / written) != expected:
                raise OSError(errno.EIO, f"{written} is read back otherwise than it was written")
        if final.exists():
            os.rename(final, aside)
            sync(folder)
        os.rename(temporary, final)
        sync(folder)
        if aside.exists():
            _remove(aside)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        needed = sum(t.numel() * t.element_size() for part in (model, optimizer) for t in part.values())
        needed += len(encoded_state)
        message = f"cannot write the checkpoint: {error.strerror or error} ({room(folder, needed)})"
        help_ = "make room, or make the folder writable; the same command then goes on from the checkpoint before"
        raise CheckpointError(Problem("MT103", message, where=str(final), help=help_)) from error
    _known[final] = _traces(final)


def clear_leftovers(folder: Path) -> None:
    """Remove what an interrupted save or removal has left behind. Nobody may be saving there.

    Raises:
        OSError: something cannot be removed.
    """
    for leftover in folder.glob(".*.tmp-*"):
        shutil.rmtree(leftover)
    for path in folder.glob(f"*{ASIDE}"):
        if path.with_name(path.name.removesuffix(ASIDE)).exists():
            _remove(path)


def remove_checkpoint(checkpoint: Checkpoint) -> None:
    """Remove a checkpoint so that no half of it is ever taken for a damaged one.

    Raises:
        CheckpointError: MT103, when it cannot be removed.
    """
    try:
        _remove(checkpoint.path)
    except OSError as error:
        message = f"an old checkpoint cannot be removed: {error.strerror or error}"
        help_ = "make the folder writable; the same command then goes on from the newest checkpoint"
        raise CheckpointError(Problem("MT103", message, where=str(checkpoint.path), help=help_)) from error


def _remove(path: Path) -> None:
    hidden = path.with_name(f".{path.name}.tmp-removed")
    shutil.rmtree(hidden, ignore_errors=True)
    os.rename(path, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint folder whose manifest and state are verified, and the sizes of its other files: quick.

    Raises:
        CheckpointError: MT102, naming the file that is missing or altered; MT107, when a newer version has written it.
    """
    try:
        if path.is_symlink():
            raise ValueError("it is a link")
        manifest = read_manifest(path, names=FILES)
        for name in sorted(FILES):
            size = require_file(path / name)
            if size != manifest.files[name].bytes:
                raise ValueError(f"{name} has {size:,} bytes, not {manifest.files[name].bytes:,}")
        _require(path, STATE, manifest, fingerprint(path / STATE))
        state = require_state(read_json(path / STATE))
        name = f"step_{state['step']:08d}"
        if "progress" in state and path.name.removesuffix(ASIDE) != name:
            raise ValueError(f"it is not called {name}")
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    return Checkpoint(path, state, manifest)


def load_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint folder, every byte of it verified.

    Raises:
        CheckpointError: MT102, naming the file that is missing or altered; MT107, when a newer version has written it.
    """
    checkpoint = read_checkpoint(path)
    try:
        traces = _traces(path)
        for name in (MODEL, OPTIMIZER):
            _require(path, name, checkpoint.manifest, fingerprint(path / name))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    _known[path] = traces
    return checkpoint


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, or MT102 when there are none in it, whatever its hash says."""
    try:
        return load_tensors(path)
    except (OSError, ValueError) as error:
        raise _damaged(path.parent, error) from error


def _require(path: Path, name: str, manifest: Manifest, found: Fingerprint) -> None:
    if found != manifest.files[name]:
        raise ValueError(f"{name} is not what was written (its {_differing(found, manifest.files[name])} differs)")


def _differing(found: Fingerprint, expected: Fingerprint) -> str:
    return "SHA-256" if found.bytes == expected.bytes else "size"


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = f"{Path(error.filename).name}: {error.strerror}" if isinstance(error, OSError) else str(error)
    help_ = "restore it from a copy, or remove it: the checkpoints before it can still be used"
    return CheckpointError(Problem("MT102", f"damaged checkpoint: {reason}", where=str(path), help=help_))


def none_is_whole(damaged: Iterable[CheckpointError]) -> CheckpointError:
    """What is said where no other checkpoint can be used: all that is wrong with them, and what can be done then."""
    help_ = "none is whole that could be used instead: restore one of them from a copy; or remove the folder "
    help_ += "`checkpoints` to train from the start"
    problems = [problem for error in damaged for problem in error.problems]
    return CheckpointError([replace(each, help=help_) if each.code == "MT102" else each for each in problems])


def checkpoint_folders(folder: Path) -> list[Path]:
    """The checkpoints of a run, damaged or not, oldest first; one that was being replaced where nothing replaced it.

    Folders with other names, such as copies that somebody has made, are none of them.
    """
    if not folder.is_dir():
        return []
    names = {path.name for path in folder.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)}
    kept = [name for name in names if not (name.endswith(ASIDE) and name.removesuffix(ASIDE) in names)]
    return [folder / name for name in sorted(kept, key=lambda name: (len(name.removesuffix(ASIDE)), name))]


def valid_checkpoints(folder: Path) -> tuple[list[Checkpoint], list[CheckpointError]]:
    """All checkpoints of a run that verify, oldest first, and why others do not.

    The tensors of those that this process has written or verified before, and that nobody has touched since, are not
    read again.
    """
    valid, damaged = [], []
    for path in checkpoint_folders(folder):
        try:
            is_known = path in _known and _known[path] == _traces(path)
            valid.append(read_checkpoint(path) if is_known else load_checkpoint(path))
        except CheckpointError as error:
            damaged.append(error)
    return sorted(valid, key=lambda checkpoint: checkpoint.step), damaged


def _traces(path: Path) -> Traces:
    found = [(path / name).stat() for name in (MANIFEST, *sorted(FILES)) if (path / name).exists()]
    return tuple((each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in found)


def score_on_dev(checkpoint: Checkpoint, select_by: SelectBy) -> float:
    """What makes a checkpoint the best: its BLEU on dev, or minus its NLL; -inf without validation."""
    if not checkpoint.is_validated:
        return float("-inf")
    score = float(checkpoint.state["dev"].get(select_by, "nan")) * (1 if select_by == "bleu" else -1)
    return score if score == score else float("-inf")


def best_checkpoint(checkpoints: list[Checkpoint], select_by: SelectBy) -> Checkpoint:
    """The checkpoint with the highest score; of equals the earliest; the newest where none was validated."""
    if not any(checkpoint.is_validated for checkpoint in checkpoints):
        return checkpoints[-1]
    return max(checkpoints, key=lambda checkpoint: (score_on_dev(checkpoint, select_by), -checkpoint.step))
