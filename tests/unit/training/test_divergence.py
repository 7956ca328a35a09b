"""When a run has diverged: the budget of skipped steps, the perplexity of training and dev, by hand."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mt_trainer.config.training import TrainingConfig
from mt_trainer.data.loader import Position
from mt_trainer.errors import DivergedError
from mt_trainer.files import EMPTY
from mt_trainer.objectives import LossSums
from mt_trainer.training.diverging.divergence import DivergenceWatch, Taken, require_finite
from mt_trainer.training.progress import Progress, Stretch
from mt_trainer.training.records import Records, Window
from mt_trainer.training.step import StepResult


def result(*, is_finite: bool = True, nll: float = 2.0) -> StepResult:
    ten = torch.tensor(10)
    sums = LossSums(torch.tensor(10 * nll), torch.tensor(10 * nll), ten, ten, None, None, None, None)
    return StepResult(sums, torch.tensor(1.0), torch.tensor(is_finite))


def stretch(step: int) -> Stretch:
    return Stretch(Position(0, step - 1), Position(0, step))


Watched = Callable[..., "Trial"]


class Trial:
    """A watch over made-up steps of one epoch."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.records = Records(folder, log=EMPTY, step=0)
        self.watch = DivergenceWatch(TrainingConfig(**limits), self.records, self.said.append)
        self.progress, self.window = Progress(), Window()

    def take(self, *results: StepResult) -> None:
        for each in results:
            step = self.progress.step + 1
            self.window.add(each)
            self.watch.add(Taken(step, stretch(step), each))
            self.progress = self.progress.after_step(position=Position(0, step), num_tokens=10, seconds=0.0)

    def look(self, *, is_log_line: bool = True) -> Any:
        self.progress, divergence = self.watch.look(self.progress, self.window.read(), is_log_line=is_log_line)
        if is_log_line:
            self.window = Window()
        return divergence

    def validated(self, dev_nll: float = 2.0) -> None:
        self.progress = self.progress.after_validation(1.0, dev_nll=dev_nll)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Trials, each in a folder of its own, with limits such as max_skipped_steps=3."""
    trials: list[Trial] = []

    def begin(**limits: Any) -> Trial:
        folder = tmp_path / str(len(trials))
        folder.mkdir()
        trials.append(Trial(folder, **limits))
        return trials[-1]

    yield begin
    for trial in trials:
        trial.records.close()


def test_each_skipped_step_is_recorded_and_told_once(watched: Watched) -> None:
    trial = watched(max_skipped_steps=3)
    trial.take(result(), result(is_finite=False), result())
    assert trial.look(is_log_line=False) is None
    trial.take(result(is_finite=False))
    assert trial.look() is None
    assert trial.look(is_log_line=False) is None
    assert trial.progress.skipped == (stretch(2), stretch(4))
    assert [line.partition(":")[0] for line in trial.said] == ["step 2 is skipped", "step 4 is skipped"]
    assert trial.said[1].endswith("(2 of 3 borne)")
    lines = [json.loads(line) for line in (trial.folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["part"], line["number"]) for line in lines] == [(2, "skipped", 1), (4, "skipped", 2)]
    timing = [json.loads(line) for line in (trial.folder / "timing.jsonl").read_text().splitlines()]
    assert timing == [{"step": 2, "part": "skipped"}, {"step": 4, "part": "skipped"}]


def test_one_more_than_the_budget_is_a_divergence_wherever_it_is_looked_at(watched: Watched) -> None:
    """Later steps play no part: an interrupted run, which looks earlier, must decide the same."""
    for looks in ((), (2,), (1, 2, 3)):
        trial = watched(max_skipped_steps=1)
        divergence = None
        for step in range(1, 6):
            trial.take(result(is_finite=False))
            if step in looks and divergence is None:
                divergence = trial.look(is_log_line=False)
        divergence = divergence or trial.look()
        assert divergence is not None
        assert divergence.step == 2
        assert divergence.left_out == (stretch(1), stretch(2))
        assert divergence.taken.stretch == stretch(2)
        assert "step 2 is not finite, nor were those of 1 step before it" in divergence.reason


@pytest.mark.parametrize(("rise", "diverged"), [(math.log(20) - 1e-3, False), (math.log(20) + 1e-3, True)])
def test_the_perplexity_of_a_log_window(watched: Watched, rise: float, diverged: bool) -> None:
    trial = watched()
    trial.take(result(nll=2.0))
    assert trial.look() is None
    trial.take(result(nll=99.0))
    assert trial.look() is None, "before the first validation nothing is known to be good"
    trial = watched()
    trial.take(result(nll=2.0))
    trial.look()
    trial.validated()
    trial.take(result(nll=2.5))
    assert trial.look() is None
    trial.take(result(nll=2 + rise), result(nll=2 + rise))
    assert trial.look(is_log_line=False) is None, "the window is not over"
    divergence = trial.look()
    assert (divergence is not None) == diverged
    if divergence is not None:
        assert divergence.left_out == (Stretch(Position(0, 2), Position(0, 4)),)
        assert divergence.reason.endswith("before the last validation 7.389")


def test_a_window_whose_steps_were_all_skipped_says_nothing_of_the_perplexity(watched: Watched) -> None:
    trial = watched()
    trial.take(result())
    trial.look()
    trial.validated()
    trial.take(result(is_finite=False, nll=math.nan))
    assert trial.look() is None
    assert (trial.progress.nll, trial.progress.logged) == (2.0, Position(0, 2))


def test_no_ratio_no_judgement(watched: Watched) -> None:
    trial = watched(max_ppl_ratio=None)
    trial.take(result())
    trial.look()
    trial.validated()
    trial.take(result(nll=500.0))
    assert trial.look() is None
    assert trial.watch.judge_dev(trial.progress, 500.0) is None


@pytest.mark.parametrize(("nll", "diverged"), [(2.0, False), (4.9, False), (5.1, True), (math.nan, True), (1e9, True)])
def test_the_perplexity_on_dev(watched: Watched, nll: float, diverged: bool) -> None:
    trial = watched(max_ppl_ratio=20.0)
    trial.take(result())
    trial.look()
    assert (trial.watch.judge_dev(trial.progress, nll) is not None) == (not math.isfinite(nll)), "there is none before"
    trial.validated()
    divergence = trial.watch.judge_dev(trial.progress, nll)
    assert (divergence is not None) == diverged
    if divergence is not None:
        assert divergence.left_out[0].end == Position(0, 1)


def test_going_back_passes_over_what_comes_after_the_checkpoint() -> None:
    checkpoint = Progress(step=4, position=Position(0, 4), skipped=(stretch(2),))
    diverged = Progress(step=9, position=Position(0, 9), seconds=5.0, num_roll_backs=1, left_out=(stretch(5),))
    after = diverged.going_back(checkpoint, (stretch(2), Stretch(Position(0, 3), Position(0, 6)), stretch(9)))
    assert after.left_out == (stretch(5), Stretch(Position(0, 4), Position(0, 6)), stretch(9))
    assert (after.step, after.seconds, after.num_roll_backs, after.skipped) == (4, 5.0, 2, (stretch(2),))
    passed = [place for place in range(12) if after.passing(Position(0, place)).is_left_out]
    assert passed == [4, 5, 8]
    assert not after.passing(Position(1, 4)).is_left_out, "the next epoch has all of it"
    assert Progress.from_json(json.loads(json.dumps(after.to_json()))) == after


def test_a_dry_run_bears_none() -> None:
    require_finite(result(), 1)
    with pytest.raises(DivergedError, match="step 3 is not finite"):
        require_finite(result(is_finite=False), 3)
