"""Sentences of packed tokens, worked by hand and against plain loops."""

import pytest
import torch
from torch import Tensor

from mt_trainer.objectives.sentences import number_sentences, previous_targets, sentence_means


def sets(ids: Tensor, weights: Tensor) -> list[set[int]]:
    assert set(weights.unique().tolist()) <= {0.0, 1.0}
    members = [row[weight == 1].tolist() for row, weight in zip(ids, weights, strict=True)]
    assert all(len(row) == len(set(row)) for row in members), "each piece once"
    return [set(row) for row in members]


def test_previous_targets_by_hand() -> None:
    # 7 8 7 7 8 9 | 5 5 | 7
    labels = torch.tensor([7, 8, 7, 7, 8, 9, 5, 5, 7])
    sentences = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2])
    ids, weights = previous_targets(labels, sentences)
    assert sets(ids, weights) == [set(), {7}, {8}, {8}, {7}, {7, 8}, set(), set(), set()]
    assert ids.shape == weights.shape == (9, 5)
    known = previous_targets(labels, sentences, longest=6)
    assert torch.equal(known[0], ids)
    assert torch.equal(known[1], weights)


def test_previous_targets_are_those_of_the_official_code(golden) -> None:  # type: ignore[no-untyped-def]
    """With sentences apart, as the recorded candidates have it; tokens 5 and 8 are padding."""
    candidates = golden.cases["unlikelihood_sum_alpha1"]["settings"]["candidates"]
    ids, weights = previous_targets(golden.labels, torch.arange(9) // 3)
    found = sets(ids, weights)
    expected = [set(row) for sentence in candidates for row in sentence]
    assert [row for i, row in enumerate(found) if i not in (5, 8)] == [
        row for i, row in enumerate(expected) if i not in (5, 8)
    ]


def test_previous_targets_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(2)
    labels = torch.randint(6, (200,), generator=generator)
    sentences = (torch.rand(200, generator=generator) < 0.1).long().cumsum(0)
    found = sets(*previous_targets(labels, sentences))
    for i in range(200):
        before = {int(labels[j]) for j in range(i) if sentences[j] == sentences[i]}
        assert found[i] == before - {int(labels[i])}


@pytest.mark.parametrize("sentences", [[], [0], [0, 1, 2]])
def test_nothing_stands_before(sentences: list[int]) -> None:
    ids, weights = previous_targets(torch.full((len(sentences),), 4), torch.tensor(sentences, dtype=torch.int64))
    assert ids.shape == (len(sentences), 1)
    assert ids.dtype == torch.int64
    assert weights.eq(0).all()
    known, _ = previous_targets(
        torch.full((len(sentences),), 4), torch.tensor(sentences, dtype=torch.int64), longest=min(1, len(sentences))
    )
    assert known.shape == ids.shape


def test_sentences_of_packed_rows_are_numbered_through() -> None:
    segments = torch.tensor([[1, 1, 2, 0], [0, 0, 0, 0], [1, 2, 2, 3]])
    numbers = number_sentences(segments)
    assert numbers[segments != 0].tolist() == [0, 0, 1, 2, 3, 3, 4]


def test_means_by_hand() -> None:
    values = torch.tensor([1.0, 3.0, 100.0, 5.0, 7.0, 50.0])
    mask = torch.tensor([True, True, False, True, True, False])
    means, counts = sentence_means(values, torch.tensor([0, 0, 0, 2, 2, 3]), mask)
    assert means.tolist() == [2, 0, 6, 0, 0, 0]
    assert counts.tolist() == [2, 0, 2, 0, 0, 0]
