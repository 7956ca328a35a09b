import torch

from mt_trainer.objectives.loss_sums import LossSums, add_sums


def sums(loss: float, *, weight: float | None) -> LossSums:
    number = torch.tensor
    return LossSums(
        loss=number(loss, requires_grad=True),
        nll=number(2 * loss),
        num_correct=number(1),
        num_tokens=number(3),
        entropy=None,
        confidence=None,
        weight=None if weight is None else number(weight),
        num_at_floor=None,
    )


def test_adding_sums() -> None:
    total = add_sums(add_sums(None, sums(1.5, weight=0.5)), sums(2.0, weight=0.25))
    assert (total.loss.item(), total.nll.item(), total.num_correct.item(), total.num_tokens.item()) == (3.5, 7, 2, 6)
    assert total.weight is not None
    assert total.weight.item() == 0.75
    assert total.entropy is None
    assert not total.loss.requires_grad
