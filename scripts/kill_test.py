"""Kills a small run at random moments, goes on with it, and holds the end against that of a run that was left alone.

Called by kill_test.sh. The run that is left alone is started as a user starts it. Those that are killed are forks of
this process, which has loaded the libraries once: what is left to do takes a second, and so does a kill. Each chooses a
phase, and a moment within it; where the kill fell is read from memory that both share.
"""

import argparse
import itertools
import json
import logging
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from mt_trainer.cli.train import main as mt_train
from mt_trainer.data import prepare
from mt_trainer.evaluation.validation import Validator
from mt_trainer.training import learner, milestones, train
from mt_trainer.training.run_folder import RunFolder
from mt_trainer.training.verify import verify_run

CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: phrasebook, split: train, max_pairs: 300}
  dev: {format: phrasebook, split: dev, max_pairs: 12}
  test:
    held_out: {format: phrasebook, split: test, max_pairs: 12}
  max_length: 48
tokenizer: {vocab_size: 400}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, ffn_dim: 32, num_heads: 2, dropout: 0.2}
optim:
  schedule: {peak_lr: 1e-2, warmup_steps: 8}
training:
  batch_tokens: 768
  accumulation: 2
  max_steps: 24
  log_every_steps: 2
  validate_every_steps: 4
  keep_checkpoints: 2
  average_checkpoints: 2
  ema_decay: 0.8
decoding: {beam_size: 2, max_length_ratio: 1.0, max_length_constant: 3}
evaluation: {num_samples: 1, tokenize: char}
runtime: {device: cpu, precision: fp32, threads: 1, run_folder: run, cache_folder: cache}
"""

PHASES: dict[str, list[tuple[Any, str]]] = {
    "tokenizing": [(prepare, "train_tokenizers")],
    "encoding": [(prepare, "encode_corpus")],
    "training": [(train, "train_step")],
    "validating": [(Validator, "validate")],
    "saving": [(learner, "save_checkpoint"), (RunFolder, "prune"), (milestones, "save_checkpoint")],
    "scoring": [(train, "_final_scores")],
}
"""What a phase is: inside of these functions."""

ELSEWHERE = "between them"
MOST_TRIES = 200
"""Starts of one run; a run that needs more gets nowhere."""


class Phases:
    """The phase that a child is in, and how often it came to each: in memory that its parent reads."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._layout = struct.Struct(f"{1 + len(PHASES)}i")

    def reset(self) -> None:
        """For a new child."""
        self._write([-1] + [0] * len(PHASES))

    @property
    def now(self) -> str:
        """Where the child is."""
        index = self._read()[0]
        return ELSEWHERE if index < 0 else list(PHASES)[index]

    def entered(self, phase: str) -> int:
        """How often the child came there."""
        return self._read()[1 + list(PHASES).index(phase)]

    def watch(self, durations: dict[str, list[float]]) -> None:
        """In the child: tell the parent from now on. How long each phase took is added to `durations`."""
        for index, (phase, places) in enumerate(PHASES.items()):
            for owner, name in places:
                setattr(owner, name, self._watched(getattr(owner, name), index, durations.setdefault(phase, [])))

    def _watched(self, function: Callable[..., Any], index: int, durations: list[float]) -> Callable[..., Any]:
        @wraps(function)
        def watched(*arguments: Any, **settings: Any) -> Any:
            state = self._read()
            outer, state[0] = state[0], index
            state[1 + index] += 1
            self._write(state)
            start = time.monotonic()
            try:
                return function(*arguments, **settings)
            finally:
                durations.append(time.monotonic() - start)
                self._write([outer, *self._read()[1:]])

        return watched

    def _read(self) -> list[int]:
        return list(self._layout.unpack_from(self._memory))

    def _write(self, state: list[int]) -> None:
        self._layout.pack_into(self._memory, 0, *state)


def start(folder: Path, phases: Phases, *, tell_durations: bool = False) -> int:
    """Start mt-train in a folder, in a process of its own; returns the process id."""
    phases.reset()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.chdir(folder)
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        durations: dict[str, list[float]] = {}
        phases.watch(durations)
        sys.argv = ["mt-train", "--config", "small.yaml"]
        try:
            mt_train()
        except SystemExit as end:
            status = int(end.code or 0)
        if tell_durations:
            Path("durations.json").write_text(json.dumps(durations))
    finally:
        os._exit(status)


def kill_at(child: int, phases: Phases, phase: str, number: int, delay: float) -> str | int:
    """Kill a child so many seconds after it came to a phase for the n-th time.

    Returns:
        The phase that it was in, or its exit status if it ended before.
    """
    while phases.entered(phase) < number:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    time.sleep(delay)
    os.kill(child, signal.SIGSTOP)  # so that what is read now is where it dies
    now = phases.now
    os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return now if status == -signal.SIGKILL else status


