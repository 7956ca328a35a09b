"""The run folder: part of the interface.

config.yaml          the resolved config, every default written out
environment.json     versions, device, threads, command line: a list, one entry a start
data.json            what was dropped from the training text, content hashes, and the overlap with each test set
tokenizer.model      or tokenizer.src.model and tokenizer.tgt.model
metrics.jsonl        one object a log point, reproducible
timing.jsonl         the same points: rates and seconds
tensorboard/
translations/        dev translations of each validation
evaluation/          scores and translations of the best checkpoint
checkpoints/
crash/               where training diverged: a capsule each, for `mt-run replay`
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config.resolved import to_yaml
from mt_trainer.config.resume import refused_on_resume
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.files import write_whole
from mt_trainer.tokenizer import TokenizerPair
from mt_trainer.training.checkpoint import Checkpoint, valid_checkpoints

BEFORE_CONFIG = {"environment.json", "data.json", "tokenizer.model", "tokenizer.src.model", "tokenizer.tgt.model"}
"""What is written before config.yaml: a start that was killed in between leaves only these."""


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
    def crash(self) -> Path:
        """Folder of the capsules of divergences; there is none before the first."""
        return self.path / "crash"

    @property
    def translations(self) -> Path:
        """Folder of the dev translations."""
        return self.path / "translations"

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
                differ = "1 setting differs" if len(changes) == 1 else f"{len(changes)} settings differ"
                message = f"the run folder belongs to another config ({differ})"
                help_ = (
                    "give another runtime.run_folder, or restore the settings, or remove the folder with its training"
                )
                raise CheckpointError(Problem("MT100", message, where=str(path), excerpt=lines, help=help_))
        elif path.exists() and (not path.is_dir() or any(not _is_first_file(entry) for entry in path.iterdir())):
            message = "the run folder exists and is not a run (it has no config.yaml)"
            raise CheckpointError(Problem("MT104", message, where=str(path), help="give another runtime.run_folder"))
        return cls(path, config)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Inside the block no other process can train in the folder. The system lifts the lock when a process ends.

        Raises:
            CheckpointError: MT105, when another process holds it; MT103, when the folder cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            folder = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise _cannot_be_written(self.path, error) from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            message = "another process trains in this run folder"
            help_ = "wait for it, stop it, or give another runtime.run_folder"
            raise CheckpointError(Problem("MT105", message, where=str(self.path), help=help_)) from error
        finally:
            os.close(folder)

    def create(self, tokenizers: TokenizerPair, *, environment: dict[str, Any], data: dict[str, Any]) -> None:
        """Write what is known before the first step.

        Args:
            tokenizers: of the run.
            environment: added to `environment.json`.
            data: the content of `data.json`.

        Raises:
            CheckpointError: MT103, when the folder cannot be written; MT082, when another tokenizer lies in it.
        """
        config_file = self.path / "config.yaml"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            is_new = not config_file.exists()
            if not is_new and TokenizerPair.load(self.path).content_hash != tokenizers.content_hash:
                message = "the tokenizer of this run is not the one that the data now gives"
                help_ = "restore the training text or the tokenizer file, or start another run folder"
                raise CheckpointError(Problem("MT082", message, where=str(self.path), help=help_))
            if is_new:
                tokenizers.save(self.path)
            starts = self.path / "environment.json"
            before = [] if is_new or not starts.exists() else json.loads(starts.read_bytes())
            write_whole(starts, _as_json([*before, environment]))
            write_whole(self.path / "data.json", _as_json(data))
            # Last: a folder with config.yaml is a run.
            write_whole(config_file, to_yaml(self.config).encode())
        except OSError as error:
            raise _cannot_be_written(self.path, error) from error

    def newest_checkpoint(self, announce: Callable[[str], None]) -> Checkpoint | None:
        """What a resumed run goes on from; damaged checkpoints are skipped and named. None for a run without any.

        Raises:
            CheckpointError: MT102, when there are checkpoints and none of them verifies.
        """
        valid, damaged = valid_checkpoints(self.checkpoints)
        steps = [checkpoint for checkpoint in valid if checkpoint.is_of_training]
        if damaged and not steps:
            raise CheckpointError([problem for error in damaged for problem in error.problems])
        for error in damaged:
            announce(f"skipped: {error.problems[0].message} ({error.problems[0].where})")
        return steps[-1] if steps else None


def recorded_overlap(run_folder: Path, fingerprint: str) -> tuple[int, int] | None:
    """How many pairs of an evaluation set the training text knows, loosely and exactly; None if it was not counted.

    Args:
        run_folder: of the run whose training text it is.
        fingerprint: content hash of the set's source.
    """
    path = run_folder / "data.json"
    if not path.is_file():
        return None
    for entry in json.loads(path.read_bytes())["sets"].values():
        if entry["fingerprint"] == fingerprint:
            return entry["train_overlap"], entry["exact_train_overlap"]
    return None


def _cannot_be_written(path: Path, error: OSError) -> CheckpointError:
    message = f"the run folder cannot be written: {error.strerror or error}"
    return CheckpointError(Problem("MT103", message, where=str(path), help="make it writable, or give another one"))


def _is_first_file(path: Path) -> bool:
    return path.name in BEFORE_CONFIG or path.name.endswith(".unfinished")


def _as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
