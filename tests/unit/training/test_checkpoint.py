"""Checkpoints: written whole or not at all, and every byte verified when read."""

import hashlib
import json
import os
import random
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mt_trainer.errors import CheckpointError, ExitCode
from mt_trainer.files import Fingerprint, write_new
from mt_trainer.training.checkpoints import checkpoint as module
from mt_trainer.training.checkpoints.checkpoint import (
    Checkpoint,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
    valid_checkpoints,
)
from mt_trainer.training.checkpoints.manifest import Origin
from mt_trainer.training.checkpoints.parameters import load_parameters

FILES = ("MANIFEST.json", "model.safetensors", "optimizer.safetensors", "state.json")
Save = Callable[..., Checkpoint]


def test_saved_and_loaded(tmp_path: Path, origin: Origin) -> None:
    model = {"a.weight": torch.randn(3, 4), "a.bias": torch.randn(4)}
    optimizer = {"exp_avg.a.weight": torch.randn(3, 4), "step.a.weight": torch.tensor(7.0)}
    state = {"step": 7, "dev": {"bleu": 1 / 3}, "progress": {}}
    folder = tmp_path / "new" / "checkpoints"
    save_checkpoint(folder, "step_00000007", model=model, optimizer=optimizer, state=state, origin=origin)
    loaded = load_checkpoint(tmp_path / "new" / "checkpoints" / "step_00000007")
    assert (loaded.name, loaded.step, loaded.state, loaded.origin) == ("step_00000007", 7, state, origin)
    for expected, found in ((model, loaded.model()), (optimizer, loaded.optimizer())):
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert sorted(path.name for path in loaded.path.iterdir()) == sorted(FILES)


def test_a_copy_beside_the_checkpoints_is_none_of_them_and_a_new_name_is_damage(tmp_path: Path, origin: Origin) -> None:
    for step in (4, 12):
        state = {"step": step, "dev": None, "progress": {}}
        save_checkpoint(tmp_path, f"step_{step:08d}", model={}, optimizer={}, state=state, origin=origin)
    shutil.copytree(tmp_path / "step_00000004", tmp_path / "step_00000004.bak")
    shutil.copytree(tmp_path / "step_00000004", tmp_path / "step_00000099")
    valid, damaged = valid_checkpoints(tmp_path)
    assert [each.name for each in valid] == ["step_00000004", "step_00000012"]
    assert ["it is not called step_00000004" in str(error) for error in damaged] == [True]


def test_what_the_disk_has_not_kept_as_it_was_written_gets_no_name(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit is lost on the way to the disk: the save fails, before an older checkpoint could be given up for it."""

    def lossy(path: Path, content: Iterable[bytes | memoryview]) -> Fingerprint:
        found = write_new(path, content)
        if path.name == "model.safetensors":
            data = path.read_bytes()
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        return found

    monkeypatch.setattr(module, "write_new", lossy)
    state = {"step": 4, "dev": None, "progress": {}}
    with pytest.raises(CheckpointError, match="read back otherwise than it was written"):
        save_checkpoint(tmp_path, "step_00000004", model={"a": torch.ones(2)}, optimizer={}, state=state, origin=origin)
    assert list(tmp_path.iterdir()) == []


def test_views_and_an_empty_optimizer_can_be_saved(tmp_path: Path, origin: Origin) -> None:
    table = torch.arange(6.0).view(2, 3)
    state = {"step": 1, "dev": None}
    save_checkpoint(tmp_path, "average", model={"t": table.T}, optimizer={}, state=state, origin=origin)
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
    positions = range(len(content)) if name == "MANIFEST.json" else rng.sample(range(len(content)), 40)
    for position in sorted({0, len(content) - 1, *positions}):
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


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The manifest as somebody would have written it, with a hash that fits."""
    values = json.loads((path / "MANIFEST.json").read_text())
    change(values)
    values.pop("sha256", None)
    digest = hashlib.sha256(json.dumps(values, indent=1).encode()).hexdigest()
    (path / "MANIFEST.json").write_text(json.dumps({**values, "sha256": digest}, indent=1) + "\n")


def test_the_manifest_of_this_test_is_that_of_the_code(save: Save) -> None:
    path = save(7).path
    before = (path / "MANIFEST.json").read_bytes()
    rewritten(path, lambda values: None)
    assert (path / "MANIFEST.json").read_bytes() == before
    assert load_checkpoint(path).step == 7


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"files": {}}', "null", '{"sha256": 1}', "7", "[" * 100_000, ""])
def test_a_manifest_of_another_shape(save: Save, manifest: str) -> None:
    path = save(7).path
    (path / "MANIFEST.json").write_text(manifest)
    damaged(path)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "names only": lambda values: values.update(files=sorted(values["files"])),
    "a file elsewhere": lambda values: values["files"].update({"../state.json": values["files"].pop("state.json")}),
    "a file more": lambda values: values["files"].update({"more.json": values["files"]["state.json"]}),
    "an unknown key": lambda values: values.update(more=1),
    "a key less": lambda values: values.pop("corpus"),
    "no format": lambda values: values.pop("format"),
    "an unknown key of a file": lambda values: values["files"]["state.json"].update(mode=1),
    "a size that is no number": lambda values: values["files"]["state.json"].update(bytes=True),
    "a size below 0": lambda values: values["log"].update(bytes=-1),
    "a hash that is none": lambda values: values["files"]["state.json"].update(sha256="A" * 64),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_manifest_that_does_not_say_what_it_must(save: Save, name: str) -> None:
    path = save(7).path
    shutil.copy(path / "state.json", path.parent / "state.json")
    rewritten(path, CHANGES[name])
    damaged(path)


