"""Whether a run folder is what was written: every byte that some hash covers is read, and what is JSON is parsed."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from mt_trainer.artefacts import read_json, require_file
from mt_trainer.errors import CheckpointError, MtError
from mt_trainer.tokenizer import stored_hash
from mt_trainer.training.checkpoints.checkpoint import ASIDE, Checkpoint, checkpoint_folders, load_checkpoint
from mt_trainer.training.records import log_before
from mt_trainer.training.sealed_config import CONFIG_FILE, SealedConfig, read_sealed_config, require_config

RECORDS = ("data.json", "environment.json")
"""What mt-train has recorded; covered by no hash."""


@dataclass(frozen=True)
class Finding:
    """What was found out about a part of a run folder.

    Attributes:
        name: such as `metrics.jsonl` or `checkpoints/step_00012000`.
        text: what it was held against, or why it is damaged.
    """

    name: str
    is_intact: bool
    text: str


def verify_run(run_folder: Path) -> list[Finding]:
    """Look at a whole run folder. Nothing is written.

    Config, tokenizer and log are held against the manifests of all intact checkpoints; translations of the evaluation
    against the hashes in its results, and these against the weights of the checkpoint that they name. data.json,
    environment.json and the results are read as JSON, but no hash covers what else they say. Nothing covers
    TensorBoard's files, timing.jsonl, the dev translations and the capsules in crash/.

    Raises:
        CheckpointError: MT104, when it is no run folder.
    """
    if not os.path.isfile(run_folder / CONFIG_FILE):
        require_config(run_folder)
    checkpoints: list[Checkpoint] = []
    of_checkpoints: list[Finding] = []
    for path in checkpoint_folders(run_folder / "checkpoints"):
        name = f"checkpoints/{path.name.removesuffix(ASIDE)}"
        try:
            checkpoint = load_checkpoint(path)
        except CheckpointError as error:
            of_checkpoints.append(Finding(name, False, _why(error)))
        else:
            checkpoints.append(checkpoint)
            num_bytes = sum(file.bytes for file in checkpoint.manifest.files.values())
            of_checkpoints.append(Finding(name, True, f"{num_bytes:,} bytes"))
    weights = {checkpoint.name: checkpoint.weights_hash for checkpoint in checkpoints}
    return [
        _config(run_folder, checkpoints),
        _tokenizer(run_folder, checkpoints),
        _log(run_folder, checkpoints),
        *(_record(run_folder / name) for name in RECORDS if os.path.lexists(run_folder / name)),
        *of_checkpoints,
        *(_scores(path, run_folder, weights) for path in sorted((run_folder / "evaluation").rglob("*.json"))),
    ]


def _config(run_folder: Path, checkpoints: list[Checkpoint]) -> Finding:
    try:
        sealed: SealedConfig = read_sealed_config(run_folder)
        for checkpoint in checkpoints:
            sealed.require_one_of_its(checkpoint.origin.config, checkpoint=checkpoint.name)
    except MtError as error:
        return Finding(CONFIG_FILE, False, _why(error))
    return Finding(CONFIG_FILE, True, _for(checkpoints))


def _tokenizer(run_folder: Path, checkpoints: list[Checkpoint]) -> Finding:
    found = stored_hash(run_folder)
    others = [checkpoint.name for checkpoint in checkpoints if checkpoint.origin.tokenizer != found]
    if found is None:
        return Finding("tokenizer", False, "a model file is missing")
    if others:
        return Finding("tokenizer", False, f"not the one that {_listed(others)} {_was(others)} trained with")
    return Finding("tokenizer", True, _for(checkpoints))


def _log(run_folder: Path, checkpoints: list[Checkpoint]) -> Finding:
    try:
        for checkpoint in checkpoints:
            log_before(run_folder, checkpoint.origin.log)
    except CheckpointError as error:
        return Finding("metrics.jsonl", False, _why(error))
    covered = max((checkpoint.origin.log.bytes for checkpoint in checkpoints), default=0)
    return Finding("metrics.jsonl", True, f"{covered:,} bytes, as far as a checkpoint covers them")


def _record(path: Path) -> Finding:
    try:
        read_json(path)
    except (OSError, ValueError) as error:
        return Finding(path.name, False, f"it cannot be read: {error}")
    return Finding(path.name, True, "JSON; no hash covers what it says")


def _scores(path: Path, run_folder: Path, weights: dict[str, str]) -> Finding:
    """The results on one set and the translations beside them; `weights` has the hash of each intact checkpoint."""
    name, texts = str(path.relative_to(run_folder)), path.with_suffix(".hyp.txt")
    try:
        record = read_json(path)
        hashes, checkpoint = record["sha256"], record.get("checkpoint")
        require_file(texts)
        if hashlib.sha256(texts.read_bytes()).hexdigest() != hashes["hyp"]:
            return Finding(name, False, f"{texts.name} is not what was scored")
        is_held = "weights" in hashes and checkpoint in weights
        if is_held and hashes["weights"] != weights[checkpoint]:
            return Finding(name, False, f"{checkpoint} has other weights than those that were scored")
    except FileNotFoundError:
        return Finding(name, False, f"{texts.name} is missing")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Finding(name, False, f"it cannot be read: {error}")
    return Finding(name, True, f"{texts.name} is what was scored{f', {checkpoint} what made it' if is_held else ''}")


def _for(checkpoints: list[Checkpoint]) -> str:
    return f"that of {len(checkpoints)} checkpoint{'s' if len(checkpoints) != 1 else ''}"


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _was(names: list[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _why(error: MtError) -> str:
    return "; ".join(problem.message for problem in error.problems)
