"""A run that was stopped and resumed is, byte for byte, the run that was never stopped."""

import json
import os
import random
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mt_trainer.config import load_config
from mt_trainer.errors import CheckpointError, DivergedError, ExitCode
from mt_trainer.model.layer_pass import compiled, recomputed, straight
from mt_trainer.training import assembly
from mt_trainer.training import step as step_module
from mt_trainer.training import train as module
from mt_trainer.training.train import Outcome, train

CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: train.en, tgt: train.de}
  dev: {format: text, src: dev.en, tgt: dev.de}
  max_length: 32
tokenizer: {vocab_size: 320}
model:
  num_encoder_layers: 1
  num_decoder_layers: 1
  d_model: 16
  ffn_dim: 16
  num_heads: 2
  dropout: 0.1
optim:
  schedule: {name: inverse_sqrt, peak_lr: 3e-3, warmup_steps: 4}
training:
  batch_tokens: 768
  accumulation: 2
  max_steps: 12
  log_every_steps: 2
  validate_every_steps: 6
  keep_checkpoints: 9
  ema_decay: 0.9
decoding: {strategy: greedy, max_length_ratio: 0.5, max_length_constant: 1}
runtime: {device: cpu, precision: fp32, threads: 1, cache_folder: cache, run_folder: unused}
"""


@pytest.fixture(scope="module")
def texts(made_up_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up pairs, of which an epoch has 6 steps, and the config."""
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


