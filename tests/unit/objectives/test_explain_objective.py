from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config.objective import SingleObjective
from mt_trainer.errors import ConfigError
from mt_trainer.objectives.building.explain import explain_objective
from mt_trainer.objectives.building.published import CONVENTIONS

Explain = Callable[..., list[str]]


@pytest.fixture
def explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explain:
    """The lines for an objective, over 1,000 pieces."""
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text(
        "data: {src_lang: en, tgt_lang: de, train: {format: phrasebook, split: train},"
        " dev: {format: phrasebook, split: dev}}\n"
    )

    def lines(objective: str, *overrides: str) -> list[str]:
        config: TrainConfig = load_config(
            "run.yaml", [f"objective={objective}", "tokenizer.vocab_size=1000", *overrides]
        )
        return explain_objective(config).splitlines()

    return lines


def test_label_smoothing_in_full(explain: Explain) -> None:
    assert explain("{epsilon: 0.1}") == [
        "objective  label smoothing: (1 - 0.1) nll + 0.1 mean_v(-log p_v)  [torch convention]",
        "source     Szegedy et al. 2016",
        f"equals     {CONVENTIONS['torch'].format(epsilon='0.1')}",
        "target     0.9001 on the label, 0.0001 on each of 999 others (padding 0.0001); 1 in all",
    ]


@pytest.mark.parametrize(
    ("objective", "target"),
    [
        ("{name: cross_entropy}", "1 on the label, nothing on the others; 1 in all"),
        ("{epsilon: 0.0}", "1 on the label, nothing on the others; 1 in all"),
        # 0.1 / 999, and 0.1 / 998 without padding
        ("{convention: fairseq}", "0.9 on the label, 0.0001 on each of 999 others (padding 0.0001); 1 in all"),
        ("{convention: no_pad}", "0.9 on the label, 0.0001 on each of 998 others (padding 0); 1 in all"),
        ("{convention: kl}", "0.9 on the label, 0.0001 on each of 999 others (padding 0.0001); 0.9999 in all"),
        ("{prior: prior.txt}", "0.9 on the label, and on each piece 5e-05 to 0.00015 by the prior (padding 5e-05); "
                               "1 in all"),
        ("{name: brier}", "none that is fixed: the gradient depends on more than the label's probability"),
        ("{name: confidence_penalty}", "none that is fixed: the gradient depends on more than the label's probability"),
        ("{name: r_drop}", "none that is fixed: the gradient depends on another distribution, or on other pieces"),
        ("{name: unlikelihood}",
         "none that is fixed: the gradient depends on another distribution, or on other pieces"),
        ("{name: confidence_penalty, prior: unigram}",
         "none that is fixed: the gradient depends on more than the label's probability"),
        ("{prior: unigram}", "by how often pieces occur in the training text, which is counted once it is encoded"),
        ("{name: weighted_label_smoothing}",
         "by how often pieces occur in the training text, which is counted once it is encoded; till then, the formula "
         "is that of an even text"),
    ],
)  # fmt: skip
def test_the_target_distribution(explain: Explain, objective: str, target: str) -> None:
    Path("prior.txt").write_text("0.0005\n" * 500 + "0.0015\n" * 500)
    assert [line for line in explain(objective) if line.startswith("target")] == [f"target     {target}"]


def test_a_target_that_depends_on_the_probability_is_shown_for_some(explain: Explain) -> None:
    # weights: clamp(0.001 / 0.1009) = 0.3, 0.1 / 0.19 = 0.526316, 0.9 / 0.91 = 0.989011
    assert explain("{name: tailr, epsilon: 0.0}")[-3:] == [
        "target     where p_y = 0.001: 0.3 on the label, nothing on the others; 0.3 in all",
        "target     where p_y = 0.1: 0.526316 on the label, nothing on the others; 0.526316 in all",
        "target     where p_y = 0.9: 0.989011 on the label, nothing on the others; 0.989011 in all",
    ]
    assert explain("{name: tailr, weight_from: eval, epsilon: 0.0}")[-3].startswith(
        "target     where p_y = 0.001 without dropout: 0.3 on the label"
    )


def targets(lines: list[str]) -> list[str]:
    return [line.removeprefix("target     ") for line in lines if line.startswith("target")]


