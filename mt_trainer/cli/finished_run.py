"""A trained run, opened for mt-translate and mt-eval."""

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config.resolved import NOT_SET, WITHOUT_EFFECT, differences
from mt_trainer.config.resume import listed_changes, refused_on_resume
from mt_trainer.decoding.translate import Translator, build_translator
from mt_trainer.distributed.launch import require_one_process
from mt_trainer.errors import CheckpointError, ConfigError, Problem
from mt_trainer.evaluation.likelihood import LikelihoodMeter
from mt_trainer.machine import set_up_machine
from mt_trainer.training.judging import build_meter
from mt_trainer.training.loading import load_run
from mt_trainer.training.sealed_config import require_config

CHANGEABLE = ("decoding", "evaluation", "runtime", "data.dev", "data.test")
"""What can still be set once a run is trained: these keys and all below them."""

NAME_CHARACTERS = 60
"""Of a folder's name: so much of the settings can be read there."""


@dataclass(frozen=True)
class FinishedRun:
    """What a command needs of a run.

    Attributes:
        translator: of the chosen checkpoint.
        meter: measures how likely it finds references.
        checkpoint: its name, such as `step_00012000`.
        hashes: sha256 of its `weights` and of the `tokenizer`.
        about: what scores say of it: its name, and which checkpoints were passed over, if any.
    """

    translator: Translator
    meter: LikelihoodMeter
    checkpoint: str
    hashes: dict[str, str]
    about: dict[str, object]


def config_of_run(folder: Path, overrides: Sequence[str]) -> TrainConfig:
    """The config that a run was trained with, changed by `a.b=c` overrides.

    Raises:
        ConfigError: a wrong override; MT005 for one that would need another training.
        CheckpointError: MT104, when the folder is no run; MT106, when its config.yaml is not what was written.
    """
    path = require_config(folder)
    fixed = [each for each in overrides if not _is_changeable(each.partition("=")[0])]
    if fixed:
        message, advice = "the run is already trained", f"what can still be set: {', '.join(CHANGEABLE)}"
        raise ConfigError([Problem("MT005", message, where=f"--set {each}", help=advice) for each in fixed])
    return load_config(path, overrides)


def require_same_training(folder: Path, config: TrainConfig) -> None:
    """Stops when a config is not the one that the run in the folder was trained with.

    What mt-train would let a resumed run change may differ, and so may what is `CHANGEABLE`.

    Raises:
        CheckpointError: MT104 or MT106, as `config_of_run`; MT100, with the settings that differ.
    """
    refused = refused_on_resume(load_config(require_config(folder)), config)
    changes = [change for change in refused if not _is_changeable(change[0])]
    if changes:
        differ = "1 setting differs" if len(changes) == 1 else f"{len(changes)} settings differ"
        message = f"the run was trained with another config ({differ})"
        advice = f"restore the settings, or give --run {folder}, which takes them from the folder"
        raise CheckpointError(
            Problem("MT100", message, where=str(folder), excerpt=listed_changes(changes), help=advice)
        )


def changed_settings(folder: Path, config: TrainConfig) -> dict[str, Any]:
    """What of a config is not as in the run in the folder, with the values it has: of what is `CHANGEABLE`, no folders.

    A value that only the run has is None.
    """
    changes = differences(load_config(require_config(folder)), config)
    return {
        key: None if now is NOT_SET else now
        for key, _, now in changes
        if _is_changeable(key) and key not in WITHOUT_EFFECT
    }


def results_folder(
    folder: Path, *, checkpoint: str | None, other_settings: Mapping[str, Any], is_of_files: bool
) -> Path:
    """Where results go, so that no others are overwritten by them.

    RUN/evaluation has the results of the best checkpoint on the configured sets, with the settings of the run's own
    config. Whatever is not that adds a folder: the name of another checkpoint, then `other_settings` with a folder for
    each set of them, then `files`.

    Args:
        folder: run folder.
        checkpoint: the name of the checkpoint; None for the best.
        other_settings: what the results are made with and the run was not.
        is_of_files: whether files are translated, not the configured sets.
    """
    target = folder / "evaluation" / (checkpoint or "")
    if other_settings:
        target = target / "other_settings" / _name_of(other_settings)
    return target / "files" if is_of_files else target


def _name_of(settings: Mapping[str, Any]) -> str:
    """Readable as far as it fits, with a hash that no other settings have."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    readable = ",".join(f"{key}={value}" for key, value in settings.items())
    return f"{re.sub(r'[^A-Za-z0-9_.,=-]', '_', readable)[:NAME_CHARACTERS]}-{digest[:8]}"


def run_folder_of(config: TrainConfig, path: str) -> Path:
    """Where mt-train puts the run of the config file at `path`."""
    return Path(config.runtime.run_folder or f"runs/{Path(path).stem}")


def open_run(folder: Path, config: TrainConfig, *, checkpoint: str) -> FinishedRun:
    """The run in a folder, ready to translate. Damaged checkpoints that were passed over are told on standard error.

    Args:
        folder: run folder.
        config: settings of the search and the machine; the model is built as the run was trained.
        checkpoint: `best`, `last` or a name.

    Raises:
        ConfigError: MT004, when the device is not there; MT006 under a launcher of several processes; MT026, when
            search settings contradict each other.
        CheckpointError: MT101 or MT102, when no such checkpoint can be used.
    """
    require_one_process("translating")
    machine = set_up_machine(config.runtime)
    loaded = load_run(folder, checkpoint=checkpoint, device=machine.device)
    loaded.warn(lambda line: print(line, file=sys.stderr))
    translator = build_translator(
        config.decoding,
        model=loaded.model,
        tokenizers=loaded.tokenizers,
        device=machine.device,
        seed=config.runtime.seed,
    )
    meter = build_meter(loaded, config, machine)
    return FinishedRun(translator, meter, loaded.checkpoint_name, loaded.hashes, loaded.about)


def _is_changeable(key: str) -> bool:
    return any(f"{key}.".startswith(f"{free}.") for free in CHANGEABLE)
