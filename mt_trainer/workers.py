"""Batches side by side on a CPU: a thread for each, instead of all threads for every operation.

The operations of a small model are too short to be shared out well, and a thread that is late, because another program
holds its core, makes all others wait in each of them; here the threads meet once a step of training
(`benchmarks/workers.py`), and once in translating a text.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

from mt_trainer.machine import Machine

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """Threads that compute at the same time, each with its share of the CPU threads of a run."""

    def __init__(self, number: int, *, threads: int) -> None:
        """Starts `number` of them for a run with `threads` CPU threads."""
        self.number, self._threads = number, threads
        self._share = max(1, threads // number)
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="batch", initializer=self._set_up_thread)

    def _set_up_thread(self) -> None:
        torch.set_num_threads(self._share)
        torch.set_flush_denormal(True)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """What `function` gives for each item, in their order. All have ended when it returns or raises.

        When it is interrupted, items that no thread has begun with are given up.
        """
        futures = [self._pool.submit(function, item) for item in items]
        try:
            wait(futures)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        return [future.result() for future in futures]

    @contextmanager
    def share(self) -> Iterator[None]:
        """Inside the block the calling thread has no more threads than a worker: the optimizer waits for none."""
        torch.set_num_threads(self._share)  # one of the counts that this sets holds for the whole process
        try:
            yield
        finally:
            torch.set_num_threads(self._threads)


def build_workers(accumulation: int, machine: Machine) -> Workers | None:
    """As many as there are micro-batches or CPU threads, whichever are fewer; None where that is one, or on a GPU."""
    number = min(accumulation, machine.threads)
    return Workers(number, threads=machine.threads) if machine.device.type == "cpu" and number > 1 else None
