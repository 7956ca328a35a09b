"""The files that an objective reads: whether they can be used, asked before any work starts, and what is in them."""

import hashlib
from pathlib import Path

from mt_trainer.config import TrainConfig
from mt_trainer.config.data import TokenizerConfig
from mt_trainer.config.objective import (
    ClassWeightedConfig,
    LabelSmoothingConfig,
    SingleObjective,
    WeightedLabelSmoothingConfig,
)
from mt_trainer.config.objective_checks import objectives_of
from mt_trainer.errors import ConfigError, Problem
from mt_trainer.objectives.building.smoothed import shared_prior
from mt_trainer.objectives.building.vocabulary_files import PRIORS, read_groups, read_prior, read_weights
from mt_trainer.tokenizer import Tokenizer


def check_objective(config: TrainConfig) -> None:
    """Reads the priors, class weights and groups of all stages. The vocabulary they have to fit is in the config.

    Raises:
        ConfigError: MT028, every problem of every file.
        TokenizerError: MT081, there are such files, but that of the tokenizer cannot be used.
    """
    problems: list[Problem] = []
    for _, objective in objectives_of(config.objective):
        try:
            _read_file(objective, config.tokenizer)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)


def objective_files_hash(config: TrainConfig) -> str | None:
    """sha256 over the contents of these files, in the order of the stages; None where there are none."""
    paths = [path for _, objective in objectives_of(config.objective) if (path := _file_of(objective)) is not None]
    if not paths:
        return None
    digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def _file_of(objective: SingleObjective) -> str | None:
    match objective:
        case LabelSmoothingConfig() if objective.prior not in PRIORS:
            return objective.prior
        case ClassWeightedConfig():
            return objective.weights
        case WeightedLabelSmoothingConfig() if objective.groups != "counts":
            return objective.groups
    return None


def _read_file(objective: SingleObjective, tokenizer: TokenizerConfig) -> None:
    path = _file_of(objective)
    if path is None:
        return
    vocab_size = target_vocab_size(tokenizer)
    match objective:
        case LabelSmoothingConfig():
            read_prior(path, vocab_size=vocab_size)
        case ClassWeightedConfig():
            read_weights(path, vocab_size=vocab_size)
        case WeightedLabelSmoothingConfig():
            shared_prior(objective, read_groups(path, vocab_size=vocab_size))


def target_vocab_size(tokenizer: TokenizerConfig) -> int:
    """Pieces of the target side: those of the file given, or as many as will be trained.

    Raises:
        TokenizerError: MT081, the file cannot be used.
    """
    file = tokenizer.model_file or tokenizer.tgt_model_file
    return tokenizer.vocab_size if file is None else Tokenizer.load(file).vocab_size
