"""Whether the files that an objective reads can be used, asked before any work starts."""

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
from mt_trainer.objectives.build_smoothing import shared_prior
from mt_trainer.objectives.vocabulary_files import PRIORS, read_groups, read_prior, read_weights
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


def _read_file(objective: SingleObjective, tokenizer: TokenizerConfig) -> None:
    match objective:
        case LabelSmoothingConfig() if objective.prior not in PRIORS:
            read_prior(objective.prior, vocab_size=target_vocab_size(tokenizer))
        case ClassWeightedConfig():
            read_weights(objective.weights, vocab_size=target_vocab_size(tokenizer))
        case WeightedLabelSmoothingConfig() if objective.groups != "counts":
            shared_prior(objective, read_groups(objective.groups, vocab_size=target_vocab_size(tokenizer)))


def target_vocab_size(tokenizer: TokenizerConfig) -> int:
    """Pieces of the target side: those of the file given, or as many as will be trained.

    Raises:
        TokenizerError: MT081, the file cannot be used.
    """
    file = tokenizer.model_file or tokenizer.tgt_model_file
    return tokenizer.vocab_size if file is None else Tokenizer.load(file).vocab_size
