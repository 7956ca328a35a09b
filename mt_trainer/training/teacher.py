"""The teacher of a run: the best checkpoint of another one, held against the run that it is to teach."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mt_trainer.config import TrainConfig
from mt_trainer.config.objective import DistillationConfig, SparseDistillationConfig
from mt_trainer.config.objective_checks import objectives_of
from mt_trainer.data.tokenizers import given_tokenizers
from mt_trainer.errors import CheckpointError, ConfigError, MtError, Problem
from mt_trainer.machine import Machine, matmul_dtype
from mt_trainer.teacher_forcing import Teacher
from mt_trainer.tokenizer import TokenizerPair
from mt_trainer.training.building import max_positions_of
from mt_trainer.training.loading import LoadedRun, load_run


@dataclass(frozen=True)
class RunTeacher:
    """A teacher and where it comes from.

    Attributes:
        teacher: the model, in the precision of its own config.
        loaded: the run.
        key: the setting that names it, such as `objective.teacher`.
    """

    teacher: Teacher
    loaded: LoadedRun
    key: str

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights file."""
        return self.loaded.weights_hash

    def record(self) -> dict[str, Any]:
        """For `environment.json`."""
        return {"run": str(self.loaded.path), "checkpoint": self.loaded.checkpoint_name, "sha256": self.weights_hash}

    def require_tokenizers(self, tokenizers: TokenizerPair) -> None:
        """Compare the tokenizers of the run with the teacher's.

        Raises:
            ConfigError: MT030, when they differ: their pieces then mean different things.
        """
        if tokenizers.content_hash == self.loaded.tokenizers.content_hash:
            return
        files = sorted(path.name for path in self.loaded.path.glob("tokenizer*.model"))
        keys = ("model_file",) if len(files) == 1 else ("src_model_file", "tgt_model_file")
        settings = ", ".join(
            f"tokenizer.{key}={self.loaded.path / name}" for key, name in zip(keys, files, strict=True)
        )
        raise _misfit(self.key, self.loaded.path, "has another tokenizer than this run", f"take its own: {settings}")


def load_teacher(config: TrainConfig, machine: Machine) -> RunTeacher | None:
    """The teacher that the objective reads, on the device; None where it reads none.

    Raises:
        ConfigError: MT030, when it does not fit the run, as far as that is known before there is a tokenizer; MT026,
            when stages name different ones.
        CheckpointError: MT104 for a folder that is no run, MT101 or MT102 for one without a usable checkpoint.
    """
    named = {
        f"{path}.teacher": objective.teacher
        for path, objective in objectives_of(config.objective)
        if isinstance(objective, DistillationConfig | SparseDistillationConfig)
    }
    if not named:
        return None
    key, folder = next(iter(named.items()))
    if len(set(named.values())) > 1:
        message = f"stages have different teachers: {', '.join(f'`{each}`' for each in dict.fromkeys(named.values()))}"
        raise ConfigError(Problem("MT026", message, where=list(named)[-1], help="one run has one teacher"))
    loaded = _load(key, Path(folder), machine)
    ours, theirs = (f"{each.data.src_lang}-{each.data.tgt_lang}" for each in (config, loaded.config))
    if ours != theirs:
        raise _misfit(
            key, loaded.path, f"translates {theirs}, but this run {ours}", "take a teacher of these languages"
        )
    if loaded.model.max_positions < max_positions_of(config):
        longest = f"places {loaded.model.max_positions:,} tokens at most, but this run {max_positions_of(config):,}"
        raise _misfit(key, loaded.path, longest, f"data.max_length <= {loaded.model.max_positions // 2}")
    dtype = matmul_dtype(loaded.config.runtime.precision, machine.device)
    teacher = RunTeacher(Teacher(loaded.model.requires_grad_(False), dtype), loaded, key)
    given = given_tokenizers(config.tokenizer)
    if given is not None:
        teacher.require_tokenizers(given)
    return teacher


def _load(key: str, folder: Path, machine: Machine) -> LoadedRun:
    try:
        return load_run(folder, device=machine.device)
    except CheckpointError as error:
        raise CheckpointError([_of_teacher(problem, key) for problem in error.problems]) from error


def _of_teacher(problem: Problem, key: str) -> Problem:
    return Problem(problem.code, f"`{key}`: {problem.message}", problem.where, problem.excerpt, problem.help)


def _misfit(key: str, folder: Path, message: str, help_: str) -> MtError:
    return ConfigError(Problem("MT030", f"the teacher {folder} {message}", where=key, help=help_))
