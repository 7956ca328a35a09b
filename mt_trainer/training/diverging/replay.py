"""A divergence gone through again, from its capsule: the same numbers, what is not finite, and from which pair."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config.resolved import config_digest
from mt_trainer.data.loader import StepBatches
from mt_trainer.data.origin import origin_of
from mt_trainer.data.prepare import PreparedData, prepare_data, training_texts
from mt_trainer.distributed.ranks import ALONE
from mt_trainer.errors import CheckpointError, DivergedError, Problem
from mt_trainer.machine import Machine, environment, set_up_machine
from mt_trainer.training.assembly import Parts, assemble
from mt_trainer.training.checkpoints.checkpoint import load_checkpoint
from mt_trainer.training.diverging.capsule import Capsule, RunMachine, load_capsule, numbers_of
from mt_trainer.training.diverging.narrowing import Narrowed, Probe
from mt_trainer.training.diverging.recovery import base_of
from mt_trainer.training.progress import Progress
from mt_trainer.training.sealed_config import require_config
from mt_trainer.training.step import StepResult, train_step
from mt_trainer.training.teacher import load_teacher

NAMES_SHOWN = 3
"""Parameters that are named; the others are counted."""


@dataclass(frozen=True)
class Replay:
    """A run as it was before the step of a capsule, and the way to that step."""

    capsule: Capsule
    config: TrainConfig
    machine: Machine
    data: PreparedData
    parts: Parts

    def take_step(self, step: int, batches: StepBatches) -> StepResult:
        """One step, as the run took it."""
        return train_step(
            self.parts.teacher_forcing,
            self.parts.learner.optimizer,
            batches,
            step=step,
            lr=self.parts.schedule(step),
            clip_norm=self.config.optim.clip_norm,
            seed=self.config.runtime.seed,
            device=self.machine.device,
            workers=self.parts.workers,
        )


def replay(path: Path, *, tell: Callable[[str, str], None]) -> None:
    """Go through the steps from the capsule's checkpoint to its step, and look into that one.

    The run folder, its training text and its config are needed as they were; nothing is written but the cache of
    encoded corpora. On a CPU the numbers come out bit for bit, given the versions and the kind of CPU of the capsule;
    its number of threads is set.

    Args:
        path: of the capsule, in the folder `crash` of its run.
        tell: told what is found, with a word for it in front.

    Raises:
        CheckpointError: MT121, when the capsule is none, or what it needs is not as it was; MT104, when it does not lie
            in a run; MT102 or MT106, when its checkpoint or the config is damaged.
        DivergedError: MT122, when other numbers came out.
    """
    capsule = load_capsule(path)
    tell("capsule", f"{path}: {capsule.reason}")
    prepared = _prepare(path, capsule, tell)
    progress = _go_back(path, prepared, tell)
    for batches in prepared.parts.loader.steps(progress.position):
        if progress.step >= capsule.step or progress.position > capsule.position:
            raise _unusable(path, "the steps of the run do not lead to it", "give a capsule as mt-train wrote it")
        if progress.is_left_out:
            progress = progress.passing(batches.after)
            continue
        if progress.step + 1 == capsule.step:
            break
        prepared.take_step(progress.step + 1, batches)
        progress = progress.after_step(position=batches.after, num_tokens=batches.num_tokens, seconds=0.0)
    rows = [batch.rows for batch in batches.micro_batches]
    weights = [name for name, p in prepared.parts.learner.model.named_parameters() if not bool(p.isfinite().all())]
    result = prepared.take_step(capsule.step, batches)
    numbers = numbers_of(result)
    is_same = (progress.position, rows) == (capsule.position, capsule.micro_batches) and numbers == capsule.sums
    shown = ", ".join(f"{name} {numbers[name]['value']} ({numbers[name]['bits']})" for name in ("loss", "grad_norm"))
    verdict = "the bits of the capsule" if is_same else "not those of the capsule"
    tell(f"step {capsule.step:,}", f"{shown}: {verdict}")
    if weights:
        tell("weights", f"not finite before the step: {_some(weights)}")
    if bool(result.is_finite):
        tell(
            "finite", f"the numbers of the step are finite: nll {_nll(result):.4f} a token; no pair stands out by them"
        )
    else:
        _narrow(prepared, batches, tell)
    if not is_same:
        message = f"step {capsule.step:,} gave other numbers than in the capsule"
        if not capsule.sums:
            message = "the capsule has no numbers to compare: the process that wrote it had not taken the step"
        help_ = "the same versions, device and kind of CPU give the same bits on a CPU; a GPU may not"
        raise DivergedError(Problem("MT122", message, where=str(path), help=help_))


def _prepare(path: Path, capsule: Capsule, tell: Callable[[str, str], None]) -> Replay:
    """The run, freshly initialised, with the threads of the capsule; one process does the work of all."""
    stored = require_config(path.absolute().parent.parent)
    stored_config, world_size = load_config(stored), capsule.machine.world_size
    accumulation = stored_config.training.accumulation * world_size
    as_then = [f"training.accumulation={accumulation}", f"runtime.threads={capsule.machine.threads}"]
    config = load_config(stored, as_then)
    machine = set_up_machine(config.runtime)
    differences = capsule.machine.differences(RunMachine.of(environment(machine)))
    tell("machine", machine.describe() + ("" if differences else ", the versions of the capsule"))
    for line in differences:
        tell("differs", f"{line}: the bits may be others")
    if world_size > 1:
        tell("differs", f"one process does what {world_size} did: with more than two micro-batches bits may be others")
    teacher = load_teacher(config, machine)
    data = prepare_data(
        config,
        announce=lambda line: None,
        require_tokenizers=teacher.require_tokenizers if teacher else None,
    )
    parts = assemble(config, data, machine, teacher, ALONE)
    parts = dataclasses.replace(parts, learner=dataclasses.replace(parts.learner, world_size=world_size))
    now = {
        "corpus": data.corpus_hash,
        "tokenizer": data.tokenizers.content_hash,
        "teacher": parts.learner.teacher_hash,
        "objective_files": parts.learner.objective_files_hash,
    }
    changed = [name for name, value in now.items() if capsule.hashes.get(name) != value]
    if changed:
        message = f"not as it was when the capsule was written: {', '.join(changed)}"
        raise _unusable(path, message, "restore it; a replay needs the training text of the run")
    if capsule.hashes.get("config") != config_digest(stored_config):
        tell("config", "it was changed since; mt-train lets only settings change that alter no step")
    return Replay(capsule, config, machine, data, parts)


def _go_back(path: Path, prepared: Replay, tell: Callable[[str, str], None]) -> Progress:
    """Put the learner to where the capsule starts from."""
    capsule = prepared.capsule
    if capsule.base is None:
        tell("start", f"the first step of the run; {capsule.step - 1:,} steps before step {capsule.step:,}")
        return Progress(left_out=capsule.left_out)
    folder = path.absolute().parent.parent / "checkpoints" / capsule.base.name
    checkpoint = load_checkpoint(folder)
    if base_of(checkpoint) != capsule.base:
        message = f"{capsule.base.name} is not the checkpoint that the capsule was written with"
        raise _unusable(path, message, "restore that checkpoint from a copy")
    progress, _ = prepared.parts.learner.restore(checkpoint, prepared.data)
    before = capsule.step - 1 - progress.step
    tell("start", f"{capsule.base.name}, verified; {before:,} step{'s' * (before != 1)} before step {capsule.step:,}")
    return progress.going_on_without(capsule.left_out)


def _narrow(prepared: Replay, batches: StepBatches, tell: Callable[[str, str], None]) -> None:
    """What of the step is not finite, and from which pair it comes."""
    capsule = prepared.capsule
    micro_batches = [batch.rows for batch in batches.micro_batches]
    probe = Probe(
        prepared.parts.teacher_forcing,
        prepared.parts.loader,
        epoch=capsule.position.epoch,
        micro_batches=micro_batches,
        key=(capsule.seed, capsule.step),
        num_tokens=batches.num_tokens,
        device=prepared.machine.device,
    )
    found = probe.narrow()
    if not found.micro_batches:
        tell("narrowed", "every micro-batch is finite alone; only their sum is not, or other dropout masks are needed")
        return
    trace = probe.trace(found.micro_batches[0], found.rows)
    tell("first", trace.first())
    if trace.gradients:
        number = sum(1 for _ in prepared.parts.learner.model.parameters())
        tell("gradients", f"not finite in {len(trace.gradients)} of {number} parameters: {_some(trace.gradients)}")
    tell("narrowed", _described(found, micro_batches))
    if found.num_others:
        verdict = ": the weights are to blame, not a pair" if found.num_others_failing == found.num_others else ""
        tell("others", f"{found.num_others_failing} of {found.num_others} other pairs of the step fail alone{verdict}")
    if found.pair is not None:
        _tell_pair(prepared, probe, found.pair, tell)


def _described(found: Narrowed, micro_batches: list[list[list[int]]]) -> str:
    first = found.micro_batches[0]
    where = f"micro-batch {first + 1} of {len(micro_batches)}"
    if len(found.micro_batches) > 1:
        where += f" ({len(found.micro_batches)} of them are not finite)"
    if found.pair is not None:
        return f"{where}: pair {found.pair:,} of the encoded corpus is not finite alone"
    pairs = sum(map(len, found.rows))
    rows = f"{len(found.rows)} rows" if len(found.rows) > 1 else "one row"
    return f"{where}: {pairs} pairs in {rows} are not finite together; no single pair is, and neither half"


def _tell_pair(prepared: Replay, probe: Probe, pair: int, tell: Callable[[str, str], None]) -> None:
    tokenizers, corpus = prepared.data.tokenizers, prepared.data.train
    for side, tokenizer, ids in (
        ("src", tokenizers.src, probe.pairs.src(pair)),
        ("tgt", tokenizers.tgt, probe.pairs.tgt(pair)),
    ):
        tell(side, f"{tokenizer.decode([[int(each) for each in ids]])[0]}  {[int(each) for each in ids]}")
    origin = origin_of(pair, corpus, training_texts(prepared.config.data), tokenizers)
    if origin is None:
        tell("from", "no pair of the training text encodes to it any more")
    else:
        tell("from", " | ".join(dict.fromkeys(origin.places)))


def _nll(result: StepResult) -> float:
    return float(result.sums.nll) / max(1.0, float(result.sums.num_tokens))


def _some(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _unusable(path: Path, message: str, help_: str) -> CheckpointError:
    return CheckpointError(Problem("MT121", message, where=str(path), help=help_))
