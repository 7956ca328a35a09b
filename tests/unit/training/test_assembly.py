"""From a config to the parts of a run: what several processes share."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from mt_trainer.config import TrainConfig
from mt_trainer.distributed.ranks import ALONE, Ranks
from mt_trainer.errors import ConfigError
from mt_trainer.machine import Machine
from mt_trainer.tokenizer import TokenizerPair
from mt_trainer.training import assembly
from mt_trainer.training.assembly import build_floor, require_rows
from mt_trainer.training.floor import Floor, Operations


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


def test_the_floor_of_several_processes_has_the_rate_of_one_device_for_each(
    config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """d 4, f 6, 1 + 2 gated layers, 5 target pieces: 64 + 72 + 64 weights for a source token, 2 (96 + 72) + 20."""
    measured: list[object] = []

    def rate(*arguments: object) -> float:
        measured.append(arguments)
        return 7e9

    monkeypatch.setattr(assembly, "measure_matmul_rate", rate)
    three = Ranks()
    three.world_size = 3
    sizes = "num_encoder_layers: 1, num_decoder_layers: 2, d_model: 4, ffn_dim: 6, num_heads: 1, activation: swiglu"
    tokenizers = cast(TokenizerPair, SimpleNamespace(tgt=SimpleNamespace(vocab_size=5)))
    machine = Machine(torch.device("cpu"), torch.bfloat16, threads=1)
    found = build_floor(config(f"model={{{sizes}}}"), tokenizers, machine, three)
    assert found == Floor(Operations(6 * 200, 6 * 356, 6 * 8, 6 * 16, 6 * 16), rate=21e9)
    assert measured == [(machine.device, machine.dtype)]
