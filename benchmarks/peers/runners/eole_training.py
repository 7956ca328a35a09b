"""Eole: its own training on a config of its kind, with the gate in its training step. Its models are pre-norm."""

from typing import Any

import torch
from eole import train_single, trainer
from eole.config.run import TrainConfig

from peers.gate import Gate
from peers.job import TrainingJob, training_job

ENDLESS = 1_000_000_000


def settings(job: TrainingJob) -> dict[str, Any]:
    """What a user writes as YAML; SentencePiece cuts the raw text on the way, and batches are made in this process."""
    sizes = job.sizes
    return {
        "seed": job.seed,
        "share_vocab": True,
        "src_vocab": job.text.vocabulary,
        "src_vocab_size": sizes.vocab_size,
        "tgt_vocab_size": sizes.vocab_size,
        "vocab_size_multiple": 1,
        "pad_token": "<pad>",
        "overwrite": True,
        "report_every": 100,
        "transforms": ["sentencepiece"],
        "transforms_configs": {
            "sentencepiece": {"src_subword_model": job.text.tokenizer, "tgt_subword_model": job.text.tokenizer}
        },
        "data": {"corpus": {"path_src": job.text.src, "path_tgt": job.text.tgt, "weight": 1}},
        "training": {
            "model_path": f"{job.folder}/model",
            "world_size": 1,
            "gpu_ranks": [0] if job.device == "cuda" else [],
            "num_workers": 0,
            "batch_type": "tokens",
            "batch_size": job.batch_tokens,
            "batch_size_multiple": 1,
            "bucket_size": 30_000,
            "normalization": "tokens",
            "accum_count": [1],
            "optim": "adam",
            "adam_beta2": 0.98,
            "learning_rate": 5e-4,
            "max_grad_norm": 1.0,
            "dropout": [job.dropout],
            "attention_dropout": [0.0],
            "dropout_steps": [0],
            "label_smoothing": job.label_smoothing,
            "param_init_method": "xavier_uniform",
            "compute_dtype": "bf16" if job.precision == "bf16" else "fp32",
            "log_attention_entropy": False,
            "train_steps": ENDLESS,
            "valid_steps": ENDLESS,
            "save_checkpoint_steps": ENDLESS,
        },
        "model": {
            "architecture": "transformer",
            "layers": sizes.num_layers,
            "hidden_size": sizes.d_model,
            "heads": sizes.num_heads,
            "transformer_ff": sizes.ffn_dim,
            "share_embeddings": True,
            "share_decoder_embeddings": True,
            "add_qkvbias": True,
            "add_final_linear_bias": True,
            "add_ffnbias": True,
            "embeddings": {"word_vec_size": sizes.d_model, "position_encoding_type": "SinusoidalInterleaved"},
        },
    }


def main() -> None:
    """Trains until the benchmark has enough."""
    job = training_job()
    gate = Gate(job.device)
    torch.set_num_threads(job.threads)
    step = trainer.Trainer._train_step

    def step_and_wait(self: Any, batches: list[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
        step(self, batches, *args, **kwargs)
        labels = [batch["tgt"][:, 1:] for batch in batches]
        num_tokens = sum(int(each.ne(self.train_loss.padding_idx).sum()) for each in labels)
        gate.after_step(num_tokens, sum(each.numel() for each in labels))

    trainer.Trainer._train_step = step_and_wait
    train_single.main(TrainConfig(**settings(job)), device_id=0 if job.device == "cuda" else -1)


if __name__ == "__main__":
    main()
