"""What a run shows: a summary when it starts, a bar or lines while it works."""

import math
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, NoReturn

from tqdm import tqdm

from mt_trainer.config import TrainConfig
from mt_trainer.config.training import TrainingConfig
from mt_trainer.data.corpus import Corpus
from mt_trainer.data.evaluation_sets import EvalSet
from mt_trainer.data.prepare import PreparedData
from mt_trainer.machine import Machine
from mt_trainer.output import lost_if_unread
from mt_trainer.training.assembly import Parts, rows_per_step
from mt_trainer.training.floor import Floor
from mt_trainer.training.matmul_rate import show_rate
from mt_trainer.training.progress import Progress
from mt_trainer.training.run_folder import RunFolder


def summary(
    run: RunFolder, data: PreparedData, parts: Parts, machine: Machine, floor: Floor, progress: Progress
) -> str:
    """The run in a few aligned lines."""
    config = run.config
    sizes, training = config.model, config.training
    vocabularies = f"{data.tokenizers.src.vocab_size:,} pieces"
    if not data.tokenizers.is_joint:
        vocabularies = f"{data.tokenizers.src.vocab_size:,} and {data.tokenizers.tgt.vocab_size:,} pieces"
    sets = [f"{name} {len(s.src_texts):,}" for name, s in {"dev": data.dev, **data.test}.items()]
    num_parameters = sum(p.numel() for p in parts.teacher_forcing.model.parameters())
    num_rows, num_micro_batches = rows_per_step(config), training.accumulation * parts.loader.world_size
    rows = {
        "run": f"{run.path}" + (f", resumed after step {progress.step:,}" if progress.step else ""),
        "data": f"{config.data.src_lang}-{config.data.tgt_lang}: {data.counts.describe()}; {', '.join(sets)}",
        "tokenizer": f"{data.tokenizers.src.algorithm}, {vocabularies}, "
        + ("joint" if data.tokenizers.is_joint else "one a side"),
        "model": f"{sizes.num_encoder_layers}+{sizes.num_decoder_layers} layers, d_model {sizes.d_model}, "
        f"ffn_dim {sizes.ffn_dim}, {sizes.num_heads} heads, {'pre' if sizes.norm_first else 'post'}-norm; "
        f"{num_parameters:,} parameters",
        "objective": parts.teacher_forcing.translation_loss.objective.formula,
        "optimizer": f"AdamW, {_schedule(config)}",
        "device": machine.describe()
        + (f", {parts.loader.world_size} processes" * (parts.loader.world_size > 1))
        + f", {show_rate(floor.rate)} in matrix products",
        "step": f"up to {num_rows * config.data.max_length:,} target tokens, in {num_rows:,} rows"
        + (f", in {num_micro_batches} micro-batches" if num_micro_batches > 1 else ""),
        "limits": ", ".join(_limits(config)),
    }
    return "\n".join(f"{name:<10} {text}" for name, text in rows.items())


def _schedule(config: TrainConfig) -> str:
    values = config.optim.schedule.model_dump()
    name = values.pop("name")
    return f"{name} ({', '.join(f'{key} {value:g}' for key, value in values.items())})"


def _limits(config: TrainConfig) -> list[str]:
    training = config.training
    limits = {
        "steps": training.max_steps,
        "epochs": training.max_epochs,
        "tokens": training.max_tokens,
        "seconds": training.max_seconds,
    }
    given = [f"{value:,.0f} {unit}" for unit, value in limits.items() if value is not None]
    return [*given, f"patience {training.patience} validations"] if training.patience else given


def duration(seconds: float) -> str:
    """Such as `41 min` or `3 h 05 min`."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def expected_time(progress: Progress, limits: TrainingConfig, corpus: Corpus, *, since: Progress) -> str:
    """The last line of the summary, told once a few steps have shown the speed; validations are not foreseen."""
    before, now = (each.fraction_done(limits, epoch_tokens=corpus.num_target_tokens) for each in (since, progress))
    seconds = progress.seconds - since.seconds
    left = seconds * (1 - now) / (now - before) if now > before else math.inf
    rate = (progress.num_tokens - since.num_tokens) / seconds
    return f"expected   {duration(left)} of training at {rate:,.0f} target tokens/s\n"


class Sample(NamedTuple):
    """A sentence and what became of it."""

    src: str
    tgt: str
    hypothesis: str


def spread_samples(eval_set: EvalSet, hypotheses: Sequence[str], *, number: int) -> tuple[Sample, ...]:
    """`number` sentences (or all, if there are fewer) at equal distances, with reference and translation."""
    number = min(number, len(hypotheses))
    places = [len(hypotheses) * i // number for i in range(number)]
    return tuple(Sample(eval_set.src_texts[i], eval_set.tgt_texts[i], hypotheses[i]) for i in places)


def samples_text(samples: Sequence[Sample]) -> str:
    """Sample translations, three lines each."""
    return "\n".join(f"source       {s.src}\nreference    {s.tgt}\ntranslation  {s.hypothesis}\n" for s in samples)


class ProgressDisplay:
    """One bar on a terminal; plain lines, a log point each, elsewhere.

    A run is worth more than its lines: once nobody reads them, because a terminal was closed or the reader of a pipe
    has ended, it goes on without them.

    Args:
        start: where the run goes on from.
        limits: of the run.
        corpus: that it trains on.
        is_silent: of a rank that leaves it to the main one.
    """

    def __init__(self, start: Progress, limits: TrainingConfig, corpus: Corpus, *, is_silent: bool = False) -> None:
        self._start, self._limits, self._epoch_tokens = start, limits, corpus.num_target_tokens
        self._is_silent = is_silent
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> "ProgressDisplay":
        if sys.stderr.isatty() and not self._is_silent:
            layout = "{percentage:3.0f}%|{bar:24}| {desc}"
            self._bar = tqdm(total=1.0, initial=self._fraction(self._start), bar_format=layout, leave=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def log(self, progress: Progress, metrics: dict[str, float], *, tokens_per_second: float, mfu: float) -> None:
        """A log point. The time left is that of this start: `eta` counts validations as they came."""
        fraction = self._fraction(progress)
        gained = fraction - self._fraction(self._start)
        seconds = progress.seconds - self._start.seconds
        left = seconds * (1 - fraction) / gained if gained > 0 else math.inf
        losses = "every step was skipped"
        if "loss" in metrics:
            losses = f"loss {metrics['loss']:.4f}  nll {metrics['nll']:.4f}"
        text = (
            f"step {progress.step:>7,}  epoch {progress.position.epoch + 1:>3}  {losses}  "
            f"lr {metrics['lr']:.2e}  {tokens_per_second:>9,.0f} tok/s  "
            f"mfu {100 * mfu:>3.0f} %  eta {duration(left)}"
        )
        if self._bar is None:
            self.say(text)
        else:
            self._bar.set_description_str(text, refresh=False)
            self._bar.update(fraction - self._bar.n)

    def say(self, line: str) -> None:
        """A line above the bar."""
        if self._is_silent:
            return
        with lost_if_unread(sys.stderr):
            tqdm.write(line, file=sys.stderr)
            sys.stderr.flush()

    def _fraction(self, progress: Progress) -> float:
        return progress.fraction_done(self._limits, epoch_tokens=self._epoch_tokens)
