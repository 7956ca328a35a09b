from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config.objective import SingleObjective
from mt_trainer.errors import ConfigError
from mt_trainer.objectives.building.explain import explain_objective
from mt_trainer.objectives.building.published import CONVENTIONS, SOURCES

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
        ("{prior: unigram}", "by how often pieces occur in the training text, which is counted once it is encoded"),
        ("{name: weighted_label_smoothing}",
         "by how often pieces occur in the training text, which is counted once it is encoded"),
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
    assert "0.6 on the label" not in explain("{name: graduated_label_smoothing}")[-1]
    assert explain("{name: graduated_label_smoothing}")[-1].startswith(
        "target     where p_y = 0.9: 0.7003 on the label"
    )


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
    ],
)
def test_what_it_equals(explain: Explain, objective: str, equal: str) -> None:
    assert f"equals     {equal}" in explain(objective)


def test_a_setting_of_ones_own_equals_nothing(explain: Explain) -> None:
    assert not [line for line in explain("{name: tailr, gamma: 0.37}") if line.startswith("equals")]


def test_every_stage_is_explained(explain: Explain) -> None:
    lines = explain("[{name: cross_entropy, until_step: 5}, {name: brier}]")
    assert [line.split()[0] for line in lines if line] == [
        "objective.stages.0.objective", "source", "target",
        "objective.stages.1.objective", "source", "equals", "target",
    ]  # fmt: skip


def test_every_objective_has_a_source() -> None:
    assert set(SOURCES) == set(get_args(SingleObjective))


def test_a_bad_file_is_refused(explain: Explain) -> None:
    with pytest.raises(ConfigError):
        explain("{prior: absent.txt}")
