"""Durations, samples and the plain lines of a run without a terminal."""

import math
import os
import pty
import sys
from types import SimpleNamespace
from typing import cast

import pytest

from mt_trainer.config.training import TrainingConfig
from mt_trainer.data.corpus import Corpus
from mt_trainer.data.evaluation_sets import EvalSet
from mt_trainer.training.display import ProgressDisplay, duration, expected_time, samples_text, spread_samples
from mt_trainer.training.progress import Progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (41 * 60, "41 min"),
        (59.6 * 60, "1 h 00 min"),
        (3 * 3600 + 5 * 60, "3 h 05 min"),
        (100 * 3600, "100 h 00 min"),
        (math.inf, "unknown"),
        (math.nan, "unknown"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


CORPUS = cast(Corpus, SimpleNamespace(num_target_tokens=1000))


def test_the_expected_time_counts_epochs_by_their_tokens() -> None:
    """Half an epoch in ten seconds: the other three and a half of four take 70."""
    limits = TrainingConfig(max_epochs=4)
    now = Progress(step=5, num_tokens=500, seconds=10.0)
    text = expected_time(now, limits, CORPUS, since=Progress())
    assert text == "expected   70 s of training at 50 target tokens/s\n"


def eval_set(size: int) -> EvalSet:
    return EvalSet("dev", [f"s{i}" for i in range(size)], [f"t{i}" for i in range(size)], "")


def test_samples_are_evenly_spread() -> None:
    samples = spread_samples(eval_set(10), [f"h{i}" for i in range(10)], number=5)
    assert [tuple(sample) for sample in samples] == [(f"s{i}", f"t{i}", f"h{i}") for i in (0, 2, 4, 6, 8)]
    assert samples_text(samples[:1]) == "source       s0\nreference    t0\ntranslation  h0\n"


def test_no_samples() -> None:
    assert spread_samples(eval_set(3), ["h"] * 3, number=0) == ()


def test_no_more_samples_than_sentences() -> None:
    assert [sample.src for sample in spread_samples(eval_set(2), ["a", "b"], number=5)] == ["s0", "s1"]


def test_a_rank_that_is_not_the_main_one_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(Progress(), TrainingConfig(), CORPUS, is_silent=True) as display:
        display.say("a line")
        display.log(Progress(step=1), {"loss": 1.0, "nll": 1.0, "lr": 1.0}, tokens_per_second=1.0, mfu=0.5)
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_a_log_point_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    limits = TrainingConfig(max_steps=100)
    with ProgressDisplay(Progress(step=10, seconds=100.0), limits, CORPUS) as display:
        line = {"loss": 3.25, "nll": 3.0, "lr": 1e-3}
        display.log(Progress(step=50, seconds=124.0), line, tokens_per_second=1234.0, mfu=0.576)
    assert capsys.readouterr().err == (
        "step      50  epoch   1  loss 3.2500  nll 3.0000  lr 1.00e-03      1,234 tok/s  mfu  58 %  eta 30 s\n"
    )


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_run_goes_on_without_its_lines(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    """As in `mt-train 2>&1 | tee log` when tee ends, and on a terminal that closes without a signal."""
    read_end, write_end = pty.openpty() if is_terminal else os.pipe()
    line = {"loss": 3.25, "nll": 3.0, "lr": 1e-3}
    with os.fdopen(write_end, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with ProgressDisplay(Progress(), TrainingConfig(max_steps=100), CORPUS) as display:
            os.close(read_end)
            for step in (1, 2):
                display.log(Progress(step=step, seconds=1.0), line, tokens_per_second=1.0, mfu=0.5)
                display.say("a line")
