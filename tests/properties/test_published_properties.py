"""What `--explain` says an objective equals has the same value and gradient, and no key is overlooked."""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.config.objective import LabelSmoothingConfig, RDropConfig, SingleObjective
from mt_trainer.config.objective_checks import CHECKS
from mt_trainer.objectives import logit_statistics
from mt_trainer.objectives.build import build_objective
from mt_trainer.objectives.building.published import RECIPES, equal_to
from mt_trainer.objectives.objective import LogitPair, Objective, Source
from mt_trainer.objectives.token_inputs import TokenInputs

V, N, K = 12, 30, 3
COUNTS = torch.tensor([0, 0, 3, 1, 4, 2, 0, 5, 7, 2, 1, 9])

NEEDED: dict[str, dict[str, Any]] = {
    "class_weighted": {"weights": "weights.txt"},
    "distillation": {"teacher": "run"},
    "sparse_distillation": {"teacher": "run"},
    "error_norm_truncation": {"threshold": 1.0},
}
"""What has no default."""

VALUES = (0.0, 1e-7, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 1.4, 1.415, 2.5, 5.0, None, True, False, 1, 2, 50, 10_000)
"""Tried for every key, with the words that a key takes: limits, official settings, and others."""

variants = pytest.mark.parametrize("variant", get_args(SingleObjective), ids=lambda variant: variant.__name__)


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights.txt").write_text("".join(f"{0.5 + v}\n" for v in range(V)))


def plain(variant: type[SingleObjective]) -> dict[str, Any]:
    """Settings with all defaults."""
    (name,) = get_args(variant.model_fields["name"].annotation)
    return {"name": name, **NEEDED.get(name, {})}


def made(variant: type[SingleObjective], settings: dict[str, Any]) -> SingleObjective | None:
    """The objective, None if the settings are out of bounds or contradict each other."""
    try:
        objective = variant(**settings)
    except ValidationError:
        return None
    asks = [ask for section, _, ask in CHECKS if isinstance(objective, section)]
    return None if any(ask(objective, lambda name: name) for ask in asks) else objective


def choices(variant: type[SingleObjective], key: str) -> list[Any]:
    """Values that a key may take while the others have their defaults."""
    words = (*get_args(variant.model_fields[key].annotation), "uniform", "unigram", "target_side", "counts")
    tried = [*VALUES, *(word for word in words if isinstance(word, str))]
    if variant.__name__ == "ErrorNormTruncationConfig" and key == "fraction":
        return [0.1]  # there is a threshold already
    return [value for value in tried if made(variant, plain(variant) | {key: value}) is not None]


def neighbours(variant: type[SingleObjective]) -> Iterator[SingleObjective]:
    """All objectives of a variant that differ from its defaults in up to three keys."""
    keys = [key for key in variant.model_fields if key not in ("name", "weights", "teacher", "groups")]
    values = {key: choices(variant, key) for key in keys}
    for changed in combinations(keys, min(3, len(keys))):
        for each in product(*(values[key] for key in changed)):
            objective = made(variant, plain(variant) | dict(zip(changed, each, strict=True)))
            if objective is not None:
                yield objective


