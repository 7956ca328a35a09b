"""What a run writes down: sums over a window, means per token, and files that continue where a checkpoint was."""

import errno
import json
import math
import os
import re
from pathlib import Path

import pytest
import torch

from mt_trainer.errors import CheckpointError
from mt_trainer.files import EMPTY, Fingerprint, fingerprint
from mt_trainer.objectives import LossSums
from mt_trainer.training.records import NoRecords, Records, Window, means_of_steps
from mt_trainer.training.step import StepResult


def result(loss: float, *, grad_norm: float = 1.0, is_finite: bool = True, weight: float | None = None) -> StepResult:
    sums = LossSums(
        loss=torch.tensor(loss),
        nll=torch.tensor(loss / 2),
        num_correct=torch.tensor(3),
        num_tokens=torch.tensor(10),
        entropy=None,
        confidence=None,
        weight=None if weight is None else torch.tensor(weight),
        num_at_floor=None,
    )
    return StepResult(sums, torch.tensor(grad_norm), torch.tensor(is_finite))


def test_a_window_sums_over_its_steps() -> None:
    window = Window()
    window.add(result(20.0, grad_norm=0.5, weight=4.0))
    window.add(result(10.0, grad_norm=1.5, weight=5.0))
    assert window.read() == {
        "loss": 30.0,
        "nll": 15.0,
        "num_correct": 6.0,
        "num_tokens": 20.0,
        "weight": 9.0,
        "grad_norm": 2.0,
        "num_steps": 2.0,
        "num_skipped": 0.0,
    }


def test_steps_that_were_not_taken_are_counted() -> None:
    window = Window()
    """Of a step that was skipped nothing else is added, so that the means are those of the steps taken."""
    window, taken = Window(), Window()
    window.add(result(math.nan, grad_norm=math.inf, is_finite=False))
    for each in (window, taken):
        each.add(result(1.0))
    window.add(result(math.inf, is_finite=False))
    assert window.read() == {**taken.read(), "num_skipped": 2.0}
    assert (window.read()["num_steps"], window.read()["num_skipped"]) == (1.0, 2.0)
    assert means_of_steps(window.read())["loss"] == 0.1


def test_a_window_of_skipped_steps_has_no_means() -> None:
    window = Window()
    window.add(result(math.nan, is_finite=False))
    assert means_of_steps(window.read()) == {}


def test_a_window_goes_on_from_a_checkpoint_bit_for_bit() -> None:
    numbers = [0.1, 0.7, 1e-3, 123.456]
    whole, part = Window(), Window()
    for number in numbers:
        whole.add(result(number))
    for number in numbers[:2]:
        part.add(result(number))
    resumed = Window(json.loads(json.dumps(part.read())))
    for number in numbers[2:]:
        resumed.add(result(number))
    assert resumed.read() == whole.read()


def test_an_empty_window() -> None:
    assert Window().read() == {}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_numbers_keep_all_their_digits(folder: Path) -> None:
    records = Records(folder, log=EMPTY, step=0)
    records.write(5, "dev", {"bleu": 1 / 3}, {"seconds": 2.5})
    records.close()
    assert lines(folder / "metrics.jsonl") == [{"step": 5, "part": "dev", "bleu": 1 / 3}]
    assert lines(folder / "timing.jsonl") == [{"step": 5, "part": "dev", "seconds": 2.5}]
    assert any((folder / "tensorboard").iterdir())


def test_what_was_written_after_the_checkpoint_is_cut_off(folder: Path) -> None:
    records = Records(folder, log=EMPTY, step=0)
    records.write(1, "train", {"loss": 1.0}, {})
    log = records.log()
    assert log == fingerprint(folder / "metrics.jsonl")
    records.write(2, "train", {"loss": 2.0}, {})
    records.close()
    resumed = Records(folder, log=log, step=1)
    resumed.write(2, "train", {"loss": 3.0}, {})
    resumed.close()
    assert [(line["step"], line["loss"]) for line in lines(folder / "metrics.jsonl")] == [(1, 1.0), (2, 3.0)]


