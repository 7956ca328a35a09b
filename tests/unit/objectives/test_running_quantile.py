"""The running quantile against the official loss dropper and numpy."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mt_trainer.objectives.running_quantile import RunningQuantile


def feed(quantile: RunningQuantile, *steps: list[float]) -> RunningQuantile:
    for scores in steps:
        quantile.add(torch.tensor(scores))
        quantile.end_step()
    return quantile


def test_it_has_the_cutoffs_of_the_official_loss_dropper(golden: Any) -> None:
    """Where that takes its quantile anew, in its third and sixth batch, ours after the same batches is equal."""
    recorded = golden.content["loss_truncation"]
    settings, cutoffs = recorded["settings"], recorded["cutoff"]
    quantile = RunningQuantile(settings["recompute"])
    thresholds = []
    for losses in recorded["losses"]:
        feed(quantile, losses)
        thresholds.append(quantile.threshold(fraction=settings["dropc"], min_count=settings["min_count"]).item())
    assert np.isnan(thresholds[0])
    for batch in (2, 5):
        assert cutoffs[batch] != cutoffs[batch - 1]
        assert thresholds[batch] == pytest.approx(cutoffs[batch], rel=1e-6)
    # In the batch after it, what lies at the cutoff or above is left out there; by the rule below, here as well.
    for batch in (3, 6):
        kept = ~(torch.tensor(recorded["losses"][batch]) >= thresholds[batch - 1])
        assert kept.float().tolist() == recorded["masks"][batch]


def test_by_hand() -> None:
    """Of 1, 2, 3, 4, 5 a quarter lies above 4; a fraction of 0.3 is 0.8 of the way from 3 to 4."""
    quantile = feed(RunningQuantile(10), [5, 1], [2, 4, 3])
    assert quantile.threshold(fraction=0.25, min_count=5).item() == 4
    assert quantile.threshold(fraction=0.3, min_count=1).item() == pytest.approx(3.8)
    assert quantile.threshold(fraction=0.25, min_count=6).isnan()
    assert quantile.threshold(fraction=0.0, min_count=1).isnan()


@pytest.mark.parametrize("sizes", [[3, 3, 3], [7, 1, 20], [5], [25, 2], [0, 4, 0]])
def test_only_the_newest_scores_count(sizes: list[int]) -> None:
    rng = np.random.default_rng(3)
    steps = [rng.normal(size=size).astype(np.float32) for size in sizes]
    quantile = feed(RunningQuantile(5), *(step.tolist() for step in steps))
    newest = np.concatenate(steps)[-5:]
    assert quantile.threshold(fraction=0.4, min_count=1).item() == pytest.approx(np.percentile(newest, 60), rel=1e-6)
    assert quantile.count.item() == sum(sizes)


def test_nothing_changes_within_a_step() -> None:
    quantile = feed(RunningQuantile(6), [1, 2, 3, 4])
    before = quantile.threshold(fraction=0.5, min_count=1).item()
    quantile.add(torch.tensor([100.0, 200.0]))
    assert quantile.threshold(fraction=0.5, min_count=1).item() == before == 2.5
    quantile.add(torch.tensor([300.0]))
    quantile.end_step()
    assert quantile.threshold(fraction=0.5, min_count=1).item() == 52  # of 2, 3, 4, 100, 200, 300


@pytest.mark.parametrize("cut", [0, 1, 4, 7])
def test_a_step_in_parts_is_the_step(cut: int) -> None:
    scores = torch.arange(7.0).sin()
    whole, split = feed(RunningQuantile(5), [3, 4]), feed(RunningQuantile(5), [3, 4])
    whole.add(scores)
    split.add(scores[:cut])
    split.add(scores[cut:])
    whole.end_step()
    split.end_step()
    assert_same(whole, split)


def assert_same(a: RunningQuantile, b: RunningQuantile) -> None:
    """Empty places are NaN in both."""
    states: list[dict[str, Tensor]] = [dict(each.state_dict()) for each in (a, b)]
    assert states[0].keys() == states[1].keys() == {"scores", "count"}
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0, equal_nan=True)


def test_its_state_is_all_there_is() -> None:
    straight, resumed = feed(RunningQuantile(5), [3, 4, 1]), RunningQuantile(5)
    resumed.load_state_dict(straight.state_dict())
    for each in (straight, resumed):
        feed(each, [9, 8], [7, 6, 5])
    assert_same(straight, resumed)


def test_scores_carry_no_graph() -> None:
    quantile = RunningQuantile(3)
    quantile.add(torch.ones(2, dtype=torch.float64, requires_grad=True) * 2)
    quantile.end_step()
    assert quantile.scores.dtype == torch.float32
    assert not quantile.threshold(fraction=0.5, min_count=1).requires_grad


@pytest.mark.parametrize("scores", [[float("nan")] * 7, [float("inf")], []], ids=str)
def test_the_scores_of_a_skipped_step_are_forgotten(scores: list[float]) -> None:
    """As a flag of Python or of the device; what comes after goes where it would have gone."""
    for flag in (False, torch.tensor(False)):
        straight, skipping = feed(RunningQuantile(5), [3, 4, 1]), feed(RunningQuantile(5), [3, 4, 1])
        skipping.add(torch.tensor(scores))
        skipping.end_step(is_finite=flag)
        assert_same(straight, skipping)
        for each in (straight, skipping):
            feed(each, [9, 8, 7])
        assert_same(straight, skipping)
