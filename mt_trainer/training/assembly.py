"""From config and data to the parts that train: the same for a run and for its dry run."""

from dataclasses import dataclass

from mt_trainer.config import TrainConfig
from mt_trainer.data.corpus import Corpus
from mt_trainer.data.loader import Loader, PairList
from mt_trainer.data.prepare import PreparedData
from mt_trainer.machine import Machine, seed_everything
from mt_trainer.model import Transformer, build_transformer
from mt_trainer.objectives import TranslationLoss, build_objective
from mt_trainer.optim import ExponentialMovingAverage, Schedule, build_optimizer, build_schedule
from mt_trainer.teacher_forcing import TeacherForcing
from mt_trainer.tokenizer import TokenizerPair
from mt_trainer.training.learner import Learner


@dataclass(frozen=True)
class Parts:
    """What a training step needs."""

    learner: Learner
    teacher_forcing: TeacherForcing
    schedule: Schedule
    loader: Loader


def assemble(config: TrainConfig, data: PreparedData, machine: Machine) -> Parts:
    """A freshly initialised learner on its device, and the way to its data. The weights depend on the seed alone."""
    tokenizers = data.tokenizers
    seed_everything(config.runtime.seed)
    model = build_model(config, tokenizers).to(machine.device)
    vocabulary = {"vocab_size": tokenizers.tgt.vocab_size, "pad_id": tokenizers.tgt.pad_id}
    loss = TranslationLoss(**vocabulary, objective=build_objective(config.objective, **vocabulary))
    decay = config.training.ema_decay
    return Parts(
        learner=Learner(
            model, build_optimizer(config.optim, model), ExponentialMovingAverage(model, decay) if decay else None
        ),
        teacher_forcing=TeacherForcing(model, loss, machine.dtype).to(machine.device).train(),
        schedule=build_schedule(
            config.optim.schedule, d_model=config.model.d_model, max_steps=config.training.max_steps
        ),
        loader=build_loader(config, tokenizers, data.train),
    )


def build_model(config: TrainConfig, tokenizers: TokenizerPair) -> Transformer:
    """The freshly initialised model of a config; seed torch before."""
    return build_transformer(
        config.model,
        src_vocab_size=tokenizers.src.vocab_size,
        tgt_vocab_size=tokenizers.tgt.vocab_size,
        max_positions=max_positions_of(config),
        pad_id=tokenizers.tgt.pad_id,
    )


def build_loader(config: TrainConfig, tokenizers: TokenizerPair, corpus: Corpus | PairList) -> Loader:
    """The steps over a corpus. Both sides have the same special ids (`TokenizerPair` holds them to it)."""
    return Loader(
        corpus,
        row_length=config.data.max_length,
        rows_per_step=rows_per_step(config),
        accumulation=config.training.accumulation,
        seed=config.runtime.seed,
        pad_id=tokenizers.tgt.pad_id,
        bos_id=tokenizers.tgt.bos_id,
        eos_id=tokenizers.tgt.eos_id,
    )


def rows_per_step(config: TrainConfig) -> int:
    """Rows of one optimizer step, over all its micro-batches."""
    return config.training.batch_tokens // config.data.max_length


def max_positions_of(config: TrainConfig) -> int:
    """The longest row or output the model can place: generous, for texts longer than those trained on."""
    return max(1024, 2 * config.data.max_length)
