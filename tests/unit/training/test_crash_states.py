"""Every state that a crash can leave of a save: the old checkpoint is found or the new one, never a mix.

What a save does to the disk is recorded, call by call. Each prefix of it is then carried out in a fresh folder: as it
is (the process was killed), and with what was not fsynced lost, torn or zeroed, and with names that were not fsynced
lost (the machine lost its power).
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mt_trainer.errors import CheckpointError
from mt_trainer.training.checkpoints.checkpoint import Checkpoint, valid_checkpoints

Save = Callable[..., Checkpoint]


class Operation(NamedTuple):
    """One change of the disk, or one fsync. Paths are relative to the folder of the checkpoints."""

    kind: str
    path: str
    content: bytes = b""
    target: str = ""


class Recorder:
    """What is done below a folder by way of `os`."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.operations: list[Operation] = []
        self._folder, self._files = folder, dict[int, str]()
        for name in ("open", "write", "fsync", "rename", "mkdir", "close"):
            patch.setattr(os, name, self._recorded(name, getattr(os, name)))
        remove_tree = shutil.rmtree
        patch.setattr(shutil, "rmtree", lambda path, **settings: self._remove(Path(path), remove_tree))

    def _recorded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any, **settings: Any) -> Any:
            result = call(*arguments, **settings)
            if name == "open" and self._is_inside(arguments[0]):
                self._files[result] = self._name(arguments[0])
                if arguments[1] & os.O_CREAT:
                    self.operations.append(Operation("create", self._name(arguments[0])))
            elif name in ("write", "fsync") and arguments[0] in self._files:
                content = bytes(arguments[1])[:result] if name == "write" else b""
                self.operations.append(Operation(name, self._files[arguments[0]], content))
            elif name == "close":
                self._files.pop(arguments[0], None)
            elif name == "rename" and self._is_inside(arguments[0]):
                source, target = map(self._name, arguments[:2])
                self.operations.append(Operation("rename", source, target=target))
            elif name == "mkdir" and self._is_inside(arguments[0]):
                self.operations.append(Operation("mkdir", self._name(arguments[0])))
            return result

        return recorded

    def _remove(self, folder: Path, remove_tree: Callable[[Path], None]) -> None:
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            self.operations.append(Operation("unlink", self._name(path)))
        if folder.is_dir():
            self.operations.append(Operation("rmdir", self._name(folder)))
            remove_tree(folder)

    def _is_inside(self, path: Any) -> bool:
        return isinstance(path, str | Path) and Path(path).is_relative_to(self._folder)

    def _name(self, path: Any) -> str:
        return str(Path(path).relative_to(self._folder))


LOSSES = ("nothing", "data", "second half of data", "data, zeros in its place", "data and names")


