"""mt_trainer: its own `train`, as the command runs it, with the gate after every step."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from peers.gate import Gate
from peers.job import TrainingJob, training_job

ENDLESS = 1_000_000_000


def settings(job: TrainingJob) -> dict[str, Any]:
    """A config in which only what the comparison fixes differs from the defaults, beside what keeps it running."""
    # No validation and no checkpoint falls into a stretch; the few pairs of dev only have to be there.
    dev = {"src": f"{job.folder}/dev.src", "tgt": f"{job.folder}/dev.tgt"}
    for side, file in dev.items():
        lines = Path(getattr(job.text, side)).read_text(encoding="utf-8").splitlines()[:8]
        Path(file).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    sizes = job.sizes
    return {
        "data": {
            "src_lang": "src",
            "tgt_lang": "tgt",
            "train": {"format": "text", "src": job.text.src, "tgt": job.text.tgt},
            "dev": {"format": "text", **dev},
            "max_length": job.longest,
        },
        "tokenizer": {"model_file": job.text.tokenizer},
        "model": {
            "num_encoder_layers": sizes.num_layers,
            "num_decoder_layers": sizes.num_layers,
            "d_model": sizes.d_model,
            "ffn_dim": sizes.ffn_dim,
            "num_heads": sizes.num_heads,
            "dropout": job.dropout,
        },
        "objective": {"name": "label_smoothing", "epsilon": job.label_smoothing},
        "training": {
            "batch_tokens": job.batch_tokens,
            "accumulation": job.threads if job.device == "cpu" else 1,
            "max_steps": ENDLESS,
            "validate_every_steps": ENDLESS,
        },
        "runtime": {
            "device": job.device,
            "precision": job.precision,
            "threads": job.threads,
            "compile": job.is_compiled,
            "seed": job.seed,
            "run_folder": f"{job.folder}/run",
            "cache_folder": f"{job.folder}/cache",
        },
    }


def gated(step: Callable[..., Any], gate: Gate) -> Callable[..., Any]:
    """The training step, and the gate after it."""
    from mt_trainer.data.loader import StepBatches

    def step_and_wait(*args: Any, **kwargs: Any) -> Any:
        result = step(*args, **kwargs)
        batches = next(each for each in [*args, *kwargs.values()] if isinstance(each, StepBatches))
        gate.after_step(batches.num_tokens, sum(batch.tgt_labels.numel() for batch in batches.micro_batches))
        return result

    return step_and_wait


def main() -> None:
    """Trains until the benchmark has enough."""
    job = training_job()
    gate = Gate(job.device)
    from mt_trainer.config import load_config
    from mt_trainer.model.layer_pass import compiled
    from mt_trainer.training import assembly, train
    from mt_trainer.training.step import train_step

    config_file = Path(job.folder) / "config.yaml"
    config_file.write_text(json.dumps(settings(job), indent=1), encoding="utf-8")  # JSON is YAML
    config = load_config(config_file)
    with (
        patch.object(train, "train_step", gated(train_step, gate)),
        patch.object(assembly, "compiled", partial(compiled, job.compile_backend)),
    ):
        train.train(config, Path(f"{job.folder}/run"), announce=print)


if __name__ == "__main__":
    main()
