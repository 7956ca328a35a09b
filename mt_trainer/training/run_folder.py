"""The run folder: part of the interface.

config.yaml          the resolved config, every default written out; its last line is a hash of the others
environment.json     versions, device, threads, command line: a list, one entry a start
data.json            what was dropped from the training text, content hashes, and the overlap with each test set
tokenizer.model      or tokenizer.src.model and tokenizer.tgt.model
metrics.jsonl        one object a log point, reproducible
timing.jsonl         the same points: seconds, and how fast the steps were
tensorboard/
translations/        dev translations of each validation
evaluation/          scores and translations of the best checkpoint
checkpoints/
crash/               where training diverged: a capsule each, for `mt-run replay`
"""

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mt_trainer.artefacts import read_json
from mt_trainer.config import TrainConfig
from mt_trainer.config.resume import listed_changes, refused_on_resume, told_on_resume
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.files import clear_unfinished, room, sync, write_whole
from mt_trainer.tokenizer import TokenizerPair, stored_hash
from mt_trainer.training.checkpoints.checkpoint import (
    Checkpoint,
    checkpoint_folders,
    clear_leftovers,
    load_checkpoint,
    none_is_whole,
)
from mt_trainer.training.checkpoints.retention import prune
from mt_trainer.training.diverging.capsule import checkpoints_of_capsules
from mt_trainer.training.sealed_config import CONFIG_FILE, read_sealed_config, write_sealed_config

BEFORE_CONFIG = {"environment.json", "data.json", "tokenizer.model", "tokenizer.src.model", "tokenizer.tgt.model"}
"""What is written before config.yaml: a start that was killed in between leaves only these."""

