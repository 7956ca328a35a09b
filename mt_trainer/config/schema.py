"""The whole configuration of a run."""

from mt_trainer.config.data import DataConfig, TokenizerConfig
from mt_trainer.config.evaluation import DecodingConfig, EvaluationConfig
from mt_trainer.config.model import ModelConfig
from mt_trainer.config.objective import LabelSmoothingConfig, ObjectiveConfig
from mt_trainer.config.optim import OptimConfig
from mt_trainer.config.runtime import RuntimeConfig
from mt_trainer.config.section import Section, required, setting
from mt_trainer.config.training import TrainingConfig


class TrainConfig(Section):
    """From raw text to a score: everything a run needs, each default in exactly one place."""

    data: DataConfig = required("Parallel text and cleaning.")
    tokenizer: TokenizerConfig = setting(TokenizerConfig(), "SentencePiece.")
    model: ModelConfig = setting(ModelConfig(), "The Transformer, or the name of a preset.")
    objective: ObjectiveConfig = setting(LabelSmoothingConfig(name="label_smoothing"), "What is minimised.")
    optim: OptimConfig = setting(OptimConfig(), "Optimizer and learning rate.")
    training: TrainingConfig = setting(TrainingConfig(), "Length of the run and what is kept.")
    decoding: DecodingConfig = setting(DecodingConfig(), "Search.")
    evaluation: EvaluationConfig = setting(EvaluationConfig(), "Metrics.")
    runtime: RuntimeConfig = setting(RuntimeConfig(), "Folders, device, seed.")
