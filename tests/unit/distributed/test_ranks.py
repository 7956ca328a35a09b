"""One process alone changes nothing and waits for nothing. Several: tests/properties/test_rank_properties.py."""

import torch

from mt_trainer.distributed.joining import joined
from mt_trainer.distributed.launch import Launch
from mt_trainer.distributed.ranks import ALONE


def test_alone() -> None:
    tensor, parts = torch.tensor([1.0, 2.0]), [torch.zeros(2), torch.ones(1)]
    ALONE.begin_step(3)
    ALONE.add_up([tensor])
    assert tensor.tolist() == [1.0, 2.0]
    assert all(a is b for a, b in zip(ALONE.interleave(parts), parts, strict=True))
    assert ALONE.largest(3, 0) == (3, 0)
    assert ALONE.from_main(lambda: {"a": 1}) == {"a": 1}
    assert (ALONE.rank, ALONE.world_size, ALONE.is_main) == (0, 1, True)
    with ALONE.main_first():
        ALONE.require_same({"corpus": "abc"})


def test_a_process_that_is_alone_joins_nothing() -> None:
    with joined(Launch(), torch.device("cpu"), timeout_seconds=1.0) as ranks:
        assert ranks is ALONE
        assert not torch.distributed.is_initialized()
