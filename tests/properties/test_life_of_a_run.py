"""The life of a run, in whatever order things happen to it: the same samples once each, no step twice, the best stays.

Real training steps in this process. SIGKILL is an exception that nothing catches, raised out of a call that would reach
the disk; scripts/kill_test.sh kills real processes.
"""

import errno
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kill_test import new_folder
from mt_trainer.config import load_config
from mt_trainer.data.loader import Loader, Position
from mt_trainer.errors import CheckpointError, ExitCode
from mt_trainer.training import train as module
from mt_trainer.training.checkpoints.checkpoint import Checkpoint, score_on_dev, valid_checkpoints
from mt_trainer.training.train import train

MAX_STEPS = 14
SETTINGS = (
    f"training.max_steps={MAX_STEPS}",
    "training.batch_tokens=1536",
    "training.average_checkpoints=0",
    "training.keep_checkpoints=1",
)
CALLS = ("open", "write", "fsync", "rename", "mkdir")


class KilledError(BaseException):
    """Stands for SIGKILL: no `except Exception` and no `except OSError` sees it."""


class Project:
    """The folder that all runs of this file are started in, and what the run that was left alone did."""

    def __init__(self) -> None:
        self.folder = new_folder(Path(tempfile.mkdtemp(prefix="mt_trainer-life-")) / "work")
        self.ledger: dict[int, list[list[int]]] = {}
        self.num_pairs = 0
        assert self.live(self.folder / "alone") == "done"
        self.metrics = (self.folder / "alone/metrics.jsonl").read_bytes()
        self.end = contents(self.folder / "alone")

    def live(
        self,
        run: Path,
        *,
        at_step: Callable[[int], None] = lambda step: None,
        at_call: Callable[[str, int], None] = lambda name, number: None,
    ) -> str:
        """Start the run, or go on with it; how it ended: done, stopped, killed, or the code of an error.

        Each step is held against the ledger. `at_step` is called before each step, `at_call` before each call by which
        something below the run folder is written, with its number.
        """
        rows_of_step: list[list[int]] = []
        steps: list[int] = []
        deal, take_step = Loader._deal, module.train_step
        inside, number = dict[int, str](), 0

        def dealt(loader: Loader, pairs: Any, rows: list[list[int]], after: Position) -> Any:
            rows_of_step[:] = rows
            self.num_pairs = len(pairs.src_lengths)
            return deal(loader, pairs, rows, after)

        def step(*arguments: Any, **given: Any) -> Any:
            now = given["step"]
            assert not steps or now == steps[-1] + 1, "steps follow each other"
            steps.append(now)
            assert self.ledger.setdefault(now, list(rows_of_step)) == rows_of_step, "the samples of this step"
            at_step(now)
            return take_step(*arguments, **given)

        def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def calling(*arguments: Any, **given: Any) -> Any:
                nonlocal number
                place = inside.get(arguments[0]) if name in ("write", "fsync") else str(arguments[0])
                if place is not None and str(run) in place:
                    at_call(name, number)
                    number += 1
                result = call(*arguments, **given)
                if name == "open":
                    inside[result] = str(arguments[0])
                return result

            return calling

        before, threads = Path.cwd(), torch.get_num_threads()
        os.chdir(self.folder)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Loader, "_deal", dealt)
                patch.setattr(module, "train_step", step)
                for name in CALLS:
                    patch.setattr(os, name, watched(name, getattr(os, name)))
                outcome = train(load_config("small.yaml", SETTINGS), run, announce=lambda line: None)
            return "done" if outcome.exit_code == ExitCode.DONE else "stopped"
        except KilledError:
            return "killed"
        except CheckpointError as error:
            return error.problems[0].code
        finally:
            os.chdir(before)
            torch.set_num_threads(threads)
            torch.set_flush_denormal(False)


def contents(run: Path) -> dict[str, bytes]:
    """What a finished run must have, whatever happened to it."""
    newest = f"checkpoints/step_{MAX_STEPS:08d}"
    names = ("metrics.jsonl", f"{newest}/model.safetensors", f"{newest}/optimizer.safetensors")
    return {name: (run / name).read_bytes() for name in names}


_projects: list[Project] = []


def project() -> Project:
    """One for all tests; it is removed with the process's other temporary files."""
    if not _projects:
        _projects.append(Project())
    return _projects[0]


def test_an_epoch_has_every_pair_once() -> None:
    """What the ledger is worth: the steps of a whole epoch are a partition of the corpus."""
    seen: list[int] = []
    for step in sorted(project().ledger):
        seen += [pair for row in project().ledger[step] for pair in row]
    first = seen[: project().num_pairs]
    assert len(seen) > project().num_pairs, "more than an epoch"
    assert sorted(first) == list(range(project().num_pairs))


NOTHING = (float("-inf"), 0)


def worth(checkpoints: list[Checkpoint]) -> tuple[float, int]:
    """The score of the best of them; of equals the earlier one is worth more."""
    return max(((score_on_dev(each, "bleu"), -each.step) for each in checkpoints if each.is_validated), default=NOTHING)


