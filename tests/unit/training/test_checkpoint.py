"""Checkpoints: written whole or not at all, and every byte verified when read."""

import json
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mt_trainer.errors import CheckpointError, ExitCode
from mt_trainer.training import checkpoint as module
from mt_trainer.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_parameters,
    remove_checkpoint,
    save_checkpoint,
    valid_checkpoints,
)

FILES = ("MANIFEST.json", "model.safetensors", "optimizer.safetensors", "state.json")
Save = Callable[..., Checkpoint]


def test_saved_and_loaded(tmp_path: Path) -> None:
    model = {"a.weight": torch.randn(3, 4), "a.bias": torch.randn(4)}
    optimizer = {"exp_avg.a.weight": torch.randn(3, 4), "step.a.weight": torch.tensor(7.0)}
    state = {"step": 7, "dev": {"bleu": 1 / 3}}
    save_checkpoint(tmp_path / "new" / "checkpoints", "step_7", model=model, optimizer=optimizer, state=state)
    loaded = load_checkpoint(tmp_path / "new" / "checkpoints" / "step_7")
    assert (loaded.name, loaded.step, loaded.state) == ("step_7", 7, state)
    for expected, found in ((model, loaded.model()), (optimizer, loaded.optimizer())):
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert sorted(path.name for path in loaded.path.iterdir()) == sorted(FILES)


def test_views_and_an_empty_optimizer_can_be_saved(tmp_path: Path) -> None:
    table = torch.arange(6.0).view(2, 3)
    save_checkpoint(tmp_path, "average", model={"t": table.T}, optimizer={}, state={"step": 1})
    loaded = load_checkpoint(tmp_path / "average")
    assert torch.equal(loaded.model()["t"], table.T)
    assert loaded.optimizer() == {}


