"""mt-train in two processes under torchrun: they stop together, end together, and go on as if nothing had been."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 10.0

CONFIG = f"""\
data:
  src_lang: en
  tgt_lang: de
  train: {{format: text, src: train.en, tgt: train.de}}
  dev: {{format: text, src: dev.en, tgt: dev.de}}
  max_length: 32
tokenizer: {{vocab_size: 320}}
model: {{num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, ffn_dim: 16, num_heads: 2, dropout: 0.1}}
objective: {{name: loss_truncation, fraction: 0.3, window: 60, min_count: 60}}
optim:
  schedule: {{name: inverse_sqrt, peak_lr: 3e-3, warmup_steps: 4}}
training:
  batch_tokens: 768
  accumulation: 2
  max_steps: 12
  log_every_steps: 2
  validate_every_steps: 6
  keep_checkpoints: 9
  ema_decay: 0.9
decoding: {{strategy: greedy, max_length_ratio: 0.5, max_length_constant: 1}}
runtime: {{device: cpu, precision: fp32, threads: 1, rank_timeout_seconds: {TIMEOUT}}}
"""

# What each process runs: mt-train, in which one rank meets with a fault in one step, and which leaves a trace.
PROGRAM = """\
import os, signal, sys, time
from pathlib import Path
from mt_trainer.training import train as module

rank, fault = int(os.environ["RANK"]), os.environ.get("FAULT", "")
at_rank, at_step, what = fault.split(":") if fault else ("", "", "")
take_step, is_over = module.train_step, module.Progress.is_over

prepare = module.prepare_data
Path(f"pid_{rank}").write_text(str(os.getpid()))

def prepare_slowly(*arguments, **settings):
    if what == "slow start" and at_rank == str(rank):
        Path("fault").write_text(str(time.time()))
        time.sleep(1000)
    return prepare(*arguments, **settings)

def step(*arguments, **settings):
    if (at_rank, at_step) == (str(rank), str(settings["step"])) and not Path("fault").exists():
        Path("fault").write_text(str(time.time()))
        if what == "error":
            raise ValueError("a defect on one rank")
        if what == "nan":
            arguments[0].model.encoder[0].feed_forward.output.bias.data[0] = float("inf")
        if what == "hang":
            time.sleep(1000)
        if what.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, what))
    result = take_step(*arguments, **settings)
    Path(f"step_{rank}").write_text(str(settings["step"]))
    return result

def over(progress, limits):
    return is_over(progress, limits) or (what == "limit" and at_rank == str(rank) and progress.step == int(at_step))

module.train_step, module.Progress.is_over, module.prepare_data = step, over, prepare_slowly
from mt_trainer.cli.train import main
try:
    main()
except SystemExit as end:
    Path(f"status_{rank}").write_text(str(end.code))
    raise
"""


def write_inputs(folder: Path, made_up_pairs: Path) -> None:
    """The made-up pairs, of which an epoch has 6 steps, the config and the program."""
    shutil.copytree(made_up_pairs, folder, dirs_exist_ok=True)
    (folder / "small.yaml").write_text(CONFIG)
    (folder / "program.py").write_text(PROGRAM)


def start(folder: Path, *overrides: str, fault: str = "") -> "subprocess.Popen[str]":
    """The command of the README, in two processes; `fault` is `rank:step:what`."""
    settings = [part for override in overrides for part in ("--set", override)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name in ("fault", "step_0", "step_1", "status_0", "status_1"):
        (folder / name).unlink(missing_ok=True)
    return subprocess.Popen(
        [sys.executable, *launcher, "program.py", "--config", "small.yaml", *settings],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "FAULT": fault},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *overrides: str, fault: str = "") -> tuple[int, str, str]:
    """Status of torchrun, standard output, standard error; nothing is left running."""
    process = start(folder, *overrides, fault=fault)
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    return process.returncode, out, err


def written(folder: Path, name: str) -> list[str]:
    """What each rank wrote into its file of this name."""
    return [(folder / f"{name}_{rank}").read_text() for rank in (0, 1)]


def exit_statuses(report: str) -> dict[int, int]:
    """Of the ranks that torchrun's report names."""
    found = re.findall(r"rank +: (\d) .*\n +exitcode +: (-?\d+)", report)
    return {int(rank): int(status) for rank, status in found}


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "runs/small/checkpoints").iterdir())


