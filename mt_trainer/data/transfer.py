"""Steps on their way to a GPU: the next one is collated and copied while the present one is computed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from mt_trainer.data.loader import StepBatches

Item = TypeVar("Item")
Fetched = TypeVar("Fetched")


def fetched_ahead(items: Iterator[Item], fetch: Callable[[Item], Fetched]) -> Iterator[Fetched]:
    """What `fetch` makes of endless items, in their order, each in a thread while the one before it is worked on.

    Never more than one item ahead is taken. What the thread raises is raised in the place of its item.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="fetch") as thread:
        upcoming = thread.submit(lambda: fetch(next(items)))
        while True:
            fetched = upcoming.result()
            upcoming = thread.submit(lambda: fetch(next(items)))
            yield fetched


def on_gpu(steps: Iterator[StepBatches], device: torch.device) -> Iterator[StepBatches]:
    """The same steps with their tensors on a GPU, copied from page-locked memory on a stream of their own."""
    copying = torch.cuda.Stream(device)

    def copy(batches: StepBatches) -> tuple[StepBatches, torch.cuda.Event]:
        with torch.cuda.device(device), torch.cuda.stream(copying):  # a thread starts with the first GPU
            moved = tuple(batch.with_tensors(Tensor.pin_memory).to(device) for batch in batches.micro_batches)
            return replace(batches, micro_batches=moved), copying.record_event()

    for batches, is_copied in fetched_ahead(steps, copy):
        computing = torch.cuda.current_stream(device)
        computing.wait_event(is_copied)
        for batch in batches.micro_batches:
            for tensor in vars(batch).values():
                if isinstance(tensor, Tensor):
                    tensor.record_stream(computing)  # its memory is not used again before the step is done
        yield batches
