"""A trained run, loaded to translate or to be judged."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from mt_trainer.config import TrainConfig
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.model import Transformer
from mt_trainer.tokenizer import TokenizerPair, stored_hash
from mt_trainer.training.building import build_model
from mt_trainer.training.checkpoints.checkpoint import (
    ASIDE,
    Checkpoint,
    SelectBy,
    best_checkpoint,
    checkpoint_folders,
    load_checkpoint,
    none_is_whole,
    read_checkpoint,
)
from mt_trainer.training.checkpoints.parameters import load_parameters, require_parameters
from mt_trainer.training.sealed_config import read_sealed_config


@dataclass(frozen=True)
class LoadedRun:
    """A trained model and what belongs to it.

    Attributes:
        weights_hash: SHA-256 of the file of its weights.
        passed_over: a line for each damaged checkpoint that may be the one that was asked for: its name and the reason.
    """

    path: Path
    config: TrainConfig
    model: Transformer
    tokenizers: TokenizerPair
    checkpoint_name: str
    weights_hash: str
    passed_over: tuple[str, ...] = ()

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of what translates: `weights` and `tokenizer`."""
        return {"weights": self.weights_hash, "tokenizer": self.tokenizers.content_hash}

    @property
    def about(self) -> dict[str, object]:
        """What scores say of the checkpoint: its name, and which were passed over, if any."""
        passed_over = {"passed_over": list(self.passed_over)} if self.passed_over else {}
        return {"checkpoint": self.checkpoint_name, **passed_over}

    def warn(self, announce: Callable[[str], None]) -> None:
        """Announce each checkpoint that was passed over; nothing where none was."""
        for line in self.passed_over:
            announce(f"warning: passed over {line}; {self.checkpoint_name} is used instead")


def load_run(run_folder: Path, *, checkpoint: str = "best", device: torch.device | None = None) -> LoadedRun:
    """Load a trained model.

    Args:
        run_folder: written by mt-train.
        checkpoint: `best` on dev, `last`, or a name such as `step_00012000`.
        device: where the model goes; the CPU by default.

    Raises:
        CheckpointError: MT104 for a folder that is not a run, MT101 without the checkpoint asked for, MT102 where it
            is damaged, MT106 where config.yaml is, MT082 when the tokenizer is not the one that the checkpoint was
            trained with.
    """
    sealed = read_sealed_config(run_folder)
    config = sealed.config
    chosen, passed_over = _choose(run_folder / "checkpoints", checkpoint, config.training.select_by)
    sealed.require_one_of_its(chosen.origin.config, checkpoint=chosen.name)
    if stored_hash(run_folder) != chosen.origin.tokenizer:
        message = "the run's tokenizer is not the one that this checkpoint was trained with"
        help_ = "restore the tokenizer file of the run from a copy"
        raise CheckpointError(Problem("MT082", message, where=str(chosen.path), help=help_))
    tokenizers = TokenizerPair.load(run_folder)
    weights = chosen.model()
    with torch.device("meta"):  # takes no memory: a config may name any size
        require_parameters(build_model(config, tokenizers), weights)
    model = build_model(config, tokenizers)
    load_parameters(model, weights)
    model = model.to(device or torch.device("cpu")).eval()
    return LoadedRun(run_folder, config, model, tokenizers, chosen.name, chosen.weights_hash, passed_over)


def _choose(folder: Path, name: str, select_by: SelectBy) -> tuple[Checkpoint, tuple[str, ...]]:
    """The checkpoint that is meant, and a line for each damaged one that may have been.

    Only its tensors are read; the next one's where it is damaged.
    """
    candidates: list[Checkpoint] = []
    damaged: dict[Path, CheckpointError] = {}
    for path in checkpoint_folders(folder):
        try:
            candidates.append(read_checkpoint(path))
        except CheckpointError as error:
            damaged[path] = error
    candidates.sort(key=lambda checkpoint: checkpoint.step)
    known = ", ".join(checkpoint.name for checkpoint in candidates) or "none"
    while candidates:
        chosen = _meant(candidates, name, select_by)
        if chosen is None:
            break
        try:
            return load_checkpoint(chosen.path), _passed_over(damaged, name, chosen)
        except CheckpointError as error:
            damaged[chosen.path] = error
            candidates.remove(chosen)
    if damaged and not candidates:
        raise none_is_whole(damaged.values())
    if damaged:
        raise CheckpointError([problem for error in damaged.values() for problem in error.problems])
    message = f"no checkpoint `{name}`; there are: {known}"
    raise CheckpointError(Problem("MT101", message, where=str(folder), help="best, last, or one of those names"))


def _passed_over(damaged: dict[Path, CheckpointError], name: str, chosen: Checkpoint) -> tuple[str, ...]:
    """A line for each that `name` may mean: any may have been the best, a later one the last."""
    folders = checkpoint_folders(chosen.path.parent)
    first = {"best": 0, "last": folders.index(chosen.path)}.get(name, len(folders))
    return tuple(
        f"{path.name.removesuffix(ASIDE)}: {'; '.join(problem.message for problem in damaged[path].problems)}"
        for path in folders[first:]
        if path in damaged
    )


def _meant(candidates: list[Checkpoint], name: str, select_by: SelectBy) -> Checkpoint | None:
    if name == "best":
        return best_checkpoint(candidates, select_by)
    if name == "last":
        return next((checkpoint for checkpoint in reversed(candidates) if checkpoint.is_of_training), None)
    return next((checkpoint for checkpoint in candidates if checkpoint.name == name), None)
