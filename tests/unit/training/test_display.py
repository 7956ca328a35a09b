"""Durations, samples and the plain lines of a run without a terminal."""

import math

import pytest

from mt_trainer.data.evaluation_sets import EvalSet
from mt_trainer.training.display import ProgressDisplay, duration, samples_text, spread_samples
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


def test_without_a_terminal_a_log_point_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay() as display:
        display.log(
            Progress(step=50),
            {"loss": 3.25, "nll": 3.0, "lr": 1e-3},
            tokens_per_second=1234.0,
            fraction=0.5,
            seconds_left=30,
        )
    assert capsys.readouterr().err == (
        "step      50  epoch   1  loss 3.2500  nll 3.0000  lr 1.00e-03      1,234 tok/s  eta 30 s\n"
    )
