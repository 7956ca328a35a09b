"""Checkpoints of random bytes and random structure: verified, or refused by CheckpointError; nothing else escapes."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mt_trainer.errors import CheckpointError
from mt_trainer.files import EMPTY, fingerprint
from mt_trainer.training.checkpoints.checkpoint import (
    MODEL,
    OPTIMIZER,
    STATE,
    best_checkpoint,
    load_checkpoint,
    save_checkpoint,
    score_on_dev,
    valid_checkpoints,
)
from mt_trainer.training.checkpoints.manifest import MANIFEST, Manifest, Origin

FILES = (MODEL, OPTIMIZER, STATE)
GOOD_STATE = {"step": 3, "dev": {"bleu": 1.0, "nll": 2.0}, "progress": {"step": 3}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES_OF_KEYS = "step dev bleu nll progress format files log config environment sha256 bytes"
KEYS = st.sampled_from([*NAMES_OF_KEYS.split(), *FILES])


@cache
def good_files() -> dict[str, bytes]:
    """The files of a good checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(
            Path(folder),
            "step_00000003",
            model={"weight": torch.ones(2, 2)},
            optimizer={"exp_avg.weight": torch.zeros(2, 2)},
            state=GOOD_STATE,
            origin=Origin(EMPTY, "c" * 64, "d" * 64, "e" * 64, {"threads": 1}),
        )
        return {path.name: path.read_bytes() for path in (Path(folder) / "step_00000003").iterdir()}


def with_checkpoint(check: Callable[[Path], None]) -> None:
    """Run a check on the folder of a good checkpoint, alone in its run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "step_00000003"
        path.mkdir()
        for name, content in good_files().items():
            (path / name).write_bytes(content)
        check(path)


def sign(path: Path) -> None:
    """Make the manifest right, as an attacker can: what is behind it must hold on its own."""
    files = {name: fingerprint(path / name) for name in FILES}
    origin = Origin(EMPTY, "c" * 64, "d" * 64, "e" * 64, {"threads": 1})
    (path / MANIFEST).write_bytes(Manifest(files, origin).to_bytes())


def sealed(values: Any) -> str:
    """The text of a manifest with its hash at the end."""
    if not isinstance(values, dict):
        return json.dumps(values)
    values.pop("sha256", None)
    digest = hashlib.sha256(json.dumps(values, indent=1).encode()).hexdigest()
    return json.dumps({**values, "sha256": digest}, indent=1) + "\n"


def read(path: Path) -> bool:
    """Whether it was accepted; all that a run asks of a checkpoint it accepts is asked."""
    valid, damaged = valid_checkpoints(path.parent)
    assert len(valid) + len(damaged) == 1
    try:
        checkpoint = load_checkpoint(path)
        assert valid
        assert checkpoint.step == checkpoint.state["step"]
        assert (checkpoint.is_of_training, checkpoint.is_validated, checkpoint.name) is not None
        assert score_on_dev(checkpoint, "bleu") == score_on_dev(checkpoint, "bleu")
        assert score_on_dev(checkpoint, "nll") == score_on_dev(checkpoint, "nll")
        assert best_checkpoint(valid, "nll").path == path
        assert len(checkpoint.weights_hash) == 64
        checkpoint.model()
        checkpoint.optimizer()
        return True
    except CheckpointError as error:
        refusal = error
    assert all(problem.code in ("MT102", "MT107") and problem.where for problem in refusal.problems)
    return False


def check_bytes(name: str, content: bytes, *, is_signed: bool) -> None:
    def check(path: Path) -> None:
        (path / name).write_bytes(content)
        if is_signed and name != MANIFEST:
            sign(path)
        assert is_signed or not read(path)
        read(path)

    with_checkpoint(check)


def check_tree(name: str, keys: list[str], value: Any) -> None:
    """Put a value somewhere into the JSON of a file, or take the place away."""

    def check(path: Path) -> None:
        content = json.loads((path / name).read_bytes())
        holder: Any = content
        for key in keys[:-1]:
            holder = holder[key] if isinstance(holder, dict) and key in holder else holder
        if isinstance(holder, dict) and value is None:
            holder.pop(keys[-1], None)
        elif isinstance(holder, dict):
            holder[keys[-1]] = value
        (path / name).write_text(sealed(content) if name == MANIFEST else json.dumps(content))
        if name == STATE:
            sign(path)
        read(path)

    with_checkpoint(check)


NAMES = st.sampled_from([MANIFEST, *FILES])
BYTES = {"name": NAMES, "content": st.binary(max_size=300), "is_signed": st.booleans()}
TREES = {"name": st.sampled_from([MANIFEST, STATE]), "keys": st.lists(KEYS, min_size=1, max_size=3), "value": JSON}
HEADERS = {
    "header": st.dictionaries(
        st.sampled_from(["weight", "a", "__metadata__"]),
        JSON
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "F16", "I64", "BOOL", "F4", "X", "C64"]),
                "shape": st.lists(st.integers(-1, 2**64), max_size=4) | st.just([2, 2]),
                "data_offsets": st.lists(st.integers(-1, 2**64), max_size=3) | st.just([0, 16]),
            }
        ),
        max_size=2,
    ),
    "data": st.binary(max_size=20) | st.just(bytes(16)),
}


def check_header(header: Any, data: bytes) -> None:
    text = json.dumps(header).encode()
    check_bytes(MODEL, len(text).to_bytes(8, "little") + text + data, is_signed=True)


@settings(max_examples=60, deadline=None)
@given(**BYTES)
def test_random_bytes(name: str, content: bytes, is_signed: bool) -> None:
    check_bytes(name, content, is_signed=is_signed)


@settings(max_examples=80, deadline=None)
@given(**TREES)
def test_random_structure(name: str, keys: list[str], value: Any) -> None:
    check_tree(name, keys, value)


@settings(max_examples=80, deadline=None)
@given(**HEADERS)
def test_random_headers(header: Any, data: bytes) -> None:
    check_header(header, data)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(**BYTES)
def test_much_of_random_bytes(name: str, content: bytes, is_signed: bool) -> None:
    check_bytes(name, content, is_signed=is_signed)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(**TREES)
def test_much_of_random_structure(name: str, keys: list[str], value: Any) -> None:
    check_tree(name, keys, value)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(**HEADERS)
def test_much_of_random_headers(header: Any, data: bytes) -> None:
    check_header(header, data)


def test_the_checkpoint_they_start_from_is_good() -> None:
    with_checkpoint(lambda path: pytest.fail("it is refused") if not read(path) else None)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_what_is_no_file(name: str) -> None:
    def check(path: Path) -> None:
        (path / name).unlink()
        (path / name).mkdir()
        assert not read(path)
        shutil.rmtree(path / name)
        (path / name).symlink_to(path.parent / "elsewhere")
        assert not read(path)

    with_checkpoint(check)
