"""A bad objective ends mt-train with status 2 and its message, before any work starts and with nothing written."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mt_trainer.cli.command import showing_problems
from mt_trainer.cli.train import train

DATA = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: phrasebook, split: train}
  dev: {format: phrasebook, split: dev}
tokenizer: {vocab_size: 400}
runtime: {device: cpu}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(objective: str, *options: str) -> str:
    """What stands on stderr."""
    Path("run.yaml").write_text(f"{DATA}objective: {objective}\n")
    before = sorted(Path().rglob("*"))
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(showing_problems(train))
    result = CliRunner().invoke(app, ["--config", "run.yaml", *options])
    assert result.exit_code == 2
    assert sorted(Path().rglob("*")) == before
    assert "nothing was written" in result.stderr
    return result.stderr


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("{epsilon: 1.0}", "`objective.epsilon` cannot be 1.0\n  --> run.yaml:8:22"),
        ("{name: tailr, gamma: .nan}", "`objective.gamma` cannot be nan\n  --> run.yaml:8:33"),
        ("{convention: onmt}", "`objective.convention` cannot be `onmt`\n  --> run.yaml:8:25"),
        ("{name: loss_truncation, fraction: 1.0}", "`objective.fraction` cannot be 1.0\n  --> run.yaml:8:46"),
        ("{name: error_norm_truncation}", "neither is given\n  --> run.yaml:8:19"),
        ("[{name: brier, until_step: 9}, {name: emo, until_step: 7}]", "`objective.stages.1.until_step` 7 ends the"),
        ("{prior: absent.txt}", "the file of `prior` cannot be read: No such file or directory\n  --> absent.txt"),
    ],
)
def test_a_bad_parameter(objective: str, message: str) -> None:
    assert message in refusal(objective)


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("0.0025\n" * 399, "the file of `prior` has 399 lines, but the vocabulary has 400 pieces\n  --> prior.txt:400"),
        ("0.002\n" * 400, "the prior sums to 0.8, not to one\n  --> prior.txt"),
        ("0.0025\n" * 399 + "nan\n", "line 400 of the file of `prior` is `nan`\n  --> prior.txt:400"),
    ],
)
def test_a_bad_prior(folder: Path, prior: str, message: str, options: tuple[str, ...]) -> None:
    (folder / "prior.txt").write_text(prior)
    assert message in refusal("{prior: prior.txt}", *options)
