import pytest
import torch

from mt_trainer.objectives.objective import TeacherPieces
from mt_trainer.objectives.projection.teacher_pieces import linear_teacher_pieces


def make_factors(num_tokens: int = 40, vocab_size: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    return torch.randn(num_tokens, 5, generator=generator), torch.randn(vocab_size, 5, generator=generator)


@pytest.mark.parametrize("logit_buffer_bytes", [None, 16 * 9 * 7])
def test_the_best_pieces_have_their_probabilities(logit_buffer_bytes: int | None) -> None:
    hidden, weight = make_factors()
    ids, weights = linear_teacher_pieces(
        hidden,
        weight,
        TeacherPieces(3, "top"),
        matmul_dtype=torch.float32,
        logit_buffer_bytes=logit_buffer_bytes,
    )
    probs = (hidden @ weight.t()).softmax(dim=-1)
    torch.testing.assert_close(weights, probs.sort(descending=True).values[:, :3])
    torch.testing.assert_close(weights, probs.gather(1, ids))


def test_there_are_no_more_pieces_than_the_vocabulary_has() -> None:
    hidden, weight = make_factors()
    ids, weights = linear_teacher_pieces(hidden, weight, TeacherPieces(100, "top"), matmul_dtype=torch.float32)
    assert ids.sort().values.tolist() == [list(range(9))] * 40
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(40))


def test_draws_follow_the_distribution_and_the_seed() -> None:
    hidden, weight = make_factors(2)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(linear_teacher_pieces(hidden, weight, TeacherPieces(20_000, "sample"), matmul_dtype=torch.float32))
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert not torch.equal(drawn[0][0], drawn[2][0])
    ids, weights = drawn[0]
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2))
    shares = torch.zeros(2, 9).scatter_add(1, ids, weights)
    torch.testing.assert_close(shares, (hidden @ weight.t()).softmax(dim=-1), rtol=0, atol=0.015)


@pytest.mark.parametrize("method", ["top", "sample"])
def test_no_tokens_no_pieces(method: str) -> None:
    hidden, weight = make_factors(0)
    pieces = TeacherPieces(4, method)  # type: ignore[arg-type]
    ids, weights = linear_teacher_pieces(hidden, weight, pieces, matmul_dtype=torch.bfloat16)
    assert ids.shape == weights.shape == (0, 4)
    assert (ids.dtype, weights.dtype) == (torch.int64, torch.float32)
