#!/usr/bin/env python3
"""Objectives compared on one data set: a run of mt-train for each objective and seed, and one table with significance.

    scripts/compare_objectives.py multi30k.yaml --minutes 10 --seeds 1 2 3
    scripts/compare_objectives.py multi30k.yaml --steps 6000 --objective 'focal={name: focal, gamma: 1}'

With --minutes every run gets as many steps as its objective takes in that time, by the speed of short runs beforehand
(the steps alone: all runs are validated equally often, and that time comes on top). With --steps all get the same
number. Either way the config's other step counts (warmup, decay, validation) keep their share of training.max_steps,
where it has one: a run is the whole recipe in small, and its learning rate ends where it ends. The steps alone say when
a run ends, and nothing of the config's own objective is left. In an objective `72%` stands for that share of the run's
steps; with --minutes, stages end at such shares. Without --objective four are compared: cross-entropy, label smoothing,
TaiLr, and cross-entropy followed by Brier.

The same command continues where it was interrupted, and takes more objectives and seeds. Prints markdown for
docs/results.md; all else goes to stderr. A run that diverges is left out, and the same command tries it again. All
objectives are compared with the first.
"""

import argparse
import json
import math
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Container, Sequence
from pathlib import Path
from types import FrameType

import yaml

from comparison import OBJECTIVES, Comparison, absolute_ends, read_objective
from comparison_report import report
from finished_runs import FinishedRun, window_seconds
from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config.resolved import to_yaml
from mt_trainer.errors import ExitCode, MtError

SPEED_STEPS, SPEED_LOG_STEPS, SPEED_WARMUP_STEPS, SPEED_ROUNDS = 60, 5, 10, 4
"""A measurement of speed: its steps, those between log points, those not counted, and how often it is made."""

SPEED_SETTINGS = (
    f"training.log_every_steps={SPEED_LOG_STEPS}",
    f"training.validate_every_steps={SPEED_STEPS}",
    "training.average_checkpoints=0",
    "decoding.strategy=greedy",
    "decoding.n_best=1",
    "decoding.max_length_ratio=0.0",
    "decoding.max_length_constant=1",
    "evaluation.moses_lowercase=false",
)
"""Of those runs: nothing that takes long beside the steps."""


