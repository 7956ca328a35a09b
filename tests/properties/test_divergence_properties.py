"""Steps that are not finite, explosions, going back: interrupted or not, a run does the same, byte for byte."""

import json
import math
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mt_trainer.config import load_config
from mt_trainer.data.loader import Position, StepBatches
from mt_trainer.data.transfer import fetched_ahead
from mt_trainer.errors import DivergedError, ExitCode
from mt_trainer.training import train as module
from mt_trainer.training.diverging.recovery import Route
from mt_trainer.training.train import Outcome, train

CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: train.en, tgt: train.de}
  dev: {format: text, src: dev.en, tgt: dev.de}
  max_length: 32
tokenizer: {vocab_size: 320}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, ffn_dim: 16, num_heads: 2, dropout: 0.1}
objective: {name: loss_truncation, fraction: 0.2, window: 60, min_count: 30}
optim:
  schedule: {name: inverse_sqrt, peak_lr: 3e-3, warmup_steps: 4}
training:
  batch_tokens: 768
  accumulation: 2
  max_steps: 12
  log_every_steps: 2
  validate_every_steps: 4
  keep_checkpoints: 1
  ema_decay: 0.9
decoding: {strategy: greedy, max_length_ratio: 0.5, max_length_constant: 1}
runtime: {device: cpu, precision: fp32, threads: 1, cache_folder: cache, run_folder: unused}
"""
ROLL_BACK = ("training.on_divergence=roll_back", "training.max_skipped_steps=0")
Arrange = Callable[..., list[tuple[int, int]]]


@pytest.fixture(scope="module")
def texts(made_up_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up pairs and the config."""
    folder = shutil.copytree(made_up_pairs, tmp_path_factory.mktemp("texts"), dirs_exist_ok=True)
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(autouse=True)
def same_settings_afterwards(texts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(texts)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run(folder: Path, *overrides: str) -> Outcome:
    return train(load_config("config.yaml", overrides), folder, announce=lambda line: None)


@pytest.fixture(scope="module")
def data(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Position]:
    """Where the data stands before the first step and after each of a run that leaves nothing out."""
    positions, take_step = [Position()], module.train_step

    def noted(both: Any, optimizer: Any, batches: Any, **settings: Any) -> Any:
        positions.append(batches.after)
        return take_step(both, optimizer, batches, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(texts)
        patch.setattr(module, "train_step", noted)
        run(tmp_path_factory.mktemp("data") / "run", "training.max_steps=24")
    assert len(set(positions)) == 25
    return positions


@pytest.fixture
def arrange(monkeypatch: pytest.MonkeyPatch, data: list[Position]) -> Arrange:
    """Make steps on some data overflow or explode, and send a signal during a step; gives the ledger of steps taken.

    The data is named by the step that it has where nothing is left out; what happens does not depend on the step that
    takes it in the end.
    """
    take_step = module.train_step

    def prepare(
        *, overflows: tuple[int, ...] = (), explodes: tuple[int, ...] = (), signal_at: int = 0
    ) -> list[tuple[int, int]]:
        ledger: list[tuple[int, int]] = []

        def arranged(both: Any, optimizer: Any, batches: Any, **settings: Any) -> Any:
            taken = data.index(batches.after)
            ledger.append((settings["step"], taken))
            if settings["step"] == signal_at:
                os.kill(os.getpid(), signal.SIGTERM)
            if taken in explodes:
                settings["lr"] *= 1e4
            bias = both.model.encoder[0].feed_forward.output.bias
            before = bias.detach().clone()
            if taken in overflows:
                with torch.no_grad():
                    bias[0] = math.inf
            result = take_step(both, optimizer, batches, **settings)
            if taken in overflows:
                with torch.no_grad():
                    bias.copy_(before)
            return result

        monkeypatch.setattr(module, "train_step", arranged)
        return ledger

    return prepare


def metrics(folder: Path, part: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["part"] == part]


def assert_same_run(folder: Path, expected: Path) -> None:
    """Weights, moments and log byte for byte; of state.json all but the clock."""
    assert (folder / "metrics.jsonl").read_bytes() == (expected / "metrics.jsonl").read_bytes()
    for name in ("model.safetensors", "optimizer.safetensors"):
        path = f"checkpoints/step_00000012/{name}"
        assert (folder / path).read_bytes() == (expected / path).read_bytes(), name
    states = [json.loads((each / "checkpoints/step_00000012/state.json").read_text()) for each in (folder, expected)]
    for state in states:
        assert state["progress"].pop("seconds") > 0
    assert states[0] == states[1]


BAD = (3, 8)


def test_a_few_bad_steps_are_skipped_and_counted(arrange: Arrange, tmp_path: Path) -> None:
    ledger = arrange(overflows=BAD)
    assert run(tmp_path / "run", "training.max_skipped_steps=2").exit_code == ExitCode.DONE
    assert ledger == [(step, step) for step in range(1, 13)], "a skipped step counts, and its data is consumed"
    assert [line["step"] for line in metrics(tmp_path / "run", "skipped")] == [3, 8]
    train = metrics(tmp_path / "run", "train")
    assert [line["num_skipped"] for line in train] == [0, 1, 0, 1, 0, 0]
    assert all(math.isfinite(line["loss"]) for line in train)
    rates = [3e-3 * min(step / 4, math.sqrt(4 / step)) for step in (2, 4, 6, 8, 10, 12)]
    assert [line["lr"] for line in train] == pytest.approx(rates), "the rate is that of the step"
    tensors = load_file(tmp_path / "run/checkpoints/step_00000012/optimizer.safetensors")
    assert {tensor.item() for name, tensor in tensors.items() if name.startswith("step.")} == {10.0}
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values() if tensor.is_floating_point())


@pytest.mark.parametrize("step", [2, 3, 5, 8, 9])
def test_skipped_steps_survive_an_interruption(step: int, arrange: Arrange, tmp_path: Path) -> None:
    """In the log window of a skipped step, in that step itself, and after it."""
    setting = "training.max_skipped_steps=2"
    arrange(overflows=BAD)
    run(tmp_path / "whole", setting)
    arrange(overflows=BAD, signal_at=step)
    assert run(tmp_path / "stopped", setting).exit_code == ExitCode.TERMINATED
    arrange(overflows=BAD)
    assert run(tmp_path / "stopped", setting).exit_code == ExitCode.DONE
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize("step", [0, 3, 8])
def test_the_budget_is_that_of_the_whole_run(step: int, arrange: Arrange, data: list[Position], tmp_path: Path) -> None:
    """Interrupted or not, the second bad step is one too many, and the capsule is the same."""
    if step:
        arrange(overflows=BAD, signal_at=step)
        code = ExitCode.TERMINATED
        if step == 8:  # the signal comes in the very step: it is judged before anything is saved
            with pytest.raises(DivergedError, match="step 8"):
                run(tmp_path / "run", "training.max_skipped_steps=1")
        else:
            assert run(tmp_path / "run", "training.max_skipped_steps=1").exit_code == code
    arrange(overflows=BAD)
    with pytest.raises(DivergedError, match="step 8 is not finite, nor were those of 1 step before it"):
        run(tmp_path / "run", "training.max_skipped_steps=1")
    capsule = json.loads((tmp_path / "run/crash/step_00000008.json").read_text())
    assert (capsule["step"], capsule["position"]) == (8, asdict(data[7]))
    assert capsule["sums"]["loss"]["value"] == "nan"
    assert capsule["base"]["name"] == "step_00000004"
    assert not (tmp_path / "run/checkpoints/step_00000008").exists()


def test_going_back_leaves_out_the_bad_data_alone(arrange: Arrange, data: list[Position], tmp_path: Path) -> None:
    """The second bad step comes 4 steps after the checkpoint; all others are taken in their order."""
    bad = (7, 10)
    ledger = arrange(overflows=bad)
    run(tmp_path / "run", *ROLL_BACK)
    steps = dict(ledger)  # the last time that each was taken
    assert steps == dict(enumerate((number for number in range(1, 15) if number not in bad), start=1))
    lines = metrics(tmp_path / "run", "roll_back")
    assert [(line["step"], line["diverged_at"], line["number"]) for line in lines] == [(4, 7, 1), (8, 9, 2)]
    left_out = [(Position(**stretch["start"]), Position(**stretch["end"])) for stretch in lines[-1]["left_out"]]
    assert left_out == [(data[number - 1], data[number]) for number in bad]
    assert metrics(tmp_path / "run", "skipped") == []


def test_steps_fetched_ahead_are_the_same_when_a_run_stops_and_goes_back(
    arrange: Arrange, data: list[Position], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, but without a copy: a thread collates each step while the one before is taken."""
    bad, threads = (7, 10), set()

    def fetch(batches: StepBatches) -> StepBatches:
        threads.add(threading.current_thread().name)
        return batches

    def go_back(route: Route, position: Position) -> None:
        route._steps = fetched_ahead(route._loader.steps(position), fetch)

    arrange(overflows=bad)
    run(tmp_path / "plain", *ROLL_BACK)
    monkeypatch.setattr(Route, "go_back", go_back)
    ledger = arrange(overflows=bad, signal_at=5)
    assert run(tmp_path / "ahead", *ROLL_BACK).exit_code == ExitCode.TERMINATED
    assert ledger[-1] == (5, 5)
    ledger = arrange(overflows=bad)
    assert run(tmp_path / "ahead", *ROLL_BACK).exit_code == ExitCode.DONE
    assert ledger[0] == (6, 6)
    assert threads == {"fetch_0"}
    assert_same_run(tmp_path / "ahead", tmp_path / "plain")


@pytest.mark.parametrize("step", [2, 5, 7, 9, 10])
@pytest.mark.parametrize("fault", ["overflows", "explodes"])
def test_going_back_survives_an_interruption(fault: str, step: int, arrange: Arrange, tmp_path: Path) -> None:
    bad: Any = {fault: (7, 10)}
    arrange(**bad)
    run(tmp_path / "whole", *ROLL_BACK)
    last = metrics(tmp_path / "whole", "roll_back")[-1]
    assert (last["number"], len(last["left_out"])) == (2, 2)
    arrange(**bad, signal_at=step)
    assert run(tmp_path / "stopped", *ROLL_BACK).exit_code == ExitCode.TERMINATED
    arrange(**bad)
    assert run(tmp_path / "stopped", *ROLL_BACK).exit_code == ExitCode.DONE
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def test_what_a_signal_left_on_the_way_to_a_divergence_is_not_gone_on_from(arrange: Arrange, tmp_path: Path) -> None:
    """Stopped before the bad step, then again after going back, at an earlier step than before."""
    bad: Any = {"explodes": (7,)}
    arrange(**bad)
    run(tmp_path / "whole", *ROLL_BACK)
    for step in (6, 5):
        arrange(**bad, signal_at=step)
        assert run(tmp_path / "stopped", *ROLL_BACK).exit_code == ExitCode.TERMINATED
    names = sorted(path.name for path in (tmp_path / "stopped/checkpoints").iterdir())
    assert names[-1] == "step_00000005"
    arrange(**bad)
    assert run(tmp_path / "stopped", *ROLL_BACK).exit_code == ExitCode.DONE
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def test_a_run_killed_after_going_back_goes_back_again(
    arrange: Arrange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No checkpoint knows of it yet; the same steps lead to the same divergence."""
    bad = (7,)
    arrange(overflows=bad)
    run(tmp_path / "whole", *ROLL_BACK)
    ledger = arrange(overflows=bad)
    arranged, count = module.train_step, 0

    def killed(*arguments: Any, **settings: Any) -> Any:
        nonlocal count
        count += 1
        if count == 10:  # eight steps to the divergence, one or two after the checkpoint that it went back to
            raise KeyboardInterrupt
        return arranged(*arguments, **settings)

    monkeypatch.setattr(module, "train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", *ROLL_BACK)
    assert [step for step, _ in ledger][-2:] == [8, 5], "it had gone back to step 4"
    arrange(overflows=bad)
    assert run(tmp_path / "killed", *ROLL_BACK).exit_code == ExitCode.DONE
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


def test_the_limit_of_going_back(arrange: Arrange, tmp_path: Path) -> None:
    arrange(overflows=(7, 10))
    with pytest.raises(DivergedError, match="went back 1 time before") as caught:
        run(tmp_path / "run", *ROLL_BACK, "training.max_roll_backs=1")
    assert caught.value.exit_code == ExitCode.DIVERGED
    assert len(list((tmp_path / "run/crash").iterdir())) == 2


def test_without_a_validated_checkpoint_there_is_no_way_back(arrange: Arrange, tmp_path: Path) -> None:
    arrange(overflows=(2,))
    with pytest.raises(DivergedError, match="no validated checkpoint to go back to"):
        run(tmp_path / "run", *ROLL_BACK)
    assert json.loads((tmp_path / "run/crash/step_00000002.json").read_text())["base"] is None


def test_a_rate_ten_thousand_times_too_high_stops_the_run(arrange: Arrange, tmp_path: Path) -> None:
    """The loss is finite, but far above that at the last validation; the best checkpoint stays the best."""
    arrange(explodes=(9,))
    with pytest.raises(DivergedError, match="perplexity up to step 10"):
        run(tmp_path / "run")
    assert max(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == "step_00000008"
    state = json.loads((tmp_path / "run/checkpoints/step_00000008/state.json").read_text())
    assert math.isfinite(state["progress"]["best_score"])


def test_an_explosion_that_only_dev_shows_is_not_saved(arrange: Arrange, tmp_path: Path) -> None:
    """The update of the step before a validation: no training step has seen the new weights."""
    arrange(explodes=(8,))
    with pytest.raises(DivergedError, match=r"perplexity on dev after step 8 is .*, at the validation before it was"):
        run(tmp_path / "run", "training.ema_decay=0")
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step_00000004"]


def test_resumed_at_its_end_a_run_names_the_data_of_its_last_step(
    arrange: Arrange, data: list[Position], tmp_path: Path
) -> None:
    """Stopped in the last step, before the validation that shows the explosion; one step was passed over before."""
    capsules = []
    for name, signal_at in (("whole", 0), ("stopped", 11)):
        settings = (*ROLL_BACK, "training.max_roll_backs=1", "training.max_steps=11", "training.ema_decay=0")
        arrange(overflows=(10,), explodes=(12,), signal_at=signal_at)
        if signal_at:
            assert run(tmp_path / name, *settings).exit_code == ExitCode.TERMINATED
        with pytest.raises(DivergedError, match="perplexity on dev after step 11"):
            run(tmp_path / name, *settings)
        [path] = (tmp_path / name / "crash").glob("step_00000011*.json")
        capsules.append(json.loads(path.read_text()))
    whole, stopped = capsules
    assert whole["position"] == stopped["position"] == asdict(data[11])
    assert (whole["micro_batches"], whole["step"]) == (stopped["micro_batches"], 11)
    assert whole["sums"]
    assert stopped["sums"] == {}


def test_a_high_ratio_lets_an_explosion_pass(arrange: Arrange, tmp_path: Path) -> None:
    arrange(explodes=(9,))
    assert run(tmp_path / "run", "training.max_ppl_ratio=null").exit_code == ExitCode.DONE
    train = metrics(tmp_path / "run", "train")
    assert train[4]["nll"] - train[3]["nll"] > math.log(20), "the explosion is worth its name"


def test_weights_that_give_no_number_on_dev_are_never_saved(arrange: Arrange, tmp_path: Path) -> None:
    """Every step after the fifth is skipped, within the budget: only dev can tell."""
    take_step = module.train_step

    def broken(both: Any, *arguments: Any, **settings: Any) -> Any:
        if settings["step"] == 6:
            with torch.no_grad():
                both.model.encoder[0].feed_forward.output.bias[0] = math.nan
        return take_step(both, *arguments, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "train_step", broken)
        with pytest.raises(DivergedError, match="the perplexity on dev after step 8 is nan"):
            run(tmp_path / "run", "training.max_skipped_steps=100", "training.ema_decay=0")
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step_00000004"]
    train = metrics(tmp_path / "run", "train")
    assert train[-1]["num_skipped"] == 2
    assert "loss" not in train[-1]


def test_the_checkpoint_of_a_capsule_stays(arrange: Arrange, tmp_path: Path) -> None:
    """One checkpoint is kept, the newest, which is also the best; that of the capsule is the only other one."""
    setting = (*ROLL_BACK, "training.select_by=nll")
    arrange()
    run(tmp_path / "other", *setting)
    assert [path.name for path in (tmp_path / "other/checkpoints").iterdir()] == ["step_00000012"]
    arrange(overflows=(6,))
    run(tmp_path / "run", *setting)
    assert json.loads((tmp_path / "run/crash/step_00000006.json").read_text())["base"]["name"] == "step_00000004"
    kept = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert kept == ["step_00000004", "step_00000012"]
