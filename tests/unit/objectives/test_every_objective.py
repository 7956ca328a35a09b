"""What holds for every objective that a config can name."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.config.objective import ObjectiveConfig, SingleObjective
from mt_trainer.config.settings import bare, numbers_of, variants
from mt_trainer.objectives import linear_objective, logit_statistics
from mt_trainer.objectives.build import build_objective
from mt_trainer.objectives.objective import AnyObjective, LogitPair, Objective, Source
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

V, N, K = 13, 24, 3

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "cross_entropy": [{}],
    "label_smoothing": [
        {"convention": "torch"}, {"convention": "fairseq"}, {"convention": "no_pad"}, {"convention": "kl"},
        {"prior": "unigram", "prior_temperature": 2.0}, {"prior": "prior.txt"},
        {"prior": "target_side", "convention": "fairseq"},
        {"epsilon": {"schedule": "linear", "start": 0.0, "end": 0.2, "end_step": 10}},
    ],
    "class_weighted": [{"weights": "weights.txt"}, {"weights": "weights.txt", "epsilon": 0.0}],
    "weighted_label_smoothing": [{}],
    "graduated_label_smoothing": [{}],
    "confidence_penalty": [{}, {"threshold": 1.0}, {"prior": "unigram"}],
    "tailr": [{}, {"gamma": 1.0, "min_weight": 0.0}, {"epsilon": 0.0}, {"weight_from": "eval"}],
    "mixce": [{}, {"eta": 0.0}],
    "gold_delta": [{}, {"min_weight": 0.0, "epsilon": 0.0}],
    "focal": [{}, {"gamma": 0.0}, {"gamma": 1.5}, {"gamma": 2.0}],
    "anti_focal": [{}, {"alpha": 2.0, "gamma": 0.5}],
    "error_norm_truncation": [{"threshold": 1.0}, {"fraction": 0.1}],
    "loss_truncation": [{}],
    "brier": [{}, {"epsilon": 0.0}],
    "spherical": [{}, {"epsilon": 0.0}],
    "emo": [{}, {"variant": 2}, {"adaptive": False}, {"variant": 2, "adaptive": False}],
    "unlikelihood": [{}, {"epsilon": 0.1}],
    "r_drop": [{}],
    "distillation": [
        {"teacher": "run", "divergence": divergence}
        for divergence in (
            "forward_kl", "reverse_kl", "symmetric_kl", "skewed_forward_kl", "skewed_reverse_kl", "js", "tv"
        )
    ] + [{"teacher": "run", "divergence": "js", "skew": 0.25}],
    "sparse_distillation": [{"teacher": "run"}, {"teacher": "run", "method": "top", "ghost": True}],
    "stages": [{"stages": [{"objective": {"name": "focal"}, "until_step": 5}, {"objective": {"name": "brier"}}]}],
}  # fmt: skip
ALL = [{"name": name, **settings} for name, examples in EXAMPLES.items() for settings in examples]
ALL += [{"name": "cross_entropy", "z_loss": 1e-4}, {"name": "r_drop", "z_loss": 1e-4}]
every_objective = pytest.mark.parametrize("config", ALL, ids=lambda config: " ".join(map(str, config.values())))


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prior.txt").write_text("".join(f"{2 * v / V / (V - 1)}\n" for v in range(V)))
    Path("weights.txt").write_text("".join(f"{0.5 + v}\n" for v in range(V)))


def parsed(config: dict[str, Any]) -> Any:
    return TypeAdapter(ObjectiveConfig).validate_python(_with_tuples(config))


def build_whole(config: dict[str, Any]) -> AnyObjective:
    """The objective of a config; pieces 0 and 1 are no labels, and 1 and 2 are not read on the source side."""
    counts = torch.arange(V)
    return build_objective(
        parsed(config),
        vocab_size=V,
        pad_id=0,
        target_counts=counts.where(counts > 1, 0),
        source_counts=torch.tensor([1, 0, 0] + [5] * (V - 3)),
    )


def build(config: dict[str, Any], step: int = 3) -> AnyObjective:
    """The same as it stands at a step."""
    return build_whole(config).at(step)


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(entry) for key, entry in value.items()}
    return tuple(_with_tuples(entry) for entry in value) if isinstance(value, list) else value


def random_inputs(seed: int = 1) -> TokenInputs:
    generator = torch.Generator().manual_seed(seed)
    return TokenInputs(
        torch.randint(2, V, (N,), generator=generator),
        ids=torch.randint(2, V, (N, K), generator=generator),
        id_weights=torch.full((N, K), 0.3),
        weight_nll=torch.rand(N, generator=generator) * 5,
    )


def constants_of(objective: Objective) -> Constants:
    generator = torch.Generator().manual_seed(7)
    embedding = F.normalize(torch.randn(V, 4, generator=generator, dtype=torch.float64))
    return replace(objective.constants, embedding=embedding) if objective.embeds_with_output else objective.constants


def losses(objective: AnyObjective, logits: Tensor, inputs: TokenInputs) -> Tensor:
    """The objective of each token by its definition; a second distribution lies half as far from the uniform one."""
    if not isinstance(objective, Objective):
        return objective.function(LogitPair(logits, logits.flip(-1) / 2, inputs.labels))
    inputs = inputs if objective.source is not Source.LABELS else TokenInputs(inputs.labels)
    statistics = logit_statistics(logits, inputs, constants=constants_of(objective), needs=objective.needs)
    return objective.function(statistics)


def random_logits(seed: int = 0, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(N, V, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_there_is_an_example_of_every_objective() -> None:
    assert set(EXAMPLES) == set(variants(ObjectiveConfig))
    assert len(get_args(SingleObjective)) == len(EXAMPLES) - 1


@every_objective
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
def test_huge_logits_in_float32_give_neither_nan_nor_infinity(config: dict[str, Any], scale: float) -> None:
    """Probabilities underflow, and some tokens are certain of their label and some of another piece."""
    objective, inputs = build(config), random_inputs()
    logits = (scale * random_logits().float().clamp(-1, 1)).contiguous()
    logits[0], logits[1] = -scale, -scale
    logits[0, inputs.labels[0]], logits[1, (inputs.labels[1] + 1) % V] = scale, scale
    logits.requires_grad_()
    loss = losses(objective, logits, inputs)
    assert loss.isfinite().all()
    assert torch.autograd.grad(loss.sum(), logits)[0].isfinite().all()


@every_objective
def test_a_constant_added_to_the_logits_changes_nothing_but_the_z_loss(config: dict[str, Any]) -> None:
    objective, inputs, logits = build(config), random_inputs(), random_logits()
    shift = torch.arange(N, dtype=torch.float64).unsqueeze(1) - 4
    before, after = losses(objective, logits, inputs), losses(objective, logits + shift, inputs)
    if "z_loss" in config:
        assert not torch.allclose(before, after)
    else:
        torch.testing.assert_close(before, after, rtol=1e-11, atol=1e-11)


@every_objective
def test_each_token_is_treated_alone(config: dict[str, Any]) -> None:
    objective, inputs, logits = build(config), random_inputs(), random_logits()
    whole = losses(objective, logits, inputs)
    part = losses(objective, logits[5:9], inputs[slice(5, 9)])
    torch.testing.assert_close(whole[5:9], part, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "config",
    [config for config in ALL if config["name"] not in ("r_drop", "distillation")],
    ids=lambda config: " ".join(map(str, config.values())),
)
def test_the_op_agrees_with_the_definition(config: dict[str, Any]) -> None:
    objective, inputs = build(config), random_inputs()
    assert isinstance(objective, Objective)
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(N, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(V, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(N) % 4 != 0
    inputs = inputs if objective.source is not Source.LABELS else TokenInputs(inputs.labels)
    loss, _ = linear_objective(
        hidden,
        weight,
        inputs,
        function=objective.function,
        mask=mask,
        constants=constants_of(objective),
        needs=objective.needs,
        chunk_rows=5,
        matmul_dtype=None,
    )
    expected = losses(objective, hidden @ weight.t(), inputs).where(mask, 0).sum()
    torch.testing.assert_close(loss, expected, rtol=1e-11, atol=1e-11)
    for gradient, exact in zip(
        torch.autograd.grad(loss, (hidden, weight)), torch.autograd.grad(expected, (hidden, weight)), strict=True
    ):
        torch.testing.assert_close(gradient, exact, rtol=1e-10, atol=1e-11)


@every_objective
def test_the_formula_is_one_line_and_names_the_numbers(config: dict[str, Any]) -> None:
    formula = build(config).formula
    assert formula
    assert "\n" not in formula
    for number in (value for value in config.values() if isinstance(value, float) and value not in (0.0, 1.0)):
        assert f"{number:g}" in formula


SCHEDULABLE = [
    (config, key)
    for name, examples in EXAMPLES.items()
    for config in ({"name": name, **settings} for settings in examples)
    if name != "stages"
    for key, number in numbers_of(parsed(config)).items()
    if number is not None
]
"""Every example with each of its numbers that may follow a schedule."""

PARTS_OF_A_PRIOR = {
    "label_smoothing": {"prior_temperature"},
    "weighted_label_smoothing": {"target_share", "common_share", "source_share"},
}


def test_every_number_of_a_formula_may_follow_a_schedule_and_is_tried_below() -> None:
    tried: dict[str, set[str]] = {}
    for config, key in SCHEDULABLE:
        tried.setdefault(config["name"], set()).add(key)
    for name, section in variants(ObjectiveConfig).items():
        if name == "stages":
            continue
        fixed = {key for key, info in section.model_fields.items() if bare(info.annotation) is float}
        assert fixed == PARTS_OF_A_PRIOR.get(name, set()), name
        assert tried[name] == numbers_of(parsed({"name": name, **EXAMPLES[name][0]})).keys(), name


@pytest.mark.parametrize(("config", "key"), SCHEDULABLE, ids=lambda value: str(value).replace("'", ""))
def test_at_a_step_an_objective_is_the_one_with_the_number_of_that_step(config: dict[str, Any], key: str) -> None:
    start, end = _ends_within_bounds(config, key)
    schedule = {"schedule": "linear", "start": start, "end": end, "start_step": 1, "end_step": 5}
    whole = build_whole(config | {key: schedule})
    assert f"{key} linear from {start:g} to {end:g} over steps 1 to 5" in whole.formula
    logits, inputs, seen = random_logits(), random_inputs(), []
    logits[range(N), inputs.labels] += torch.arange(N) / 2  # labels of any probability
    logits.requires_grad_()
    for step, value in ((9, end), (1, start), (3, (start + end) / 2), (5, end)):
        current, expected = whole.at(step), build(config | {key: value}, step)
        assert current.parameters[key] == value
        assert current.parameters.keys() - expected.parameters.keys() == {key}
        for part in ("source", "other", "truncation", "teacher_pieces", "embeds_with_output"):
            assert getattr(current, part, None) == getattr(expected, part, None)
        if isinstance(current, Objective) and current.weight is not None:
            assert current.weight.floor == expected.weight.floor  # type: ignore[union-attr]
        loss, exact = losses(current, logits, inputs), losses(expected, logits, inputs)
        assert torch.equal(loss, exact)
        gradients = (torch.autograd.grad(each.sum(), logits)[0] for each in (loss, exact))
        torch.testing.assert_close(*gradients, rtol=1e-14, atol=1e-14)
        seen.append((loss.tolist(), getattr(current, "truncation", None)))
    assert seen[1] != seen[3], "the number has no effect"


def _ends_within_bounds(config: dict[str, Any], key: str) -> tuple[float, float]:
    """Two values that the key takes, the first of them 0 if it may be, with no rounding between them."""
    for start, end in ((0.0, 0.5), (0.25, 0.75), (1.0, 2.0)):
        try:
            parsed(config | {key: {"schedule": "linear", "start": start, "end": end, "end_step": 5}})
        except ValidationError:
            continue
        return start, end
    raise AssertionError(f"no values for {key}")


@every_objective
def test_the_z_loss_stands_in_the_sum_before_what_names_mean(config: dict[str, Any]) -> None:
    if config["name"] == "stages":
        return
    plain, added = build(config | {"z_loss": 0.0}).formula, build(config | {"z_loss": 0.25}).formula
    total, term, said = added.partition(" + 0.25 logsumexp^2")
    assert term
    assert "  " not in total
    assert not re.search(" [=~:] |, without|, where", total)
    assert total + said.removeprefix(" of each pass") == plain
