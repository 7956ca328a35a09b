"""Hugging Face: a `MarianMTModel` trained by `Seq2SeqTrainer`, with the gate in its training step.

Batches have a fixed number of sentences, so many that a step has about the tokens asked for, grouped by the trainer's
own sampler with the longer side as the length, which leaves less padding than the sum of both or the source (the column
`useful` of the benchmark). It sorts 50 batches at a time, long ones first: here the same batches come in random order,
so that a few stretches see what an epoch sees. Marian is post-norm; that takes the time of pre-norm.
"""

import random
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import MarianConfig, MarianMTModel, Seq2SeqTrainer, Seq2SeqTrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from peers.gate import Gate
from peers.job import TrainingJob, read_ids, training_job

PAD, EOS = 0, 3
IGNORED = -100
ENDLESS = 1_000_000_000


def build_model(job: TrainingJob) -> MarianMTModel:
    """Freshly initialised."""
    sizes = job.sizes
    return MarianMTModel(
        MarianConfig(
            vocab_size=sizes.vocab_size,
            d_model=sizes.d_model,
            encoder_layers=sizes.num_layers,
            decoder_layers=sizes.num_layers,
            encoder_ffn_dim=sizes.ffn_dim,
            decoder_ffn_dim=sizes.ffn_dim,
            encoder_attention_heads=sizes.num_heads,
            decoder_attention_heads=sizes.num_heads,
            max_position_embeddings=1024,
            activation_function="relu",
            dropout=job.dropout,
            scale_embedding=True,
            pad_token_id=PAD,
            eos_token_id=EOS,
            forced_eos_token_id=None,
            decoder_start_token_id=PAD,
        )
    )


def main() -> None:
    """Trains until the benchmark has enough."""
    job = training_job()
    gate = Gate(job.device)
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    model = build_model(job)
    src, tgt = read_ids(job.text.src_ids), read_ids(job.text.tgt_ids)
    pairs = [{"input_ids": [*a, EOS], "labels": [*b, EOS]} for a, b in zip(src, tgt, strict=True)]
    mean_length = sum(len(pair["labels"]) for pair in pairs) / len(pairs)

    def collate(batch: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        sources = [torch.tensor(pair["input_ids"]) for pair in batch]
        labels = pad_sequence([torch.tensor(pair["labels"]) for pair in batch], batch_first=True, padding_value=IGNORED)
        input_ids = pad_sequence(sources, batch_first=True, padding_value=PAD)
        return {
            "input_ids": input_ids,
            "attention_mask": (input_ids != PAD).long(),
            "labels": labels,
            "decoder_input_ids": model.prepare_decoder_input_ids_from_labels(labels),
        }

    class GatedTrainer(Seq2SeqTrainer):  # type: ignore[misc]
        """Counts what the step is given, and waits after it."""

        def training_step(self, model: Any, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
            labels = inputs["labels"]
            num_tokens, positions = int((labels != IGNORED).sum()), labels.numel()
            loss: Tensor = super().training_step(model, inputs, *args, **kwargs)
            gate.after_step(num_tokens, positions)
            return loss

        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> list[int]:
            size = self.args.per_device_train_batch_size
            lengths = [max(map(len, pair.values())) for pair in pairs]
            indices = list(
                LengthGroupedSampler(size, lengths=lengths, generator=torch.Generator().manual_seed(job.seed))
            )
            batches = [indices[start : start + size] for start in range(0, len(indices), size)]
            random.Random(job.seed).shuffle(batches)
            batches.sort(key=lambda batch: len(batch) < size)  # the incomplete one stays the last
            return [index for batch in batches for index in batch]

    arguments = Seq2SeqTrainingArguments(
        output_dir=f"{job.folder}/model",
        per_device_train_batch_size=max(1, round(job.batch_tokens / mean_length)),
        learning_rate=5e-4,
        adam_beta2=0.98,
        label_smoothing_factor=job.label_smoothing,
        max_steps=ENDLESS,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=50,
        use_cpu=job.device == "cpu",
        bf16=job.precision == "bf16",
        torch_compile=job.is_compiled,
        dataloader_num_workers=0,
        seed=job.seed,
    )
    GatedTrainer(model=model, args=arguments, train_dataset=pairs, data_collator=collate).train()


if __name__ == "__main__":
    main()