def test_every_band_of_graduated_smoothing_is_shown(explain: Explain) -> None:
    assert targets(explain("{name: graduated_label_smoothing}")) == [
        "where p_y < 0.3: 1 on the label, nothing on the others; 1 in all",
        "where 0.3 <= p_y <= 0.7: 0.9001 on the label, 0.0001 on each of 999 others (padding 0.0001); 1 in all",
        "where p_y > 0.7: 0.7003 on the label, 0.0003 on each of 999 others (padding 0.0003); 1 in all",
    ]
    # a band without room is left out
    lines = targets(explain("{name: graduated_label_smoothing, low_threshold: 0.0, high_threshold: 0.2}"))
    assert [line.partition(":")[0] for line in lines] == ["where 0 <= p_y <= 0.2", "where p_y > 0.2"]


def test_class_weights_have_a_target_for_each_label(explain: Explain) -> None:
    Path("weights.txt").write_text("1\n" * 500 + "3\n" * 500)
    # (1 - 0.1) w_y, and 0.1 w_v / 1000 of the pieces, 0.1 * 2 in all
    others = "and on each piece 0.0001 to 0.0003 by its weight (padding 0.0001)"
    assert targets(explain("{name: class_weighted, weights: weights.txt}")) == [
        f"where w_y = 1: 0.9 on the label, {others}; 1.1 in all",
        f"where w_y = 3: 2.7 on the label, {others}; 2.9 in all",
    ]
    assert targets(explain("{name: class_weighted, weights: weights.txt, epsilon: 0.0}")) == [
        "where w_y = 1: 1 on the label, nothing on the others; 1 in all",
        "where w_y = 3: 3 on the label, nothing on the others; 3 in all",
    ]
    Path("weights.txt").write_text("2\n" * 1000)
    assert targets(explain("{name: class_weighted, weights: weights.txt}")) == [
        "1.8002 on the label, 0.0002 on each of 999 others (padding 0.0002); 2 in all"
    ]


def test_what_is_left_out_is_said(explain: Explain) -> None:
    hard = "1 on the label, nothing on the others; 1 in all"
    left_out = "nothing in the 0.4 of sentences that are left out"
    assert targets(explain("{name: loss_truncation}")) == [f"{hard}; {left_out}"]
    assert targets(explain("{name: loss_truncation, start_step: 50}")) == [
        f"at step 1: {hard}",
        f"from step 51 on: {hard}; {left_out}",
    ]
    assert targets(explain("{name: error_norm_truncation, fraction: 0.1, epsilon: 0.0}")) == [
        f"{hard}; nothing in the 0.1 of tokens that are left out"
    ]


def test_a_schedule_shows_where_it_begins_and_where_it_ends(explain: Explain) -> None:
    hard = "1 on the label, nothing on the others; 1 in all"
    smooth = "0.9001 on the label, 0.0001 on each of 999 others (padding 0.0001); 1 in all"
    half = "0.95005 on the label, 5e-05 on each of 999 others (padding 5e-05); 1 in all"
    rise = "epsilon: {schedule: linear, start: 0.0, end: 0.1, start_step: 10, end_step: 20}"
    assert targets(explain(f"{{{rise}}}")) == [f"at step 1: {hard}", f"from step 20 on: {smooth}"]
    assert targets(explain(f"{{{rise}}}", "training.max_steps=15")) == [
        f"at step 1: {hard}",
        f"at step 15, the last: {half}",
    ]
    # a stage begins after the one before it, and its schedule may be over by then
    stages = f"[{{name: cross_entropy, until_step: %d}}, {{name: label_smoothing, {rise}}}]"
    assert targets(explain(stages % 14)) == [hard, f"at step 15: {half}", f"from step 20 on: {smooth}"]
    assert targets(explain(stages % 30)) == [hard, smooth]


def test_an_uneven_prior_of_small_shares_is_not_called_even(explain: Explain) -> None:
    Path("prior.txt").write_text("0.0005\n" * 500 + "0.0015\n" * 500)
    assert targets(explain("{prior: prior.txt, epsilon: 1e-6}")) == [
        "0.999999 on the label, and on each piece 5e-10 to 1.5e-09 by the prior (padding 5e-10); 1 in all"
    ]
    Path("prior.txt").write_text("0\n" * 500 + "0.002\n" * 500)
    assert targets(explain("{prior: prior.txt}")) == [
        "0.9002 on the label if the prior has it, else 0.9, 0.0002 on each of 499 others (padding 0); 1 in all"
    ]


def test_the_z_loss_is_said_to_stand_beside_the_target(explain: Explain) -> None:
    plain, beside = targets(explain("{name: cross_entropy, z_loss: 0.1}"))
    assert plain == "1 on the label, nothing on the others; 1 in all"
    assert beside == "beside it, the z-loss draws logsumexp to 0"


