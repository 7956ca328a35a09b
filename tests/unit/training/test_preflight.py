"""What would stop a run is found before any work: folders that cannot be written, disks that are too small."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mt_trainer.config import TrainConfig
from mt_trainer.errors import CheckpointError, ConfigError, DataError, MtError
from mt_trainer.tokenizer import TokenizerPair, train_tokenizer
from mt_trainer.training import preflight
from mt_trainer.training.building import build_model
from mt_trainer.training.dry_run import dry_run
from mt_trainer.training.preflight import checkpoint_bytes, require_room, text_bytes
from mt_trainer.training.profiling.profile import profile
from mt_trainer.training.train import train

Config = Callable[..., TrainConfig]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("train.en", "train.de", "dev.en", "dev.de"):
        (tmp_path / name).write_text("a line\n" * 1000)
    return tmp_path


def refusals(call: Callable[[], object]) -> list[tuple[str, str, str]]:
    with pytest.raises(MtError) as caught:
        call()
    return [(problem.code, problem.message, str(problem.where)) for problem in caught.value.problems]


def listing(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.name != "ende.yaml")


def test_where_there_is_room_nothing_is_said_and_nothing_left(folder: Path, config: Config) -> None:
    before = listing(folder)
    require_room(config(), folder / "runs/new")
    assert listing(folder) == before


def test_the_size_of_a_checkpoint_is_that_of_its_tensors(config: Config) -> None:
    lines = [f"{word} {word[::-1]} number {i}" for i, word in enumerate(("dog", "cat", "house", "tree") * 30)]
    made = train_tokenizer(
        lines, algorithm="bpe", vocab_size=300, character_coverage=1.0, byte_fallback=True, num_threads=1
    )
    model = build_model(config(), TokenizerPair(made, made, is_joint=True))
    weights = sum(parameter.numel() for parameter in model.parameters())
    assert checkpoint_bytes(config()) == 3 * 4 * weights
    assert checkpoint_bytes(config("training.ema_decay=0.9")) == 4 * 4 * weights
    made.save("given.model")
    given = ("tokenizer.model_file=given.model", "tokenizer.vocab_size=8000")
    assert checkpoint_bytes(config(*given)) == 3 * 4 * weights


def test_the_text_is_that_of_the_files(config: Config) -> None:
    assert text_bytes(config()) == 14_000
    assert text_bytes(config("data.train.0.src=nowhere.en")) == 7_000
    assert text_bytes(config("data.train=[{format: phrasebook, split: train}]")) == 0


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))


def test_a_disk_that_is_too_small(folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 2 * checkpoint_bytes(config()) + 2800
    with_free(monkeypatch, needed)
    require_room(config(), folder / "runs/new")
    with_free(monkeypatch, needed - 1)
    [(code, message, where)] = refusals(lambda: require_room(config(), folder / "runs/new"))
    assert (code, where) == ("MT103", str(folder / "runs/new"))
    assert f"{needed:,} bytes are needed, {needed - 1:,} are free" in message


def test_a_run_that_goes_on_needs_one_more_checkpoint(
    folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "runs/old/checkpoints").mkdir(parents=True)
    (folder / "runs/cache").mkdir()
    with_free(monkeypatch, checkpoint_bytes(config()))
    require_room(config(), folder / "runs/old")
    with_free(monkeypatch, checkpoint_bytes(config()) - 1)
    with pytest.raises(CheckpointError):
        require_room(config(), folder / "runs/old")


def refuse_writing(monkeypatch: pytest.MonkeyPatch, below: Path) -> None:
    """As a read-only disk does, also for root."""
    mkdir = Path.mkdir

    def refusing(self: Path, *arguments: int, **more: bool) -> None:
        if self.is_relative_to(below):
            raise OSError(30, os.strerror(30))
        mkdir(self, *arguments, **more)

    monkeypatch.setattr(Path, "mkdir", refusing)


def test_folders_that_cannot_be_written(folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "disk").mkdir()
    refuse_writing(monkeypatch, folder / "disk")
    settings = config(f"runtime.cache_folder={folder}/disk/cache")
    found = refusals(lambda: require_room(settings, folder / "disk/runs/new"))
    assert [code for code, _, _ in found] == ["MT103", "MT103"]
    assert [where for _, _, where in found] == [str(folder / "disk/runs/new"), str(folder / "disk/cache")]
    assert all("Read-only file system" in message for _, message, _ in found)


@pytest.mark.parametrize("name", ["train.en", "train.en/new"])
def test_a_file_in_the_way(folder: Path, config: Config, name: str) -> None:
    [(code, message, _)] = refusals(lambda: require_room(config(f"runtime.cache_folder={name}"), folder / "runs/new"))
    assert code == "MT103"
    assert "Not a directory" in message


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a line of text, or making a model that holds numbers, is work."""

    def forbidden(*arguments: object, **more: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr("mt_trainer.data.text_files.TextFile.lines", forbidden)
    monkeypatch.setattr("mt_trainer.data.text_files.TextFile.fingerprint", forbidden)
    monkeypatch.setattr("mt_trainer.training.assembly.build_model", forbidden)
    monkeypatch.setattr("mt_trainer.data.encoding.train_tokenizer", forbidden)


BEGINNINGS: list[Callable[[TrainConfig, Path], object]] = [
    lambda config, folder: train(config, folder, announce=print),
    dry_run,
    profile,
]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("begin", BEGINNINGS, ids=["train", "dry run", "profile"])
def test_nothing_is_read_before_it_is_found(
    begin: Callable[[TrainConfig, Path], object], folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing dev file, a disk that is too small, a folder that cannot be written: whatever the size of the text."""
    threads = torch.get_num_threads()
    new = folder / "runs/new"
    settings = config("runtime.device=cpu", f"runtime.threads={threads}")
    missing = config("data.dev.src=nowhere.en", "runtime.device=cpu", f"runtime.threads={threads}")
    with pytest.raises(DataError, match="MT050"):
        begin(missing, new)
    with monkeypatch.context() as patched:
        with_free(patched, 1000)
        with pytest.raises(CheckpointError, match="the disk is too small"):
            begin(settings, new)
    refuse_writing(monkeypatch, folder / "runs")
    monkeypatch.setattr(preflight, "_existing", lambda path: folder / "runs")
    with pytest.raises(CheckpointError, match="nothing can be written here: Read-only"):
        begin(settings, new)
    assert not (folder / "runs").exists()


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("begin", BEGINNINGS, ids=["train", "dry run", "profile"])
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_nothing_is_written_before_a_precision_is_refused(
    precision: str,
    begin: Callable[[TrainConfig, Path], object],
    folder: Path,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"mt_trainer.decoding.translate.has_{precision}", lambda device: False)
    threads = torch.get_num_threads()
    settings = config(f"decoding.precision={precision}", "runtime.device=cpu", f"runtime.threads={threads}")
    before = listing(folder)
    with pytest.raises(ConfigError, match="MT007"):
        begin(settings, folder / "runs/new")
    assert listing(folder) == before
