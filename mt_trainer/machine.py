"""What a run stands on: device, precision, threads, seeds. The one place where each of them is decided."""

import os
import platform
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mt_trainer.config.runtime import RuntimeConfig
from mt_trainer.errors import ConfigError, Problem

REPORTED_PACKAGES = ("mt_trainer", "torch", "sentencepiece", "sacrebleu", "datasets", "numpy", "safetensors")


@dataclass(frozen=True)
class Machine:
    """The device of a run and how it computes there.

    Attributes:
        dtype: of the matmuls; parameters and statistics stay float32.
        threads: CPU threads; the results of a CPU run depend on their number.
    """

    device: torch.device
    dtype: torch.dtype
    threads: int

    def describe(self) -> str:
        """One line for the run's summary."""
        precision = precision_name(self.dtype)
        if self.device.type == "cuda":
            return f"{torch.cuda.get_device_name(self.device)}, {precision}"
        return f"CPU, {self.threads} thread{'s' if self.threads > 1 else ''}, {precision}"


def set_up_machine(config: RuntimeConfig, *, local_rank: int = 0) -> Machine:
    """Choose the device and precision, and set torch's threads.

    Args:
        config: the section `runtime`.
        local_rank: number of this process on its machine: it takes the GPU of that number.

    Raises:
        ConfigError: MT004, when CUDA is asked for and not there, or has fewer GPUs than processes; MT008, when layers
            are to be compiled for a CPU without a compiler.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        help_ = "use `cpu` or `auto`, or install a torch build for your GPU's driver"
        raise ConfigError(Problem("MT004", "CUDA is not available here", where="runtime.device", help=help_))
    device = torch.device("cpu")
    if config.device != "cpu" and torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            message = f"process {local_rank + 1} of this machine has no GPU: there are {torch.cuda.device_count()}"
            help_ = "start one process a GPU: torchrun --nproc-per-node gpu"
            raise ConfigError(Problem("MT004", message, where="runtime.device", help=help_))
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
        # The cuDNN kernel, preferred on Hopper since torch 2.11, gives NaN gradients for masked rows (pytorch#196678).
        torch.backends.cuda.enable_cudnn_sdp(False)
    if config.compile and device.type == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None:
        help_ = "install g++, or name one by the environment variable CXX, or set `runtime.compile: false`"
        raise ConfigError(
            Problem("MT008", "no C++ compiler is here to compile layers with", where="runtime.compile", help=help_)
        )
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.set_flush_denormal(True)
    return Machine(device, matmul_dtype(config.precision, device), torch.get_num_threads())


def matmul_dtype(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> torch.dtype:
    """What `runtime.precision` means on a device."""
    use_bf16 = precision == "bf16" or (precision == "auto" and is_good_at_bf16(device))
    return torch.bfloat16 if use_bf16 else torch.float32


def precision_name(dtype: torch.dtype) -> Literal["fp32", "bf16"]:
    """What `runtime.precision` calls a dtype."""
    return "bf16" if dtype == torch.bfloat16 else "fp32"


def is_good_at_bf16(device: torch.device) -> bool:
    """Whether bfloat16 matmuls are faster than float32 ones there: AVX512-BF16 or AMX on a CPU, Ampere and later."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as cpuinfo:
            flags = set(next((line for line in cpuinfo if line.startswith("flags")), "").split())
    except OSError:
        return False
    return bool(flags & {"avx512_bf16", "amx_bf16"})


_of_thread = threading.local()


def wait_for(device: torch.device) -> None:
    """Returns when a device has done all that it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seed_everything(*key: int) -> None:
    """Make torch's default generators a function of the numbers given, such as (seed, step, micro-batch)."""
    torch.manual_seed(_seed_of(key))


def seed_thread(*key: int) -> None:
    """The same for `cpu_generator` of this thread alone: it then gives what the default generator would give."""
    _of_thread.generator = torch.Generator().manual_seed(_seed_of(key))


def cpu_generator() -> torch.Generator:
    """What draws on the CPU are taken from: the thread's own generator, where it has one, else torch's default."""
    generator: torch.Generator = getattr(_of_thread, "generator", torch.default_generator)
    return generator


def _seed_of(key: tuple[int, ...]) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def commit() -> str | None:
    """The commit of the checkout that runs, `-dirty` where it was changed; None for an installed package."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        run = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() or None


def environment(machine: Machine) -> dict[str, Any]:
    """What `environment.json` records: versions, device, threads, command line."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": _versions(),
        "commit": commit(),
        "device": machine.describe(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": machine.threads,
        "command": sys.argv,
    }


def what_bits_depend_on(machine: Machine) -> dict[str, str | int]:
    """Versions, device and threads, by name: where they are the same, a run gives the same bits."""
    return {
        "python": platform.python_version(),
        **_versions(),
        "device": machine.describe(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": machine.threads,
    }


def _versions() -> dict[str, str]:
    versions = {}
    for package in REPORTED_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions
