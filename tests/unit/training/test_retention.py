"""Which checkpoints stay, and their average."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mt_trainer.training.checkpoints.checkpoint import Checkpoint
from mt_trainer.training.checkpoints.retention import average_newest, prune

Save = Callable[..., Checkpoint]


def steps(tmp_path: Path) -> list[int]:
    return sorted(int(path.name.rpartition("_")[2]) for path in (tmp_path / "checkpoints").iterdir())


def test_the_newest_and_the_best_stay(save: Save, tmp_path: Path) -> None:
    for step, bleu in [(1, 10.0), (2, 30.0), (3, 20.0), (4, 25.0), (5, 15.0)]:
        save(step, bleu=bleu)
    prune(tmp_path / "checkpoints", keep=2, select_by="bleu", needed=())
    assert steps(tmp_path) == [2, 4, 5]


def test_best_by_nll_is_the_lowest(save: Save, tmp_path: Path) -> None:
    for step, nll in [(1, 1.5), (2, 1.2), (3, 1.9)]:
        save(step, bleu=0.0, nll=nll)
    prune(tmp_path / "checkpoints", keep=1, select_by="nll", needed=())
    assert steps(tmp_path) == [2, 3]


def test_not_a_number_is_never_the_best(save: Save, tmp_path: Path) -> None:
    for step, bleu in [(1, float("nan")), (2, 5.0), (3, float("nan"))]:
        save(step, bleu=bleu)
    prune(tmp_path / "checkpoints", keep=1, select_by="bleu", needed=())
    assert steps(tmp_path) == [2, 3]


def test_damaged_ones_neither_count_nor_go(save: Save, tmp_path: Path) -> None:
    """Two valid ones are asked for, so two valid ones stay, however many broken ones are newer."""
    for step in range(1, 6):
        save(step, bleu=float(step))
    for step in (4, 5):
        (tmp_path / f"checkpoints/step_{step:08d}/model.safetensors").write_bytes(b"")
    prune(tmp_path / "checkpoints", keep=2, select_by="bleu", needed=())
    assert steps(tmp_path) == [2, 3, 4, 5]


def test_the_only_valid_one_stays(save: Save, tmp_path: Path) -> None:
    save(1)
    prune(tmp_path / "checkpoints", keep=1, select_by="bleu", needed=())
    assert steps(tmp_path) == [1]


def test_a_checkpoint_that_a_signal_left_takes_no_place_of_a_validated_one(save: Save, tmp_path: Path) -> None:
    """Else an interrupted run would keep, and average, other checkpoints than an uninterrupted one."""
    save(10, bleu=1.0)
    save(15)
    save(20, bleu=2.0)
    prune(tmp_path / "checkpoints", keep=2, select_by="bleu", needed=())
    assert {10, 20} <= set(steps(tmp_path))


def test_the_newest_stays_also_when_a_signal_left_it(save: Save, tmp_path: Path) -> None:
    save(10, bleu=1.0)
    save(15)
    prune(tmp_path / "checkpoints", keep=1, select_by="bleu", needed=())
    assert steps(tmp_path) == [10, 15]


def test_average_of_the_newest(save: Save, tmp_path: Path) -> None:
    for step in (1, 4, 10):
        save(step, bleu=1.0)
    save(10, name="average")
    weights, names = average_newest(tmp_path / "checkpoints", 2)
    assert names == ["step_00000004", "step_00000010"]
    assert weights["weight"].item() == pytest.approx(7.0)
    assert average_newest(tmp_path / "checkpoints", 9)[0]["weight"].item() == pytest.approx(5.0)


def test_checkpoints_that_a_signal_left_are_not_averaged(save: Save, tmp_path: Path) -> None:
    save(10, bleu=1.0)
    save(15)
    save(20, bleu=2.0)
    assert average_newest(tmp_path / "checkpoints", 2)[1] == ["step_00000010", "step_00000020"]


def test_an_average_takes_no_place_of_a_checkpoint_of_training(save: Save, tmp_path: Path) -> None:
    """A finished run that is extended then keeps, and averages, what an uninterrupted one does."""
    for step in (1, 2):
        save(step, bleu=float(step))
    save(2, bleu=1.5, name="average")
    save(3, bleu=3.0)
    prune(tmp_path / "checkpoints", keep=2, select_by="bleu", needed=())
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step_00000002", "step_00000003"]
