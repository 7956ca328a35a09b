import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.config.objective import CrossEntropyConfig, LabelSmoothingConfig, TaiLrConfig
from mt_trainer.objectives import TranslationLoss, build_objective
from mt_trainer.objectives.token_inputs import Constants

TAILR = TaiLrConfig(name="tailr", gamma=0.1, min_weight=0.3, epsilon=0.1)


def make_inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(20, 6, generator=generator).requires_grad_()
    weight = torch.randn(13, 6, generator=generator).requires_grad_()
    labels = torch.randint(13, (20,), generator=generator)
    labels[[3, 8, 19]] = 0
    return hidden, weight, labels


def test_forward_gives_the_loss_of_the_tutorial(golden: Any, in_float64: None) -> None:
    logits = golden.logits.clone().requires_grad_()
    with_bos = torch.cat([torch.full((3, 1), 2), golden.labels.view(3, 3)], dim=1)
    outputs = TranslationLoss(11, pad_id=0, smoothing=0.1)(logits.view(3, 3, 11), with_bos)
    value, gradient = golden.expected("seed_ce_eps0.1")

    assert set(outputs) == {"loss", "nll_loss", "accuracy", "num_tokens"}
    assert outputs["loss"].item() == pytest.approx(value, rel=1e-10)
    torch.testing.assert_close(torch.autograd.grad(outputs["loss"], logits)[0], gradient, rtol=1e-10, atol=1e-12)
    assert outputs["nll_loss"].item() == pytest.approx(golden.expected("seed_ce_eps0.0")[0], rel=1e-10)
    assert outputs["accuracy"].item() == pytest.approx(2 / 7)  # rows 2 and 3; row 8 would be right, but is padding
    assert outputs["num_tokens"].item() == 7


