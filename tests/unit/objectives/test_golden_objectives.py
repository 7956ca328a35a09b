"""The whole family against official values and gradients, from the config to the number."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.config.objective import ObjectiveConfig
from mt_trainer.objectives import linear_objective, logit_statistics
from mt_trainer.objectives.build import build_objective
from mt_trainer.objectives.objective import AnyObjective, LogitPair, Objective, PairObjective, Source
from mt_trainer.objectives.token_inputs import Constants, TokenInputs

SMOOTHING = {"name": "label_smoothing"}
OFFICIAL_TAILR = {"name": "tailr", "gamma": 0.1, "min_weight": 0.3, "epsilon": 0.1}

CASES: dict[str, dict[str, Any]] = {
    "seed_ce_eps0.0": {"name": "cross_entropy"},
    "seed_ce_eps0.1": SMOOTHING | {"epsilon": 0.1},
    "seed_kl_eps0.1": SMOOTHING | {"epsilon": 0.1, "convention": "kl"},
    "torch_ce_mean_eps0.0": SMOOTHING | {"epsilon": 0.0},
    "torch_ce_mean_eps0.1": SMOOTHING | {"epsilon": 0.1},
    "torch_ce_mean_eps0.2": SMOOTHING | {"epsilon": 0.2},
    "torch_ce_sum_eps0.0": {"name": "cross_entropy"},
    "torch_ce_sum_eps0.1": SMOOTHING,
    "torch_ce_weighted_mean_eps0.1": {"name": "class_weighted", "weights": "weights.txt", "epsilon": 0.1},
    "fairseq_ls_sum_eps0.1": SMOOTHING | {"epsilon": 0.1, "convention": "fairseq"},
    "fairseq_ls_old_sum_eps0.1": SMOOTHING | {"epsilon": 0.1},
    "fairseq_ls_old_sum_eps0.2": SMOOTHING | {"epsilon": 0.2},
    "onmt_ls_sum_eps0.1": SMOOTHING | {"epsilon": 0.1, "convention": "no_pad"},
    "onmt_ls_sum_eps0.2": SMOOTHING | {"epsilon": 0.2, "convention": "no_pad"},
    "joeynmt_ls_sum_eps0.1": SMOOTHING | {"epsilon": 0.1, "convention": "no_pad"},
    "sockeye_smoothed_loss_as_in_mxnet_eps0.1": SMOOTHING | {"epsilon": 0.1},
    "sockeye_smoothed_loss_as_in_fairseq_eps0.1": SMOOTHING | {"epsilon": 0.1, "convention": "fairseq"},
    "sockeye_torch_cross_entropy_loss_eps0.1": SMOOTHING | {"epsilon": 0.1},
    "thumt_t2t_normalised_eps0.1": SMOOTHING | {"epsilon": 0.1, "convention": "fairseq"},
    "marian_ls_sum_eps0.1": SMOOTHING | {"epsilon": 0.1},
    "scoring_logarithmic_sum_eps0.1": SMOOTHING | {"epsilon": 0.1},
    "unigram_ls_mean_eps0.1": SMOOTHING | {"epsilon": 0.1, "prior": "unigram"},
    "weighted_ls_sum_442": {"name": "weighted_label_smoothing", "alpha": 0.1, "target_share": 0.4,
                            "common_share": 0.4, "source_share": 0.2, "groups": "groups.txt"},
    "confidence_penalty_sum_beta0.1": {"name": "confidence_penalty", "beta": 0.1},
    "confidence_penalty_sum_beta1.0": {"name": "confidence_penalty", "beta": 1.0},
    "confidence_penalty_unigram_sum_beta0.5": {"name": "confidence_penalty", "beta": 0.5, "prior": "unigram"},
    "confidence_penalty_hinge_sum_beta0.5_Gamma1.0": {"name": "confidence_penalty", "beta": 0.5, "threshold": 1.0},
    "tailr_sum_eps0.1_gamma0.1_min0.3": OFFICIAL_TAILR,
    "tailr_sum_eps0.0_gamma0.1_min0.0": {"name": "tailr", "gamma": 0.1, "min_weight": 0.0, "epsilon": 0.0},
    "tailr_sum_eps0.0_gamma1e-07_min0.2": {"name": "tailr", "gamma": 1e-7, "min_weight": 0.2, "epsilon": 0.0},
    "tailr_sum_eps0.1_gamma0.0_min0.0": {"name": "tailr", "gamma": 0.0, "min_weight": 0.0, "epsilon": 0.1},
    "tailr_sum_weights_from_eval_model": OFFICIAL_TAILR | {"weight_from": "eval"},
    "mixce_mean_eta0.0": {"name": "mixce", "eta": 0.0},
    "mixce_mean_eta0.9": {"name": "mixce", "eta": 0.9},
    "focal_sum_alpha0.5_gamma1": {"name": "anti_focal", "alpha": 0.5, "gamma": 1.0},
    "focal_sum_alpha1.0_gamma1": {"name": "anti_focal", "alpha": 1.0, "gamma": 1.0},
    "ent_threshold1.0_sum_eps0.1": {"name": "error_norm_truncation", "threshold": 1.0, "epsilon": 0.1},
    "brier_sum_eps0.0": {"name": "brier", "epsilon": 0.0},
    "spherical_sum_eps0.0": {"name": "spherical", "epsilon": 0.0},
    "spherical_sum_eps0.1": {"name": "spherical", "epsilon": 0.1},
    "emo1_adaptive_mean": {"name": "emo", "variant": 1, "adaptive": True},
    "emo2_adaptive_mean": {"name": "emo", "variant": 2, "adaptive": True},
    "unlikelihood_sum_alpha1": {"name": "unlikelihood", "alpha": 1.0, "epsilon": 0.0},
    "kd_top3_ghost_mean": {"name": "sparse_distillation", "teacher": "t", "method": "top", "num_pieces": 3,
                           "mix": 1.0, "ghost": True},
}  # fmt: skip

DISTILLATION = {"name": "distillation", "teacher": "run", "mix": 1.0}
PAIR_CASES: dict[str, dict[str, Any]] = {
    "kd_forward_kl_mean": DISTILLATION | {"divergence": "forward_kl"},
    "kd_reverse_kl_mean": DISTILLATION | {"divergence": "reverse_kl"},
    "kd_symmetric_kl_mean": DISTILLATION | {"divergence": "symmetric_kl"},
    "kd_js_distance_mean": DISTILLATION | {"divergence": "js"},
    "kd_tv_distance_mean": DISTILLATION | {"divergence": "tv"},
    "kd_skewed_forward_kl_mean": DISTILLATION | {"divergence": "skewed_forward_kl"},
    "kd_skewed_reverse_kl_mean": DISTILLATION | {"divergence": "skewed_reverse_kl"},
    "rdrop_sum_alpha0.0": {"name": "r_drop", "alpha": 0.0, "epsilon": 0.1, "convention": "fairseq"},
}

LEFT_OUT = {
    "jensen_sum_alpha0.5_beta0.7": "the skew Jensen family needs logsumexp before its sum over the vocabulary",
    "ent_repo_tailr_BUGGY": "a baseline of the error norm repository that goes by the name of TaiLr, but is not",
    "gold_s_sum": "GOLD-s needs two further models in memory",
    "d2gpo_sum_alpha0.1_T2": "D2GPo needs a prior for each label; with its official settings it is label smoothing",
}

V, TOKENS = 11, 7


def kl_constant(num_others: int, epsilon: float = 0.1) -> float:
    """The entropy of 1 - epsilon on the label and the rest on so many others, which a divergence lacks."""
    return -(1 - epsilon) * math.log(1 - epsilon) - epsilon * math.log(epsilon / num_others)


SUBTRACTED = {
    "onmt_ls_sum_eps0.1": TOKENS * kl_constant(V - 2),
    "onmt_ls_sum_eps0.2": TOKENS * kl_constant(V - 2, 0.2),
    "joeynmt_ls_sum_eps0.1": TOKENS * kl_constant(V - 2),
    "thumt_t2t_normalised_eps0.1": TOKENS * kl_constant(V - 1),
}
COUNTS = {
    "unigram_ls_mean_eps0.1": torch.tensor([0] + [100 // (v + 1) for v in range(1, V)]),
    "confidence_penalty_unigram_sum_beta0.5": torch.arange(1, V + 1),
}


def test_every_golden_case_is_tested_or_has_a_reason(golden: Any) -> None:
    assert set(golden.cases) == set(CASES) | set(PAIR_CASES) | set(LEFT_OUT)


def built(golden: Any, case: str, config: dict[str, Any]) -> AnyObjective:
    """The objective of a config, whose files hold the settings of the case."""
    settings = golden.cases[case]["settings"]
    if "weight" in settings:
        Path("weights.txt").write_text("".join(f"{weight}\n" for weight in settings["weight"]))
    if "venn" in settings:
        groups = {v: group for group, pieces in settings["venn"].items() for v in pieces}
        Path("groups.txt").write_text("".join(f"{groups[v]}\n" for v in range(V)))
    parsed = TypeAdapter(ObjectiveConfig).validate_python(config)
    return build_objective(parsed, vocab_size=V, pad_id=0, target_counts=COUNTS.get(case))


def inputs_of(golden: Any, case: str, objective: Objective) -> TokenInputs:
    inputs = TokenInputs(golden.labels)
    if objective.source is Source.EVALUATION_PASS:
        other = torch.tensor(golden.content["inputs"]["logits_c"], dtype=torch.float64)
        return replace(inputs, weight_nll=F.cross_entropy(other, golden.labels, reduction="none"))
    if objective.source is Source.PREVIOUS_TARGETS:
        # The official code takes padding, id 0, for a candidate of every token.
        candidates = [pieces for row in golden.cases[case]["settings"]["candidates"] for pieces in row]
        ids = torch.tensor([[*pieces, 0, 0, 0][:3] for pieces in candidates])
        weights = torch.tensor([[float(k <= len(pieces)) for k in range(3)] for pieces in candidates])
        return replace(inputs, ids=ids, id_weights=weights)
    if objective.source is Source.TEACHER:
        ids = torch.tensor(golden.cases[case]["settings"]["ids"])
        return replace(inputs, ids=ids, id_weights=logits_b(golden).softmax(dim=-1).gather(-1, ids))
    return inputs


def constants_of(golden: Any, objective: Objective) -> Constants:
    if not objective.embeds_with_output:
        return objective.constants
    embedding = torch.tensor(golden.content["inputs"]["emb"], dtype=torch.float64)
    return replace(objective.constants, embedding=F.normalize(embedding))


def logits_b(golden: Any) -> Tensor:
    return torch.tensor(golden.content["inputs"]["logits_b"], dtype=torch.float64)


def divisor(golden: Any, case: str) -> float:
    """What the official value is divided by: 1 for a sum, the number of tokens, or torch's sum of class weights."""
    if case == "torch_ce_weighted_mean_eps0.1":
        weight = torch.tensor(golden.cases[case]["settings"]["weight"], dtype=torch.float64)
        return weight[golden.labels[golden.mask]].sum().item()
    return float(golden.divisor(case))


