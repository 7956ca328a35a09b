"""Values that cannot be: mt-train ends with status 2, says where and what is allowed, and writes nothing."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mt_trainer.cli.command import showing_problems
from mt_trainer.cli.train import train

CONFIG = """\
data:
  src_lang: en
  tgt_lang: no
  train: {format: text, src: train.en, tgt: train.no}
  dev: {format: text, src: dev.en, tgt: dev.no}
"""

BAD = {
    "data.max_length": "3 16385 0 -1 1.5 1e3 many true null 12:30 0x 1_000",
    "data.max_length_ratio": "1 1.0 0 -2 .nan .inf wide",
    "data.drop_identical": "1 0 yes no on null",
    "data.on_invalid_text": "ignore true null",
    "data.src_lang": "'' true 5 null",
    "tokenizer.vocab_size": "15 1000001 -8000 8e3 '8000'",
    "tokenizer.character_coverage": "0.9 1.1 .nan",
    "model.num_heads": "0 7 1.0",
    "model.d_model": "1 511 512.0 .inf",
    "model.dropout": "-0.1 1 1.5 .nan .inf true",
    "objective.epsilon": "-0.1 1 1.5 .nan",
    "optim.schedule.peak_lr": "0 -1 .nan .inf high",
    "optim.schedule.warmup_steps": "0 -1 1e3",
    "optim.beta2": "-0.1 1.0",
    "optim.clip_norm": "0 -1 none",
    "training.batch_tokens": "0 -1 null 127",
    "training.max_steps": "0 1e5 true ten",
    "training.ema_decay": "1 -0.1",
    "decoding.beam_size": "0 1001 1.5",
    "runtime.seed": "-1 2147483648 true null",
    "runtime.threads": "0 -1 auto 100000",
    "runtime.device": "tpu 0 null",
}
CASES = [(key, value) for key, values in BAD.items() for value in values.split()]


@pytest.mark.parametrize(("key", "value"), CASES)
def test_a_bad_value_is_refused(key: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ende.yaml").write_text(CONFIG)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(showing_problems(train))
    result = CliRunner().invoke(app, ["--config", "ende.yaml", "--set", f"{key}={value}"])
    assert result.exit_code == 2, result.stderr
    assert f"--> --set {key}={value}" in result.stderr
    assert f"`{key}`" in result.stderr
    assert "help: " in result.stderr
    assert "nothing was written" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["ende.yaml"]


def test_there_are_many() -> None:
    assert len(CASES) >= 80