@pytest.fixture
def signal_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make the training loop get a SIGTERM while it takes a given step."""
    take_step = module.train_step

    def prepare(step: int) -> None:
        def with_signal(*arguments: Any, **settings: Any) -> Any:
            if settings["step"] == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return take_step(*arguments, **settings)

        monkeypatch.setattr(module, "train_step", with_signal)

    return prepare


@pytest.fixture(scope="module")
def uninterrupted(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(texts)
        outcome = run(folder)
    assert outcome.exit_code == ExitCode.DONE
    return folder


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
    scores = [json.loads((each / "evaluation/dev.json").read_text())["scores"] for each in (folder, expected)]
    assert scores[0] == scores[1]


def test_the_run_is_worth_comparing(uninterrupted: Path) -> None:
    """It crosses the border of an epoch, logs and validates, and its weights move."""
    lines = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["part"] == "train"] == [2, 4, 6, 8, 10, 12]
    assert [line["step"] for line in lines if line["part"] == "dev"] == [6, 12]
    losses = [line["loss"] for line in lines if line["part"] == "train"]
    assert losses[-1] < losses[0]
    assert {line["epoch"] for line in lines if line["part"] == "train"} >= {0, 1}


def test_two_runs_are_the_same(uninterrupted: Path, tmp_path: Path) -> None:
    run(tmp_path / "again")
    assert_same_run(tmp_path / "again", uninterrupted)


@pytest.mark.parametrize("step", [1, 5, 6, 7])
def test_stopped_and_resumed(step: int, uninterrupted: Path, tmp_path: Path, signal_at: Callable[[int], None]) -> None:
    """In the first step, between two log lines, at a validation, and right after one."""
    folder = tmp_path / "stopped"
    signal_at(step)
    stopped = run(folder)
    assert (stopped.exit_code, stopped.checkpoint, stopped.scores) == (ExitCode.TERMINATED, None, ())
    assert (folder / f"checkpoints/step_{step:08d}").is_dir()
    assert not (folder / "evaluation").exists()
    signal_at(-1)
    assert run(folder).exit_code == ExitCode.DONE
    assert_same_run(folder, uninterrupted)


def test_stopped_after_every_other_step(uninterrupted: Path, tmp_path: Path, signal_at: Callable[[int], None]) -> None:
    for step in (2, 4, 8, 9, 11):
        signal_at(step)
        assert run(tmp_path / "stopped").exit_code == ExitCode.TERMINATED
    signal_at(-1)
    assert run(tmp_path / "stopped").exit_code == ExitCode.DONE
    assert_same_run(tmp_path / "stopped", uninterrupted)


def test_stopped_after_every_single_step(uninterrupted: Path, tmp_path: Path, signal_at: Callable[[int], None]) -> None:
    for step in range(1, 13):
        signal_at(step)
        assert run(tmp_path / "stopped").exit_code == ExitCode.TERMINATED
    signal_at(-1)
    assert run(tmp_path / "stopped").exit_code == ExitCode.DONE
    assert_same_run(tmp_path / "stopped", uninterrupted)


def test_a_signal_between_two_micro_batches_waits_for_the_whole_step(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = step_module.seed_everything

    def with_signal(*key: int) -> None:
        if key[1:] == (5, 1):  # the second micro-batch of step 5
            os.kill(os.getpid(), signal.SIGTERM)
        seed(*key)

    with monkeypatch.context() as patch:
        patch.setattr(step_module, "seed_everything", with_signal)
        assert run(tmp_path / "stopped").exit_code == ExitCode.TERMINATED
    assert [path.name for path in (tmp_path / "stopped/checkpoints").iterdir()] == ["step_00000005"]
    assert run(tmp_path / "stopped").exit_code == ExitCode.DONE
    assert_same_run(tmp_path / "stopped", uninterrupted)


def test_resumed_with_activations_computed_again(
    uninterrupted: Path, tmp_path: Path, signal_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = []

    def noted(layer: torch.nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        layers.append(type(layer).__name__)
        return straight(layer, *inputs)

    monkeypatch.setattr(assembly, "recomputed", lambda through: recomputed(noted))
    signal_at(5)
    assert run(tmp_path / "stopped").exit_code == ExitCode.TERMINATED
    assert layers == []
    signal_at(-1)
    assert run(tmp_path / "stopped", "training.recompute_activations=true").exit_code == ExitCode.DONE
    # forward, and backward the other way round; two micro-batches a step
    assert layers == ["EncoderLayer", "DecoderLayer", "DecoderLayer", "EncoderLayer"] * 2 * 7
    assert_same_run(tmp_path / "stopped", uninterrupted)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch hides its own where they are shown, not raised
def test_stopped_and_resumed_with_compiled_layers(
    tmp_path: Path, signal_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All steps have one shape, also the last one of an epoch: a second one would be compiled anew."""
    shapes = set()

    def noted(both: Any, optimizer: Any, batches: Any, **settings: Any) -> Any:
        shapes.update(batch.src_tokens.shape for batch in batches.micro_batches)
        assert settings["workers"] is None
        return take_step(both, optimizer, batches, **settings)

    monkeypatch.setattr(assembly, "compiled", lambda: compiled("aot_eager"))
    monkeypatch.setenv("CXX", sys.executable)  # which writes no C++
    with_compiling = ("runtime.compile=true", "runtime.threads=2")
    take_step = module.train_step
    monkeypatch.setattr(module, "train_step", noted)
    assert run(tmp_path / "whole", *with_compiling).exit_code == ExitCode.DONE
    assert len(shapes) == 1
    signal_at(5)
    assert run(tmp_path / "stopped", *with_compiling).exit_code == ExitCode.TERMINATED
    signal_at(-1)
    assert run(tmp_path / "stopped", *with_compiling).exit_code == ExitCode.DONE
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def test_no_generator_has_anything_to_remember(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was drawn before a step, from Python's, NumPy's or torch's stream: the step draws the same."""
    take_step = module.train_step

    def with_disturbance(*arguments: Any, **settings: Any) -> Any:
        random.seed(os.urandom(4))
        np.random.seed(int.from_bytes(os.urandom(4)))
        torch.manual_seed(int.from_bytes(os.urandom(4)))
        return take_step(*arguments, **settings)

    monkeypatch.setattr(module, "train_step", with_disturbance)
    run(tmp_path / "disturbed")
    assert_same_run(tmp_path / "disturbed", uninterrupted)


def test_no_step_is_taken_after_patience_has_run_out(tmp_path: Path) -> None:
    """The first validation is the best; after two more it ends, though the limit of steps is not reached."""
    impatient = ("training.patience=2", "training.validate_every_steps=3", "optim.schedule.peak_lr=1e-9")
    run(tmp_path / "run", *impatient)
    steps = [json.loads(line)["step"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 9
    assert max(path.name for path in (tmp_path / "run/checkpoints").glob("step_*")) == "step_00000009"


def test_patience_is_counted_on(tmp_path: Path, signal_at: Callable[[int], None]) -> None:
    """The run ends at the same validation, however often it was stopped before."""
    impatient = ("training.patience=3", "training.validate_every_steps=1", "optim.schedule.peak_lr=1e-9")
    assert run(tmp_path / "whole", *impatient).exit_code == ExitCode.DONE
    end = max(path.name for path in (tmp_path / "whole/checkpoints").iterdir())
    assert end < "step_00000012", "patience ended it"
    for step in (2, 3):
        signal_at(step)
        assert run(tmp_path / "stopped", *impatient).exit_code == ExitCode.TERMINATED
    signal_at(-1)
    assert run(tmp_path / "stopped", *impatient).exit_code == ExitCode.DONE
    names = ("metrics.jsonl", f"checkpoints/{end}/model.safetensors", f"checkpoints/{end}/optimizer.safetensors")
    for name in names:
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize(("mask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o002, 0o664, 0o775)])
def test_all_that_a_run_leaves_follows_the_umask(tmp_path: Path, mask: int, file_mode: int, folder_mode: int) -> None:
    before = os.umask(mask)
    try:
        run(tmp_path / "run", "training.max_steps=2", f"runtime.cache_folder={tmp_path / 'cache'}")
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert {path for path, mode in modes.items() if mode != (folder_mode if path.is_dir() else file_mode)} == set()
    assert any(path.parent.name == "tensorboard" for path in modes)
    assert any(path.suffix == ".bin" for path in modes)


def test_another_number_of_threads_is_told_in_one_line(tmp_path: Path, signal_at: Callable[[int], None]) -> None:
    signal_at(3)
    run(tmp_path / "stopped", "runtime.threads=null")
    signal_at(-1)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    said: list[str] = []
    train(load_config("config.yaml", ["runtime.threads=null"]), tmp_path / "stopped", announce=said.append)
    [line] = [line for line in said if "threads" in line and line.startswith("changed: ")]
    assert f"threads {threads} -> {threads + 1}" in line


def test_what_is_not_wanted_goes_though_the_run_was_killed_before_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after its last save: the next start takes no step, and saves nothing more."""
    setting = ("training.validate_every_steps=3", "training.keep_checkpoints=1", "training.select_by=nll")
    run(tmp_path / "whole", *setting)
    folder = tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr("mt_trainer.training.run_folder.prune", lambda *_, **__: None)
        run(folder, *setting)
    assert len(list((folder / "checkpoints").iterdir())) == 4
    run(folder, *setting)
    names = [sorted(path.name for path in (each / "checkpoints").iterdir()) for each in (folder, tmp_path / "whole")]
    assert names[0] == names[1]


def test_the_log_is_verified_before_a_run_goes_on(uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(uninterrupted, folder)
    content = (folder / "metrics.jsonl").read_bytes()
    (folder / "metrics.jsonl").write_bytes(content.replace(b"1", b"7", 1))
    with pytest.raises(CheckpointError, match="MT106"):
        run(folder)
    assert (folder / "metrics.jsonl").read_bytes() == content.replace(b"1", b"7", 1)


def test_resumed_from_the_last_validation_after_a_crash(uninterrupted: Path, tmp_path: Path) -> None:
    """What was logged after the checkpoint is logged again, once; a damaged newest checkpoint is passed over."""
    folder = tmp_path / "crashed"
    shutil.copytree(uninterrupted, folder)
    (folder / "checkpoints/step_00000012/optimizer.safetensors").write_bytes(b"torn")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 14, "pa')
    said: list[str] = []
    train(load_config("config.yaml"), folder, announce=said.append)
    assert any("step_00000012" in line and "optimizer.safetensors" in line for line in said)
    assert_same_run(folder, uninterrupted)


def test_a_finished_run_takes_no_further_step(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "finished"
    shutil.copytree(uninterrupted, folder)
    monkeypatch.setattr(module, "train_step", lambda *_, **__: pytest.fail("a step was taken"))
    outcome = run(folder)
    assert outcome.exit_code == ExitCode.DONE
    assert (
        outcome.scores[0].value("bleu")
        == json.loads((folder / "evaluation/dev.json").read_text())["scores"][0]["value"]
    )
    assert_same_run(folder, uninterrupted)


def test_an_interrupted_run_averages_the_same_checkpoints(tmp_path: Path, signal_at: Callable[[int], None]) -> None:
    setting = ("training.average_checkpoints=2", "training.validate_every_steps=4", "training.ema_decay=0")
    run(tmp_path / "whole", *setting)
    signal_at(9)
    run(tmp_path / "stopped", *setting)
    signal_at(-1)
    run(tmp_path / "stopped", *setting)
    for name in ("model.safetensors", "state.json"):
        contents = [(tmp_path / each / "checkpoints/average" / name).read_bytes() for each in ("whole", "stopped")]
        assert contents[0] == contents[1], name
    averaged = json.loads(contents[0])["averaged"]
    assert averaged == ["step_00000008", "step_00000012"]


def test_other_text_is_refused(uninterrupted: Path, tmp_path: Path, texts: Path) -> None:
    folder, train_file = tmp_path / "run", texts / "train.en"
    shutil.copytree(uninterrupted, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    original = train_file.read_bytes()
    try:
        train_file.write_bytes(original.replace(b"a", b"o", 20))
        with pytest.raises(CheckpointError, match=r"MT100|MT082"):
            run(folder)
    finally:
        train_file.write_bytes(original)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_other_text_is_refused_though_the_tokenizer_is_the_same(
    uninterrupted: Path, tmp_path: Path, texts: Path
) -> None:
    folder, train_file = tmp_path / "run", texts / "train.en"
    given = f"tokenizer={{model_file: {uninterrupted / 'tokenizer.model'}, vocab_size: 8000}}"
    run(folder, given, "training.max_steps=2")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    original = train_file.read_bytes()
    try:
        train_file.write_bytes(original.replace(b"a", b"o", 20))
        with pytest.raises(CheckpointError, match="MT100"):
            run(folder, given, "training.max_steps=2")
    finally:
        train_file.write_bytes(original)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("average", [0, 2])
def test_a_lower_limit_after_a_signal_still_validates(
    tmp_path: Path, signal_at: Callable[[int], None], average: int
) -> None:
    """The best checkpoint must not be one that was never judged; one checkpoint alone is not averaged."""
    setting = f"training.average_checkpoints={average}"
    signal_at(5)
    assert run(tmp_path / "run", setting).exit_code == ExitCode.TERMINATED
    signal_at(-1)
    outcome = run(tmp_path / "run", setting, "training.max_steps=3")
    assert (outcome.exit_code, outcome.checkpoint) == (ExitCode.DONE, "step_00000005")
    assert json.loads((tmp_path / "run/checkpoints/step_00000005/state.json").read_text())["dev"]["bleu"] >= 0


def test_a_signal_in_the_last_step_stops_before_the_test_sets(
    tmp_path: Path, uninterrupted: Path, signal_at: Callable[[int], None]
) -> None:
    signal_at(12)
    assert run(tmp_path / "stopped").exit_code == ExitCode.TERMINATED
    assert not (tmp_path / "stopped/evaluation").exists()
    signal_at(-1)
    assert run(tmp_path / "stopped").exit_code == ExitCode.DONE
    assert_same_run(tmp_path / "stopped", uninterrupted)


def test_divergence_ends_the_run_and_spoils_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, take_step = tmp_path / "run", module.train_step

    def break_down(both: Any, *arguments: Any, **settings: Any) -> Any:
        if settings["step"] == 7:
            with torch.no_grad():
                both.model.encoder[0].feed_forward.output.bias[0] = float("inf")
        return take_step(both, *arguments, **settings)

    monkeypatch.setattr(module, "train_step", break_down)
    with pytest.raises(DivergedError) as caught:
        run(folder, "training.max_skipped_steps=0")
    assert caught.value.exit_code == ExitCode.DIVERGED
    assert caught.value.problems[0].code == "MT120"
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step_00000006"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["part"]) for line in lines[-2:]] == [(6, "dev"), (7, "skipped")]
    monkeypatch.setattr(module, "train_step", take_step)
    assert run(folder).exit_code == ExitCode.DONE


def test_a_limit_in_epochs_alone(tmp_path: Path) -> None:
    """The share of an epoch-limited run that is done is 0 in the first epoch; it must log all the same."""
    outcome = run(tmp_path / "run", "training.max_steps=null", "training.max_epochs=1", "training.log_every_steps=1")
    assert outcome.exit_code == ExitCode.DONE
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["part"] == "dev"
    assert lines[-2]["epoch"] == 1
    assert lines[0]["epoch"] == 0


MEMORY = (
    "objective={name: loss_truncation, fraction: 0.3, window: 60, min_count: 60}",
    "objective={name: error_norm_truncation, fraction: {schedule: linear, start: 0.1, end: 0.4, end_step: 10}, "
    "window: 500, min_count: 300, start_step: 3}",
    "objective={name: r_drop, alpha: {schedule: cosine, start: 0, end: 4, end_step: 10}, "
    "z_loss: {schedule: linear, start: 0.001, end: 0, start_step: 4, end_step: 8}}",
    "objective={name: tailr, weight_from: eval, gamma: {schedule: linear, start: 0.0, end: 0.5, end_step: 10}}",
    "objective=[{name: unlikelihood, until_step: 5}, {name: loss_truncation, window: 60, min_count: 30}]",
)


@pytest.mark.parametrize("objective", MEMORY)
def test_what_an_objective_remembers_is_resumed(
    objective: str, tmp_path: Path, signal_at: Callable[[int], None]
) -> None:
    """Stopped where truncation has begun and where it has not, and in the first step of a stage."""
    assert run(tmp_path / "whole", objective).exit_code == ExitCode.DONE
    for step in (2, 6, 9):
        signal_at(step)
        assert run(tmp_path / "stopped", objective).exit_code == ExitCode.TERMINATED
    signal_at(-1)
    assert run(tmp_path / "stopped", objective).exit_code == ExitCode.DONE
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")
    lines = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["part"] == "train"][-1]
    if "truncation" in objective:
        assert 0 < last["share_at_floor"] < 1, "some are left out, or nothing was tested"