def assert_official(golden: Any, case: str, loss: Tensor, *gradients: Tensor) -> None:
    # JoeyNMT builds its targets in float32, whatever the inputs.
    rtol, atol = (2e-6, 2e-6) if case.startswith("joeynmt") else (1e-10, 1e-12)
    official = golden.cases[case]
    assert loss.item() - SUBTRACTED.get(case, 0.0) == pytest.approx(official["loss"], rel=rtol, abs=atol)
    for name, gradient in zip(("grad_logits", "grad_logits_2"), gradients, strict=False):
        expected = torch.tensor(official[name], dtype=torch.float64)
        torch.testing.assert_close(gradient, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("case", CASES)
def test_the_definition_gives_the_official_value_and_gradient(
    golden: Any, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    objective = built(golden, case, CASES[case])
    assert isinstance(objective, Objective)
    logits = golden.logits.clone().requires_grad_()
    statistics = logit_statistics(
        logits,
        inputs_of(golden, case, objective),
        constants=constants_of(golden, objective),
        needs=objective.needs,
    )
    loss = objective.function(statistics).where(golden.mask, 0).sum() / divisor(golden, case)
    assert_official(golden, case, loss, torch.autograd.grad(loss, logits)[0])


@pytest.mark.parametrize("case", CASES)
def test_the_op_gives_the_official_value_and_gradient(
    golden: Any, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hidden states are the logits, and the output projection is the identity."""
    monkeypatch.chdir(tmp_path)
    objective = built(golden, case, CASES[case])
    assert isinstance(objective, Objective)
    hidden = golden.logits.clone().requires_grad_()
    loss, _ = linear_objective(
        hidden,
        torch.eye(V, dtype=torch.float64),
        inputs_of(golden, case, objective),
        function=objective.function,
        mask=golden.mask,
        constants=constants_of(golden, objective),
        needs=objective.needs,
        chunk_rows=4,
        matmul_dtype=None,
    )
    loss = loss / divisor(golden, case)
    assert_official(golden, case, loss, torch.autograd.grad(loss, hidden)[0])


@pytest.mark.parametrize("case", PAIR_CASES)
def test_two_distributions_give_the_official_value_and_gradients(golden: Any, case: str) -> None:
    objective = built(golden, case, PAIR_CASES[case])
    assert isinstance(objective, PairObjective)
    logits = [golden.logits.clone().requires_grad_(), logits_b(golden).requires_grad_(objective.other == "dropout")]
    per_token = objective.function(LogitPair(logits[0], logits[1], golden.labels))
    loss = per_token.where(golden.mask, 0).sum() / divisor(golden, case)
    learnt = [each for each in logits if each.requires_grad]
    assert_official(golden, case, loss, *torch.autograd.grad(loss, learnt))


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("tailr") and case[-1].isdigit()])
def test_the_weights_of_tailr_are_the_official_ones(golden: Any, case: str) -> None:
    objective = built(golden, case, CASES[case])
    assert isinstance(objective, Objective)
    assert objective.weight is not None
    statistics = logit_statistics(
        golden.logits, TokenInputs(golden.labels), constants=objective.constants, needs=objective.needs
    )
    expected = torch.tensor(golden.cases[case]["weights"], dtype=torch.float64)
    torch.testing.assert_close(
        objective.weight.function(statistics).where(golden.mask, 0), expected, rtol=1e-12, atol=1e-12
    )