ENOUGH_TO_START = 1 << 20
"""Bytes that the files before the first checkpoint take, at most."""


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
            CheckpointError: MT100, when the folder belongs to another config (with the differences); MT103, when it
                cannot be written; MT104, when it holds something that is not a run; MT106, when its config.yaml is not
                what was written.
        """
        if os.path.exists(path / CONFIG_FILE):
            changes = refused_on_resume(read_sealed_config(path).config, config)
            if changes:
                differ = "1 setting differs" if len(changes) == 1 else f"{len(changes)} settings differ"
                message = f"the run folder belongs to another config ({differ})"
                help_ = (
                    "give another runtime.run_folder, or restore the settings, or remove the folder with its training"
                )
                raise CheckpointError(
                    Problem("MT100", message, where=str(path), excerpt=listed_changes(changes), help=help_)
                )
        elif os.path.exists(path) and (not path.is_dir() or any(not _is_first_file(entry) for entry in path.iterdir())):
            message = "the run folder exists and is not a run (it has no config.yaml)"
            raise CheckpointError(Problem("MT104", message, where=str(path), help="give another runtime.run_folder"))
        there = next(part for part in (path.absolute(), *path.absolute().parents) if os.path.exists(part))
        if not there.is_dir():
            raise _cannot_be_written(path, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
        if not os.access(there, os.W_OK | os.X_OK):
            raise _cannot_be_written(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
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
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, self.translations):
                clear_unfinished(folder)
            clear_leftovers(self.checkpoints)
            is_new = not (self.path / CONFIG_FILE).exists()
            if not is_new and stored_hash(self.path) != tokenizers.content_hash:
                message = "the tokenizer of this run is not the one that the data now gives"
                help_ = "restore the training text or the tokenizer file, or start another run folder"
                raise CheckpointError(Problem("MT082", message, where=str(self.path), help=help_))
            if is_new:
                tokenizers.save(self.path)
                for file in self.path.glob("tokenizer*.model"):
                    sync(file)
            starts = self.path / "environment.json"
            before = [] if is_new else _starts_before(starts)
            write_whole(starts, _as_json([*before, environment]))
            write_whole(self.path / "data.json", _as_json(data))
            # Last: a folder with config.yaml is a run.
            write_sealed_config(self.path, self.config)
        except OSError as error:
            raise _cannot_be_written(self.path, error) from error

    @property
    def config_seal(self) -> str:
        """What a checkpoint says of the config."""
        return read_sealed_config(self.path).seal

    def newest_checkpoint(self, announce: Callable[[str], None]) -> Checkpoint | None:
        """What a resumed run goes on from, every byte verified; None for a run without any.

        Damaged checkpoints that are newer are passed over and named. Limits that have changed are told.

        Raises:
            CheckpointError: MT102, when there are checkpoints and none of them verifies; MT106, when config.yaml is not
                that of the checkpoint; MT107, when a newer version of mt_trainer has written it.
        """
        damaged: list[CheckpointError] = []
        for path in reversed(checkpoint_folders(self.checkpoints)):
            try:
                checkpoint = load_checkpoint(path)
            except CheckpointError as error:
                if error.problems[0].code != "MT102":
                    raise
                damaged.append(error)
                continue
            if checkpoint.is_of_training:
                for found in damaged:
                    announce(f"passed over: {Path(str(found.problems[0].where)).name}, a {found.problems[0].message}")
                self._compare_configs(checkpoint, announce)
                return checkpoint
        if damaged:
            raise none_is_whole(damaged)
        return None

    def prune(self) -> None:
        """Remove the checkpoints that are no longer wanted; those that verify alone count. What capsules need stays.

        Raises:
            CheckpointError: MT103, when one cannot be removed.
        """
        training = self.config.training
        keep = max(training.keep_checkpoints, training.average_checkpoints)
        needed = checkpoints_of_capsules(self.crash)
        prune(self.checkpoints, keep=keep, select_by=training.select_by, needed=needed)

    def _compare_configs(self, checkpoint: Checkpoint, announce: Callable[[str], None]) -> None:
        if (self.path / CONFIG_FILE).exists():
            sealed = read_sealed_config(self.path)
            sealed.require_one_of_its(checkpoint.origin.config, checkpoint=checkpoint.name)
            for key, before, now in told_on_resume(sealed.config, self.config):
                announce(f"changed: {key} was {before}, is {now}; log and scores may show that the run had another end")


def changed_environment(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """A line on what the bits of a run depend on and is not as it was; None where all is."""
    changed = [f"{key} {before.get(key)} -> {now.get(key)}" for key in now if before.get(key) != now.get(key)]
    return f"changed: {', '.join(changed)}; from here on the last bits may differ" if changed else None


def recorded_overlap(run_folder: Path, fingerprint: str) -> tuple[int, int] | None:
    """How many pairs of an evaluation set the training text knows, loosely and exactly; None if it was not counted.

    Args:
        run_folder: of the run whose training text it is.
        fingerprint: content hash of the set's source.

    Raises:
        CheckpointError: MT106, when data.json is damaged.
    """
    path = run_folder / "data.json"
    if not path.is_file():
        return None
    try:
        for entry in read_json(path)["sets"].values():
            if entry["fingerprint"] == fingerprint:
                return entry["train_overlap"], entry["exact_train_overlap"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"data.json is not what mt-train writes: {error}"
        help_ = "restore it from a copy, or remove it: the overlap is then not told"
        raise CheckpointError(Problem("MT106", message, where=str(path), help=help_)) from error
    return None


def _cannot_be_written(path: Path, error: OSError) -> CheckpointError:
    message = f"the run folder cannot be written: {error.strerror or error} ({room(path, ENOUGH_TO_START)})"
    help_ = "make room, make it writable, or give another runtime.run_folder"
    return CheckpointError(Problem("MT103", message, where=str(path), help=help_))


def _starts_before(path: Path) -> list[Any]:
    """What environment.json has of earlier starts; nothing, where it is no list any more: the run is not held up."""
    try:
        before = read_json(path)
    except (FileNotFoundError, ValueError):
        return []
    return before if isinstance(before, list) else []


def _is_first_file(path: Path) -> bool:
    return path.name in BEFORE_CONFIG or path.name.endswith(".unfinished")


def _as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
