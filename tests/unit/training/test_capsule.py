"""Capsules: written and read back, refused when they are none, and the checkpoints that they keep."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mt_trainer.data.loader import Position
from mt_trainer.errors import CheckpointError
from mt_trainer.objectives import LossSums
from mt_trainer.training.diverging.capsule import (
    Base,
    Capsule,
    RunMachine,
    checkpoints_of_capsules,
    load_capsule,
    numbers_of,
    write_capsule,
)
from mt_trainer.training.progress import Stretch
from mt_trainer.training.step import StepResult

CAPSULE = Capsule(
    step=11,
    reason="the loss or gradient of step 11 is not finite",
    seed=3,
    lr=0.1 + 0.2,
    position=Position(2, 5),
    left_out=(Stretch(Position(1, 0), Position(1, 2)),),
    micro_batches=[[[4, 2], [7]], [[1]]],
    sums={"loss": {"value": "nan", "bits": "ffc00000"}},
    base=Base("step_00000010", "ab" * 32),
    hashes={"corpus": "cd" * 32, "teacher": None},
    machine=RunMachine(2, "3.12.1", "CPU", "AVX512", {"torch": "2.13.0", "datasets": "4"}, world_size=3),
)


def test_written_and_read_back(tmp_path: Path) -> None:
    path = write_capsule(tmp_path / "crash", CAPSULE, num_roll_backs=0)
    assert path == tmp_path / "crash/step_00000011.json"
    assert load_capsule(path) == CAPSULE
    again = write_capsule(tmp_path / "crash", replace(CAPSULE, base=None), num_roll_backs=2)
    assert again.name == "step_00000011_2.json"
    assert load_capsule(again).base is None
    assert [each.name for each in sorted((tmp_path / "crash").iterdir())] == [path.name, again.name]


@pytest.mark.parametrize(
    "change",
    [
        {"step": "eleven"},
        {"format": 2},
        {"base": {"name": "../../etc", "manifest_sha256": ""}},
        {"base": {"name": "step_00000001/../..", "manifest_sha256": ""}},
        {"micro_batches": [[["x"]]]},
        {"position": None},
        {"left_out": [{"start": {}}]},
        {"machine": {}},
        {"machine": {**asdict(CAPSULE.machine), "threads": 10**9}},
        {"machine": {**asdict(CAPSULE.machine), "world_size": 0}},
    ],
    ids=str,
)
def test_what_is_no_capsule_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = write_capsule(tmp_path / "crash", CAPSULE, num_roll_backs=0)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    with pytest.raises(CheckpointError, match="MT121"):
        load_capsule(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"{}", b"[" * 100_000], ids=repr)
def test_any_bytes_are_refused_as_such(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(CheckpointError, match="MT121"):
        load_capsule(tmp_path / "x.json")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(CheckpointError, match="MT121"):
            load_capsule(path)


def test_the_checkpoints_that_are_needed(tmp_path: Path) -> None:
    assert checkpoints_of_capsules(tmp_path / "crash") == set()
    write_capsule(tmp_path / "crash", CAPSULE, num_roll_backs=0)
    write_capsule(tmp_path / "crash", replace(CAPSULE, base=None), num_roll_backs=1)
    (tmp_path / "crash/broken.json").write_text("{")
    assert checkpoints_of_capsules(tmp_path / "crash") == {"step_00000010"}


def test_bits_tell_apart_what_reads_the_same() -> None:
    one, other = torch.tensor([math.nan]), torch.tensor([math.nan])
    other.view(torch.int32)[0] ^= 1
    count = torch.tensor(3)
    results = [
        StepResult(LossSums(nan[0], nan[0], count, count, None, None, None, None), torch.tensor(1.5), count > 0)
        for nan in (one, other)
    ]
    first, second = map(numbers_of, results)
    assert first["loss"]["value"] == second["loss"]["value"] == "nan"
    assert first["loss"]["bits"] != second["loss"]["bits"]
    assert first["grad_norm"] == {"value": "1.5", "bits": "3fc00000"}
    assert first["num_tokens"] == {"value": "3", "bits": "0000000000000003"}
    assert "entropy" not in first


def test_what_of_a_machine_decides() -> None:
    then = CAPSULE.machine
    assert then.differences(replace(then, threads=1, world_size=1, versions={**then.versions, "datasets": "5"})) == []
    now = replace(then, python="3.13.0", versions={"torch": "2.14.0"})
    assert then.differences(now) == ["python was 3.12.1, here it is 3.13.0", "torch was 2.13.0, here it is 2.14.0"]


def test_a_machine_is_read_from_the_environment_of_a_run() -> None:
    about = {**asdict(CAPSULE.machine), "command": ["mt-train"], "platform": "Linux", "commit": None}
    assert RunMachine.of(about) == CAPSULE.machine
