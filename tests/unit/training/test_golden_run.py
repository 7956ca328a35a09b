"""What released versions have written keeps loading, and gives the text that it gave then.

A folder of tests/golden is the run of a release, made by tests/golden/make_run.py of that release.
"""

import shutil
from pathlib import Path

import pytest
import torch

from mt_trainer.decoding.translate import build_translator
from mt_trainer.optim import build_optimizer, load_optimizer_tensors, optimizer_tensors
from mt_trainer.training.checkpoints.checkpoint import load_checkpoint
from mt_trainer.training.loading import load_run
from mt_trainer.training.progress import Progress
from mt_trainer.training.verify import verify_run

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
RUNS = sorted(GOLDEN.glob("run_*"))

TRANSLATIONS = {
    "sun moon sea": "tala rimo ve",
    "tree stone bird tree": "lenna kodu pisi lenna",
    "moon": "rimo",
    "sea bird": "ve pisi",
}


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: path.name)
def test_a_run_of_a_release_translates_as_it_did(folder: Path) -> None:
    run = load_run(folder)
    translator = build_translator(
        run.config.decoding, model=run.model, tokenizers=run.tokenizers, device=torch.device("cpu"), seed=1
    )
    found = [row[0].text for row in translator.translate(list(TRANSLATIONS), progress=None)]
    assert found == list(TRANSLATIONS.values())


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: path.name)
def test_a_run_of_a_release_can_be_gone_on_with(folder: Path) -> None:
    run = load_run(folder)
    checkpoint = load_checkpoint(folder / "checkpoints" / run.checkpoint_name)
    progress = Progress.from_json(checkpoint.state["progress"])
    assert (progress.step, progress.best_step) == (400, 400)
    optimizer = build_optimizer(run.config.optim, run.model)
    load_optimizer_tensors(optimizer, run.model, checkpoint.optimizer())
    restored = optimizer_tensors(optimizer, run.model)
    names = [name for name, _ in run.model.named_parameters()]
    assert set(restored) == {f"{key}.{name}" for key in ("step", "exp_avg", "exp_avg_sq") for name in names}
    assert {float(restored[f"step.{name}"]) for name in names} == {400.0}


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: path.name)
def test_a_run_of_a_release_is_intact_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "elsewhere")
    findings = verify_run(tmp_path / "elsewhere")
    assert [finding.name for finding in findings if not finding.is_intact] == []
    assert len(findings) == 4


def test_there_is_one() -> None:
    assert [path.name for path in RUNS] == ["run_0.1.0"]
