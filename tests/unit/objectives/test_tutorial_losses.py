from typing import Any

import pytest
import torch
from torch import nn

from mt_trainer.objectives import LabelSmoothingCrossEntropy, LabelSmoothingLoss

CASES = [
    ("seed_ce_eps0.0", LabelSmoothingCrossEntropy, 0.0),
    ("seed_ce_eps0.1", LabelSmoothingCrossEntropy, 0.1),
    ("seed_kl_eps0.1", LabelSmoothingLoss, 0.1),
]


@pytest.mark.parametrize(("case", "loss_class", "smoothing"), CASES)
def test_the_tutorial_classes_give_the_values_of_the_tutorial(
    golden: Any, in_float64: None, case: str, loss_class: Any, smoothing: float
) -> None:
    logits = golden.logits.clone().requires_grad_()
    module: nn.Module = loss_class(11, smoothing=smoothing, pad_id=0)
    loss = module(logits.view(3, 3, 11), golden.labels.view(3, 3))
    value, gradient = golden.expected(case)

    assert loss.item() == pytest.approx(value, rel=1e-10)
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], gradient, rtol=1e-10, atol=1e-12)
    assert module.state_dict() == {}


@pytest.mark.parametrize("loss_class", [LabelSmoothingCrossEntropy, LabelSmoothingLoss])
def test_padding_alone_gives_zero_with_a_graph(loss_class: Any) -> None:
    logits = torch.randn(4, 11, requires_grad=True)
    loss = loss_class(11)(logits, torch.zeros(4, dtype=torch.int64))
    assert loss.item() == 0
    assert torch.autograd.grad(loss, logits)[0].eq(0).all()


@pytest.mark.parametrize("loss_class", [LabelSmoothingCrossEntropy, LabelSmoothingLoss])
def test_smoothing_out_of_range_is_refused(loss_class: Any) -> None:
    with pytest.raises(ValueError, match="0 <= smoothing < 1"):
        loss_class(11, smoothing=1.0)


def test_padding_may_lie_outside_the_vocabulary(golden: Any) -> None:
    logits, labels = golden.logits.float(), golden.labels.masked_fill(~golden.mask, -100)
    loss = LabelSmoothingCrossEntropy(11, smoothing=0.1, pad_id=-100)(logits, labels)
    torch.testing.assert_close(loss, nn.functional.cross_entropy(logits, labels, label_smoothing=0.1))