def test_the_same_values_written_in_another_way_are_refused(save: Save) -> None:
    """White space, order, escapes: there is one form, or a changed bit of it could go unseen."""
    path = save(7).path
    values = json.loads((path / "MANIFEST.json").read_text())
    text = json.dumps(values, indent=1)
    for other in (
        text,
        f"{text}\n\n",
        text.replace('": ', '":  '),
        json.dumps(values),
        f"{text}\n".replace("l", "\\u006c"),
    ):
        (path / "MANIFEST.json").write_text(other)
        damaged(path)


def test_a_newer_format_is_refused_with_what_to_do(save: Save) -> None:
    path = save(7).path
    rewritten(path, lambda values: values.update(format=2, something_new=True))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    [problem] = caught.value.problems
    assert (problem.code, caught.value.exit_code) == ("MT107", ExitCode.USER_INPUT)
    assert "has format 2, but this version of mt_trainer reads format 1" in problem.message


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


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename", "mkdir"])
def test_an_error_while_saving_leaves_the_older_one(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    save(1)

    done = getattr(os, call)

    def fail(*arguments: Any, **settings: Any) -> Any:
        if call == "open" and not arguments[1] & os.O_CREAT:
            return done(*arguments, **settings)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        for step in (1, 2):
            with pytest.raises(CheckpointError) as caught:
                save(step)
            [problem] = caught.value.problems
            assert (problem.code, problem.where) == ("MT103", str(tmp_path / f"checkpoints/step_{step:08d}"))
            assert re.search(r"No space left on device \(needs [\d,]+ bytes, [\d,]+ are free\)", problem.message)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000001"]
    assert load_checkpoint(tmp_path / "checkpoints/step_00000001").step == 1


def test_where_no_folder_can_be_made_the_message_says_so(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="MT103"):
        save_checkpoint(tmp_path / "file/run", "step_1", model={}, optimizer={}, state={"step": 1}, origin=origin)


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


def test_one_that_is_being_replaced_is_found_until_the_new_one_stands(save: Save, tmp_path: Path) -> None:
    """A process killed between the two renames leaves the old one under its other name; the next save clears it."""
    path = save(7, bleu=1.0).path
    path.rename(path.with_name("step_00000007.old"))
    [found], damaged_ones = valid_checkpoints(tmp_path / "checkpoints")
    assert (found.name, found.state["dev"]["bleu"], damaged_ones) == ("step_00000007", 1.0, [])
    save(7, bleu=2.0)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000007"]


def test_beside_the_new_one_the_one_that_it_replaces_does_not_count(save: Save, tmp_path: Path) -> None:
    path = save(7, bleu=1.0).path
    path.rename(path.with_name("aside"))
    save(7, bleu=2.0)
    path.with_name("aside").rename(path.with_name("step_00000007.old"))
    [found], _ = valid_checkpoints(tmp_path / "checkpoints")
    assert found.state["dev"]["bleu"] == 2.0
    save(7, bleu=3.0)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000007"]


def test_what_this_process_has_written_or_verified_is_not_read_again(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until somebody touches it: then it is, so that only verified ones count."""
    for step in (1, 2, 3):
        save(step)
    module._known.pop(tmp_path / "checkpoints/step_00000001")
    read: list[str] = []
    fingerprint = module.fingerprint

    def watched(path: Path) -> Fingerprint:
        read.append(f"{path.parent.name}/{path.name}")
        return fingerprint(path)

    monkeypatch.setattr(module, "fingerprint", watched)
    for expected in (["step_00000001"], []):
        read.clear()
        assert len(valid_checkpoints(tmp_path / "checkpoints")[0]) == 3
        assert [name.partition("/")[0] for name in read if name.endswith("model.safetensors")] == expected
    weights = tmp_path / "checkpoints/step_00000002/model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(weights, ns=(1, 1))
    assert [checkpoint.step for checkpoint in valid_checkpoints(tmp_path / "checkpoints")[0]] == [1, 3]


def test_a_removed_checkpoint_vanishes_as_a_whole(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it is being removed, it is hidden already: never half a checkpoint that looks damaged."""
    checkpoint = save(7, bleu=1.0)
    monkeypatch.setattr("mt_trainer.training.checkpoints.checkpoint.shutil.rmtree", lambda path, ignore_errors: None)
    remove_checkpoint(checkpoint)
    assert valid_checkpoints(tmp_path / "checkpoints") == ([], [])