def new_folder(folder: Path) -> Path:
    """A folder with the config, ready for mt-train."""
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text(CONFIG, encoding="utf-8")
    return folder


def differences(folder: Path, expected: Path) -> list[str]:
    """The files of a run that are not those of another one, but for what tells of time and place."""
    found, wanted = (dict(_contents(each)) for each in (folder, expected))
    different = [name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]
    damaged = [finding.name for finding in verify_run(folder) if not finding.is_intact]
    return [*different, *(f"{name} (damaged)" for name in damaged)]


def _contents(run: Path) -> list[tuple[str, Any]]:
    contents: list[tuple[str, Any]] = [("tensorboard", _scalars(run / "tensorboard"))]
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name = path.relative_to(run).as_posix()
        content: Any = path.read_bytes()
        if name.startswith("tensorboard/") or name == "environment.json":
            continue
        if name.endswith("MANIFEST.json"):  # it has the hash of state.json
            content = {key: value for key, value in json.loads(content).items() if key not in ("files", "sha256")}
        elif name.endswith("state.json"):
            content = json.loads(content)
            content.get("progress", {}).pop("seconds", None)
        elif name == "timing.jsonl":
            content = [(each["step"], each["part"]) for each in map(json.loads, content.splitlines())]
        elif name.startswith("evaluation/") and name.endswith(".json"):
            content = json.loads(content)
            content.pop("seconds")
        contents.append((name, content))
    return contents


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of every start that it finds
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.endswith(("/seconds", "/tokens_per_second", "/mfu"))]
    return {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in tags}


def left_alone(out: Path, phases: Phases) -> tuple[Path, dict[str, list[float]]]:
    """A run as a user starts it, and how long the phases of a fork take; both must end alike."""
    expected = new_folder(out / "left_alone")
    command = [sys.executable, "-m", "mt_trainer.cli.train", "--config", "small.yaml"]
    subprocess.run(command, cwd=expected, check=True, capture_output=True)
    forked = new_folder(out / "forked")
    status = os.waitstatus_to_exitcode(os.waitpid(start(forked, phases, tell_durations=True), 0)[1])
    if status or (different := differences(forked / "run", expected / "run")):
        sys.exit(f"a fork that was not killed ends with {status or different}; see {forked / 'output.txt'}")
    return expected / "run", json.loads((forked / "durations.json").read_text())


def kill_test(kills: int, seed: int, out: Path) -> bool:
    """Kill so many times; prints where, and returns whether every run ended as it should."""
    rng, phases, where = random.Random(seed), Phases(), Counter[str]()
    expected, durations = left_alone(out, phases)
    num_runs, num_started, failures = 0, 0, list[str]()
    while sum(where.values()) < kills and not failures:
        num_runs += 1
        folder = new_folder(out / f"run_{num_runs:04d}")
        for tries in itertools.count(1):
            num_started += 1
            child = start(folder, phases)
            if sum(where.values()) < kills:
                # a new run comes through all phases: the first kill goes where there were fewest
                phase = rng.choice(list(PHASES)) if tries > 1 else min(PHASES, key=where.__getitem__)
                number = rng.randint(1, max(1, len(durations[phase]) // 2))  # few enough to come before the end, mostly
                ended = kill_at(child, phases, phase, number, rng.random() * rng.choice(durations[phase]))
            else:
                ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if isinstance(ended, int):
                break
            where[ended] += 1
            print(f"\r{sum(where.values())} of {kills} kills", end="", file=sys.stderr, flush=True)
            if tries == MOST_TRIES:
                break
        if ended:
            failures.append(f"{folder}: ended with {ended} after {tries} starts; see {folder / 'output.txt'}")
        elif different := differences(folder / "run", expected):
            failures.append(f"{folder}: not as if left alone: {', '.join(different)}")
        else:
            shutil.rmtree(folder)
    print(file=sys.stderr)
    print(f"kills      {sum(where.values())}, seed {seed}; {num_started} starts of {num_runs} runs")
    for phase in (*PHASES, ELSEWHERE):
        print(f"  {phase:<12} {where[phase]:>4}")
    same = num_runs - len(failures)
    print(f"identical  {same} of {num_runs} runs: weights, optimizer, log, translations, scores, TensorBoard")
    for failure in failures:
        print(f"failed     {failure}")
    return not failures


def main() -> None:
    """Read the command line; the exit status is 0 when all runs ended alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="mt_trainer-kill-test-"))
    is_well = kill_test(options.kills, options.seed, out.absolute())
    if is_well and options.out is None:
        shutil.rmtree(out)
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    main()
