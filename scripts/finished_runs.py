"""What the folder of a finished run says of it: for the tables of the experiments."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FinishedRun:
    """A run that mt-train has scored.

    Attributes:
        num_pairs: that it was trained on.
        step: steps taken.
        seconds: wall time of training, validations included.
        training_seconds: of the steps alone; those after the last log point at the mean of those before it. NaN where
            there is no log point.
        checkpoint: the best, which the scores are of.
        dev: its `nll`, `bleu` and so on.
        train: the last log point of training: `nll`, `mean_weight` and so on; empty where there is none.
        scores: in percent, by set and metric.
        nll: true NLL in nats per token, by set; of those whose evaluation tells it, as older ones do not.
        signatures: of the metrics.
        environment: of the last start: versions, commit, device.
    """

    folder: Path
    num_pairs: int
    step: int
    seconds: float
    training_seconds: float
    checkpoint: str
    dev: dict[str, float]
    train: dict[str, float]
    scores: dict[str, dict[str, float]]
    nll: dict[str, float]
    signatures: dict[str, str]
    environment: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "FinishedRun":
        """From the files of the run folder; FileNotFoundError where the run is not finished."""
        results = {path.stem: json.loads(path.read_text()) for path in sorted((folder / "evaluation").glob("*.json"))}
        checkpoint = results["dev"]["checkpoint"] if results else "none"
        state = json.loads((folder / "checkpoints" / checkpoint / "state.json").read_text())
        timing = _by_step(folder / "timing.jsonl")
        metrics = _by_step(folder / "metrics.jsonl")
        step = max(step for _, step in timing)
        windows = window_seconds(folder)
        logged_steps = sum(steps for steps, _ in windows)
        logged_seconds = sum(seconds for _, seconds in windows)
        return cls(
            folder=folder,
            num_pairs=json.loads((folder / "data.json").read_text())["counts"]["kept"],
            step=step,
            seconds=max(line["seconds"] for line in timing.values()),
            training_seconds=logged_seconds * step / logged_steps if logged_steps else math.nan,
            checkpoint=checkpoint,
            dev=state["dev"],
            train=max(
                (line for (part, _), line in metrics.items() if part == "train"),
                key=lambda line: line["step"],
                default={},
            ),
            scores={
                name: {score["name"]: score["value"] for score in result["scores"]} for name, result in results.items()
            },
            nll={
                name: nll
                for name, result in results.items()
                if (nll := result.get("likelihood", {}).get("nll")) is not None
            },
            signatures={score["name"]: score["signature"] for score in results["dev"]["scores"]},
            environment=json.loads((folder / "environment.json").read_text())[-1],
        )

    def describe_environment(self) -> dict[str, str]:
        """The lines of docs/results.md about machine and versions."""
        about = self.environment
        versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if name != "mt_trainer")
        return {
            "Hardware": f"{cpu_name()}, {os.cpu_count()} cores, {memory_bytes() / 2**30:.0f} GiB    {about['device']}",
            "Versions": f"Python {about['python']}, {versions}; "
            f"mt_trainer {about['versions']['mt_trainer']}, commit {about['commit']}",
        }


def window_seconds(folder: Path) -> list[tuple[int, float]]:
    """The steps between two log points of a run, and the seconds that they took, validations not counted."""
    timing, metrics = _by_step(folder / "timing.jsonl"), _by_step(folder / "metrics.jsonl")
    windows, last_step, last_tokens = [], 0, 0
    for (part, step), line in sorted(timing.items(), key=lambda item: item[0][1]):
        if part == "train":
            tokens = metrics[part, step]["num_tokens"]
            windows.append((step - last_step, (tokens - last_tokens) / line["tokens_per_second"]))
            last_step, last_tokens = step, tokens
    return windows


def cpu_name() -> str:
    """As the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown CPU"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def memory_bytes() -> int:
    """Of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _by_step(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The log points of a file by part and step; of one written twice, because a run was resumed, the last."""
    lines = (json.loads(line) for line in path.read_text().splitlines())
    return {(line["part"], line["step"]): line for line in lines}
