"""The run folder: part of the interface.

config.yaml          the resolved config, every default written out
environment.json     versions, device, threads, command line; one object a start
tokenizer.model      or tokenizer.src.model and tokenizer.tgt.model
metrics.jsonl        one object a log point, reproducible
timing.jsonl         the same points: rates and seconds
tensorboard/
translations/        dev translations of each validation
evaluation/          scores and translations of the best checkpoint
checkpoints/
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config.resolved import to_yaml
from mt_trainer.config.resume import refused_on_resume
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.model import Transformer, build_transformer
from mt_trainer.tokenizer import TokenizerPair
from mt_trainer.training.checkpoint import Checkpoint, load_parameters, valid_checkpoints

SelectBy = Literal["bleu", "nll"]


def checkpoint_score(checkpoint: Checkpoint, select_by: SelectBy) -> float:
    """What makes a checkpoint the best: its BLEU on dev, or minus its NLL; -inf without validation."""
    dev = checkpoint.state.get("dev")
    if not dev:
        return float("-inf")
    score = float(dev["bleu"] if select_by == "bleu" else -dev["nll"])
    return score if score == score else float("-inf")


def best_checkpoint(checkpoints: list[Checkpoint], select_by: SelectBy) -> Checkpoint:
    """The checkpoint with the highest score; of equals, the earliest."""
    return max(checkpoints, key=lambda checkpoint: (checkpoint_score(checkpoint, select_by), -checkpoint.step))


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run and what is known of it before training starts."""

    path: Path
    config: TrainConfig

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def translations(self) -> Path:
        """Folder of the dev translations."""
        return self.path / "translations"

    @property
    def evaluation(self) -> Path:
        """Folder of the scores."""
        return self.path / "evaluation"

    @classmethod
    def open(cls, path: Path, config: TrainConfig) -> "RunFolder":
        """Check that the run may be written here. Nothing is written.

        Raises:
            CheckpointError: MT100, when the folder belongs to another config (with the differences); MT104, when it
                holds something that is not a run.
        """
        stored = path / "config.yaml"
        if stored.exists():
            changes = refused_on_resume(load_config(stored), config)
            if changes:
                lines = "\n".join(f"   {key}: {before} in the folder, {now} now" for key, before, now in changes)
                message = f"the run folder belongs to another config ({len(changes)} settings differ)"
                help_ = "give another runtime.run_folder, or restore the settings, or remove the folder"
                raise CheckpointError(Problem("MT100", message, where=str(path), excerpt=lines, help=help_))
        elif path.exists() and (not path.is_dir() or any(path.iterdir())):
            message = "the run folder exists and is not a run (it has no config.yaml)"
            raise CheckpointError(Problem("MT104", message, where=str(path), help="give another runtime.run_folder"))
        return cls(path, config)

    def create(self, tokenizers: TokenizerPair, *, environment: dict[str, Any], data: dict[str, Any]) -> None:
        """Write what is known before the first step.

        Args:
            tokenizers: of the run.
            environment: added to `environment.json`.
            data: the content of `data.json`.

        Raises:
            CheckpointError: MT103, when the folder cannot be written; MT082, when another tokenizer lies in it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            has_tokenizer = any(self.path.glob("tokenizer*.model"))
            if has_tokenizer and TokenizerPair.load(self.path).content_hash != tokenizers.content_hash:
                message = "the tokenizer of this run is not the one that the data now gives"
                help_ = "restore the training text or the tokenizer file, or start another run folder"
                raise CheckpointError(Problem("MT082", message, where=str(self.path), help=help_))
            if not has_tokenizer:
                tokenizers.save(self.path)
            starts = self.path / "environment.json"
            before = json.loads(starts.read_bytes()) if starts.exists() else []
            _write_json(starts, [*before, environment])
            _write_json(self.path / "data.json", data)
            # Last: a folder with config.yaml is a run.
            (self.path / "config.yaml").write_text(to_yaml(self.config), encoding="utf-8")
        except OSError as error:
            message = f"the run folder cannot be written: {error.strerror or error}"
            raise CheckpointError(Problem("MT103", message, where=str(self.path))) from error

    def newest_checkpoint(self, announce: Callable[[str], None]) -> Checkpoint | None:
        """What a resumed run goes on from; damaged checkpoints are skipped and named."""
        valid, damaged = valid_checkpoints(self.checkpoints)
        for error in damaged:
            announce(f"skipped: {error.problems[0].message} ({error.problems[0].where})")
        steps = [checkpoint for checkpoint in valid if "progress" in checkpoint.state]
        return steps[-1] if steps else None


def _write_json(path: Path, value: Any) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)


def recorded_overlap(run_folder: Path, fingerprint: str) -> tuple[int, int] | None:
    """How many pairs of an evaluation set the training text knows, loosely and exactly; None if it was not counted.

    Args:
        fingerprint: content hash of the set's source.
    """
    path = run_folder / "data.json"
    if not path.is_file():
        return None
    for entry in json.loads(path.read_bytes())["sets"].values():
        if entry["fingerprint"] == fingerprint:
            return entry["train_overlap"], entry["exact_train_overlap"]
    return None


@dataclass(frozen=True)
class LoadedRun:
    """A trained model and what belongs to it."""

    path: Path
    config: TrainConfig
    model: Transformer
    tokenizers: TokenizerPair
    checkpoint_name: str


def max_positions_of(config: TrainConfig) -> int:
    """The longest row or output the model can place: generous, for texts longer than those trained on."""
    return max(1024, 2 * config.data.max_length)


def build_model(config: TrainConfig, tokenizers: TokenizerPair) -> Transformer:
    """The freshly initialised model of a config; seed torch before."""
    return build_transformer(
        config.model,
        src_vocab_size=tokenizers.src.vocab_size,
        tgt_vocab_size=tokenizers.tgt.vocab_size,
        max_positions=max_positions_of(config),
        pad_id=tokenizers.tgt.pad_id,
    )


def load_run(run_folder: Path, *, checkpoint: str = "best", device: torch.device | None = None) -> LoadedRun:
    """Load a trained model.

    Args:
        checkpoint: `best` on dev, `last`, or a name such as `step_00012000`.
        device: where the model goes; the CPU by default.

    Raises:
        CheckpointError: MT104 for a folder that is not a run, MT101 without the checkpoint asked for, MT082 when the
            tokenizer is not the one that the checkpoint was trained with.
    """
    if not (run_folder / "config.yaml").is_file():
        message = "not a run folder: it has no config.yaml"
        raise CheckpointError(Problem("MT104", message, where=str(run_folder), help="train one with mt-train"))
    config = load_config(run_folder / "config.yaml")
    chosen = _choose(run_folder / "checkpoints", checkpoint, config.training.select_by)
    tokenizers = TokenizerPair.load(run_folder)
    if tokenizers.content_hash != chosen.state["tokenizer"]:
        message = "the run's tokenizer is not the one that this checkpoint was trained with"
        raise CheckpointError(Problem("MT082", message, where=str(chosen.path)))
    model = build_model(config, tokenizers)
    load_parameters(model, chosen.model())
    return LoadedRun(run_folder, config, model.to(device or torch.device("cpu")).eval(), tokenizers, chosen.name)


def _choose(folder: Path, name: str, select_by: SelectBy) -> Checkpoint:
    valid, damaged = valid_checkpoints(folder)
    if name == "best" and valid:
        return best_checkpoint(valid, select_by)
    steps = [checkpoint for checkpoint in valid if "progress" in checkpoint.state]
    if name == "last" and steps:
        return steps[-1]
    for checkpoint in valid:
        if checkpoint.name == name:
            return checkpoint
    if damaged:
        raise CheckpointError([problem for error in damaged for problem in error.problems])
    known = ", ".join(checkpoint.name for checkpoint in valid) or "none"
    message = f"no checkpoint `{name}`; there are: {known}"
    raise CheckpointError(Problem("MT101", message, where=str(folder), help="best, last, or one of those names"))