class LifeOfARun(RuleBasedStateMachine):
    """Things that happen to a run, and what holds after each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.run = Path(tempfile.mkdtemp(dir=project().folder)) / "run"
        self.best = NOTHING
        self.newest = 0
        self.spoiled: set[str] = set()
        """Checkpoints that this test has damaged or deleted."""

    def valid(self) -> list[Checkpoint]:
        return valid_checkpoints(self.run / "checkpoints")[0]

    def live(self, **happens: Any) -> str:
        ended = project().live(self.run, **happens)
        if ended == "MT102":  # every checkpoint is damaged; the message says what to do
            assert self.valid() == []
            shutil.rmtree(self.run / "checkpoints")
            self.best, self.newest = NOTHING, 0
        return ended

    @rule(steps=st.integers(1, 6))
    def stopped_by_sigterm(self, steps: int) -> None:
        start = self.newest

        def ask(step: int) -> None:
            if step == start + steps:
                os.kill(os.getpid(), signal.SIGTERM)

        if self.live(at_step=ask) == "stopped":
            assert self.valid()[-1].step == start + steps
            self.spoiled.discard(f"step_{start + steps:08d}")

    @rule(steps=st.integers(1, 8))
    def killed_in_a_step(self, steps: int) -> None:
        start = self.newest

        def kill(step: int) -> None:
            if step == start + steps:
                raise KilledError

        self.live(at_step=kill)

    @rule(number=st.integers(0, 120))
    def killed_while_writing(self, number: int) -> None:
        def kill(name: str, call: int) -> None:
            if call == number:
                raise KilledError

        self.live(at_call=kill)

    @rule(number=st.integers(0, 120), calls=st.integers(1, 3))
    def full_disk(self, number: int, calls: int) -> None:
        failed = []

        def fail(name: str, call: int) -> None:
            if number <= call < number + calls and name in ("write", "fsync"):  # mkdir also meets folders that exist
                failed.append(call)
                raise OSError(errno.ENOSPC, "No space left on device")

        ended = self.live(at_call=fail)
        assert ended in (("MT103",) if failed else ("done", "MT102"))
        left = [path for path in self.run.rglob("*") if ".tmp-" in path.name or path.name.endswith(".unfinished")]
        assert not failed or left == []

    @precondition(lambda self: self.valid())
    @rule(
        which=st.integers(0, 9),
        name=st.sampled_from(["model.safetensors", "optimizer.safetensors", "state.json", "MANIFEST.json"]),
        place=st.floats(0, 1, exclude_max=True),
        how=st.sampled_from(["flip", "cut", "delete"]),
    )
    def damage(self, which: int, name: str, place: float, how: str) -> None:
        victim = self.valid()[which % len(self.valid())]
        path = victim.path / name
        content = bytearray(path.read_bytes())
        position = int(place * len(content))
        path.unlink()
        if how == "flip":
            content[position] ^= 1
            path.write_bytes(content)
        elif how == "cut":
            path.write_bytes(content[:position])
        self.spoil(victim)

    @precondition(lambda self: self.valid())
    @rule(which=st.integers(0, 9))
    def delete(self, which: int) -> None:
        victim = self.valid()[which % len(self.valid())]
        shutil.rmtree(victim.path)
        self.spoil(victim)

    def spoil(self, victim: Checkpoint) -> None:
        self.spoiled.add(victim.name)
        left = self.valid()
        assert victim.name not in [each.name for each in left], "damage is found"
        self.newest = left[-1].step if left else 0
        self.best = worth(left)

    @rule()
    def left_alone(self) -> None:
        if self.live() == "done":
            assert contents(self.run) == project().end

    @invariant()
    def nothing_is_lost(self) -> None:
        valid, damaged = valid_checkpoints(self.run / "checkpoints")
        names = [each.name for each in valid]
        self.spoiled -= set(names)  # written anew
        assert {Path(str(error.problems[0].where)).name for error in damaged} <= self.spoiled
        assert worth(valid) >= self.best, "the best is never lost, but to a better one"
        assert not valid or valid[-1].step >= self.newest, "steps only grow"
        self.newest = valid[-1].step if valid else 0
        self.best = worth(valid)

    @invariant()
    def the_log_is_the_beginning_of_the_one_of_a_run_left_alone(self) -> None:
        log = self.run / "metrics.jsonl"
        assert not log.exists() or project().metrics.startswith(log.read_bytes())

    def teardown(self) -> None:
        assert self.live() in ("done", "MT102")
        assert self.live() == "done"
        assert contents(self.run) == project().end
        shutil.rmtree(self.run)


PHASES = [Phase.generate]  # a shorter example would take many runs to find
NO_HURRY: dict[str, Any] = {
    "deadline": None,
    "phases": PHASES,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}

TestLifeOfARun = LifeOfARun.TestCase
TestLifeOfARun.settings = settings(max_examples=2, stateful_step_count=6, derandomize=True, **NO_HURRY)


@pytest.mark.slow
class TestManyLives(LifeOfARun.TestCase):  # type: ignore[name-defined,misc]
    """The same, longer and oftener."""

    settings = settings(max_examples=40, stateful_step_count=15, **NO_HURRY)