def damaged(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    [problem] = caught.value.problems
    assert (problem.code, caught.value.exit_code, problem.where) == ("MT102", ExitCode.CORRUPT, str(path))
    return problem.message


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_bit_is_found(save: Save, name: str) -> None:
    path = save(7, bleu=3.0).path
    content = (path / name).read_bytes()
    rng = random.Random(name)
    for position in sorted({0, len(content) - 1, *rng.sample(range(len(content)), 40)}):
        flipped = bytearray(content)
        flipped[position] ^= 1 << rng.randrange(8)
        (path / name).write_bytes(flipped)
        damaged(path)
    (path / name).write_bytes(content)
    assert load_checkpoint(path).step == 7


@pytest.mark.parametrize("name", FILES)
def test_truncated_lengthened_and_missing_files_are_found(save: Save, name: str) -> None:
    path = save(7).path
    content = (path / name).read_bytes()
    for length in (0, 1, len(content) // 2, len(content) - 1):
        (path / name).write_bytes(content[:length])
        damaged(path)
    (path / name).write_bytes(content + b"\0")
    damaged(path)
    (path / name).unlink()
    assert name in damaged(path)


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"files": {}}', "null", '{"files": ["model.safetensors"]}', "7"])
def test_a_manifest_of_another_shape(save: Save, manifest: str) -> None:
    path = save(7).path
    (path / "MANIFEST.json").write_text(manifest)
    damaged(path)


def test_a_manifest_that_lists_names_only(save: Save) -> None:
    path = save(7).path
    (path / "MANIFEST.json").write_text(json.dumps({"files": sorted(set(FILES) - {"MANIFEST.json"})}))
    damaged(path)


def test_a_manifest_cannot_name_files_elsewhere(save: Save, tmp_path: Path) -> None:
    path = save(7).path
    manifest = json.loads((path / "MANIFEST.json").read_text())
    manifest["files"]["../state.json"] = manifest["files"].pop("state.json")
    shutil.copy(path / "state.json", path.parent / "state.json")
    (path / "MANIFEST.json").write_text(json.dumps(manifest))
    damaged(path)


def test_valid_and_damaged_ones_are_told_apart(save: Save, tmp_path: Path) -> None:
    for step in (2, 10, 3):
        save(step)
    (tmp_path / "checkpoints/step_00000003/state.json").unlink()
    leftover = tmp_path / "checkpoints/.step_00000011.tmp-1"
    leftover.mkdir()
    (tmp_path / "checkpoints/notes.txt").write_text("not a checkpoint")
    valid, errors = valid_checkpoints(tmp_path / "checkpoints")
    assert [checkpoint.step for checkpoint in valid] == [2, 10]
    assert [Path(str(error.problems[0].where)).name for error in errors] == ["step_00000003"]
    assert leftover.exists()


def test_no_folder_no_checkpoints(tmp_path: Path) -> None:
    assert valid_checkpoints(tmp_path / "absent") == ([], [])


def test_leftovers_of_interrupted_saves_go_with_the_next_save(save: Save, tmp_path: Path) -> None:
    save(1)
    leftover = tmp_path / "checkpoints/.step_00000002.tmp-12345"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    save(2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step_00000001", "step_00000002"]


def test_saving_the_same_step_again_replaces_it(save: Save) -> None:
    save(5, bleu=1.0)
    assert load_checkpoint(save(5, bleu=2.0).path).state["dev"]["bleu"] == 2.0


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    before = os.umask(0o022)

    def change(mask: int) -> None:
        os.umask(mask)

    yield change
    os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_permissions_follow_the_umask(save: Save, umask: Callable[[int], None], mask: int, mode: int) -> None:
    umask(mask)
    path = save(1).path
    assert {stat.S_IMODE((path / name).stat().st_mode) for name in FILES} == {mode}


@pytest.mark.parametrize("failing", ["save_file", "_fingerprint", "sync"])
def test_an_error_while_saving_leaves_the_older_one(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    save(1)

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, failing, fail)
        for step in (1, 2):
            with pytest.raises(CheckpointError) as caught:
                save(step)
            [problem] = caught.value.problems
            assert (problem.code, problem.where) == ("MT103", str(tmp_path / f"checkpoints/step_{step:08d}"))
            assert "No space left on device" in problem.message
            assert "bytes are free" in problem.message or "are free" in problem.message
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000001"]
    assert load_checkpoint(tmp_path / "checkpoints/step_00000001").step == 1


def test_where_no_folder_can_be_made_the_message_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="MT103"):
        save_checkpoint(tmp_path / "file/run/checkpoints", "step_1", model={}, optimizer={}, state={"step": 1})


def test_files_are_synced_before_the_rename_and_the_folder_after(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, rename = module.sync, Path.rename

    def recording_sync(path: Path) -> None:
        events.append(f"sync {path.name}")
        sync(path)

    def recording_rename(self: Path, target: Path) -> Path:
        events.append("rename")
        return rename(self, target)

    monkeypatch.setattr(module, "sync", recording_sync)
    monkeypatch.setattr(Path, "rename", recording_rename)
    save(1)
    published = events.index("rename")
    assert {event.removeprefix("sync ") for event in events[:published]} >= set(FILES)
    assert events[published + 1 :] == ["sync checkpoints"]


def test_parameters_of_another_model_are_refused() -> None:
    model = nn.Linear(2, 3)
    good = {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
    load_parameters(model, good)
    assert model.weight.sum().item() == 6
    for bad in ({"weight": torch.ones(3, 2)}, {**good, "weight": torch.ones(2, 3)}, {**good, "extra": torch.ones(1)}):
        with pytest.raises(CheckpointError, match=r"MT102.*another model: (bias|weight|extra)"):
            load_parameters(model, bad)


def test_one_of_the_same_name_is_replaced_and_nothing_is_left_beside(save: Save, tmp_path: Path) -> None:
    save(7, bleu=1.0)
    assert save(7, bleu=2.0).state["dev"]["bleu"] == 2.0
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000007"]


def test_the_old_one_of_the_same_name_goes_only_when_the_new_one_stands(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process killed between the two renames still has the old checkpoint, whole, under its hidden name."""
    save(7, bleu=1.0)
    seen: list[list[str]] = []
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        seen.append(sorted(path.name.partition("-")[0] for path in (tmp_path / "checkpoints").iterdir()))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    save(7, bleu=2.0)
    assert seen == [[".step_00000007.tmp", "step_00000007"], [".step_00000007.tmp", ".step_00000007.tmp"]]


def test_a_removed_checkpoint_vanishes_as_a_whole(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it is being removed, it is hidden already: never half a checkpoint that looks damaged."""
    checkpoint = save(7, bleu=1.0)
    monkeypatch.setattr("mt_trainer.training.checkpoint.shutil.rmtree", lambda path, ignore_errors: None)
    remove_checkpoint(checkpoint)
    assert valid_checkpoints(tmp_path / "checkpoints") == ([], [])
