"""What stands around the formulas: text for people, needs, priors from counts, schedules, stages."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from mt_trainer.config.objective import ObjectiveConfig
from mt_trainer.errors import ConfigError
from mt_trainer.objectives import Statistic, logit_statistics
from mt_trainer.objectives.build import build_objective
from mt_trainer.objectives.objective import Objective, PairObjective, Source, TeacherPieces
from mt_trainer.objectives.token_inputs import TokenInputs

V = 11
LS = {"name": "label_smoothing"}
RISE = {"schedule": "linear", "start": 0.0, "end": 0.1, "start_step": 10, "end_step": 20}


def parsed(config: dict[str, Any]) -> ObjectiveConfig:
    adapter: TypeAdapter[ObjectiveConfig] = TypeAdapter(ObjectiveConfig)
    return adapter.validate_python(config)


def build(config: dict[str, Any], **counts: torch.Tensor) -> Objective:
    objective = build_objective(parsed(config), vocab_size=V, pad_id=0, **counts)
    assert isinstance(objective, Objective)
    return objective


def loss_of(objective: Any, nll: float = 2.0) -> float:
    """The loss of a token whose label has the given nll, the other pieces sharing the rest."""
    rest = torch.tensor((1 - torch.tensor(-nll).exp().item()) / (V - 1), dtype=torch.float64).log()
    logits = rest.repeat(1, V)
    logits[0, 3] = -nll
    inputs = TokenInputs(torch.tensor([3]))
    statistics = logit_statistics(logits, inputs, constants=objective.constants, needs=objective.needs)
    return float(objective.function(statistics))


@pytest.mark.parametrize(
    ("config", "formula"),
    [
        ({"name": "cross_entropy"}, "cross-entropy: nll"),
        (LS, "label smoothing: (1 - 0.1) nll + 0.1 mean_v(-log p_v)  [torch convention]"),
        (LS | {"epsilon": 0.0}, "cross-entropy: nll"),
        (LS | {"epsilon": 0.0, "convention": "no_pad"}, "cross-entropy: nll"),
        (
            LS | {"convention": "fairseq"},
            "label smoothing: (1 - 0.11) nll + 0.11 mean_v(-log p_v)  [fairseq convention, epsilon 0.1]",
        ),
        (
            LS | {"epsilon": 0.09, "convention": "no_pad"},
            "label smoothing: (1 - 0.1) nll + 0.1 mean_{v != pad}(-log p_v)  [no_pad convention, epsilon 0.09]",
        ),
        (
            LS | {"convention": "kl"},
            "label smoothing: sum_v q_v(log q_v - log p_v),  q_y = 0.9, q_v = 0.00909091 elsewhere  "
            "[kl convention, epsilon 0.1]",
        ),
        (
            LS | {"prior": "unigram", "prior_temperature": 5.0},
            "label smoothing: (1 - 0.1) nll + 0.1 sum_v u_v(-log p_v),  u ~ count^(1/5)  [torch convention]",
        ),
        (
            LS | {"epsilon": RISE},
            "label smoothing: (1 - 0) nll + 0 mean_v(-log p_v)  [torch convention]  "
            "[at step 1; epsilon linear from 0 to 0.1 over steps 10 to 20]",
        ),
        (
            LS | {"epsilon": {"schedule": "step", "start": 0.1, "end": 0.0, "end_step": 40}},
            "label smoothing: (1 - 0.1) nll + 0.1 mean_v(-log p_v)  [torch convention]  "
            "[at step 1; epsilon from 0.1 to 0 at step 40]",
        ),
        (
            {"name": "tailr", "epsilon": 0.0, "z_loss": 1e-4},
            "TaiLr: w nll + 0.0001 logsumexp^2,  w = clamp(p_y / (0.1 + (1 - 0.1) p_y), 0.3, 1) held constant",
        ),
        (
            {"name": "tailr", "weight_from": "eval"},
            "TaiLr: (1 - 0.1) w nll + 0.1 mean_v(-log p_v),  w = clamp(q / (0.1 + (1 - 0.1) q), 0.3, 1) "
            "held constant,  q = p_y without dropout",
        ),
        (
            {"name": "loss_truncation", "start_step": 50},
            "cross-entropy: nll,  without the 0.4 of sentences that have the largest mean nll  [after step 50]",
        ),
        (
            {"name": "brier", "epsilon": 0.0, "z_loss": 0.1},
            "brier score: S(y) + 0.1 logsumexp^2,  S(v) = sum p^2 - 2 p_v",
        ),
        (
            {"name": "error_norm_truncation", "threshold": 0.5, "epsilon": 0.0, "z_loss": 0.1},
            "error norm truncation: w L + 0.1 logsumexp^2,  w = 1 where ||p - onehot(y)|| <= 0.5, else 0,  "
            "L = cross-entropy: nll",
        ),
        (
            {"name": "r_drop", "alpha": 2.0, "z_loss": 0.1},
            "R-Drop: LS(p) + LS(q) + 2 (KL(p || q) + KL(q || p)) / 2 + 0.1 logsumexp^2 of each pass,  "
            "LS = (1 - 0.1) nll + 0.1 mean_v(-log p_v)",
        ),
        (
            {"name": "distillation", "teacher": "run", "temperature": 2.0, "z_loss": 0.1},
            "distillation: (1 - 0.5) nll + 0.5 T^2 forward_kl to the teacher + 0.1 logsumexp^2,  "
            "T = 2 the temperature of both",
        ),
        (
            {"name": "stages", "stages": ({"objective": {"name": "cross_entropy"}, "until_step": 7},
                                          {"objective": {"name": "brier", "epsilon": 0.0}})},
            "stage 1 until step 7: cross-entropy: nll; stage 2: brier score: S(y),  S(v) = sum p^2 - 2 p_v",
        ),
    ],
)  # fmt: skip
def test_the_formula_carries_its_numbers(config: dict[str, Any], formula: str) -> None:
    assert build_objective(parsed(config), vocab_size=V, pad_id=0, target_counts=torch.ones(V)).formula == formula


@pytest.mark.parametrize(
    "config",
    [LS, {"name": "tailr"}, {"name": "gold_delta"}, {"name": "unlikelihood"}, {"name": "brier"}],
    ids=lambda config: config["name"],
)
def test_the_prior_and_tail_are_asked_for_only_if_something_is_smoothed(config: dict[str, Any]) -> None:
    smoothed, plain = build(config | {"epsilon": 0.1}), build(config | {"epsilon": 0.0})
    smooth = Statistic.TAIL_NLL if config["name"] == "brier" else Statistic.PRIOR_LOGIT
    assert smooth in smoothed.needs
    assert smooth not in plain.needs
    assert smoothed.constants.prior is not None or smoothed.constants.tail_below == 0.1 / V
    assert (plain.constants.prior, plain.constants.tail_below) == (None, None)


@pytest.mark.parametrize(
    ("config", "floor"),
    [
        ({"name": "tailr"}, 0.3),
        ({"name": "mixce", "eta": 0.7}, 0.7),
        ({"name": "gold_delta"}, 0.2),
        ({"name": "focal"}, 0.0),
        ({"name": "anti_focal"}, 1.0),
        ({"name": "error_norm_truncation", "threshold": 1.0}, 0.0),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_weighting_objectives_say_their_floor(config: dict[str, Any], floor: float) -> None:
    weight = build(config).weight
    assert weight is not None
    assert weight.floor == floor


def test_others_have_no_weight() -> None:
    assert build(LS).weight is None
    assert build({"name": "brier"}).weight is None


def test_where_the_inputs_come_from() -> None:
    assert build(LS).source is Source.LABELS
    assert build({"name": "tailr", "weight_from": "eval"}).source is Source.EVALUATION_PASS
    assert build({"name": "unlikelihood"}).source is Source.PREVIOUS_TARGETS
    sparse = build({"name": "sparse_distillation", "teacher": "run", "method": "top", "num_pieces": 4})
    assert (sparse.source, sparse.teacher_pieces) == (Source.TEACHER, TeacherPieces(4, "top"))
    assert build({"name": "emo"}).embeds_with_output
    for name, other in (("r_drop", "dropout"), ("distillation", "teacher")):
        teacher = {"teacher": "run"} if other == "teacher" else {}
        pair = build_objective(parsed({"name": name} | teacher), vocab_size=V, pad_id=0)
        assert isinstance(pair, PairObjective)
        assert pair.other == other


def test_a_teacher_is_compared_in_its_official_way_unless_a_skew_is_given() -> None:
    config = {"name": "distillation", "teacher": "run"}
    for divergence, shown in (("skewed_forward_kl", "0.1"), ("js", "0.9"), ("symmetric_kl", "0.9")):
        objective = build_objective(parsed(config | {"divergence": divergence}), vocab_size=V, pad_id=0)
        assert f"{divergence} ({shown})" in objective.formula
    objective = build_objective(parsed(config | {"divergence": "js", "skew": 0.25}), vocab_size=V, pad_id=0)
    assert "js (0.25)" in objective.formula


@pytest.mark.parametrize(
    ("config", "side"),
    [
        (LS | {"prior": "unigram"}, "target"),
        (LS | {"prior": "target_side"}, "target"),
        ({"name": "confidence_penalty", "prior": "unigram"}, "target"),
        ({"name": "weighted_label_smoothing"}, "source"),
    ],
)
def test_counts_are_asked_for_where_they_are_needed(config: dict[str, Any], side: str) -> None:
    with pytest.raises(ValueError, match=f"this objective needs {side}_counts"):
        build(config)
    with pytest.raises(ValueError, match=rf"{side}_counts \[4\] do not fit a vocabulary of 11"):
        build(config, target_counts=torch.ones(4), source_counts=torch.ones(4))


def test_the_mass_of_masked_smoothing_goes_to_the_others_of_the_target_side() -> None:
    """Chen et al.: (1 - e - c) nll + c times the sum over the set, c = e / (size - 1)."""
    counts = torch.tensor([0, 0, 0, 5, 1, 2] + [0] * 5)
    objective = build(LS | {"prior": "target_side", "convention": "fairseq"}, target_counts=counts)
    c = 0.1 / 2
    other = -torch.tensor((1 - torch.tensor(-2.0).exp().item()) / (V - 1), dtype=torch.float64).log().item()
    assert loss_of(objective) == pytest.approx((1 - 0.1 - c) * 2 + c * (2 + 2 * other))


def test_the_unigram_of_the_penalty_takes_unseen_pieces_for_seen_once() -> None:
    values = build(
        {"name": "confidence_penalty", "prior": "unigram"}, target_counts=torch.tensor([0] + [2] * 10)
    ).constants.values
    assert values is not None
    assert values.exp().tolist() == pytest.approx([1 / 21] + [2 / 21] * 10)


def test_a_group_with_a_share_needs_pieces() -> None:
    config = {"name": "weighted_label_smoothing", "target_share": 0.5, "common_share": 0.5, "source_share": 0.0}
    counts = {"source_counts": torch.tensor([1] * 10 + [0]), "target_counts": torch.ones(V)}
    build(config, **counts)
    counts["source_counts"] = torch.zeros(V)
    with pytest.raises(ConfigError) as caught:
        build(config, **counts)
    assert caught.value.render() == (
        "error[MT029]: no piece is in the group `common`, which has a share of 0.5\n"
        "help: set `common_share: 0` and give its mass to the others"
    )


def test_groups_of_a_file_need_pieces_too(tmp_path: Path) -> None:
    file = tmp_path / "groups.txt"
    file.write_text("target\n" * V)
    with pytest.raises(ConfigError) as caught:
        build({"name": "weighted_label_smoothing", "groups": str(file)})
    assert [problem.code for problem in caught.value.problems] == ["MT028", "MT028"]


def test_a_scheduled_number_is_a_function_of_the_step_alone() -> None:
    objective = build(LS | {"epsilon": RISE})
    plain = {epsilon: loss_of(build(LS | {"epsilon": epsilon})) for epsilon in (0.0, 0.05, 0.1)}
    for step, epsilon in ((1, 0.0), (10, 0.0), (15, 0.05), (20, 0.1), (99, 0.1), (15, 0.05)):
        current = objective.at(step)
        assert isinstance(current, Objective)
        assert loss_of(current) == pytest.approx(plain[epsilon], rel=1e-12)
        assert current.parameters == {"epsilon": pytest.approx(epsilon)}
        assert current.needs == objective.needs == {Statistic.PRIOR_LOGIT}
        assert current.constants is objective.constants


def test_a_number_that_stays_is_no_parameter() -> None:
    objective = build(LS)
    assert objective.at(1) is objective.at(1000) is objective
    assert objective.parameters == {}


def test_several_numbers_may_change_at_once() -> None:
    objective = build({"name": "tailr", "gamma": RISE, "min_weight": {**RISE, "start": 1.0, "end": 0.2}})
    current = objective.at(15)
    assert current.parameters == {"gamma": pytest.approx(0.05), "min_weight": pytest.approx(0.6)}
    assert isinstance(current, Objective)
    assert current.weight is not None
    assert current.weight.floor == pytest.approx(0.6)


def test_truncation_begins_after_its_start_step() -> None:
    objective = build({"name": "loss_truncation", "fraction": 0.3, "start_step": 50, "min_count": 7, "window": 9})
    fractions = []
    for step in (1, 50, 51):
        current = objective.at(step)
        assert isinstance(current, Objective)
        assert current.truncation is not None
        assert (current.truncation.unit, current.truncation.window, current.truncation.min_count) == ("sentence", 9, 7)
        fractions.append(current.truncation.fraction)
    assert fractions == [0.0, 0.0, 0.3]


def test_error_norms_are_left_out_after_the_start_step() -> None:
    objective = build({"name": "error_norm_truncation", "threshold": 0.1, "start_step": 50, "epsilon": 0.0})
    assert loss_of(objective.at(50)) == pytest.approx(2.0)
    assert loss_of(objective.at(51)) == 0
    by_fraction = build({"name": "error_norm_truncation", "fraction": 0.25})
    assert by_fraction.truncation is not None
    assert (by_fraction.truncation.unit, by_fraction.truncation.fraction) == ("token", 0.25)
    assert Statistic.SUM_SQ_PROB in by_fraction.needs


def test_stages_follow_each_other() -> None:
    objective = build_objective(
        parsed(
            {
                "name": "stages",
                "stages": (
                    {"objective": {"name": "cross_entropy"}, "until_step": 7},
                    {"objective": LS | {"epsilon": RISE, "z_loss": 0.5}, "until_step": 15},
                    {"objective": {"name": "r_drop"}},
                ),
            }
        ),
        vocab_size=V,
        pad_id=0,
    )
    assert [objective.at(step).parameters["stage"] for step in (1, 7, 8, 15, 16, 999)] == [1, 1, 2, 2, 3, 3]
    assert loss_of(objective.at(7)) == pytest.approx(2.0)
    smoothed = objective.at(14)
    assert smoothed.parameters == {"stage": 2.0, "epsilon": pytest.approx(0.04)}
    expected = build(LS | {"epsilon": 0.04, "z_loss": 0.5})
    assert loss_of(smoothed) == pytest.approx(loss_of(expected), rel=1e-12)
    assert isinstance(objective.at(16), PairObjective)