def mt_train(config: str, overrides: Sequence[str]) -> int:
    """Runs mt-train, its output on stderr; returns its exit status. Signals are left to it: it saves and ends."""
    command = [sys.executable, "-m", "mt_trainer.cli.train", "--config", config]
    running: list[subprocess.Popen[bytes]] = []
    came_early: list[int] = []  # while the process was being started

    def pass_on(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:  # Ctrl-C reaches all processes of a terminal
            came_early.append(number)
            for process in running:
                process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen([*command, *(f"--set={each}" for each in overrides)], stdout=sys.stderr)
        running.append(process)
        for number in came_early:
            process.send_signal(number)
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(comparison: Comparison, name: str, num_steps: int, folder: Path, overrides: Sequence[str]) -> bool:
    """One run; whether it came to its end and did not diverge. Any other failure ends the program with its status."""
    common = comparison.overrides_for(name, num_steps)
    status = mt_train(comparison.config, [*common, *overrides, f"runtime.run_folder={folder}"])
    if status not in (ExitCode.DONE, ExitCode.DIVERGED):
        sys.exit(status)
    return status == ExitCode.DONE


def seconds_per_step(folder: Path) -> float:
    """Of a measurement of speed, in its run folder."""
    windows = window_seconds(folder)[SPEED_WARMUP_STEPS // SPEED_LOG_STEPS :]
    return sum(seconds for _, seconds in windows) / sum(steps for steps, _ in windows)


def measure_speeds(comparison: Comparison) -> dict[str, float]:
    """Seconds a step of each objective, the fastest of its rounds; one that diverges at once is left out.

    They are kept, by the objective's YAML, for the next time.
    """
    path, folder = comparison.out / "speed.json", comparison.out / "speed"
    speeds: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    unknown = {name: text for name, text in comparison.objectives.items() if text not in speeds}
    for number in range(SPEED_ROUNDS):  # in turns, so that a slow minute of the machine is everybody's
        for name, text in unknown.items():
            print(f"{name}: measuring its speed ({number + 1} of {SPEED_ROUNDS})", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            if train(comparison, name, SPEED_STEPS, folder, SPEED_SETTINGS):
                speeds[text] = min(seconds_per_step(folder), speeds.get(text, float("inf")))
    shutil.rmtree(folder, ignore_errors=True)
    path.write_text(json.dumps(speeds, indent=1) + "\n")
    return {name: speeds[text] for name, text in comparison.objectives.items() if text in speeds}


def choose_steps(comparison: Comparison, speeds: dict[str, float] | None) -> dict[str, int]:
    """The number of steps of each objective's runs.

    Args:
        speeds: seconds a step, by objective; None where all take the number of steps asked for.
    """
    if speeds is None or comparison.minutes is None:
        assert comparison.num_steps is not None
        return dict.fromkeys(comparison.objectives, comparison.num_steps)
    return {name: max(1, int(60 * comparison.minutes / seconds)) for name, seconds in speeds.items()}


def is_finished(comparison: Comparison, folder: Path) -> bool:
    """Whether mt-train has scored the run in a folder on all sets."""
    return all((folder / "evaluation" / f"{name}.json").exists() for name in ("dev", *comparison.recipe.data.test))


def run_all(comparison: Comparison, steps: dict[str, int]) -> dict[str, dict[int, FinishedRun]]:
    """The runs of each objective by seed, without those that diverged; all objectives of a seed before the next."""
    runs: dict[str, dict[int, FinishedRun]] = {name: {} for name in comparison.objectives}
    for seed in comparison.seeds:
        for name, num_steps in steps.items():
            folder = comparison.out / f"{name}_seed_{seed}"
            if is_finished(comparison, folder):
                print(f"{folder.name}: finished before", file=sys.stderr)
            else:
                print(f"{folder.name}: training, {num_steps:,} steps", file=sys.stderr)
                if not train(comparison, name, num_steps, folder, [f"runtime.seed={seed}"]):
                    print(f"{folder.name}: diverged, and not in the table", file=sys.stderr)
                    continue
            runs[name][seed] = FinishedRun.read(folder)
    return {name: by_seed for name, by_seed in runs.items() if by_seed}


def check(comparison: Comparison) -> None:
    """Stops where a setting cannot be used, or where the folder belongs to another comparison; else notes the settings.

    Raises:
        MtError: of the config.
        ValueError: with what is wrong otherwise.
    """
    for name in comparison.objectives:
        check_objective(comparison, name)
    path = comparison.out / "comparison.json"
    budget = {"minutes": comparison.minutes, "steps": comparison.num_steps}
    settings = {"recipe": to_yaml(comparison.recipe), **budget, "objectives": comparison.objectives}
    if path.exists():
        before = json.loads(path.read_text())
        if is_recipe(before["recipe"], comparison.recipe):
            settings["recipe"] = before["recipe"]
        changed = [key for key in ("recipe", *budget) if before[key] != settings[key]]
        renamed = [name for name, text in before["objectives"].items() if comparison.objectives.get(name, text) != text]
        if changed or renamed:
            what = ", ".join([*changed, *(f"objective {name}" for name in renamed)])
            raise ValueError(f"{comparison.out} belongs to another comparison (other: {what}); choose another --out")
        settings["objectives"] = before["objectives"] | comparison.objectives
    comparison.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=1) + "\n")


def check_objective(comparison: Comparison, name: str) -> None:
    """Stops where the config cannot be used with an objective, in a run of the steps asked for, or of those measured.

    Raises:
        ValueError: with what is wrong.
    """
    ends = absolute_ends(comparison.objectives[name])
    if comparison.minutes is not None and ends:
        raise ValueError(
            f"objective {name}: `until_step: {ends[0]}` is a number of steps, but with --minutes the speed of the "
            "objective says how many a run has; write a share of them, such as `until_step: 72%`"
        )
    num_steps = comparison.num_steps or SPEED_STEPS
    try:
        load_config(comparison.config, comparison.overrides_for(name, num_steps))
    except MtError as error:
        of_speed = "" if comparison.minutes is None else ", in which its speed is measured"
        raise ValueError(f"objective {name}, in a run of {num_steps} steps{of_speed}:\n{error.render()}") from error


def is_recipe(text: str, recipe: TrainConfig) -> bool:
    """Whether a recipe written out, by an older version perhaps, says the same; a setting it lacks has its default."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            return load_config(path) == recipe
        except MtError:  # a setting that is no longer there
            return False


def require_baseline(comparison: Comparison, found: Container[str]) -> None:
    """Ends the program where the first objective, with which the others are compared, is not among those found."""
    baseline, *_ = comparison.objectives
    if baseline not in found:
        print(
            f"compare_objectives.py: all runs of {baseline} diverged, and the others are compared with it: no table. "
            "Name another --objective first; what has finished is not trained again.",
            file=sys.stderr,
        )
        sys.exit(ExitCode.DIVERGED)


def describe(comparison: Comparison, steps: dict[str, int]) -> dict[str, str]:
    """The lines about the settings in docs/results.md."""
    if comparison.minutes is None:
        budget = "the same number of steps"
    else:
        budget = f"{comparison.minutes:g} minutes of steps, counted by the speed of short runs beforehand"
    return {
        "Command": f"scripts/{Path(__file__).name} {shlex.join(sys.argv[1:])}",
        "Config": ", ".join([comparison.config, *comparison.overrides]),
        "Objectives": "; ".join(f"{name} {text}" for name, text in comparison.objectives.items()),
        "Budget": f"{budget}: {', '.join(f'{name} {number:,}' for name, number in steps.items())}",
        "Selection": f"best checkpoint on dev by {comparison.recipe.training.select_by}",
    }


def read_arguments() -> Comparison:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="YAML file or shipped recipe")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="time of the steps of each run")
    length.add_argument("--steps", type=int, help="steps of each run")
    parser.add_argument("--objective", action="append", help="name={...}, name=[...] or name=file.yaml; repeatable")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="default: 1")
    parser.add_argument("--set", action="append", default=[], help="setting of the config, such as model.dropout=0.1")
    parser.add_argument("--out", type=Path, help="folder of the runs; default: runs/compare_<config>")
    options = parser.parse_args()
    try:
        objectives = dict(read_objective(text) for text in options.objective or OBJECTIVES)
    except (ValueError, OSError, yaml.YAMLError) as error:
        parser.error(f"--objective: {error}")
    length_asked = options.steps if options.minutes is None else options.minutes
    if not 0 < length_asked < math.inf:
        parser.error("--minutes and --steps are finite and above 0")
    return Comparison(
        config=options.config,
        overrides=tuple(options.set),
        objectives=objectives,
        seeds=tuple(options.seeds),
        minutes=options.minutes,
        num_steps=options.steps,
        out=options.out or Path("runs") / f"compare_{Path(options.config).stem}",
    )


def main() -> None:
    """Train, compare, print."""
    comparison = read_arguments()
    try:
        check(comparison)
    except (MtError, ValueError) as error:
        print(error.render() if isinstance(error, MtError) else f"compare_objectives.py: {error}", file=sys.stderr)
        sys.exit(2)
    speeds = None if comparison.minutes is None else measure_speeds(comparison)
    steps = choose_steps(comparison, speeds)
    require_baseline(comparison, steps)
    runs = run_all(comparison, steps)
    require_baseline(comparison, runs)
    title = f"{Path(comparison.config).stem}: objectives compared"
    print(report(runs, title=title, settings=describe(comparison, steps), speeds=speeds))


if __name__ == "__main__":
    main()