@pytest.mark.parametrize(
    ("objective", "target"),
    [
        ("{name: distillation, teacher: run, mix: 0.0}", "1 on the label, nothing on the others; 1 in all"),
        ("{name: unlikelihood, alpha: 0.0}", "1 on the label, nothing on the others; 1 in all"),
        ("{name: confidence_penalty, beta: 0.0}", "1 on the label, nothing on the others; 1 in all"),
        ("{name: r_drop, alpha: 0.0, epsilon: 0.0}",
         "for each pass: 1 on the label, nothing on the others; 1 in all"),
    ],
)  # fmt: skip
def test_a_limit_has_the_target_of_what_it_equals(explain: Explain, objective: str, target: str) -> None:
    assert targets(explain(objective)) == [target]


@pytest.mark.parametrize(
    ("objective", "equal"),
    [
        ("{epsilon: 0.0}", "cross-entropy"),
        ("{name: tailr, gamma: 0.0}", "label smoothing 0.1 in torch's convention"),
        ("{name: tailr}", "the official recipe for IWSLT14 de-en"),
        ("{name: mixce, eta: 1.0}", "cross-entropy"),
        (
            "{prior: target_side, convention: fairseq}",
            "masked label smoothing of Chen et al., ACL 2022 (chenllliang/MLS)",
        ),
        ("{name: emo, variant: 2}", "emo2_adaptive of DRSY/EMO"),
        ("{name: r_drop}", "the official recipe for IWSLT14 de-en"),
        ("{name: distillation, teacher: run, mix: 0.0}", "cross-entropy"),
        ("{name: unlikelihood, alpha: 0.0, epsilon: 0.1}", "label smoothing 0.1 in torch's convention"),
        ("{name: gold_delta, min_weight: 1.0, epsilon: 0.0}", "cross-entropy"),
        ("{name: tailr, gamma: 1.0}", "GOLD-delta with min_weight 0.3 and label smoothing 0.1"),
        ("{name: mixce, eta: 0.0}", "GOLD-delta with min_weight 0"),
        ("{name: r_drop, alpha: 0.0}", "label smoothing 0.1 in torch's convention of each pass, added"),
        ("{name: error_norm_truncation, threshold: 1.415}", "label smoothing 0.1 in fairseq's convention"),
        ("{name: weighted_label_smoothing, alpha: 0.0}", "cross-entropy"),
    ],
)
def test_what_it_equals(explain: Explain, objective: str, equal: str) -> None:
    assert f"equals     {equal}" in explain(objective)


def test_a_setting_of_ones_own_equals_nothing(explain: Explain) -> None:
    assert not [line for line in explain("{name: tailr, gamma: 0.37}") if line.startswith("equals")]


@pytest.mark.parametrize(
    "objective",
    [
        "{name: label_smoothing, z_loss: 1e-4}",
        "{name: r_drop, z_loss: 0.1}",
        "{name: tailr, weight_from: eval, z_loss: 0.1}",
        "{name: tailr, weight_from: eval}",
        "{name: confidence_penalty, prior: unigram}",
        "{name: loss_truncation, epsilon: 0.1}",
        "{name: loss_truncation, start_step: 5}",
        "{name: brier, z_loss: 0.1}",
        "{name: emo, z_loss: 0.1}",
        "{name: unlikelihood, alpha: 0.0, z_loss: 0.1}",
        "{name: tailr, gamma: 1.0, weight_from: eval}",
        "{prior: unigram, epsilon: {schedule: linear, start: 0.0, end: 0.1, end_step: 20}}",
    ],
)
def test_one_other_key_and_it_equals_nothing(explain: Explain, objective: str) -> None:
    assert not [line for line in explain(objective) if line.startswith("equals")]


def test_every_stage_is_explained(explain: Explain) -> None:
    lines = explain("[{name: cross_entropy, until_step: 5}, {name: brier}]")
    assert [line.split()[0] for line in lines if line] == [
        "objective.stages.0.objective", "source", "target",
        "objective.stages.1.objective", "source", "equals", "target",
    ]  # fmt: skip


def test_every_objective_has_a_source() -> None:
    assert all(variant.source for variant in get_args(SingleObjective))


def test_a_bad_file_is_refused(explain: Explain) -> None:
    with pytest.raises(ConfigError):
        explain("{prior: absent.txt}")
