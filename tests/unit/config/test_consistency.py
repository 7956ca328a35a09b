"""Settings that contradict each other: each check with what it refuses, where it points, and what it lets through."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mt_trainer.config import TrainConfig, consistency
from mt_trainer.config.consistency import CHECKS, Check
from mt_trainer.config.resolved import to_yaml
from mt_trainer.config.settings import groups
from mt_trainer.errors import ConfigError

Load = Callable[..., TrainConfig]
Refusal = Callable[..., ConfigError]

PHRASEBOOK = (
    "data: {src_lang: %s, tgt_lang: %s, "
    "train: {format: phrasebook, split: train}, dev: {format: text, src: a, tgt: b}}\n"
)

REQUIRED = (
    "data:\n  src_lang: en\n  tgt_lang: de\n"
    "  train: {format: text, src: c, tgt: d}\n  dev: {format: text, src: a, tgt: b}\n"
)

CONTRADICTIONS = [
    ("model: {num_heads: 7}\n", "6:20", "`model.num_heads` 7 does not divide `model.d_model` 512"),
    ("model: {d_model: 100}\n", "6:18", "`model.num_heads` 8 does not divide `model.d_model` 100"),
    ("model: {positions: rotary, d_model: 24, num_heads: 8}\n", "6:20", "an odd number"),
    ("optim: {schedule: {name: linear}}\ntraining: {max_steps: null, max_epochs: 3}\n", "6:26", "`linear` decays"),
    ("optim: {schedule: {name: cosine}}\ntraining: {max_steps: null, max_epochs: 3}\n", "6:26", "`cosine` decays"),
    ("optim: {schedule: {name: wsd}}\ntraining: {max_steps: null, max_epochs: 3}\n", "6:26", "`wsd` decays"),
    ("optim: {schedule: {name: cosine, warmup_steps: 50}}\ntraining: {max_steps: 50}\n", "6:48", "leaves nothing"),
    ("optim: {schedule: {name: linear}}\ntraining: {max_steps: 3000}\n", "7:23", "leaves nothing"),
    ("optim: {schedule: {name: wsd, warmup_steps: 60, decay_steps: 50}}\ntraining: {max_steps: 100}\n", "6:45", "60 +"),
    ("training: {max_steps: null}\n", "6:23", "the run would never end"),
    ("training: {batch_tokens: 100}\n", "6:26", "100 over `training.accumulation` 1 holds no row"),
    ("training: {accumulation: 65}\n", "6:26", "holds no row of `data.max_length` 128"),
    ("training: {max_roll_backs: 5}\n", "6:28", "has no effect: `training.on_divergence` is `stop`"),
    ("tokenizer: {joint: false}\n", "6:20", "needs one vocabulary"),
    ("tokenizer: {joint: false, model_file: a}\nmodel: {share_embeddings: none}\n", "6:39", "is for both languages"),
    ("tokenizer: {src_model_file: a, tgt_model_file: b}\n", "6:29", "`tokenizer.joint` is true"),
    ("tokenizer: {joint: false, src_model_file: a}\nmodel: {share_embeddings: none}\n", "6:43", "one side only"),
    (REQUIRED + "  subword_alpha: 0.3\ntokenizer: {algorithm: bpe}\n", "6:18", "`tokenizer.algorithm` is `bpe`"),
    ("tokenizer: {model_file: a, algorithm: bpe}\n", "6:39", "`tokenizer.algorithm` bpe has no effect"),
    ("tokenizer: {vocab_size: 9000, model_file: a}\n", "6:25", "`tokenizer.vocab_size` 9000 has no effect"),
    ("tokenizer: {model_file: a, character_coverage: 0.99}\n", "6:48", "`tokenizer.model_file` is already trained"),
    ("tokenizer: {model_file: a, byte_fallback: false}\n", "6:43", "`tokenizer.byte_fallback` false has no effect"),
    ("tokenizer: {joint: false, src_model_file: a, tgt_model_file: b, max_training_lines: 5}\n"
     "model: {share_embeddings: none}\n", "6:85", "`tokenizer.src_model_file` is already trained"),
    ("decoding: {n_best: 6}\n", "6:20", "`decoding.n_best` 6 is more than `decoding.beam_size` 5"),
    ("decoding: {beam_size: 2, n_best: 3}\n", "6:34", "more than"),
    ("decoding: {strategy: greedy, n_best: 2}\n", "6:38", "greedy search gives one"),
    (PHRASEBOOK % ("en", "fr"), "1:18", "the phrasebook is English and German, not `en` and `fr`"),
    (PHRASEBOOK % ("de", "de"), "1:32", "are both `de`"),
    (REQUIRED + "  test: {dev: {format: text, src: a, tgt: b}}\n", "6:3", "a test set is called `dev`"),
]  # fmt: skip

FINE = [
    "model: {num_heads: 16}\n",
    "model: {d_model: 96, num_heads: 3}\n",
    "model: {positions: rotary, d_model: 16, num_heads: 8}\n",
    "model: {positions: learned, d_model: 24, num_heads: 8}\n",
    "training: {max_steps: null, max_tokens: 5}\n",
    "training: {max_steps: null, max_seconds: 5}\n",
    "training: {max_steps: 5}\n",
    "training: {batch_tokens: 128}\n",
    "training: {batch_tokens: 256, accumulation: 2}\n",
    "optim: {schedule: {name: cosine, warmup_steps: 49}}\ntraining: {max_steps: 50}\n",
    "optim: {schedule: {name: wsd, warmup_steps: 50, decay_steps: 50}}\ntraining: {max_steps: 100}\n",
    "optim: {schedule: {name: constant}}\ntraining: {max_steps: null, max_epochs: 3}\n",
    "tokenizer: {joint: false}\nmodel: {share_embeddings: decoder}\n",
    "tokenizer: {model_file: a}\n",
    "tokenizer: {model_file: a, algorithm: unigram, vocab_size: 8000, byte_fallback: true}\n",
    "tokenizer: {algorithm: bpe, vocab_size: 9000, byte_fallback: false}\n",
    "tokenizer: {joint: false, src_model_file: a, tgt_model_file: b}\nmodel: {share_embeddings: none}\n",
    "decoding: {n_best: 5}\n",
    "decoding: {strategy: sampling, n_best: 9}\n",
    "decoding: {strategy: greedy, beam_size: 1}\n",
    PHRASEBOOK % ("de", "en"),
    REQUIRED + "  test: {held_out: {format: text, src: a, tgt: b}, develop: {format: text, src: a, tgt: b}}\n",
]


@pytest.mark.parametrize(("text", "where", "part"), CONTRADICTIONS)
def test_a_contradiction_is_refused_at_its_key(refusal: Refusal, text: str, where: str, part: str) -> None:
    [problem] = refusal(text).problems
    assert (problem.code, problem.where) == ("MT026", f"ende.yaml:{where}")
    assert part in problem.message
    assert problem.help


@pytest.mark.parametrize("text", FINE)
def test_what_fits_is_let_through(load: Load, text: str) -> None:
    load(text)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.ask.__name__)
def test_every_check_refuses_something(load: Load, monkeypatch: pytest.MonkeyPatch, check: Check) -> None:
    """With this check alone, one of the texts above is still refused."""
    monkeypatch.setattr(consistency, "CHECKS", [check])
    refused = 0
    for text, _, _ in CONTRADICTIONS:
        try:
            load(text)
        except ConfigError:
            refused += 1
    assert refused > 0


def test_checks_look_at_keys_that_exist() -> None:
    keys = {group.key(setting) for group in groups() for setting in group.settings}
    assert {key for check in CHECKS for key in check.keys} <= keys


def test_contradictions_stand_beside_other_problems(refusal: Refusal) -> None:
    error = refusal("model: {num_heads: 7}\ntraining: {patience: none}\n")
    assert [problem.code for problem in error.problems] == ["MT026", "MT023"]


def test_no_contradiction_is_told_of_a_refused_setting(refusal: Refusal) -> None:
    assert [problem.code for problem in refusal("model: {num_heads: 0}\n").problems] == ["MT024"]
    text = "model: {num_heads: 7, d_model: wide}\n"
    assert [problem.code for problem in refusal(text).problems] == ["MT023"]


def test_contradictions_are_found_where_data_is_missing(refusal: Refusal) -> None:
    error = refusal("data: {src_lang: en}\nmodel: {num_heads: 7}\n")
    assert [problem.code for problem in error.problems] == ["MT022", "MT022", "MT022", "MT026"]


def test_a_contradiction_of_defaults_points_at_the_file(refusal: Refusal, required: str) -> None:
    """`max_length` alone makes the default batch too small for one row."""
    text = required + "  max_length: 16384\n"
    [problem] = refusal(text).problems
    assert problem.where == "ende.yaml:6:15"


def test_a_resolved_config_with_a_given_tokenizer_loads_again(load: Load) -> None:
    """It holds every default, those that now have no effect too."""
    config = load("tokenizer: {model_file: a}\n")
    assert load(to_yaml(config)) == config


def test_a_setting_without_effect_of_a_recipe_is_found_too(refusal: Refusal) -> None:
    text = "extends: base.yaml\ntokenizer: {vocab_size: 9000}\n"
    Path("base.yaml").write_text(REQUIRED)
    [problem] = refusal(text, "tokenizer.model_file=given.model").problems
    assert (problem.code, problem.where) == ("MT026", "ende.yaml:2:25")
    assert problem.help == "leave `tokenizer.vocab_size` out or at 8000, or leave the model file out"
