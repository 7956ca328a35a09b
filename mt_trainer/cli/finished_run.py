"""A trained run, opened for mt-translate and mt-eval."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.decoding.translate import Translator, build_translator
from mt_trainer.errors import CheckpointError, ConfigError, Problem
from mt_trainer.machine import set_up_machine
from mt_trainer.training.run_folder import load_run

CHANGEABLE = ("decoding", "evaluation", "runtime", "data.dev", "data.test")
"""What can still be set once a run is trained: these keys and all below them."""


@dataclass(frozen=True)
class FinishedRun:
    """What a command needs of a run.

    Attributes:
        translator: of the chosen checkpoint.
        checkpoint: its name, such as `step_00012000`.
    """

    translator: Translator
    checkpoint: str


def config_of_run(folder: Path, overrides: Sequence[str]) -> TrainConfig:
    """The config that a run was trained with, changed by `a.b=c` overrides.

    Raises:
        ConfigError: a wrong override; MT005 for one that would need another training.
        CheckpointError: MT104, when the folder is no run.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        advice = "give the folder that mt-train names when it starts, such as `runs/demo`"
        raise CheckpointError(
            Problem("MT104", "there is no config.yaml in this folder", where=str(folder), help=advice)
        )
    keys = {override: override.partition("=")[0] for override in overrides}
    fixed = [each for each, key in keys.items() if not any(f"{key}.".startswith(f"{free}.") for free in CHANGEABLE)]
    if fixed:
        message, advice = "the run is already trained", f"what can still be set: {', '.join(CHANGEABLE)}"
        raise ConfigError([Problem("MT005", message, where=f"--set {each}", help=advice) for each in fixed])
    return load_config(path, overrides)


def run_folder_of(config: TrainConfig, path: str) -> Path:
    """Where mt-train puts the run of the config file at `path`."""
    return Path(config.runtime.run_folder or f"runs/{Path(path).stem}")


def open_run(folder: Path, config: TrainConfig, *, checkpoint: str) -> FinishedRun:
    """The run in a folder, ready to translate.

    Args:
        folder: run folder.
        config: settings of the search and the machine; the model is built as the run was trained.
        checkpoint: `best`, `last` or a name.

    Raises:
        ConfigError: MT004, when the device is not there; MT026, when search settings contradict each other.
        CheckpointError: MT101 or MT102, when no such checkpoint can be used.
    """
    machine = set_up_machine(config.runtime)
    loaded = load_run(folder, checkpoint=checkpoint, device=machine.device)
    translator = build_translator(
        config.decoding,
        model=loaded.model,
        tokenizers=loaded.tokenizers,
        device=machine.device,
        seed=config.runtime.seed,
    )
    return FinishedRun(translator, loaded.checkpoint_name)