def assert_same_run(folder: Path, expected: Path) -> None:
    """Weights, optimizer, log and scores byte for byte; of state.json all but the clock."""
    ours, theirs = folder / "runs/small", expected / "runs/small"
    last = "checkpoints/step_00000012"
    for name in (
        "metrics.jsonl",
        f"{last}/model.safetensors",
        f"{last}/optimizer.safetensors",
        "evaluation/dev.hyp.txt",
    ):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    states = [json.loads((each / last / "state.json").read_text()) for each in (ours, theirs)]
    for state in states:
        state["progress"].pop("seconds")
    assert states[0] == states[1]


@pytest.fixture(scope="module")
def whole(made_up_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    write_inputs(folder, made_up_pairs)
    status, out, err = run(folder)
    assert status == 0, err
    assert out.count("run folder: runs/small") == 1, "one process speaks"
    assert "device     CPU, 1 thread, fp32, 2 processes" in err
    assert "step       up to 768 target tokens, in 24 rows, in 4 micro-batches" in err
    return folder


@pytest.fixture
def folder(made_up_pairs: Path, tmp_path: Path) -> Path:
    write_inputs(tmp_path, made_up_pairs)
    return tmp_path


def test_a_signal_to_one_rank_stops_all_and_another_number_of_processes_is_refused(folder: Path) -> None:
    status, out, err = run(folder, fault="1:7:SIGTERM")
    assert status == 1, "torchrun's own, whatever the ranks end with"
    assert "stopped by a signal after step 7; the same command goes on from there" in err
    assert "error[" not in err
    assert out == ""
    assert written(folder, "step") == ["7", "7"]
    assert written(folder, "status") == ["143", "143"]
    assert checkpoints(folder) == ["step_00000006", "step_00000007"]
    starts = json.loads((folder / "runs/small/environment.json").read_text())
    assert [start["world_size"] for start in starts] == [2]

    alone = subprocess.run(
        [sys.executable, "-m", "mt_trainer.cli.train", "--config", "small.yaml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert alone.returncode == 2
    assert "error[MT100]: a run that was started with 2 processes cannot go on with 1" in alone.stderr
    assert checkpoints(folder) == ["step_00000006", "step_00000007"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["1:3:SIGTERM", "0:6:SIGUSR1", "1:9:SIGINT", "1:12:SIGTERM"])
def test_stopped_at_one_step_and_resumed(fault: str, folder: Path, whole: Path) -> None:
    """In the first steps, at a validation, between two, and in the last step; resumed by hand."""
    _, step, name = fault.split(":")
    run(folder, fault=fault)
    assert written(folder, "step") == [step, step]
    assert written(folder, "status") == ["130" if name == "SIGINT" else "143"] * 2
    assert checkpoints(folder)[-1] == f"step_{int(step):08d}"
    status, _, err = run(folder)
    assert status == 0, err
    assert f"resumed after step {step}" in err
    assert_same_run(folder, whole)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), [("SIGTERM", "143"), ("SIGINT", "130"), ("SIGHUP", "129")])
def test_a_signal_to_torchrun_stops_all(name: str, expected: str, folder: Path, whole: Path) -> None:
    process = start(folder, "training.max_steps=100000")
    try:
        while not (folder / "step_1").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    steps, statuses = written(folder, "step"), written(folder, "status")
    assert steps[0] == steps[1]
    assert statuses == [expected] * 2
    assert f"stopped by a signal after step {int(steps[0]):,};" in err
    assert checkpoints(folder)[-1] == f"step_{int(steps[0]):08d}"
    assert "error[" not in err


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    ("what", "cause", "status"),
    [
        ("SIGKILL", r"error\[MT160\]: rank {rank} is gone: its process ended without a word, at step 8", {-9}),
        ("SIGSTOP", r"error\[MT160\]: rank {rank} has been silent for \d+ s, since step 8", {-9}),
        ("hang", r"error\[MT160\]: rank {rank} has kept the others waiting for 10 s, since step 8", {1}),
        # while the interpreter still ends, torchrun's SIGTERM may come first
        ("error", r"rank {other} ends because rank {rank} did: ValueError: a defect on one rank", {1, -15}),
    ],
    ids=["killed", "stopped", "hanging", "broken"],
)
def test_a_rank_that_is_lost_ends_the_run_with_its_cause(
    what: str, rank: int, cause: str, status: set[int], folder: Path, whole: Path
) -> None:
    """Killed, stopped, hanging or broken, within the timeout and 10 s; the same command then ends as if it had not."""
    torchrun, _, err = run(folder, fault=f"{rank}:8:{what}")
    seconds = time.time() - float((folder / "fault").read_text())
    assert torchrun == 1
    assert re.search(cause.format(rank=rank, other=1 - rank), err), err
    assert exit_statuses(err)[rank] in status, err
    assert seconds < TIMEOUT + 10
    if what == "hang":
        assert "time.sleep(1000)" in err or 'program.py", line' in err, "it shows where it stands"
    if what.startswith("SIG"):
        assert "Traceback" not in err.partition("error[MT160]")[0], "the cause comes first"
    assert checkpoints(folder) == ["step_00000006"]
    torchrun, _, err = run(folder)
    assert torchrun == 0, err
    assert_same_run(folder, whole)


