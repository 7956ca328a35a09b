"""Nothing that a hash covers can change without being found: random flipped bits over a whole run folder."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from kill_test import new_folder
from mt_trainer.config import load_config
from mt_trainer.errors import CheckpointError
from mt_trainer.tokenizer import stored_hash
from mt_trainer.training.checkpoints.checkpoint import load_checkpoint
from mt_trainer.training.loading import load_run
from mt_trainer.training.records import log_before
from mt_trainer.training.run_folder import RunFolder
from mt_trainer.training.sealed_config import require_config
from mt_trainer.training.train import train
from mt_trainer.training.verify import verify_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: three checkpoints, an average, a log."""
    folder = new_folder(tmp_path_factory.mktemp("flips") / "work")
    before, threads = Path.cwd(), torch.get_num_threads()
    os.chdir(folder)
    try:
        train(load_config("small.yaml", ["training.max_steps=12"]), folder / "run", announce=lambda line: None)
    finally:
        os.chdir(before)
        torch.set_num_threads(threads)
    return folder / "run"


def covered(run: Path) -> dict[str, int]:
    """The files that hashes cover, and so many of their bytes."""
    checkpoints = [path for path in (run / "checkpoints").rglob("*") if path.is_file()]
    files = [run / "config.yaml", run / "tokenizer.model", run / "metrics.jsonl", *checkpoints]
    return {path.relative_to(run).as_posix(): path.stat().st_size for path in files}


def looks_intact(run: Path, name: str) -> bool:
    """Whether what reads this file takes it."""
    newest = run / "checkpoints/step_00000012"
    try:
        if name == "config.yaml":
            require_config(run)
        elif name == "metrics.jsonl":
            log_before(run, load_checkpoint(newest).origin.log)
        elif name.startswith("checkpoints/"):
            load_checkpoint((run / name).parent)
        else:
            return stored_hash(run) == load_checkpoint(newest).origin.tokenizer
    except CheckpointError:
        return False
    return True


def flips(run: Path, number: int, seed: int) -> Iterator[tuple[str, int]]:
    """File and position in bits: half of them anywhere, half in a file chosen first, so that small ones are hit too."""
    rng, sizes = random.Random(seed), covered(run)
    names = sorted(sizes)
    for index in range(number):
        weights = [sizes[name] for name in names] if index % 2 else [1] * len(names)
        (name,) = rng.choices(names, weights)
        yield name, rng.randrange(8 * sizes[name])


def with_flipped(path: Path, position: int, look: Callable[[], None]) -> None:
    """Look while one bit of a file is changed."""
    content = path.read_bytes()
    changed = bytearray(content)
    changed[position // 8] ^= 1 << position % 8
    path.write_bytes(changed)
    try:
        look()
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("number", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_flipped_bit_goes_undetected(run: Path, number: int) -> None:
    assert covered(run)["metrics.jsonl"] == load_checkpoint(run / "checkpoints/step_00000012").origin.log.bytes
    assert all(looks_intact(run, name) for name in covered(run))
    undetected: list[tuple[str, int]] = []
    hit = Counter[str]()
    for index, (name, position) in enumerate(flips(run, number, seed=number)):

        def look(name: str = name, position: int = position, index: int = index) -> None:
            if looks_intact(run, name):
                undetected.append((name, position))
            if index % 50 == 0 and all(finding.is_intact for finding in verify_run(run)):
                undetected.append((f"mt-run verify: {name}", position))

        with_flipped(run / name, position, look)
        hit[name] += 1
    assert undetected == []
    assert set(hit) == set(covered(run)), "every file was hit"
    assert all(finding.is_intact for finding in verify_run(run)), "and all is as it was"


def test_files_cut_anywhere_are_found(run: Path) -> None:
    for name, size in covered(run).items():
        content = (run / name).read_bytes()
        for hundredth in range(100):
            (run / name).write_bytes(content[: size * hundredth // 100])
            assert not looks_intact(run, name), (name, hundredth)
        (run / name).write_bytes(content)


def test_each_damaged_file_of_the_newest_checkpoint_leads_to_the_one_before(run: Path) -> None:
    """Cut, deleted or zeroed: the one before is taken, and the message names checkpoint and file."""
    newest = run / "checkpoints/step_00000012"
    config = load_config(run / "config.yaml")
    for path in sorted(newest.iterdir()):
        content = path.read_bytes()
        for damage in (content[: len(content) // 2], None, bytes(len(content))):
            said: list[str] = []
            if damage is None:
                path.unlink()
            else:
                path.write_bytes(damage)
            found = RunFolder(run, config).newest_checkpoint(said.append)
            path.write_bytes(content)
            assert found is not None
            assert found.name == "step_00000008"
            [line] = said
            assert line.startswith("passed over: step_00000012, a damaged checkpoint: ")
            assert path.name in line
    assert load_run(run, checkpoint="last").checkpoint_name == newest.name
