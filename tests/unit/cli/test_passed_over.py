"""A damaged checkpoint that is replaced by the next best: mt-eval, mt-translate and mt-train say so, and scores too."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from mt_trainer.cli.command import showing_problems
from mt_trainer.cli.eval import evaluate
from mt_trainer.cli.translate import translate
from mt_trainer.config import load_config
from mt_trainer.data.evaluation_sets import EvalSet
from mt_trainer.evaluation.metrics import build_metrics
from mt_trainer.machine import Machine
from mt_trainer.training import train as training
from mt_trainer.training.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from mt_trainer.training.loading import load_run

GOLDEN = Path(__file__).resolve().parents[2] / "golden/run_0.1.0"
EARLIER, BEST, LAST = "step_00000400", "step_00000800", "step_00001200"
REASON = f"{BEST}: damaged checkpoint: model.safetensors is not what was written (its SHA-256 differs)"
WARNING = f"warning: passed over {REASON}; {EARLIER} is used instead"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with three checkpoints, in the second and best of which one bit has changed."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN, "mine")
    checkpoints = Path("mine/checkpoints")
    known = load_checkpoint(checkpoints / EARLIER)
    for name, bleu in ((BEST, 100.5), (LAST, 50.0)):
        save_checkpoint(
            checkpoints,
            name,
            model=known.model(),
            optimizer=known.optimizer(),
            state={**known.state, "step": int(name[-4:]), "dev": {**known.state["dev"], "bleu": bleu}},
            origin=known.origin,
        )
    assert load_run(Path("mine")).checkpoint_name == BEST
    flip_last_bit(checkpoints / BEST / "model.safetensors")
    return Path("mine")


def flip_last_bit(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def invoke(command: Callable[..., None], *options: str, text: bytes = b"") -> tuple[int, str, str]:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(showing_problems(command))
    result = CliRunner().invoke(app, list(options), input=text)
    return result.exit_code, result.stdout, result.stderr


def test_what_is_asked_for_says_what_is_passed_over(folder: Path) -> None:
    found = load_run(folder)
    assert (found.checkpoint_name, found.passed_over) == (EARLIER, (REASON,))
    assert found.about == {"checkpoint": EARLIER, "passed_over": [REASON]}
    for asked, name in (("last", LAST), (LAST, LAST), (EARLIER, EARLIER)):  # the damaged one could not have been meant
        found = load_run(folder, checkpoint=asked)
        assert (found.checkpoint_name, found.passed_over, found.about) == (name, (), {"checkpoint": name})


def test_one_whose_score_cannot_be_read_may_have_been_the_best_and_a_later_one_the_last(folder: Path) -> None:
    (folder / "checkpoints" / LAST / "state.json").write_text("{}")
    lines = load_run(folder).passed_over
    assert [line.partition(":")[0] for line in lines] == [BEST, LAST]
    found = load_run(folder, checkpoint="last")
    assert found.checkpoint_name == EARLIER
    assert [line.partition(":")[0] for line in found.passed_over] == [BEST, LAST]


def test_mt_translate_warns(folder: Path) -> None:
    code, out, err = invoke(translate, "--run", str(folder), text=b"sun moon sea\n")
    assert (code, out, err.splitlines()) == (0, "tala rimo ve\n", [WARNING])
    assert invoke(translate, "--run", str(folder), "--checkpoint", "last", text=b"moon\n") == (0, "rimo\n", "")


def test_mt_eval_warns_and_records_it(folder: Path) -> None:
    Path("some.en").write_text("sun moon sea\nmoon\n")
    Path("some.xx").write_text("tala rimo ve\nrimo\n")
    code, out, err = invoke(evaluate, "--run", str(folder), "--src", "some.en", "--ref", "some.xx", "--json")
    assert code == 0
    assert WARNING in err.splitlines()
    saved = json.loads((folder / "evaluation/files/some.json").read_text())
    for record in (saved, *json.loads(out)):
        assert (record["checkpoint"], record["passed_over"]) == (EARLIER, [REASON])


def test_mt_train_warns_where_it_scores(folder: Path) -> None:
    config = load_config(folder / "config.yaml")
    data: Any = SimpleNamespace(dev=EvalSet("dev", ["moon"], ["rimo"], fingerprint="f"), test={})
    machine = Machine(torch.device("cpu"), torch.float32, threads=1)
    run: Any = SimpleNamespace(path=folder, config=config)
    said: list[str] = []
    metrics = build_metrics(config.evaluation, tgt_lang=config.data.tgt_lang)
    outcome = training._final_scores(run, data, metrics, machine, said.append)
    assert outcome.checkpoint == EARLIER
    assert said[0] == WARNING