class Disk:
    """A folder as a crash leaves it: each file's name, what was fsynced of it, and what was not."""

    def __init__(self, before: dict[str, bytes]) -> None:
        self.files = {name: bytearray(content) for name, content in before.items()}
        self.durable = {name: bytes(content) for name, content in before.items()}
        self.lasting = dict(self.durable)
        """The whole folder as it was at the last fsync of a folder."""

    def apply(self, operation: Operation) -> None:
        kind, path, content, target = operation
        if kind == "create":
            self.files[path], self.durable[path] = bytearray(), b""
        elif kind == "write":
            self.files[path] += content
        elif kind == "fsync" and path in self.files:
            self.durable[path] = bytes(self.files[path])
        elif kind == "fsync":
            inside = "" if path == "." else f"{path}/"
            kept = {name: content for name, content in self.lasting.items() if not name.startswith(inside)}
            self.lasting = kept | {name: self.durable[name] for name in self.files if name.startswith(inside)}
        elif kind == "rename":
            for table in (self.files, self.durable):
                for name in [name for name in table if name.startswith(f"{path}/")]:
                    table[target + name.removeprefix(path)] = table.pop(name)  # type: ignore[attr-defined]
        elif kind == "unlink":
            del self.files[path], self.durable[path]

    def after_loss_of(self, what: str) -> dict[str, bytes]:
        """What is there when the machine comes up again."""
        if what == "data and names":
            return self.lasting
        return {name: self._left(name, bytes(content), what) for name, content in self.files.items()}

    def _left(self, name: str, content: bytes, what: str) -> bytes:
        kept = self.durable[name]
        lost = content[len(kept) :]
        return (
            kept
            + {
                "nothing": lost,
                "data": b"",
                "second half of data": lost[: len(lost) // 2],
                "data, zeros in its place": bytes(len(lost)),
            }[what]
        )


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def crash_states(before: dict[str, bytes], operations: list[Operation]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Every state with the words that say how it came about."""
    disk = Disk(before)
    for number in range(len(operations) + 1):
        for what in LOSSES:
            yield f"after {number} of {len(operations)} operations, {what} lost", disk.after_loss_of(what)
        if number < len(operations):
            disk.apply(operations[number])


def found_in(folder: Path, state: dict[str, bytes]) -> dict[str, tuple[int, float | None, float]]:
    """What the loader finds: step, BLEU, and the weight, of each checkpoint that verifies."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in state.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    valid, damaged = valid_checkpoints(folder)
    assert damaged == [], "a crash leaves nothing that looks like a damaged checkpoint"
    return {
        each.name: (each.step, (each.state["dev"] or {}).get("bleu"), float(each.model()["weight"])) for each in valid
    }


@pytest.mark.parametrize(("step", "bleu"), [(2, None), (1, 7.0)], ids=["another step", "the same step again"])
def test_every_crash_state_has_the_old_checkpoint_or_the_new_one(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, bleu: float | None
) -> None:
    folder = tmp_path / "checkpoints"
    save(1, bleu=3.0)
    (folder / ".step_00000009.tmp-1").mkdir()  # of an earlier crash
    (folder / ".step_00000009.tmp-1/state.json").write_bytes(b"{")
    before = content_of(folder)
    with monkeypatch.context() as patch:
        recorder = Recorder(folder, patch)
        save(step, bleu=bleu)
    operations = recorder.operations
    assert [each.kind for each in operations].count("create") == 4
    old = {"step_00000001": (1, 3.0, 1.0)}
    new = {**(old if step != 1 else {}), f"step_{step:08d}": (step, bleu, float(step))}
    seen = []
    for how, state in crash_states(before, operations):
        found = found_in(tmp_path / "crashed", state)
        assert found in (old, new), how
        seen.append(found == new)
    assert not seen[0], "nothing was done yet"
    assert all(seen[-len(LOSSES) :]), "a save that has ended is on the disk, whatever happens then"


def test_the_order_in_which_a_save_reaches_the_disk(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        recorder = Recorder(tmp_path / "checkpoints", patch)
        save(1)
    done = [(each.kind, each.path.rpartition("/")[2]) for each in recorder.operations]
    for name in ("model.safetensors", "optimizer.safetensors", "state.json"):
        assert done.index(("fsync", name)) < done.index(("create", "MANIFEST.json")), "the manifest comes last"
    manifest, renamed = done.index(("fsync", "MANIFEST.json")), [kind for kind, _ in done].index("rename")
    temporary = done.index(("fsync", recorder.operations[renamed].path))
    assert manifest < temporary < renamed, "file, then folder, then the name"
    assert done[renamed + 1 :] == [("fsync", ".")], "then the folder that holds the name"


def test_a_save_without_fsync_would_be_found_out(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test itself can fail."""
    folder = tmp_path / "checkpoints"
    save(1, bleu=3.0)
    before = content_of(folder)
    with monkeypatch.context() as patch:
        recorder = Recorder(folder, patch)
        save(2)
    operations = [each for each in recorder.operations if each.kind != "fsync"]
    states = [state for _, state in crash_states(before, operations)]
    with pytest.raises(AssertionError, match="damaged"):
        [found_in(tmp_path / "crashed", state) for state in states]


def test_a_disk_that_is_full_at_any_moment_loses_nothing(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call that needs the disk fails in turn, half a write done: the old one stays, nothing else, and says why."""
    folder = tmp_path / "checkpoints"
    save(1, bleu=3.0)
    calls = ("open", "write", "fsync", "mkdir")
    done, failed = {name: getattr(os, name) for name in calls}, 0
    while True:
        left = failed

        def full(name: str) -> Callable[..., Any]:
            def call(*arguments: Any, **settings: Any) -> Any:
                nonlocal left
                if name == "open" and not arguments[1] & os.O_CREAT:
                    return done[name](*arguments, **settings)
                left -= 1
                if left == -1:
                    if name == "write":
                        done[name](arguments[0], arguments[1][: len(arguments[1]) // 2])
                    raise OSError(errno.ENOSPC, "No space left on device")
                return done[name](*arguments, **settings)

            return call

        with monkeypatch.context() as patch:
            for name in calls:
                patch.setattr(os, name, full(name))
            try:
                save(2)
                break
            except CheckpointError as error:
                caught = error
        [problem] = caught.problems
        assert problem.code == "MT103"
        assert re.search(r"No space left on device \(needs [\d,]+ bytes, [\d,]+ are free\)", problem.message)
        assert problem.where == str(folder / "step_00000002")
        is_published = (folder / "step_00000002").exists()  # it was the last fsync, of the folder, that failed
        assert sorted(path.name for path in folder.iterdir()) == ["step_00000001", "step_00000002"][: 1 + is_published]
        assert len(valid_checkpoints(folder)[0]) == 1 + is_published
        if is_published:
            shutil.rmtree(folder / "step_00000002")
        failed += 1
    assert failed > 15, "open, write and fsync of four files, and the folders"
    assert [checkpoint.step for checkpoint in valid_checkpoints(folder)[0]] == [1, 2]
