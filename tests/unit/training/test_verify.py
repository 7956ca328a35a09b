"""What mt-run verify says of files that no hash covers whole: the results of an evaluation, and what was recorded."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mt_trainer.training.checkpoints.checkpoint import load_checkpoint
from mt_trainer.training.verify import Finding, verify_run

GOLDEN = Path(__file__).resolve().parents[2] / "golden/run_0.1.0"
NAME = "step_00000400"
HYP = b"tala\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "mine")
    (tmp_path / "mine/evaluation").mkdir()
    (tmp_path / "mine/evaluation/dev.hyp.txt").write_bytes(HYP)
    return tmp_path / "mine"


def found(folder: Path, name: str) -> Finding:
    (finding,) = [each for each in verify_run(folder) if each.name == name]
    return finding


def of_scores(folder: Path, **record: Any) -> tuple[bool, str]:
    hashes = {"hyp": hashlib.sha256(HYP).hexdigest(), **record.pop("sha256", {})}
    (folder / "evaluation/dev.json").write_text(json.dumps({**record, "sha256": hashes}))
    finding = found(folder, "evaluation/dev.json")
    return finding.is_intact, finding.text


def test_scores_are_held_against_the_checkpoint_that_they_name(folder: Path) -> None:
    weights = load_checkpoint(folder / "checkpoints" / NAME).weights_hash
    alone = "dev.hyp.txt is what was scored"
    assert of_scores(folder, checkpoint=NAME, sha256={"weights": weights}) == (True, f"{alone}, {NAME} what made it")
    assert of_scores(folder, checkpoint=NAME, sha256={"weights": "0" * 64}) == (
        False,
        f"{NAME} has other weights than those that were scored",
    )
    # a checkpoint that is no longer kept, and results that name no weights
    assert of_scores(folder, checkpoint="step_00000200", sha256={"weights": "0" * 64}) == (True, alone)
    assert of_scores(folder, checkpoint=NAME) == (True, alone)
    assert not of_scores(folder, checkpoint=[NAME], sha256={"weights": weights})[0]


@pytest.mark.parametrize("content", ["[]", '{"sha256": []}', '{"sha256": {}}', "7", '"sha256"', "{", ""])
def test_results_of_another_shape_are_damaged(folder: Path, content: str) -> None:
    (folder / "evaluation/dev.json").write_text(content)
    assert not found(folder, "evaluation/dev.json").is_intact


@pytest.mark.parametrize("name", ["data.json", "environment.json"])
def test_a_record_has_to_be_json(folder: Path, name: str) -> None:
    assert name not in {each.name for each in verify_run(folder)}, "one that was removed is not missed"
    (folder / name).write_text('{"corpus": "c"}')
    assert found(folder, name) == Finding(name, True, "JSON; no hash covers what it says")
    for content in (b'{"corpus": ', b"", b"\xff", b"[" * 100_000):
        (folder / name).write_bytes(content)
        assert not found(folder, name).is_intact
    (folder / name).unlink()
    (folder / name).symlink_to("elsewhere")
    assert not found(folder, name).is_intact