def test_without_a_checkpoint_the_metrics_start_anew(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text('{"step": 1}\n{"st', encoding="utf-8")
    records = Records(folder, log=EMPTY, step=0)
    records.write(1, "train", {}, {})
    records.close()
    assert len(lines(folder / "metrics.jsonl")) == 1


def test_a_file_that_lost_its_end_is_refused(folder: Path) -> None:
    """Lines that the checkpoint knows of are gone: going on would hide it."""
    (folder / "metrics.jsonl").write_text('{"step": 1}\n', encoding="utf-8")
    with pytest.raises(CheckpointError, match="MT106") as caught:
        Records(folder, log=Fingerprint(100, "0" * 64), step=5)
    assert "has 12 bytes" in str(caught.value)
    assert (folder / "metrics.jsonl").read_text(encoding="utf-8") == '{"step": 1}\n'


def test_a_sum_that_some_steps_lack_is_left_out() -> None:
    """As where one stage of the objective weights tokens and the next does not, or the other way round."""
    for weights in ([4.0, None, 5.0], [None, 5.0, 6.0]):
        window = Window()
        for weight in weights:
            window.add(result(10.0, weight=weight))
        assert "weight" not in window.read()
        assert window.read()["loss"] == 30.0
        assert "mean_weight" not in means_of_steps(window.read())


def test_a_changed_bit_before_the_checkpoint_is_refused_and_one_behind_it_is_cut_off(folder: Path) -> None:
    records = Records(folder, log=EMPTY, step=0)
    records.write(1, "train", {"loss": 1.5}, {})
    log = records.log()
    records.write(2, "train", {"loss": 2.5}, {})
    records.close()
    content = (folder / "metrics.jsonl").read_bytes()
    (folder / "metrics.jsonl").write_bytes(content.replace(b"2.5", b"9.5"))
    Records(folder, log=log, step=1).close()
    assert (folder / "metrics.jsonl").read_bytes() == content[: log.bytes]
    (folder / "metrics.jsonl").write_bytes(content.replace(b"1.5", b"9.5"))
    with pytest.raises(CheckpointError, match="MT106"):
        Records(folder, log=log, step=1)
    assert (folder / "metrics.jsonl").read_bytes() == content.replace(b"1.5", b"9.5")


def test_the_hash_goes_on_where_the_run_goes_on(folder: Path) -> None:
    records = Records(folder, log=EMPTY, step=0)
    for step in (1, 2):
        records.write(step, "train", {"loss": float(step)}, {})
        log = records.log()
        records.close()
        records = Records(folder, log=log, step=step)
    assert records.log() == fingerprint(folder / "metrics.jsonl")
    records.close()


def test_timing_has_the_points_of_the_metrics_whatever_was_torn(folder: Path) -> None:
    records = Records(folder, log=EMPTY, step=0)
    records.write(1, "train", {}, {"seconds": 1.0})
    log = records.log()
    records.write(2, "train", {}, {"seconds": 2.0})
    records.close()
    with (folder / "timing.jsonl").open("a") as file:
        file.write('{"step": 3, "sec')
    resumed = Records(folder, log=log, step=1)
    resumed.write(2, "train", {}, {"seconds": 5.0})
    resumed.close()
    assert [(line["step"], line["seconds"]) for line in lines(folder / "timing.jsonl")] == [(1, 1.0), (2, 5.0)]


def test_tensorboard_shows_each_step_once(folder: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EMPTY
    for start in (0, 2, 3):  # killed after the fourth step, then after the fifth: each time two steps are taken again
        records = Records(folder, log=log, step=start)
        log = records.log()
        for step in (start + 1, start + 2):
            records.write(step, "train", {"loss": 10.0 * start + step}, {})
            log = records.log() if (step == start + 1 and start == 2) or step == 2 else log
        records.close()
    accumulator = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [(each.step, each.value) for each in accumulator.Scalars("train/loss")] == [
        (1, 1.0),
        (2, 2.0),
        (3, 23.0),
        (4, 34.0),
        (5, 35.0),
    ]


@pytest.mark.parametrize("name", ["metrics.jsonl", "timing.jsonl", "tensorboard"])
def test_records_that_cannot_be_written_say_where_and_how_much_is_free(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = Records(folder, log=EMPTY, step=0)
    write, opened = os.write, {}
    for descriptor in os.listdir("/proc/self/fd"):
        opened[int(descriptor)] = os.path.realpath(f"/proc/self/fd/{descriptor}")

    def full(descriptor: int, content: bytes) -> int:
        if f"{folder}/{name}" in opened.get(descriptor, ""):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(CheckpointError) as caught:
            records.write(1, "train", {"loss": 1.0}, {"seconds": 1.0})
    records.close()
    [problem] = caught.value.problems
    assert problem.code == "MT103"
    assert str(problem.where).startswith(str(folder / name))
    assert re.search(r"No space left on device \(needs [\d,]+ bytes, [\d,]+ are free\)", problem.message)


def test_a_rank_that_is_not_the_main_one_writes_nothing(tmp_path: Path) -> None:
    records = NoRecords()
    records.write(1, "train", {"loss": 1.0}, {"seconds": 1.0})
    records.close()
    assert not any(tmp_path.iterdir())
