"""`load_config`: what a config means, and that reading one needs nothing heavy."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from mt_trainer.config import TrainConfig
from mt_trainer.config.data import TextSource
from mt_trainer.config.model import ModelConfig
from mt_trainer.errors import ConfigError

Load = Callable[..., TrainConfig]
Refusal = Callable[..., ConfigError]


def test_five_lines_are_a_config(load: Load) -> None:
    config = load()
    assert config.data.train == (TextSource(format="text", src="train.en", tgt="train.de"),)
    assert config.model == ModelConfig()
    assert config.training.max_steps == 100_000


def test_a_config_cannot_be_changed(load: Load) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().runtime.seed = 2  # type: ignore[misc]


def test_several_training_sources_are_a_list(load: Load) -> None:
    source = "{format: text, src: a, tgt: b}"
    config = load(f"data: {{src_lang: en, tgt_lang: de, train: [{source}, {source}], dev: {source}}}\n")
    assert len(config.data.train) == 2


def test_yaml_traps_are_gone(load: Load) -> None:
    config = load(
        "data:\n  {src_lang: en, tgt_lang: no, train: {format: text, src: on, tgt: y},"
        " dev: {format: text, src: 12:30, tgt: b}}\n"
        "optim: {schedule: {peak_lr: 5e-4, warmup_steps: 010}, epsilon: 1e-8}\n"
    )
    assert config.data.tgt_lang == "no"
    assert config.data.train == (TextSource(format="text", src="on", tgt="y"),)
    assert config.data.dev == TextSource(format="text", src="12:30", tgt="b")
    schedule = config.optim.schedule
    assert schedule.name == "inverse_sqrt"
    assert (schedule.peak_lr, schedule.warmup_steps, config.optim.epsilon) == (0.0005, 10, 1e-8)


def test_an_integer_is_a_number_but_a_truth_value_is_not(load: Load, refusal: Refusal) -> None:
    limit = load("training: {max_seconds: 5}\n").training.max_seconds
    assert limit == 5.0
    assert isinstance(limit, float)
    assert refusal("training: {max_seconds: true}\n").problems[0].code == "MT023"
    assert refusal("training: {max_steps: 5.0}\n").problems[0].code == "MT023"


BAD_VALUES = [
    ("data.max_length", "3 16385 0 -1 1.5 many true"),
    ("data.max_length_ratio", "1.0 0 -2 .nan .inf wide"),
    ("data.drop_identical", "1 0 yes no null"),
    ("data.on_invalid_text", "ignore true null"),
    ("tokenizer.vocab_size", "15 1000001 -8000 8e3 '8000'"),
    ("tokenizer.character_coverage", "0.9 1.1 .nan"),
    ("tokenizer.algorithm", "word"),
    ("model.num_encoder_layers", "0 1001"),
    ("model.d_model", "1 0 512.0"),
    ("model.dropout", "-0.1 1 1.5 .nan .inf true"),
    ("model.share_embeddings", "true"),
    ("objective.epsilon", "-0.1 1 1.5 .nan"),
    ("optim.beta1", "-0.1 1.0"),
    ("optim.epsilon", "0 -1e-9"),
    ("optim.weight_decay", "-1 .inf"),
    ("optim.clip_norm", "0 -1 none"),
    ("optim.schedule.peak_lr", "0 -1 .nan .inf high"),
    ("optim.schedule.warmup_steps", "0 -1 1e3"),
    ("training.batch_tokens", "0 -1 null"),
    ("training.accumulation", "0 1.0"),
    ("training.max_seconds", "0 -5 .inf"),
    ("training.ema_decay", "1 -0.1"),
    ("training.average_checkpoints", "-1"),
    ("decoding.beam_size", "0 1001"),
    ("decoding.temperature", "0 -1"),
    ("evaluation.num_samples", "-1 many"),
    ("runtime.threads", "0 -1 auto"),
    ("runtime.seed", "-1 2147483648 true null"),
]


@pytest.mark.parametrize(("key", "values"), BAD_VALUES)
def test_bad_values_are_refused_with_what_is_allowed(refusal: Refusal, key: str, values: str) -> None:
    for value in values.split():
        error = refusal("", f"{key}={value}")
        [problem] = error.problems
        assert problem.code in ("MT023", "MT024"), (key, value)
        assert problem.where == f"--set {key}={value}"
        assert f"`{key}`" in problem.message
        assert problem.help
        assert error.exit_code == 2


def test_reading_a_config_imports_nothing_heavy() -> None:
    code = "import sys, mt_trainer.config; print(sorted({'torch', 'numpy', 'datasets', 'typer'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
