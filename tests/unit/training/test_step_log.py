"""Speed in the log lines: tokens a second and the share of the floor, also where a run goes on inside a window."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from mt_trainer.data.lengths import LengthSums
from mt_trainer.data.loader import Position
from mt_trainer.files import EMPTY
from mt_trainer.objectives import LossSums
from mt_trainer.training.display import ProgressDisplay
from mt_trainer.training.floor import Floor, Operations
from mt_trainer.training.progress import Progress
from mt_trainer.training.records import Records, Window
from mt_trainer.training.step import StepResult
from mt_trainer.training.step_log import StepLog

FLOOR = Floor(Operations(src=10, tgt=30, src_src=1, tgt_tgt=0, tgt_src=0), rate=1000.0)
LENGTHS = LengthSums(src=20, tgt=10, src_src=100)
"""600 operations: 0.6 s."""


def result(*, is_finite: bool = True) -> StepResult:
    one = torch.tensor(1.0)
    sums = LossSums(one, one, one, one, entropy=None, confidence=None, weight=None, num_at_floor=None)
    return StepResult(sums, one, torch.tensor(is_finite))


class Trial:
    """A log, and the run that it is of: its steps have 10 target tokens each."""

    def __init__(self, folder: Path, progress: Progress, window: Window) -> None:
        self.shown: list[dict[str, float]] = []
        display = SimpleNamespace(log=lambda progress, line, **speed: self.shown.append(speed))
        self.folder, self.progress = folder, progress
        self.records = Records(folder, log=EMPTY, step=progress.step)
        self.log = StepLog(window, progress, FLOOR, self.records, cast(ProgressDisplay, display))

    def step(self, *, at_seconds: float, is_finite: bool = True) -> None:
        self.log.add(result(is_finite=is_finite), LENGTHS)
        self.progress = self.progress.after_step(position=Position(), num_tokens=10, seconds=at_seconds)

    def write(self) -> dict[str, Any]:
        self.log.write(self.progress, self.log.window.read(), lr=0.1, parameters={})
        timing: dict[str, Any] = json.loads((self.folder / "timing.jsonl").read_text().splitlines()[-1])
        assert self.shown[-1] == {name: timing[name] for name in ("tokens_per_second", "mfu")}
        return timing


def test_speed_of_the_steps_since_the_last_line(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Progress(), Window())
    trial.step(at_seconds=2.0)
    trial.step(at_seconds=4.0)
    assert trial.write() == {
        "step": 2,
        "part": "train",
        "seconds": 4.0,
        "tokens_per_second": pytest.approx(5.0),
        "mfu": pytest.approx(2 * 0.6 / 4.0),
    }
    trial.step(at_seconds=5.0)
    assert trial.write()["mfu"] == pytest.approx(0.6 / 1.0)
    metrics = (tmp_path / "metrics.jsonl").read_text()
    assert "mfu" not in metrics
    assert "per_second" not in metrics


def test_validation_is_left_out(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Progress(), Window())
    trial.step(at_seconds=1.0)
    trial.log.leave_out(7.0)
    trial.step(at_seconds=9.0)
    line = trial.write()
    assert (line["tokens_per_second"], line["mfu"]) == (pytest.approx(10.0), pytest.approx(0.6))


def test_a_run_that_goes_on_inside_a_window_tells_the_speed_of_its_own_steps(tmp_path: Path) -> None:
    """The means are those of the whole window: two steps before it was stopped and one after."""
    before = Trial(tmp_path, Progress(), Window())
    before.step(at_seconds=100.0)
    before.step(at_seconds=200.0)
    before.records.close()
    after = Trial(tmp_path, before.progress, Window(before.log.window.read()))
    after.step(at_seconds=203.0)
    line = after.write()
    assert (line["tokens_per_second"], line["mfu"]) == (pytest.approx(10 / 3), pytest.approx(0.6 / 3))
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["loss"] == pytest.approx(3 / 3)


def test_a_step_that_was_skipped_took_its_time(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Progress(), Window())
    trial.step(at_seconds=1.0)
    trial.step(at_seconds=2.0, is_finite=False)
    assert trial.write()["mfu"] == pytest.approx(0.6)
