"""Several ranks joined: gloo between CPUs, NCCL between GPUs. The only module that talks to torch.distributed."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from mt_trainer.distributed.launch import Launch
from mt_trainer.distributed.ranks import ALONE, Ranks, Value
from mt_trainer.distributed.watch import BEAT_SECONDS, Watch
from mt_trainer.errors import ConfigError, MtError, Problem

POLL_SECONDS = 0.05
"""Between two looks at the store of a rank that waits for the main one."""


@contextmanager
def joined(launch: Launch, device: torch.device, *, timeout_seconds: float) -> Iterator[Ranks]:
    """Inside the block the ranks of a run can work together; at its end they wait for each other.

    When one leaves it by an exception, or is lost, the others end too, with its exit status.

    Args:
        launch: the place of this process; one that is alone joins nothing.
        device: where its tensors are.
        timeout_seconds: how long a rank may be silent, or keep the others waiting.

    Raises:
        MtError: MT160, when not all come in time.
    """
    if launch.world_size == 1:
        yield ALONE
        return
    store = _connect(timeout_seconds)
    watch = Watch(_connect(timeout_seconds), launch, timeout_seconds=timeout_seconds)
    watch.start()
    try:
        dist.init_process_group(
            "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl",
            store=PrefixStore("groups", store),
            rank=launch.rank,
            world_size=launch.world_size,
            timeout=timedelta(seconds=2 * timeout_seconds + 60),  # the watch comes first, and knows more
        )
        ranks = JoinedRanks(launch, store, watch)
        yield ranks
        ranks.leave()
    except BaseException as error:
        watch.report(error)
        if launch.rank == 0 and launch.group is None:
            time.sleep(3 * BEAT_SECONDS)  # without a launcher the store ends with this process: let the others read why
        raise
    finally:
        watch.stop()


def _connect(timeout_seconds: float) -> Store:
    """A connection to the store that the environment names: the launcher's, or one that rank 0 then holds."""
    try:
        store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=timeout_seconds)))
    except RuntimeError as error:
        help_ = "MASTER_ADDR and MASTER_PORT say where the ranks meet; torchrun sets them"
        raise MtError(Problem("MT160", f"the ranks cannot meet: {error}", help=help_)) from error
    return PrefixStore("mt_trainer", store)


class JoinedRanks(Ranks):
    """One of several ranks."""

    def __init__(self, launch: Launch, store: Store, watch: Watch) -> None:
        self.rank, self.world_size = launch.rank, launch.world_size
        self._store, self._watch = store, watch
        self._num_waits = 0

    def begin_step(self, step: int) -> None:
        """Say which step is under way."""
        self._watch.step = step

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Sums in place; tensors of one type travel together."""
        groups: dict[torch.dtype, list[Tensor]] = defaultdict(list)
        for tensor in tensors:
            groups[tensor.dtype].append(tensor)
        for group in groups.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in group])
            with self._meeting():
                dist.all_reduce(flat)
            for tensor, total in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
                tensor.copy_(total.view_as(tensor))

    def interleave(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """The parts of all ranks in turn: lengths first, then all values, filled up to the longest."""
        own_lengths = torch.tensor([len(part) for part in parts])
        lengths = [torch.empty_like(own_lengths) for _ in range(self.world_size)]
        with self._meeting():
            dist.all_gather(lengths, own_lengths)
        own = torch.cat(list(parts))
        filled = own.new_zeros(max(int(each.sum()) for each in lengths))
        filled[: len(own)] = own
        values = [torch.empty_like(filled) for _ in range(self.world_size)]
        with self._meeting():
            dist.all_gather(values, filled)
        of_rank = [
            each[: int(counts.sum())].split(counts.tolist()) for each, counts in zip(values, lengths, strict=True)
        ]
        return [of_rank[rank][i] for i in range(len(parts)) for rank in range(self.world_size)]

    def largest(self, *numbers: int) -> tuple[int, ...]:
        """The largest over the ranks, on the CPU."""
        found = torch.tensor(numbers)
        with self._meeting():
            dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return tuple(found.tolist())

    def from_main(self, compute: Callable[[], Value]) -> Value:
        """The value goes through the store as JSON, so that it may take any time."""
        key = self._next_key()
        if self.is_main:
            self._store.set(key, json.dumps(compute()))
        else:
            self._wait_for([key])
        value: Value = json.loads(self._store.get(key))
        return value

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main rank goes through the block first, and waits at its end for the others."""
        key = self._next_key()
        if not self.is_main:
            self._wait_for([key])
        yield
        if self.is_main:
            self._store.set(key, "")
            self._wait_for([f"{key}/{rank}" for rank in range(1, self.world_size)])
        else:
            self._store.set(f"{key}/{self.rank}", "")

    def require_same(self, facts: Mapping[str, str | None]) -> None:
        """Compare with what the main rank has."""
        expected = self.from_main(lambda: dict(facts))
        different = [name for name in facts if facts[name] != expected[name]]
        if different:
            message = f"rank {self.rank} has not the same as rank 0: {', '.join(different)}"
            help_ = "every machine needs the same files under the same names, and the run folder in common"
            raise ConfigError(Problem("MT161", message, help=help_))

    def leave(self) -> None:
        """Wait until all ranks are done, and part."""
        self._store.set(f"done/{self.rank}", "")
        self._wait_for([f"done/{rank}" for rank in range(self.world_size)])
        self._watch.stop()
        dist.destroy_process_group()
        self._store.set(f"left/{self.rank}", "")
        if self.is_main:  # the store may end with this process: it goes last
            until = time.monotonic() + 5
            while not self._store.check([f"left/{rank}" for rank in range(self.world_size)]):
                if time.monotonic() > until:
                    break
                time.sleep(POLL_SECONDS)

    def _next_key(self) -> str:
        self._num_waits += 1
        return f"main/{self._num_waits}"

    def _wait_for(self, keys: list[str]) -> None:
        """Wait without limit: the watch ends a rank that waits in vain."""
        self._watch.is_idle.set()
        while not self._store.check(keys):
            time.sleep(POLL_SECONDS)
        self._watch.is_idle.clear()

    @contextmanager
    def _meeting(self) -> Iterator[Any]:
        """Where all ranks come together; when the connection breaks, the watch finds out why."""
        self._watch.meetings += 1
        try:
            yield
        except RuntimeError:
            self._watch.await_cause()
            raise
