"""From a config to the parts of a run: what several processes share."""

from collections.abc import Callable

import pytest

from mt_trainer.config import TrainConfig
from mt_trainer.distributed.ranks import ALONE, Ranks
from mt_trainer.errors import ConfigError
from mt_trainer.training.assembly import require_rows


def test_a_step_must_have_a_row_for_every_micro_batch_of_every_rank(config: Callable[..., TrainConfig]) -> None:
    four = Ranks()
    four.world_size = 4
    settings = ("training.batch_tokens=384", "data.max_length=64", "training.accumulation=2")
    require_rows(config(*settings), ALONE)
    with pytest.raises(ConfigError) as caught:
        require_rows(config(*settings), four)
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == ("MT026", "training.batch_tokens")
    assert "384 over `training.accumulation` 2 and 4 processes holds no row of `data.max_length` 64" in problem.message
    assert str(problem.help).startswith("batch_tokens >= 512")
    require_rows(config("training.batch_tokens=512", *settings[1:]), four)