def random_logits(seed: int) -> Tensor:
    """Of tokens whose labels have every kind of probability."""
    scales = torch.tensor([0.3, 3.0, 30.0]).repeat(N // 3).unsqueeze(1)
    return scales * torch.randn(N, V, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LOGITS, SECOND = random_logits(0), random_logits(1)
GENERATOR = torch.Generator().manual_seed(2)
INPUTS = TokenInputs(
    torch.randint(2, V, (N,), generator=GENERATOR),
    ids=torch.randint(2, V, (N, K), generator=GENERATOR),
    id_weights=torch.full((N, K), 0.3, dtype=torch.float64),
    weight_nll=5 * torch.rand(N, generator=GENERATOR, dtype=torch.float64),
)


def losses(config: SingleObjective, logits: Tensor, second: Tensor) -> Tensor:
    objective = build_objective(config, vocab_size=V, pad_id=0, target_counts=COUNTS, source_counts=COUNTS.flip(0))
    if not isinstance(objective, Objective):
        return objective.function(LogitPair(logits, second, INPUTS.labels))
    assert objective.truncation is None, "it leaves out what the other does not"
    inputs = INPUTS if objective.source is not Source.LABELS else TokenInputs(INPUTS.labels)
    statistics = logit_statistics(logits, inputs, constants=objective.constants, needs=objective.needs)
    return objective.function(statistics)


def value_and_gradients(config: SingleObjective, *, passes: bool = False) -> tuple[Tensor, ...]:
    """By both distributions; with `passes` the sum of what either gives."""
    logits, second = LOGITS.clone().requires_grad_(), SECOND.clone().requires_grad_()
    loss = losses(config, logits, second)
    if passes:
        loss = loss + losses(config, second, logits)
    gradients = torch.autograd.grad(loss.sum(), (logits, second), materialize_grads=True)
    return loss.detach(), *gradients


@variants
def test_an_objective_that_equals_another_has_its_value_and_gradient(variant: type[SingleObjective]) -> None:
    known: dict[str, tuple[Tensor, ...]] = {}
    compared: Counter[str] = Counter()
    for objective in neighbours(variant):
        equal = equal_to(objective)
        if equal is None or equal.other is None or compared[equal.text] == 40:
            continue
        passes = isinstance(objective, RDropConfig)
        if equal.text not in known:
            known[equal.text] = value_and_gradients(equal.other, passes=passes)
        for found, expected in zip(value_and_gradients(objective), known[equal.text], strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12, msg=str(objective))
        compared[equal.text] += 1
    has_no_limit = {
        "CrossEntropyConfig", "ClassWeightedConfig", "LossTruncationConfig", "BrierConfig", "SphericalConfig",
        "EarthMoverConfig",
    }  # fmt: skip
    assert bool(compared) is (variant.__name__ not in has_no_limit)


@variants
def test_nothing_with_a_z_loss_equals_anything(variant: type[SingleObjective]) -> None:
    for objective in neighbours(variant):
        assert objective.z_loss == 0 or equal_to(objective) is None, objective


@pytest.mark.parametrize("recipe", [recipe for recipe, _ in RECIPES], ids=lambda recipe: repr(recipe)[:60])
def test_every_key_of_a_recipe_counts(recipe: SingleObjective) -> None:
    text = equal_to(recipe)
    assert text is not None
    for key in type(recipe).model_fields:
        for value in choices(type(recipe), key):
            if value != getattr(recipe, key):
                other = recipe.model_copy(update={key: value})
                assert equal_to(other) != text, other


def test_settings_in_one_key_of_no_recipe_are_not_all_alike() -> None:
    """The tokens above tell apart what is different, so that the equalities can fail."""
    smoothing = LabelSmoothingConfig(name="label_smoothing", epsilon=0.1)
    value, gradient, _ = value_and_gradients(smoothing)
    for other in (smoothing.model_copy(update={"epsilon": 0.11}), smoothing.model_copy(update={"z_loss": 1e-4})):
        assert not torch.allclose(value_and_gradients(other)[0], value, rtol=1e-6)
        assert not torch.allclose(value_and_gradients(other)[1], gradient, rtol=1e-6)


def published(convention: str, epsilon: float, logits: Tensor) -> Tensor:
    """Label smoothing by what the toolkits' code says."""
    labels, log_p = INPUTS.labels, logits.log_softmax(dim=-1)
    nll, everything = F.nll_loss(log_p, labels, reduction="none"), -log_p.sum(dim=-1)
    match convention:
        case "torch":
            return F.cross_entropy(logits, labels, label_smoothing=epsilon, reduction="none")
        case "fairseq":
            share = epsilon / (V - 1)
            return (1 - epsilon - share) * nll + share * everything
        case "no_pad":
            others = everything - nll + log_p[:, 0]
            return (1 - epsilon) * nll + epsilon / (V - 2) * others
        case "kl":
            target = torch.full_like(log_p, epsilon / V).scatter(1, labels.unsqueeze(1), 1 - epsilon)
            return F.kl_div(log_p, target, reduction="none").sum(dim=-1)
        case _:
            raise ValueError(convention)


@pytest.mark.parametrize("convention", ["torch", "fairseq", "no_pad", "kl"])
@pytest.mark.parametrize("epsilon", [1e-4, 0.1, 0.6])
def test_a_convention_is_that_of_the_toolkit_it_names(convention: Any, epsilon: float) -> None:
    config = LabelSmoothingConfig(name="label_smoothing", epsilon=epsilon, convention=convention)
    equal = equal_to(config)
    assert equal is not None
    logits = LOGITS.clone().requires_grad_()
    expected = published(convention, epsilon, logits)
    value, gradient, _ = value_and_gradients(config)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), logits)[0], rtol=1e-9, atol=1e-12)
