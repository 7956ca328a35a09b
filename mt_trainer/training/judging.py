"""What a run is judged with: on dev while it trains, and on any set afterwards. Both make the same batches."""

from dataclasses import replace

from mt_trainer.config import TrainConfig
from mt_trainer.data.prepare import PreparedData
from mt_trainer.decoding.translate import build_translator
from mt_trainer.evaluation.likelihood import LikelihoodMeter
from mt_trainer.evaluation.metrics import Metrics
from mt_trainer.evaluation.validation import Validator
from mt_trainer.machine import Machine
from mt_trainer.model import Transformer
from mt_trainer.training.assembly import logit_buffer_bytes
from mt_trainer.training.loading import LoadedRun


def build_validator(
    config: TrainConfig, data: PreparedData, model: Transformer, metrics: Metrics, machine: Machine
) -> Validator:
    """The judge of checkpoints: dev, with the search of the config."""
    return Validator(
        data.dev,
        data.tokenizers,
        build_translator(
            config.decoding, model=model, tokenizers=data.tokenizers, device=machine.device, seed=config.runtime.seed
        ),
        replace(metrics, moses_lang=None),  # slow, and no checkpoint is chosen by it
        batch_tokens=_batch_tokens(config),
        max_positions=model.max_positions,
    )


def build_meter(loaded: LoadedRun, config: TrainConfig, machine: Machine) -> LikelihoodMeter:
    """What measures likelihoods as the run's validation did, on the machine that a config asks for."""
    return LikelihoodMeter(
        loaded.model,
        loaded.tokenizers,
        device=machine.device,
        dtype=machine.dtype,
        batch_tokens=_batch_tokens(loaded.config),
        logit_buffer_bytes=logit_buffer_bytes(config.runtime, machine),
    )


def _batch_tokens(config: TrainConfig) -> int:
    """Those of a micro-batch, which is known to fit."""
    return config.training.batch_tokens // config.training.accumulation
