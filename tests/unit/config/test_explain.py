"""Messages, word for word: the examples of docs/errors.md, and those that read differently from them."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mt_trainer.config import load_config, merging
from mt_trainer.config.schema import TrainConfig
from mt_trainer.config.settings import variants
from mt_trainer.errors import ConfigError

Refusal = Callable[..., ConfigError]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "errors.md"
SHIPPED = ["demo.yaml", "iwslt14.yaml", "multi30k.yaml", "multi30k_tailr.yaml", "wmt14.yaml"]
OBJECTIVES = ", ".join(f"`{name}`" for name in variants(TrainConfig.model_fields["objective"].annotation))
WITHOUT_DEV = "data:\n  src_lang: en\n  tgt_lang: de\n  train: {format: text, src: train.en, tgt: train.de}\n"


@pytest.fixture(autouse=True)
def _known_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "recipe_names", lambda: SHIPPED)


def example(code: str) -> str:
    """The message that docs/errors.md shows for a code."""
    match = re.search(rf"^### {code}:.*?```\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("MT020", "model:\n\tpreset: transformer_tiny\n"),
        ("MT021", "objective:\n  name: label_smoothing\n  label_smoothin: 0.1\n"),
        ("MT022", WITHOUT_DEV),
        ("MT023", "training:\n  max_steps: ten\n"),
        ("MT024", "objective:\n  name: label_smoothing\n  epsilon: 1.5\n"),
        ("MT025", "training:\n  max_steps: 20000\n  patience: 5\n  max_steps: 30000\n"),
        ("MT026", "model:\n  preset: transformer_tiny\n  num_heads: 3\n"),
        ("MT027", "extends: base.yaml\n"),
    ],
)
def test_the_page_shows_what_is_printed(refusal: Refusal, code: str, text: str) -> None:
    assert refusal(text).render() == example(code)


def test_the_page_shows_what_is_printed_for_the_command_line(refusal: Refusal) -> None:
    assert refusal("", "training.max_steps").render() == example("MT002")
    with pytest.raises(ConfigError) as caught:
        load_config("mulit30k.yaml")
    assert caught.value.render() == example("MT001")


def block(code: str, message: str, where: str, excerpt: str, help: str) -> str:
    return f"error[{code}]: {message}\n  --> {where}\n{excerpt}\nhelp: {help}"


CASES = {
    "a misspelt section": (
        "trainig:\n  max_steps: 5\n",
        block("MT021", "unknown section `trainig`", "ende.yaml:6:1", "    6 | trainig:\n      | ^^^^^^^",
              "the closest setting is `training` (section)"),
    ),
    "a key of another section": (
        "training:\n  label_smoothing: 0.1\n",
        block("MT021", "unknown key `label_smoothing` in section `training`", "ende.yaml:7:3",
              "    7 |   label_smoothing: 0.1\n      |   ^^^^^^^^^^^^^^^",
              "the closest setting is `objective.epsilon` (number or schedule, 0 <= x < 1, default 0.1)"),
    ),
    "a key of another variant": (
        "objective: {name: label_smoothing, gamma: 0.1}\n",
        block("MT021", "unknown key `gamma` in section `objective` (name `label_smoothing`)", "ende.yaml:6:36",
              "    6 | objective: {name: label_smoothing, gamma: 0.1}\n      |" + " " * 36 + "^^^^^",
              "`gamma` belongs to `tailr`, `focal` and `anti_focal`; valid keys here: `name`, `epsilon`, "
              "`convention`, `prior`, `prior_temperature`, `z_loss`"),
    ),
    "an unknown variant": (
        "optim:\n  schedule: {name: cosin}\n",
        block("MT024", "`optim.schedule` has no name `cosin`", "ende.yaml:7:20",
              "    7 |   schedule: {name: cosin}\n      |                    ^^^^^",
              "the closest is `cosine`; allowed: `noam`, `inverse_sqrt`, `linear`, `cosine`, `wsd`, `constant`"),
    ),
    "a variant that is no text": (
        "objective: {name: 5}\n",
        block("MT023", "`objective.name` must be text, not 5", "ende.yaml:6:19",
              "    6 | objective: {name: 5}\n      |                   ^",
              f"allowed: {OBJECTIVES}"),
    ),
    "a source that does not say what it is": (
        WITHOUT_DEV + "  dev: {src: dev.en, tgt: dev.de}\n",
        block("MT022", "`data.dev` does not say which `format` it has", "ende.yaml:5:3",
              "    5 |   dev: {src: dev.en, tgt: dev.de}\n      |   ^^^",
              "these keys fit `format: text`; allowed: `text`, `tsv`, `huggingface`, `phrasebook`"),
    ),
    "a misspelt tag": (
        WITHOUT_DEV + "  dev: {formt: text, src: dev.en, tgt: dev.de}\n",
        block("MT021", "unknown key `formt` in section `data.dev`", "ende.yaml:5:9",
              "    5 |   dev: {formt: text, src: dev.en, tgt: dev.de}\n      |         ^^^^^",
              "the closest setting is `format` (one of `text`, `tsv`, `huggingface`, `phrasebook`)"),
    ),
    "a number in quotes": (
        "optim: {clip_norm: '5'}\n",
        block("MT023", "`optim.clip_norm` must be a number, not the text `5`", "ende.yaml:6:20",
              "    6 | optim: {clip_norm: '5'}\n      |                    ^^^",
              "`clip_norm` takes: number or null, x > 0, default 1; leave the quotes out"),
    ),
    "a truth value where a number belongs": (
        "runtime: {seed: true}\n",
        block("MT023", "`runtime.seed` must be an integer, not `true`", "ende.yaml:6:17",
              "    6 | runtime: {seed: true}\n      |                 ^^^^",
              "`seed` takes: integer, 0 <= x < 2147483648, default 1"),
    ),
    "yes for true": (
        "evaluation: {lowercase: yes}\n",
        block("MT023", "`evaluation.lowercase` must be `true` or `false`, not the text `yes`", "ende.yaml:6:25",
              "    6 | evaluation: {lowercase: yes}\n      |                         ^^^",
              "`lowercase` takes: true or false, default false; write `true`"),
    ),
    "a power of ten where an integer belongs": (
        "training: {max_steps: 1e5}\n",
        block("MT023", "`training.max_steps` must be an integer, not 100000.0", "ende.yaml:6:23",
              "    6 | training: {max_steps: 1e5}\n      |                       ^^^",
              "`max_steps` takes: integer or null, x >= 1, in steps, default 100000; write `100000`"),
    ),
    "a number where text belongs": (
        "runtime: {run_folder: 2016}\n",
        block("MT023", "`runtime.run_folder` must be text, not 2016", "ende.yaml:6:23",
              "    6 | runtime: {run_folder: 2016}\n      |                       ^^^^",
              "`run_folder` takes: text or null, not empty, default null; put it in quotes"),
    ),
    "an empty section": (
        "training:\nruntime: {seed: 2}\n",
        block("MT023", "the section `training` is empty", "ende.yaml:6:1", "    6 | training:\n      | ^^^^^^^^",
              "give it keys, or leave it out for the defaults"),
    ),
    "a list where a section belongs": (
        "training: [5]\n",
        block("MT023", "`training` must be a mapping, not a list", "ende.yaml:6:11",
              "    6 | training: [5]\n      |           ^", "it takes: section"),
    ),
    "not a number": (
        "optim: {beta1: .nan}\n",
        block("MT024", "`optim.beta1` cannot be nan", "ende.yaml:6:16",
              "    6 | optim: {beta1: .nan}\n      |                ^^^^",
              "`beta1` takes: number, 0 <= x < 1, default 0.9"),
    ),
    "a negative gamma": (
        "objective: {name: tailr, gamma: -1}\n",
        block("MT024", "`objective.gamma` cannot be -1", "ende.yaml:6:33",
              "    6 | objective: {name: tailr, gamma: -1}\n      |                                 ^^",
              "`gamma` takes: number or schedule, 0 <= x <= 1, default 0.1"),
    ),
    "a choice that is none": (
        "runtime: {device: gpu}\n",
        block("MT024", "`runtime.device` cannot be `gpu`", "ende.yaml:6:19",
              "    6 | runtime: {device: gpu}\n      |                   ^^^",
              "the closest is `cuda`; allowed: `auto`, `cpu`, `cuda`"),
    ),
    "a preset that is none": (
        "model: tiny\n",
        block("MT024", "`model.preset` cannot be `tiny`", "ende.yaml:6:8", "    6 | model: tiny\n      |        ^^^^",
              "the closest is `transformer_tiny`; allowed: `transformer_tiny`, `transformer_iwslt`, "
              "`transformer_base`, `transformer_big`"),
    ),
    "no source": (
        "data: {src_lang: en, tgt_lang: de, train: [], dev: {format: phrasebook, split: dev}}\n",
        block("MT024", "`data.train` cannot be a list", "ende.yaml:1:43",
              "    1 | data: {src_lang: en, tgt_lang: de, train: [], dev: {format: phrasebook, split: dev}}\n"
              "      |                                           ^",
              "`train` takes: one source or a list of sources, not empty, required"),
    ),
    "a test set that would leave the folder": (
        WITHOUT_DEV + "  dev: {format: phrasebook, split: dev}\n  test: {../x: {format: phrasebook, split: test}}\n",
        block("MT024", "a test set cannot be called `../x`", "ende.yaml:6:10",
              "    6 |   test: {../x: {format: phrasebook, split: test}}\n      |          ^^^^",
              "its name becomes that of a file: letters, digits, `_`, `.` and `-`, a letter or digit first"),
    ),
    "no data": ("runtime: {seed: 2}\nextends: demo.yaml\ndata: 5\n",
        block("MT023", "`data` must be a mapping, not 5", "ende.yaml:3:7", "    3 | data: 5\n      |       ^",
              "it takes: section"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_messages_word_for_word(refusal: Refusal, name: str) -> None:
    text, expected = CASES[name]
    assert refusal(text).render() == f"{expected}\nnote: nothing was written"


def test_a_config_without_data_points_at_the_file(refusal: Refusal) -> None:
    [problem] = refusal("data:\n").problems
    assert problem.where == "ende.yaml:1:1"
    Path("empty.yaml").write_text("runtime: {seed: 2}\n")
    with pytest.raises(ConfigError) as caught:
        load_config("empty.yaml")
    [problem] = caught.value.problems
    assert (problem.code, problem.where, problem.excerpt) == ("MT022", "empty.yaml", None)
    assert problem.message == "the section `data` is missing"


def test_a_misspelt_required_key_is_one_problem(refusal: Refusal) -> None:
    [problem] = refusal(
        WITHOUT_DEV.replace("src_lang", "src_lng") + "  dev: {format: phrasebook, split: dev}\n"
    ).problems
    assert problem.code == "MT021"
    assert problem.help == "the closest setting is `src_lang` (text, not empty, required)"


def test_all_problems_come_at_once_in_the_order_of_the_file(refusal: Refusal) -> None:
    error = refusal(
        "data:\n  src_lang: en\n  src_lang: en\n  tgt_lang: [de]\n  train: {format: txt}\n"
        "  dev: {format: text, src: a}\n  test: {a: {format: tsv, path: x, column: 3}, b: 5}\n"
        "model: {num_heads: 7}\noptim: {lr: 3, schedule: {name: wsd, peak_lr: 0}}\n"
        "decoding: {n_best: 9}\nruntime: {device: tpu}\ntrainin: {}\n"
    )
    assert [(problem.code, problem.where) for problem in error.problems] == [
        ("MT025", "ende.yaml:3:3"),
        ("MT023", "ende.yaml:4:13"),
        ("MT024", "ende.yaml:5:19"),
        ("MT022", "ende.yaml:6:3"),
        ("MT021", "ende.yaml:7:36"),
        ("MT023", "ende.yaml:7:51"),
        ("MT026", "ende.yaml:8:20"),
        ("MT021", "ende.yaml:9:9"),
        ("MT024", "ende.yaml:9:47"),
        ("MT026", "ende.yaml:10:20"),
        ("MT024", "ende.yaml:11:19"),
        ("MT021", "ende.yaml:12:1"),
    ]
    assert "\nnote: 11 more problems follow; nothing was written\n\nerror[MT023]" in error.render()
    assert error.exit_code == 2
