"""From config and data to the parts that train: the same for a run and for its dry run."""

from dataclasses import dataclass

import torch

from mt_trainer.config import TrainConfig
from mt_trainer.config.runtime import RuntimeConfig
from mt_trainer.data.corpus import Corpus, Pairs
from mt_trainer.data.counts import source_counts, target_counts
from mt_trainer.data.loader import Loader
from mt_trainer.data.prepare import PreparedData
from mt_trainer.data.subword_sampling import SubwordSampler
from mt_trainer.distributed.ranks import Ranks
from mt_trainer.errors import ConfigError, Problem
from mt_trainer.machine import Machine, seed_everything, what_bits_depend_on
from mt_trainer.model.layer_pass import compiled, recomputed, straight
from mt_trainer.objectives import TranslationLoss, build_objective
from mt_trainer.objectives.building.check import objective_files_hash
from mt_trainer.optim import ExponentialMovingAverage, Schedule, build_optimizer, build_schedule
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.tokenizer import TokenizerPair
from mt_trainer.training.building import build_model
from mt_trainer.training.floor import Floor, training_operations
from mt_trainer.training.learner import Learner
from mt_trainer.training.matmul_rate import measure_matmul_rate
from mt_trainer.training.teacher import RunTeacher
from mt_trainer.workers import Workers, build_workers


@dataclass(frozen=True)
class Parts:
    """What a training step needs."""

    learner: Learner
    teacher_forcing: TeacherForcing
    schedule: Schedule
    loader: Loader
    workers: Workers | None


def assemble(
    config: TrainConfig, data: PreparedData, machine: Machine, teacher: RunTeacher | None, ranks: Ranks
) -> Parts:
    """A freshly initialised learner on its device, and the way to its data. The weights depend on the seed alone.

    Raises:
        ConfigError: MT028 or MT029, when a prior of the objective does not fit the vocabulary or the training text.
    """
    tokenizers = data.tokenizers
    loss = build_loss(config, tokenizers, data.train, machine)
    seed_everything(config.runtime.seed)
    model = build_model(config, tokenizers).to(machine.device)
    through = compiled() if config.runtime.compile else straight
    model.layer_pass = recomputed(through) if config.training.recompute_activations else through
    decay = config.training.ema_decay
    return Parts(
        learner=Learner(
            model,
            build_optimizer(config.optim, model),
            ExponentialMovingAverage(model, decay) if decay else None,
            loss,
            teacher_hash=teacher.weights_hash if teacher else None,
            objective_files_hash=objective_files_hash(config),
            environment=what_bits_depend_on(machine),
            world_size=ranks.world_size,
        ),
        teacher_forcing=TeacherForcing(model, loss, machine.dtype, teacher.teacher if teacher else None)
        .to(machine.device)
        .train(),
        schedule=build_schedule(
            config.optim.schedule, d_model=config.model.d_model, max_steps=config.training.max_steps
        ),
        loader=build_loader(config, tokenizers, data.train, build_sampler(config, tokenizers, data.train), ranks),
        # torch compiles, and finds what it has compiled, for one thread at a time (pytorch#118260)
        workers=None if config.runtime.compile else build_workers(config.training.accumulation, machine),
    )


def build_loss(config: TrainConfig, tokenizers: TokenizerPair, corpus: Corpus, machine: Machine) -> TranslationLoss:
    """The loss of a config; priors that follow the text are those of the corpus."""
    vocab_size, pad_id, eos_id = tokenizers.tgt.vocab_size, tokenizers.tgt.pad_id, tokenizers.tgt.eos_id
    objective = build_objective(
        config.objective,
        vocab_size=vocab_size,
        pad_id=pad_id,
        target_counts=torch.from_numpy(target_counts(corpus, vocab_size=vocab_size, eos_id=eos_id)),
        source_counts=torch.from_numpy(source_counts(corpus, vocab_size=tokenizers.src.vocab_size, eos_id=eos_id)),
    )
    buffer_bytes = logit_buffer_bytes(config.runtime, machine)
    return TranslationLoss(vocab_size, pad_id, objective=objective, logit_buffer_bytes=buffer_bytes)


def logit_buffer_bytes(config: RuntimeConfig, machine: Machine) -> int | None:
    """Memory for logits; None for what suits the device: a CPU takes what its cache holds."""
    return config.logit_buffer_bytes if machine.device.type == "cuda" else None


def build_sampler(config: TrainConfig, tokenizers: TokenizerPair, corpus: Corpus) -> SubwordSampler | None:
    """What cuts the corpus into other pieces every epoch, if the config asks for it."""
    if config.data.subword_alpha is None:
        return None
    return SubwordSampler(
        corpus,
        tokenizers,
        alpha=config.data.subword_alpha,
        num_best=config.data.subword_num_best,
        max_length=config.data.max_length,
        seed=config.runtime.seed,
    )


def build_loader(
    config: TrainConfig, tokenizers: TokenizerPair, pairs: Pairs, sampler: SubwordSampler | None, ranks: Ranks
) -> Loader:
    """A rank's part of the steps over a corpus. Both sides have the same special ids (`TokenizerPair` sees to it)."""
    return Loader(
        pairs,
        row_length=config.data.max_length,
        rows_per_step=rows_per_step(config),
        is_filled_up=config.runtime.compile,
        accumulation=config.training.accumulation,
        seed=config.runtime.seed,
        pad_id=tokenizers.tgt.pad_id,
        bos_id=tokenizers.tgt.bos_id,
        eos_id=tokenizers.tgt.eos_id,
        sampler=sampler,
        rank=ranks.rank,
        world_size=ranks.world_size,
    )


def build_floor(config: TrainConfig, tokenizers: TokenizerPair, machine: Machine, ranks: Ranks) -> Floor:
    """What the time of the run is measured by: the rate is that of the main rank's device, times the ranks."""
    model = config.model
    rate = ranks.from_main(lambda: measure_matmul_rate(machine.device, machine.dtype))
    operations = training_operations(
        num_encoder_layers=model.num_encoder_layers,
        num_decoder_layers=model.num_decoder_layers,
        d_model=model.d_model,
        ffn_dim=model.ffn_dim,
        tgt_vocab_size=tokenizers.tgt.vocab_size,
        is_gated=model.activation == "swiglu",
    )
    return Floor(operations, rate * ranks.world_size)


def require_rows(config: TrainConfig, ranks: Ranks) -> None:
    """Refuse a step that is too small to be shared.

    Raises:
        ConfigError: MT026, when there are fewer rows than micro-batches over all ranks.
    """
    accumulation, batch_tokens = config.training.accumulation, config.training.batch_tokens
    needed = config.data.max_length * accumulation * ranks.world_size
    if batch_tokens < needed:
        message = (
            f"`training.batch_tokens` {batch_tokens} over `training.accumulation` {accumulation} and "
            f"{ranks.world_size} processes holds no row of `data.max_length` {config.data.max_length}"
        )
        help_ = f"batch_tokens >= {needed} (it is shared by all processes), or fewer processes"
        raise ConfigError(Problem("MT026", message, where="training.batch_tokens", help=help_))


def rows_per_step(config: TrainConfig) -> int:
    """Rows of one optimizer step, over all its micro-batches and ranks."""
    return config.training.batch_tokens // config.data.max_length