@pytest.mark.parametrize(
    "config",
    [
        CrossEntropyConfig(name="cross_entropy"),
        LabelSmoothingConfig(name="label_smoothing", epsilon=0.2, convention="no_pad"),
        TAILR,
    ],
)
@pytest.mark.parametrize("with_diagnostics", [False, True])
def test_sums_equal_forward_times_its_tokens(config: Any, with_diagnostics: bool) -> None:
    hidden, weight, labels = make_inputs()
    loss = TranslationLoss(13, pad_id=0, objective=build_objective(config, vocab_size=13, pad_id=0))
    means = loss((hidden @ weight.t()).view(1, 20, 13), F.pad(labels, (1, 0), value=2).view(1, 21))
    sums = loss.sums(hidden, weight, labels, with_diagnostics=with_diagnostics, chunk_rows=7)

    num_tokens = means["num_tokens"].item()
    assert sums.num_tokens.item() == num_tokens == int((labels != 0).sum())
    assert sums.loss.item() == pytest.approx(means["loss"].item() * num_tokens, rel=1e-5)
    assert sums.nll.item() == pytest.approx(means["nll_loss"].item() * num_tokens, rel=1e-5)
    assert sums.num_correct.item() == pytest.approx(means["accuracy"].item() * num_tokens)
    torch.testing.assert_close(
        torch.autograd.grad(sums.loss, (hidden, weight)),
        torch.autograd.grad(means["loss"] * num_tokens, (hidden, weight)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_diagnostics_by_hand() -> None:
    # Two tokens with p = (1/4, 3/4) and (3/4, 1/4), and padding with any p; piece 1 is the label of both.
    log3 = math.log(3)
    sums = TranslationLoss(2, pad_id=0).sums(
        torch.tensor([[log3], [-log3], [5.0]]),
        torch.tensor([[0.0], [1.0]]),
        torch.tensor([1, 1, 0]),
        with_diagnostics=True,
    )
    assert sums.entropy is not None
    assert sums.confidence is not None
    assert sums.entropy.item() == pytest.approx(2 * (math.log(4) - 0.75 * log3))
    assert sums.confidence.item() == pytest.approx(1.5)
    assert sums.num_correct.item() == 1
    assert sums.nll.item() == pytest.approx(math.log(4 / 3) + math.log(4))
    assert (sums.weight, sums.num_at_floor) == (None, None)


def test_weights_of_tailr_by_hand() -> None:
    # p_y = 3/4: 0.75 / (0.1 + 0.9 * 0.75); p_y = 1/82: below the floor of 0.3
    objective = build_objective(TAILR, vocab_size=2, pad_id=0)
    sums = TranslationLoss(2, pad_id=0, objective=objective).sums(
        torch.tensor([[math.log(3)], [-math.log(81)], [5.0]]), torch.tensor([[0.0], [1.0]]), torch.tensor([1, 1, 0])
    )
    assert sums.weight is not None
    assert sums.num_at_floor is not None
    assert sums.weight.item() == pytest.approx(0.75 / 0.775 + 0.3)
    assert sums.num_at_floor.item() == 1
    assert (sums.entropy, sums.confidence) == (None, None)


def test_a_tie_counts_as_correct_unless_diagnostics_are_exact() -> None:
    arguments = (torch.zeros(1, 1), torch.ones(3, 1), torch.tensor([2]))
    assert TranslationLoss(3).sums(*arguments).num_correct.item() == 1
    assert TranslationLoss(3).sums(*arguments, with_diagnostics=True).num_correct.item() == 0


@pytest.mark.parametrize("num_tokens", [0, 4])
def test_a_batch_of_padding_gives_zeros_with_a_graph(num_tokens: int) -> None:
    hidden, weight = torch.randn(num_tokens, 6, requires_grad=True), torch.randn(13, 6, requires_grad=True)
    sums = TranslationLoss(13).sums(hidden, weight, torch.zeros(num_tokens, dtype=torch.int64), with_diagnostics=True)
    assert all(value.item() == 0 for value in sums if value is not None)
    for gradient in torch.autograd.grad(sums.loss, (hidden, weight)):
        assert gradient.eq(0).all()


def test_forward_on_padding_gives_zeros_with_a_graph() -> None:
    logits = torch.randn(2, 3, 13, requires_grad=True)
    outputs = TranslationLoss(13)(logits, torch.tensor([[2, 0, 0, 0]] * 2))
    assert [value.item() for value in outputs.values()] == [0, 0, 0, 0]
    assert torch.autograd.grad(outputs["loss"], logits)[0].eq(0).all()


def test_bfloat16_matmuls_keep_float32_sums() -> None:
    hidden, weight, labels = make_inputs()
    loss = TranslationLoss(13)
    exact = loss.sums(hidden, weight, labels)
    sums = loss.sums(hidden, weight, labels, matmul_dtype=torch.bfloat16)
    assert sums.loss.dtype == sums.nll.dtype == torch.float32
    assert sums.loss.item() == pytest.approx(exact.loss.item(), rel=5e-3)
    assert sums.loss.item() != exact.loss.item()


def test_constants_are_moved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    moves, move = [], Constants.to
    monkeypatch.setattr(Constants, "to", lambda *arguments: moves.append(arguments[1:]) or move(*arguments))
    hidden = make_inputs()[0]
    loss = TranslationLoss(13)
    loss.start_step(2)
    assert loss._constants(hidden.device, torch.float32) is loss._constants(hidden.device, torch.float32)
    assert moves == [(hidden.device, torch.float32)]
    assert loss.state_dict() == {}


def test_constants_keep_the_precision_they_were_built_in() -> None:
    loss = TranslationLoss(13)
    for dtype in (torch.float32, torch.float64):
        prior = loss._constants(torch.device("cpu"), dtype).prior
        assert prior is not None
        assert prior.tolist() == [torch.tensor(1 / 13, dtype=dtype).item()] * 13


@pytest.mark.parametrize("pad_id", [-100, 13, 12])
def test_padding_may_have_any_id(pad_id: int) -> None:
    """torch's own loss, with `ignore_index`, is the reference."""
    hidden, weight, labels = make_inputs()
    labels = labels.where(labels != 12, 0)
    labels[[3, 8, 19]] = pad_id
    logits = hidden @ weight.t()
    expected = F.cross_entropy(logits, labels, ignore_index=pad_id, label_smoothing=0.1, reduction="sum")
    loss = TranslationLoss(13, pad_id=pad_id, smoothing=0.1)
    sums = loss.sums(hidden, weight, labels, with_diagnostics=True)
    means = loss(logits.view(1, 20, 13), F.pad(labels, (1, 0), value=2).view(1, 21))

    assert sums.num_tokens.item() == means["num_tokens"].item() == 17
    assert sums.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert means["loss"].item() == pytest.approx(expected.item() / 17, rel=1e-5)
    assert sums.num_correct.item() == (logits.argmax(-1) == labels).sum().item()
    torch.testing.assert_close(
        torch.autograd.grad(sums.loss, (hidden, weight)), torch.autograd.grad(expected, (hidden, weight))
    )


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="0 <= smoothing < 1"):
        TranslationLoss(13, smoothing=1.5)
    objective = build_objective(CrossEntropyConfig(name="cross_entropy"), vocab_size=13, pad_id=0)
    with pytest.raises(ValueError, match="give one of them"):
        TranslationLoss(13, smoothing=0.1, objective=objective)
    with pytest.raises(ValueError, match=r"\[2, 4, 13\] do not fit target_ids \[2, 4\]"):
        TranslationLoss(13)(torch.zeros(2, 4, 13), torch.zeros(2, 4, dtype=torch.int64))
