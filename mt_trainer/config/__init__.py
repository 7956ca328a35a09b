"""Every setting: type, default, bound, unit, one sentence. No torch here."""

from mt_trainer.config.load import load_config
from mt_trainer.config.schema import TrainConfig

__all__ = ["TrainConfig", "load_config"]
