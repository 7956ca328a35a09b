"""Section `objective`: bad parameters are refused at their place, in stages and schedules too, all at once."""

from collections.abc import Callable
from typing import Any

import pytest

from mt_trainer.config import TrainConfig
from mt_trainer.config.objective import ObjectiveConfig, StagesConfig
from mt_trainer.config.objective_checks import CHECKS, objective_checks
from mt_trainer.config.resolved import to_yaml
from mt_trainer.config.resume import resumption_of
from mt_trainer.config.settings import bare, forms_of_number, settings_of, variants
from mt_trainer.errors import ConfigError

Load = Callable[..., TrainConfig]
Refusal = Callable[..., ConfigError]

RAMP = "{schedule: linear, start: 0, end: 0.2, start_step: 100, end_step: 500}"


@pytest.mark.parametrize(
    ("objective", "code", "column", "help"),
    [
        ("{epsilon: 1}", "MT024", 22, "`epsilon` takes: number or schedule, 0 <= x < 1, default 0.1"),
        ("{epsilon: .nan}", "MT024", 22, "`epsilon` takes: number or schedule, 0 <= x < 1, default 0.1"),
        ("{epsilon: .inf}", "MT024", 22, "`epsilon` takes: number or schedule, 0 <= x < 1, default 0.1"),
        ("{epsilon: half}", "MT023", 22, "`epsilon` takes: number or schedule, 0 <= x < 1, default 0.1"),
        ("{epsilon: [0.1]}", "MT023", 22, "`epsilon` takes: number or schedule, 0 <= x < 1, default 0.1"),
        ("{convention: sockeye}", "MT024", 25, "allowed: `torch`, `fairseq`, `no_pad`, `kl`"),
        ("{prior_temperature: 0}", "MT024", 32, "`prior_temperature` takes: number, x > 0, default 1"),
        ("{prior: 5}", "MT023", 20, "`prior` takes: text, not empty, default uniform; put it in quotes"),
        ("{z_loss: -1}", "MT024", 21, "`z_loss` takes: number or schedule, x >= 0, default 0"),
        ("{name: confidence_penalty, beta: -.inf}", "MT024", 45,
         "`beta` takes: number or schedule, x >= 0, default 2.5"),
        ("{name: confidence_penalty, threshold: 0}", "MT024", 50,
         "`threshold` takes: number or schedule or null, 0 < x <= 1000, in nats, default null"),
        ("{name: tailr, gamma: 1.1}", "MT024", 33, "`gamma` takes: number or schedule, 0 <= x <= 1, default 0.1"),
        ("{name: tailr, min_weight: -0.1}", "MT024", 38,
         "`min_weight` takes: number or schedule, 0 <= x <= 1, default 0.3"),
        ("{name: tailr, weight_from: test}", "MT024", 39, "allowed: `train`, `eval`"),
        ("{name: mixce, eta: 2}", "MT024", 31, "`eta` takes: number or schedule, 0 <= x <= 1, default 0.5"),
        ("{name: focal, gamma: 0.5}", "MT024", 33, "`gamma` takes: number or schedule, x = 0 or x >= 1, default 1"),
        ("{name: focal, gamma: -1}", "MT024", 33, "`gamma` takes: number or schedule, x = 0 or x >= 1, default 1"),
        ("{name: focal, gamma: .nan}", "MT024", 33, "`gamma` takes: number or schedule, x = 0 or x >= 1, default 1"),
        ("{name: loss_truncation, fraction: 1}", "MT024", 46,
         "`fraction` takes: number or schedule, 0 < x < 1, default 0.4"),
        ("{name: loss_truncation, fraction: 1.0}", "MT024", 46,
         "`fraction` takes: number or schedule, 0 < x < 1, default 0.4"),
        ("{name: error_norm_truncation, fraction: 1.0}", "MT024", 52,
         "`fraction` takes: number or schedule or null, 0 < x < 1, default null"),
        ("{name: error_norm_truncation, threshold: 1.5}", "MT024", 53,
         "`threshold` takes: number or schedule or null, 0 < x <= 1.415, default null"),
        ("{name: emo, variant: 3}", "MT024", 33, "allowed: `1`, `2`"),
        ("{name: emo, variant: one}", "MT024", 33, "allowed: `1`, `2`"),
        ("{name: distillation, teacher: run, divergence: kl}", "MT024", 59,
         "the closest is `forward_kl`; allowed: `forward_kl`, `reverse_kl`, `symmetric_kl`, `skewed_forward_kl`, "),
        ("{name: distillation, teacher: run, temperature: 0}", "MT024", 60,
         "`temperature` takes: number or schedule, 0 < x <= 1000, default 1"),
        ("{name: distillation, teacher: run, temperature: 1e200}", "MT024", 60,
         "`temperature` takes: number or schedule, 0 < x <= 1000, default 1"),
        ("{name: distillation}", "MT022", 1,
         "Run folder of the teacher; its tokenizer must be the same. It takes: text"),
        ("{name: class_weighted}", "MT022", 1, "File of V weights >= 0, one a line; a token counts by its label's. "
         "It takes: text"),
        ("{name: sparse_distillation, teacher: run, num_pieces: 0}", "MT024", 66,
         "`num_pieces` takes: integer, 1 <= x <= 1024, in pieces, default 12"),
        ("{name: tailor}", "MT024", 19, "the closest is `tailr`; allowed: `cross_entropy`, "),
        ("{name: rdrop}", "MT024", 19, "the closest is `r_drop`; allowed: `cross_entropy`, "),
        ("{epsilon: {schedule: exponential, start: 0, end: 0.1, end_step: 5}}", "MT024", 33,
         "allowed: `linear`, `cosine`, `step`"),
        ("{epsilon: {schedule: linear, start: 0, end: 1, end_step: 5}}", "MT024", 56,
         "`end` takes: number, 0 <= x < 1, required"),
        ("{epsilon: {schedule: linear, start: 0, end: .nan, end_step: 5}}", "MT024", 56,
         "`end` takes: number, 0 <= x < 1, required"),
        ("{epsilon: {schedule: linear, start: 0, end: 0.1, end_stp: 5}}", "MT021", 61,
         "the closest setting is `end_step` (integer, x >= 1, in steps, required)"),
        ("{epsilon: {schedule: linear, start: 0, end: 0.1}}", "MT022", 13,
         "First step with the value of the end. It takes: integer"),
        ("[]", "MT024", 12, "`stages` takes: list of sections, not empty, required"),
        ("[5]", "MT023", 13, "it takes: mapping, as in `{name: cross_entropy, until_step: 10000}`"),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_refused_at_its_place(
    refusal: Refusal, objective: str, code: str, column: int, help: str
) -> None:
    error = refusal(f"objective: {objective}\n")
    [problem] = error.problems
    assert (problem.code, problem.where) == (code, f"ende.yaml:6:{column}")
    assert (problem.help or "").startswith(help)
    assert error.exit_code == 2


CONTRADICTIONS = {
    "{convention: no_pad, prior: unigram}": (25, "`no_pad` is not defined for the prior `unigram`"),
    "{convention: kl, prior: target_side}": (25, "is not defined for the prior `target_side`"),
    "{convention: fairseq, prior: own.txt}": (25, "is not defined for the prior `own.txt`"),
    "{prior_temperature: 2}": (32, "`objective.prior_temperature` 2 has no effect: the prior is `uniform`"),
    "{name: weighted_label_smoothing, target_share: 0.5}": (59, "sum to 1.1, not to one"),
    "{name: graduated_label_smoothing, high_threshold: 0.2}": (62, "0.2 is less than `low_threshold` 0.3"),
    "{name: confidence_penalty, threshold: 1, prior: unigram}": (50, "`objective.threshold` bounds the entropy"),
    "{name: error_norm_truncation}": (19, "but neither is given"),
    "{name: error_norm_truncation, threshold: 1, fraction: 0.1}": (53, "but both are given"),
    "{name: error_norm_truncation, threshold: 1, window: 50000}": (64, "`objective.window` has no effect"),
    "{name: error_norm_truncation, fraction: 0.1, window: 50}": (65, "10000 is never reached: `window` remembers 50"),
    "{name: loss_truncation, min_count: 20000}": (47, "20000 is never reached: `window` remembers 10000"),
    "{name: distillation, teacher: run, skew: 0.2}": (53, "has no effect: the divergence is `forward_kl`"),
    "{name: sparse_distillation, teacher: run, ghost: true}": (61, "but `method` is `sample`"),
    "{epsilon: {schedule: linear, start: 0, end: 0.1, start_step: 5, end_step: 5}}": (86, "5 does not come after"),
    "{epsilon: {schedule: step, start: 0, end: 0.1, start_step: 3, end_step: 5}}": (71, "3 has no effect"),
    "{name: focal, gamma: {schedule: linear, start: 0, end: 2, end_step: 5}}": (26, "values between 0 and 1"),
    "{name: graduated_label_smoothing, low_threshold: {schedule: linear, start: 0, end: 0.8, end_step: 5}}":
        (46, "`objective.high_threshold` may fall below `low_threshold`, which goes as far as 0.8"),
    "[{name: brier, until_step: 5}]": (39, "5 ends the last stage, and nothing follows"),
    "[{name: brier}, {name: focal}]": (20, "`objective.stages.0.until_step` is missing, but another stage follows"),
    "[{name: brier, until_step: 5}, {name: focal, until_step: 5}, {name: emo}]": (69, "5 is not after step 5"),
    "[{name: brier, until_step: 100000}, {name: focal}]": (55, "`training.max_steps` is 100000"),
    "[{name: focal, until_step: 5}, {name: error_norm_truncation}]": (50, "`objective.stages.1.objective.threshold`"),
}  # fmt: skip


@pytest.mark.parametrize("objective", CONTRADICTIONS)
def test_a_contradiction_is_refused_at_its_key(refusal: Refusal, objective: str) -> None:
    column, part = CONTRADICTIONS[objective]
    error = refusal(f"objective: {objective}\n")
    [problem] = error.problems
    assert (problem.code, problem.where) == ("MT026", f"ende.yaml:6:{column}")
    assert part in problem.message
    assert problem.help
    assert error.exit_code == 2


def test_weighted_smoothing_needs_a_joint_vocabulary(refusal: Refusal) -> None:
    text = (
        "objective: {name: weighted_label_smoothing}\ntokenizer: {joint: false}\nmodel: {share_embeddings: decoder}\n"
    )
    [problem] = refusal(text).problems
    assert (problem.code, problem.where) == ("MT026", "ende.yaml:6:19")
    assert "`tokenizer.joint` is false" in problem.message


@pytest.mark.parametrize("objective", ["{name: r_drop}", "[{name: focal, until_step: 9}, {name: r_drop}]"])
def test_two_passes_without_dropout_are_one(refusal: Refusal, load: Load, objective: str) -> None:
    [problem] = refusal(f"objective: {objective}\nmodel: {{dropout: 0}}\n").problems
    assert problem.code == "MT026"
    assert "all dropout of the model is 0" in problem.message
    load(f"objective: {objective}\nmodel: {{dropout: 0, activation_dropout: 0.1}}\n")


@pytest.mark.parametrize(
    "objective",
    [
        "{epsilon: 0}",
        f"{{epsilon: {RAMP}}}",
        "{epsilon: {schedule: step, start: 0.1, end: 0, end_step: 5}}",
        "{prior: unigram, prior_temperature: 20}",
        "{prior: target_side, convention: fairseq}",
        "{name: focal, gamma: 0}",
        "{name: error_norm_truncation, threshold: 1.4}",
        "{name: error_norm_truncation, fraction: 0.1, window: 20000}",
        "{name: distillation, teacher: run, divergence: js, skew: 0.5}",
        "{name: sparse_distillation, teacher: run, method: top, ghost: true}",
        f"{{name: tailr, gamma: {RAMP}, min_weight: {RAMP}}}",
        "[{name: cross_entropy, until_step: 13000}, {name: brier}]",
        f"[{{name: confidence_penalty, beta: {RAMP}}}]",
        f"{{name: r_drop, alpha: {RAMP}, epsilon: {RAMP}, z_loss: {RAMP}}}",
        "{name: focal, gamma: {schedule: step, start: 0, end: 2, end_step: 5}}",
        "{name: focal, gamma: {schedule: linear, start: 3, end: 1, end_step: 5}}",
        f"{{name: graduated_label_smoothing, low_threshold: {RAMP}}}",
        f"{{name: graduated_label_smoothing, low_threshold: {RAMP}, high_threshold: {RAMP.replace('0.2', '0.3')}}}",
        "{name: error_norm_truncation, fraction: {schedule: cosine, start: 0.1, end: 0.4, end_step: 5}}",
        "{name: distillation, teacher: run, divergence: js, skew: {schedule: step, start: 0.5, end: 0.9, end_step: 5}}",
    ],
)
def test_what_fits_is_let_through_and_loads_back(load: Load, objective: str) -> None:
    config = load(f"objective: {objective}\n")
    assert load(to_yaml(config)) == config


def test_a_list_is_short_for_stages(load: Load) -> None:
    short = load("objective: [{name: cross_entropy, until_step: 13000}, {name: brier, epsilon: 0}]\n")
    assert isinstance(short.objective, StagesConfig)
    assert [(stage.until_step, stage.objective.name) for stage in short.objective.stages] == [
        (13000, "cross_entropy"),
        (None, "brier"),
    ]
    long = load(
        "objective:\n  name: stages\n  stages:\n    - {until_step: 13000, objective: {name: cross_entropy}}\n"
        "    - objective: {name: brier, epsilon: 0}\n"
    )
    assert short == long
    assert load("", "objective=[{name: cross_entropy, until_step: 13000}, {name: brier, epsilon: 0}]") == long


def test_a_stage_may_be_changed_from_the_command_line(load: Load) -> None:
    text = "objective: [{name: tailr, until_step: 13000}, {name: brier}]\n"
    config = load(text, "objective.stages.0.objective.gamma=0.5", "objective.stages.0.until_step=7")
    assert load("objective: [{name: tailr, gamma: 0.5, until_step: 7}, {name: brier}]\n") == config
    config = load("", "objective=[{name: focal, until_step: 3}, {name: brier}]", "objective.stages.0.until_step=7")
    assert load("objective: [{name: focal, until_step: 7}, {name: brier}]\n") == config


def test_a_schedule_may_be_given_on_the_command_line(load: Load) -> None:
    assert load("", f"objective.epsilon={RAMP}") == load(f"objective: {{epsilon: {RAMP}}}\n")
    changed = load(f"objective: {{epsilon: {RAMP}}}\n", "objective.epsilon.end=0.3")
    assert changed == load(f"objective: {{epsilon: {RAMP.replace('0.2', '0.3')}}}\n")
    assert load(f"objective: {{epsilon: {RAMP}}}\n", "objective.epsilon=0.1") == load()


def test_all_problems_of_all_stages_come_at_once(refusal: Refusal) -> None:
    error = refusal(
        "model: {num_heads: 7}\n"
        "objective:\n"
        "  - {name: tailr, gamma: 3, until_step: 13000}\n"
        "  - {name: error_norm_truncation, until_step: 9}\n"
        "  - {name: label_smoothing, epsilon: {schedule: linear, start: -1, end: .nan, end_step: x}}\n"
        "  - {name: brir}\n"
        "  - 5\n"
    )
    assert [(problem.code, problem.where) for problem in error.problems] == [
        ("MT026", "ende.yaml:6:20"),
        ("MT024", "ende.yaml:8:26"),
        ("MT026", "ende.yaml:9:12"),
        ("MT026", "ende.yaml:9:47"),
        ("MT026", "ende.yaml:10:12"),
        ("MT024", "ende.yaml:10:64"),
        ("MT024", "ende.yaml:10:73"),
        ("MT023", "ende.yaml:10:89"),
        ("MT024", "ende.yaml:11:12"),
        ("MT023", "ende.yaml:12:5"),
    ]


def test_every_check_looks_at_keys_that_exist() -> None:
    for section, keys, _ in CHECKS:
        assert set(keys) <= set(settings_of(section))


def test_checks_of_stages_carry_their_place(load: Load) -> None:
    config = load("objective: [{name: focal, until_step: 5}, {name: loss_truncation}]\n")
    keys = {key for check in objective_checks(config) for key in check.keys}
    assert "objective.stages.1.objective.min_count" in keys
    assert "objective.min_count" not in keys


def test_no_objective_changes_on_resuming(load: Load) -> None:
    changes: list[Any] = ["objective.epsilon", "objective.stages.0.objective.gamma", "objective.epsilon.end_step"]
    assert {resumption_of(key) for key in changes} == {"fixed"}


REQUIRED = {"teacher": "run", "weights": "weights.txt"}

SCHEDULABLE = [
    (name, key)
    for name, section in variants(ObjectiveConfig).items()
    for key, info in section.model_fields.items()
    if forms_of_number(bare(info.annotation))
]


@pytest.mark.parametrize(("name", "key"), SCHEDULABLE)
@pytest.mark.parametrize("end", ["start", "end"])
def test_a_bad_end_of_any_schedule_is_refused_at_its_place(refusal: Refusal, name: str, key: str, end: str) -> None:
    section = variants(ObjectiveConfig)[name]
    given = "".join(f", {other}: {REQUIRED[other]}" for other in section.model_fields if other in REQUIRED)
    ends = (
        {"start": "1.0e-9", "end": "1.0e-9", end: "-0.5"} if key != "gamma" else {"start": "1", "end": "1", end: "-0.5"}
    )
    line = f"objective: {{name: {name}{given}, {key}: {{schedule: linear, start: {ends['start']}, end: {ends['end']}, "
    error = refusal(line + "end_step: 5}}\n")
    [problem] = [problem for problem in error.problems if problem.code == "MT024"]
    assert problem.where == f"ende.yaml:6:{line.index('-0.5') + 1}"
    assert problem.message == f"`objective.{key}.{end}` cannot be -0.5"
    assert problem.help == f"`{end}` takes: number, {settings_of(section)[key].bounds}, required"