@pytest.mark.slow
def test_a_signal_to_a_rank_that_waits_ends_the_one_that_prepares(folder: Path) -> None:
    process = start(folder, fault="0:0:slow start")
    try:
        while not (folder / "fault").exists() and process.poll() is None:
            time.sleep(0.05)
        os.kill(int((folder / "pid_1").read_text()), signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert written(folder, "status") == ["143", "143"], err
    assert not (folder / "runs/small").exists()


@pytest.mark.slow
def test_a_limit_that_one_rank_alone_has_reached_ends_all(folder: Path) -> None:
    """Clocks differ: `training.max_seconds` is over on one rank first."""
    status, out, err = run(folder, fault="1:5:limit")
    assert status == 0, err
    assert written(folder, "step") == ["5", "5"]
    assert checkpoints(folder) == ["step_00000005"]
    assert out.count("run folder:") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("on_divergence", "expected"), [("stop", 1), ("roll_back", 0)])
def test_a_divergence_on_one_rank_is_one_of_all(on_divergence: str, expected: int, folder: Path) -> None:
    settings = (f"training.on_divergence={on_divergence}", "training.max_skipped_steps=1")
    status, _, err = run(folder, *settings, fault="1:8:nan")
    assert status == expected, err
    assert written(folder, "status") == ["3" if expected else "0"] * 2
    assert err.count("error[MT120]") == expected
    assert len(list((folder / "runs/small/crash").iterdir())) == 1
    assert run(folder, *settings)[0] == 0


@pytest.mark.slow
def test_patience_ends_all(folder: Path) -> None:
    """The BLEU of such a model is 0 throughout: the first validation is the best."""
    settings = ("training.patience=2", "training.validate_every_steps=2", "training.max_steps=40")
    status, _, err = run(folder, *settings)
    assert status == 0, err
    steps = written(folder, "step")
    assert steps[0] == steps[1]
    assert int(steps[0]) < 40


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_accumulation(folder: Path, whole: Path) -> None:
    """The whole run, Adam, clipping, truncation and moving average included: the log agrees to the last places."""
    done = subprocess.run(
        [sys.executable, "-m", "mt_trainer.cli.train", "--config", "small.yaml", "--set", "training.accumulation=4"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    logs = [(each / "runs/small/metrics.jsonl").read_text().splitlines() for each in (folder, whole)]
    for ours, theirs in zip(*(map(json.loads, log) for log in logs), strict=True):
        assert ours.pop("part") == theirs.pop("part")
        assert ours == pytest.approx(theirs, rel=1e-4), ours["step"]
