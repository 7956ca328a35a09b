import pytest
import torch

from mt_trainer.objectives.formulas.priors import (
    group_prior,
    piece_groups,
    smoothing_prior,
    target_side_prior,
    unigram_prior,
)

COUNTS = torch.tensor([0, 1, 4, 0, 9, 16])


@pytest.mark.parametrize("pad_id", [-100, -1, 5])
def test_a_prior_without_padding_needs_padding_in_the_vocabulary(pad_id: int) -> None:
    with pytest.raises(ValueError, match="needs a pad_id from 0 to 4"):
        smoothing_prior("no_pad", vocab_size=5, pad_id=pad_id)
    assert smoothing_prior("torch", vocab_size=5, pad_id=pad_id).tolist() == [0.2] * 5


def test_the_unigram_prior_by_hand() -> None:
    assert unigram_prior(COUNTS, temperature=1.0).tolist() == pytest.approx([n / 30 for n in COUNTS.tolist()])
    # Square roots, of which nothing stays nothing.
    assert unigram_prior(COUNTS, temperature=2.0).tolist() == pytest.approx([0, 0.1, 0.2, 0, 0.3, 0.4])


def test_at_a_low_temperature_the_most_frequent_piece_gets_all() -> None:
    prior = unigram_prior(10**6 * COUNTS, temperature=1e-3)
    assert prior.tolist() == pytest.approx([0, 0, 0, 0, 0, 1])


def test_a_high_temperature_makes_the_unigram_prior_that_of_the_target_side() -> None:
    target_side = target_side_prior(COUNTS)
    assert target_side.tolist() == [0, 0.25, 0.25, 0, 0.25, 0.25]
    torch.testing.assert_close(unigram_prior(COUNTS, temperature=1e9), target_side)


def test_pieces_are_grouped_by_where_they_occur() -> None:
    groups = piece_groups(torch.tensor([3, 0, 5, 0]), torch.tensor([2, 7, 0, 0]))
    assert groups == ["common", "target", "source", "none"]


def test_each_group_gets_its_share_evenly() -> None:
    prior = group_prior(["none", "target", "source", "target"], shares={"target": 0.8, "source": 0.2})
    assert prior.tolist() == pytest.approx([0, 0.4, 0.2, 0.4])


@pytest.mark.parametrize(
    "prior",
    [
        smoothing_prior("no_pad", vocab_size=32000, pad_id=0),
        unigram_prior(torch.arange(32000), temperature=20.0),
        target_side_prior(torch.arange(32000) % 7),
    ],
    ids=["no_pad", "unigram", "target_side"],
)
def test_a_prior_is_exact_and_sums_to_one(prior: torch.Tensor) -> None:
    assert prior.dtype == torch.float64
    assert prior.sum().item() == pytest.approx(1, abs=1e-12)
    assert prior[0] == 0
