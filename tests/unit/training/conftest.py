"""Small checkpoints, and a config to open run folders with."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.files import EMPTY
from mt_trainer.training.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mt_trainer.training.checkpoints.manifest import Origin


@pytest.fixture
def origin() -> Origin:
    """What a checkpoint says it belongs to."""
    return Origin(log=EMPTY, config="c" * 64, corpus="d" * 64, tokenizer="e" * 64, environment={"threads": 1})


@pytest.fixture
def save(tmp_path: Path, origin: Origin) -> Callable[..., Checkpoint]:
    """Save a checkpoint of step n, whose one weight is n, under `checkpoints`; with a BLEU if one is given."""

    def save_step(step: int, *, bleu: float | None = None, nll: float = 2.0, name: str | None = None) -> Checkpoint:
        dev = None if bleu is None else {"bleu": bleu, "nll": nll}
        state = {"step": step, "dev": dev}
        if name is None:
            state["progress"] = {"step": step}
        folder, name = tmp_path / "checkpoints", name or f"step_{step:08d}"
        save_checkpoint(
            folder,
            name,
            model={"weight": torch.tensor([[float(step)]])},
            optimizer={"exp_avg.weight": torch.zeros(1, 1)},
            state=state,
            origin=origin,
        )
        return load_checkpoint(folder / name)

    return save_step


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., TrainConfig]:
    """A config over files that need not be there, with settings such as `model.dropout=0.2`."""

    def load(*overrides: str) -> TrainConfig:
        path = tmp_path / "ende.yaml"
        path.write_text(
            "data:\n"
            "  src_lang: en\n"
            "  tgt_lang: de\n"
            "  train: {format: text, src: train.en, tgt: train.de}\n"
            "  dev: {format: text, src: dev.en, tgt: dev.de}\n"
            "tokenizer: {vocab_size: 300}\n"
            "model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 8, ffn_dim: 8, num_heads: 2}\n",
            encoding="utf-8",
        )
        return load_config(path, overrides)

    return load
