"""`mt-train --profile`: where a step goes, against the floor of its real tokens. Nothing is left behind."""

import os
import time
from pathlib import Path

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, record_function

from mt_trainer.config import TrainConfig
from mt_trainer.data.lengths import LengthSums
from mt_trainer.data.loader import Position
from mt_trainer.machine import wait_for
from mt_trainer.training.diverging.divergence import require_finite
from mt_trainer.training.diverging.recovery import Route
from mt_trainer.training.phases import Phase, phase
from mt_trainer.training.profiling.calls import STEP, calls_of
from mt_trainer.training.profiling.shares import shares_of
from mt_trainer.training.profiling.tables import show_shares
from mt_trainer.training.trial import Trial, peak_memory, trial_of

WARM_UP_STEPS = 3
TIMED_STEPS = 5
PROFILED_STEPS = 3


def profile(config: TrainConfig, run_folder: Path) -> str:
    """Prepare the data in a temporary folder and take some steps of the run: to warm up, timed, and profiled.

    Returns:
        The run's summary; the tables; speed, share of the floor and memory of the steps that were timed.

    Raises:
        MtError: whatever would stop the run.
    """
    everywhere = on_all_threads()
    with trial_of(config, run_folder, what="a profile") as trial:
        steps = Steps(trial)
        steps.take(WARM_UP_STEPS)
        tokens_per_second, mfu, step_seconds = steps.timed(TIMED_STEPS)
        memory = peak_memory(trial.machine.device)
        is_cuda = trial.machine.device.type == "cuda"
        num_threads = trial.parts.workers.number if trial.parts.workers else 1
        events, lengths, profiled_seconds = steps.profiled(PROFILED_STEPS, everywhere)
        shares = shares_of(
            calls_of(events, is_cuda=is_cuda),
            step_seconds=profiled_seconds,
            num_threads=num_threads,
            is_cuda=is_cuda,
        )
        floor_seconds = trial.floor.seconds(lengths) / PROFILED_STEPS
        tables = show_shares(shares, floor_seconds=floor_seconds, rate=trial.floor.rate, is_cuda=is_cuda)
    about = (
        f"where a step of {lengths.tgt / PROFILED_STEPS:,.0f} target tokens goes: means over {PROFILED_STEPS} steps, "
        f"{100 * (shares.step_seconds / step_seconds - 1):+.0f} % in time by the profiler"
    )
    if num_threads > 1:
        about += f";\nmicro-batches are side by side: what {num_threads} threads take is divided by {num_threads}"
    if is_cuda:
        about += ";\ntimes are those of kernels on the GPU"
    speed = (
        f"speed      {tokens_per_second:,.0f} target tokens/s over {TIMED_STEPS} steps without the profiler, "
        f"mfu {100 * mfu:.0f} %, {memory}"
    )
    return "\n\n".join([trial.summary, about, tables, f"{speed}\nprofile: nothing was written"])


def on_all_threads() -> torch._C._profiler._ExperimentalConfig:
    """What has torch's profiler look at all threads, and not only at the one that it begins on.

    Torch calls this experimental, and has no public name for it: it is asked for before any work.
    """
    return torch._C._profiler._ExperimentalConfig(profile_all_threads=True)


class Steps:
    """The first steps of a run, one after the other."""

    def __init__(self, trial: Trial) -> None:
        self._trial, self._number = trial, 0
        self._batches = Route(trial.parts.loader, Position(), device=trial.machine.device)

    def take(self, number: int) -> tuple[LengthSums, float]:
        """So many of them, from a device that has ended to one that has ended.

        Returns:
            The lengths of all their pairs, and seconds a step, by the clock.
        """
        lengths, results = LengthSums(), []
        wait_for(self._trial.machine.device)
        started = time.perf_counter()
        for _ in range(number):
            self._number += 1
            with record_function(STEP):
                with phase(Phase.DATA):
                    batches = next(self._batches)
                results.append((self._trial.take_step(self._number, batches), self._number))
            lengths += batches.lengths
        wait_for(self._trial.machine.device)
        seconds = time.perf_counter() - started
        for result in results:
            require_finite(*result)
        return lengths, seconds / number

    def timed(self, number: int) -> tuple[float, float, float]:
        """Target tokens a second, share of the floor, and seconds a step."""
        lengths, seconds = self.take(number)
        total = number * seconds
        return lengths.tgt / total, self._trial.floor.seconds(lengths) / total, seconds

    def profiled(
        self, number: int, everywhere: torch._C._profiler._ExperimentalConfig
    ) -> tuple[list[FunctionEvent], LengthSums, float]:
        """What the profiler sees of so many steps, the lengths of their pairs, and seconds a step, by the clock.

        Args:
            everywhere: from `on_all_threads`.
        """
        activities = [ProfilerActivity.CPU]
        if self._trial.machine.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it says on stderr that it starts, and that it stops
        with torch.profiler.profile(activities=activities, record_shapes=True, experimental_config=everywhere) as seen:
            lengths, seconds = self.take(number)
        return list(seen.events()), lengths, seconds
