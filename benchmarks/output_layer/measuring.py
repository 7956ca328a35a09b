"""Time and peak memory of the forms of an output layer, in turn."""

import contextlib
import ctypes
import gc
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch

from output_layer.candidates import Layer, Run

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Names of `mallopt` in glibc's malloc.h: blocks from that size on are mapped by themselves, and go back when freed; so
much free memory at the top of the heap is kept."""


def times(runs: dict[str, Run], layer: Layer, rounds: Sequence[Sequence[str]]) -> dict[str, list[float]]:
    """Seconds of all runs in turn: in each round those that it names, as often as it names them, after one of all.

    The order within a round is drawn at random: a machine that is slower for a while would otherwise always hit the
    same ones. A run for which there is not enough memory is left out.
    """
    keep_freed_memory(True)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    orders = [list(runs), *(Random(index).sample(names, len(names)) for index, names in enumerate(rounds))]
    for index, order in enumerate(orders):
        for name in (name for name in order if name in seconds):
            layer.hidden.grad = layer.weight.grad = None
            try:
                taken = seconds_of(runs[name], layer.hidden.device)
            except torch.OutOfMemoryError:
                del seconds[name]
            else:
                seconds[name] += [taken] if index > 0 else []
    return seconds


def peaks(runs: dict[str, Run], layer: Layer) -> dict[str, float | None]:
    """MiB of memory of all runs, to be called in a new process: what ran before, and was freed, can add some MiB."""
    keep_freed_memory(False)
    extra: dict[str, float | None] = {}
    for name, run in runs.items():
        layer.hidden.grad = layer.weight.grad = None
        with contextlib.suppress(torch.OutOfMemoryError):
            extra[name] = peak_extra_mib(run, layer)
    return extra


def keep_freed_memory(keep: bool) -> None:
    """Whether the C library may keep blocks that were freed: yes while time counts, no while memory does.

    Left alone, glibc raises both thresholds, up to 32 and 64 MiB, with the blocks that it sees freed: what a process
    holds then depends on what ran in it before. Elsewhere than on glibc nothing changes.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_THRESHOLD, 32 * 2**20 if keep else 2**20)
        libc.mallopt(TRIM_THRESHOLD, 64 * 2**20 if keep else 2**20)


def seconds_of(run: Run, device: torch.device) -> float:
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_extra_mib(run: Run, layer: Layer) -> float | None:
    """How far memory rises above what lies there before, less the gradients; None where it cannot be told.

    In a second run: in the first one, oneDNN also makes what it keeps for products of such sizes.
    """
    is_on_gpu = layer.hidden.device.type == "cuda"
    run()
    layer.hidden.grad = layer.weight.grad = None
    gc.collect()
    before = reset_gpu_peak() if is_on_gpu else reset_resident_peak()
    run()
    if before is None:
        return None
    peak = torch.cuda.max_memory_allocated() if is_on_gpu else resident_bytes("VmHWM")
    gradients = sum(leaf.grad.nbytes for leaf in (layer.hidden, layer.weight) if leaf.grad is not None)
    return (peak - before - gradients) / 2**20


def reset_gpu_peak() -> int:
    """Bytes in use on the GPU, from which the peak rises."""
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def reset_resident_peak() -> int | None:
    """Bytes of the process in memory, from which the peak rises; None where only Linux would tell."""
    if platform.system() != "Linux":
        return None
    ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    return resident_bytes("VmRSS")


def resident_bytes(field: str) -> int:
    """A line of /proc/self/status."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith(field))
