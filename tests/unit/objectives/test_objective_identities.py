"""Objectives that are another one in some limit, from the config to the gradient."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from mt_trainer.config.objective import ObjectiveConfig
from mt_trainer.objectives import logit_statistics
from mt_trainer.objectives.build import build_objective
from mt_trainer.objectives.objective import LogitPair, Objective
from mt_trainer.objectives.token_inputs import TokenInputs

V, N = 10, 16

CE = {"name": "cross_entropy"}
LS = {"name": "label_smoothing", "epsilon": 0.1}
PENALTY = {"name": "confidence_penalty"}
TAILR = {"name": "tailr", "gamma": 0.0, "min_weight": 0.2, "epsilon": 0.1}
ENT = {"name": "error_norm_truncation", "epsilon": 0.1, "convention": "torch"}
SHARES = {"target_share": 0.3, "common_share": 0.2, "source_share": 0.5}
GRADUATED = {"name": "graduated_label_smoothing"}
SPARSE = {"name": "sparse_distillation", "teacher": "run", "mix": 0.0}

# An objective, one that it is equal to, and by how much its value lies above.
SAME: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {
    "no mass": (LS | {"epsilon": 0.0}, CE, 0.0),
    "the others of V": (LS | {"convention": "fairseq", "epsilon": 0.09}, LS, 0.0),
    "the others without padding": (
        LS | {"convention": "no_pad", "epsilon": 0.08}, LS | {"epsilon": 0.09, "prior": "no_pad.txt"}, 0.0,
    ),
    "an even text": (LS | {"prior": "unigram"}, LS, 0.0),
    "a target side with all pieces": (LS | {"prior": "target_side"}, LS, 0.0),
    "the others of the target side": (
        LS | {"prior": "target_side", "convention": "fairseq"}, LS | {"convention": "fairseq"}, 0.0,
    ),
    "a prior from a file": (LS | {"prior": "even.txt"}, LS, 0.0),
    # (1 - e / V) LS(e / (1 - e / V)), less the entropy-like constant of its docstring
    "the tutorial's divergence": (
        LS | {"convention": "kl"},
        {"name": "weighted_label_smoothing", "alpha": 0.1, "groups": "groups.txt", **SHARES},
        0.9 * math.log(0.9) + 9 * 0.01 * math.log(0.01),
    ),
    "class weights of one": ({"name": "class_weighted", "weights": "ones.txt", "epsilon": 0.1}, LS, 0.0),
    "class weights of one, unsmoothed": ({"name": "class_weighted", "weights": "ones.txt", "epsilon": 0.0}, CE, 0.0),
    "groups without mass": ({"name": "weighted_label_smoothing", "alpha": 0.0, "groups": "groups.txt"}, CE, 0.0),
    "one epsilon for all": (
        GRADUATED | {"low_epsilon": 0.1, "middle_epsilon": 0.1, "high_epsilon": 0.1}, LS, 0.0,
    ),
    "all labels improbable": (GRADUATED | {"low_threshold": 1.0, "high_threshold": 1.0, "low_epsilon": 0.1}, LS, 0.0),
    "all labels probable": (GRADUATED | {"low_threshold": 0.0, "high_threshold": 0.0, "high_epsilon": 0.1}, LS, 0.0),
    "no penalty": (PENALTY | {"beta": 0.0}, CE, 0.0),
    "a threshold above all entropies": (
        PENALTY | {"beta": 0.5, "threshold": 3.0}, PENALTY | {"beta": 0.5}, 1.5,
    ),
    "a threshold below all entropies": (PENALTY | {"beta": 0.5, "threshold": 1e-9}, CE, 0.0),
    "an even text for the penalty": (
        PENALTY | {"beta": 0.5, "prior": "unigram"}, PENALTY | {"beta": 0.5}, 0.5 * math.log(V),
    ),
    "TaiLr without gamma": (TAILR, LS, 0.0),
    "TaiLr with a floor of one": (TAILR | {"gamma": 0.3, "min_weight": 1.0}, LS, 0.0),
    "TaiLr with gamma 1": (
        TAILR | {"gamma": 1.0}, {"name": "gold_delta", "min_weight": 0.2, "epsilon": 0.1}, 0.0,
    ),
    "MixCE of forward alone": ({"name": "mixce", "eta": 1.0}, CE, 0.0),
    "MixCE of reverse alone": (
        {"name": "mixce", "eta": 0.0}, {"name": "gold_delta", "min_weight": 0.0, "epsilon": 0.0}, 0.0,
    ),
    "GOLD with a floor of one": ({"name": "gold_delta", "min_weight": 1.0, "epsilon": 0.1}, LS, 0.0),
    "focal without exponent": ({"name": "focal", "gamma": 0.0}, CE, 0.0),
    "anti-focal without gain": ({"name": "anti_focal", "alpha": 0.0}, CE, 0.0),
    "anti-focal without exponent": ({"name": "anti_focal", "gamma": 0.0}, CE, 0.0),
    "a threshold above all error norms": (ENT | {"threshold": 1.415}, LS, 0.0),
    "error norms before the start": (ENT | {"threshold": 0.1, "start_step": 1}, LS, 0.0),
    "tokens left out by another": (ENT | {"fraction": 0.3}, LS, 0.0),
    "sentences left out by another": ({"name": "loss_truncation", "epsilon": 0.1}, LS, 0.0),
    "unlikelihood of nothing": ({"name": "unlikelihood", "alpha": 0.0, "epsilon": 0.1}, LS, 0.0),
    "nothing of the teacher's pieces": (SPARSE, CE, 0.0),
    "nothing of the teacher's best": (SPARSE | {"method": "top", "ghost": True}, CE, 0.0),
    "no z-loss": (LS | {"z_loss": 0.0}, LS, 0.0),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("even.txt").write_text("0.1\n" * V)
    Path("no_pad.txt").write_text("0\n" + f"{1 / 9:.17g}\n" * 9)
    Path("ones.txt").write_text("1\n" * V)
    Path("groups.txt").write_text("target\n" * 3 + "common\n" * 2 + "source\n" * 5)


def value_and_gradient(config: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Of each of some tokens, whose labels have every kind of probability."""
    objective = build_objective(
        TypeAdapter(ObjectiveConfig).validate_python(config),
        vocab_size=V,
        pad_id=0,
        target_counts=torch.full((V,), 7),
    ).at(1)
    assert isinstance(objective, Objective)
    generator = torch.Generator().manual_seed(5)
    logits = (3 * torch.randn(N, V, generator=generator, dtype=torch.float64)).requires_grad_()
    inputs = TokenInputs(
        torch.randint(V, (N,), generator=generator),
        ids=torch.randint(V, (N, 2), generator=generator),
        id_weights=torch.full((N, 2), 0.4, dtype=torch.float64),
    )
    statistics = logit_statistics(logits, inputs, constants=objective.constants, needs=objective.needs)
    loss = objective.function(statistics)
    return loss.detach(), torch.autograd.grad(loss.sum(), logits)[0]


@pytest.mark.parametrize("name", SAME)
def test_it_is_another_objective_in_a_limit(name: str) -> None:
    config, other, above = SAME[name]
    (value, gradient), (expected, expected_gradient) = value_and_gradient(config), value_and_gradient(other)
    torch.testing.assert_close(value, expected + above, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-11, atol=1e-13)


def test_they_are_not_all_the_same() -> None:
    """The tokens above tell apart what is different, so the identities can fail."""
    smoothed, _ = value_and_gradient(LS)
    for config in (CE, TAILR | {"gamma": 0.5}, ENT | {"threshold": 0.5}, PENALTY, {"name": "focal"}, GRADUATED):
        assert not torch.allclose(value_and_gradient(config)[0], smoothed, rtol=1e-2), config


def pair_value(config: dict[str, Any], pair: LogitPair) -> Tensor:
    parsed = TypeAdapter(ObjectiveConfig).validate_python(config)
    return build_objective(parsed, vocab_size=V, pad_id=0).function(pair)  # type: ignore[arg-type]


def test_two_equal_passes_are_label_smoothing_twice() -> None:
    logits = torch.randn(4, V, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pair = LogitPair(logits, logits, torch.arange(4))
    loss = pair_value({"name": "r_drop", "epsilon": 0.1}, pair)
    smoothed = torch.nn.functional.cross_entropy(logits, torch.arange(4), label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(loss, 2 * smoothed, rtol=1e-12, atol=1e-12)


def test_nothing_of_the_teacher_is_cross_entropy() -> None:
    logits = torch.randn(4, V, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pair = LogitPair(logits, logits.flip(0), torch.arange(4))
    loss = pair_value({"name": "distillation", "teacher": "run", "mix": 0.0}, pair)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, torch.arange(4), reduction="none"))


def test_the_z_loss_is_added_with_its_weight_for_each_pass_that_learns() -> None:
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randn(4, V, generator=generator, dtype=torch.float64) for _ in range(2))
    squares = [logits.logsumexp(dim=-1).square() for logits in (first, second)]
    pair = LogitPair(first, second, torch.arange(4))
    for config, expected in (
        ({"name": "r_drop"}, 0.5 * (squares[0] + squares[1])),
        ({"name": "distillation", "teacher": "run"}, 0.5 * squares[0]),
    ):
        added = pair_value(config | {"z_loss": 0.5}, pair) - pair_value(config, pair)
        torch.testing.assert_close(added, expected, rtol=1e-10, atol=1e-10)
    value, _ = value_and_gradient(CE | {"z_loss": 0.5})
    plain, _ = value_and_gradient(CE)
    logsumexp = (2 * (value - plain)).sqrt()
    assert (logsumexp > plain.min()).any()
    torch.testing.assert_close(value_and_gradient(CE | {"z_loss": 0.125})[0] - plain, (value - plain) / 4)
