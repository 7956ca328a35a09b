"""JoeyNMT: its own `train` on a config of its kind, with the gate in its training step."""

from pathlib import Path
from typing import Any

from joeynmt import training
from joeynmt.batch import Batch

from peers.gate import Gate
from peers.job import TrainingJob, training_job

ENDLESS = 1_000_000_000


def settings(job: TrainingJob) -> dict[str, Any]:
    """What a user writes as YAML; SentencePiece cuts the raw text on the way."""
    sizes = job.sizes
    language = {
        "max_length": job.longest,
        "level": "bpe",
        "tokenizer_type": "sentencepiece",
        "tokenizer_cfg": {"model_file": job.text.tokenizer},
        "voc_file": job.text.vocabulary,
    }
    layers = {
        "type": "transformer",
        "num_layers": sizes.num_layers,
        "num_heads": sizes.num_heads,
        "embeddings": {"embedding_dim": sizes.d_model, "scale": True, "dropout": job.dropout},
        "hidden_size": sizes.d_model,
        "ff_size": sizes.ffn_dim,
        "dropout": job.dropout,
        "layer_norm": "pre",
    }
    prefix = f"{job.folder}/train"
    return {
        "name": "peer",
        "joeynmt_version": "2.3.0",
        "model_dir": f"{job.folder}/model",
        "use_cuda": job.device == "cuda",
        "random_seed": job.seed,
        "data": {
            "train": prefix,
            "dev": f"{job.folder}/dev",
            "dataset_type": "plain",
            "src": {"lang": "src", **language},
            "trg": {"lang": "tgt", **language},
        },
        "testing": {"beam_size": 1, "batch_size": 64, "eval_metrics": ["bleu"]},
        "training": {
            "optimizer": "adam",
            "adam_betas": [0.9, 0.98],
            "learning_rate": 5e-4,
            "learning_rate_min": 0.0,
            "scheduling": "warmupinversesquareroot",
            "learning_rate_warmup": 4000,
            "label_smoothing": job.label_smoothing,
            "normalization": "tokens",
            "clip_grad_norm": 1.0,
            "batch_size": job.batch_tokens,
            "batch_type": "token",
            "epochs": ENDLESS,
            "validation_freq": ENDLESS,
            "logging_freq": 100,
        },
        "model": {
            "initializer": "xavier_uniform",
            "embed_initializer": "xavier_uniform",
            "tied_embeddings": True,
            "tied_softmax": True,
            "encoder": layers,
            "decoder": layers,
        },
    }


def main() -> None:
    """Trains until the benchmark has enough."""
    job = training_job()
    gate = Gate(job.device)
    folder = Path(job.folder)
    (folder / "model").mkdir()
    for suffix, file in (("src", job.text.src), ("tgt", job.text.tgt)):
        lines = Path(file).read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / f"train.{suffix}").write_text("".join(lines), encoding="utf-8")
        (folder / f"dev.{suffix}").write_text("".join(lines[:8]), encoding="utf-8")
    step = training.TrainManager._train_step

    def step_and_wait(manager: Any, batch: Batch) -> Any:
        result = step(manager, batch)
        gate.after_step(batch.ntokens, batch.trg.numel())
        return result

    training.TrainManager._train_step = step_and_wait
    training.train(rank=0, world_size=None, cfg=settings(job), skip_test=True)


if __name__ == "__main__":
    main()
