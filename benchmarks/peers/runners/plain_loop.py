"""The loop over `nn.Transformer` that a user writes in an afternoon, done well.

Batches of a token budget from sentences sorted by length, `F.cross_entropy` with label smoothing, Adam; on a GPU
bfloat16 autocast and, where it is asked for, `torch.compile`.
"""

import math
import random
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peers.gate import Gate
from peers.job import TrainingJob, read_ids, training_job

PAD, BOS, EOS = 0, 2, 3


class Model(nn.Module):
    """Shared embeddings, sinusoidal positions, `nn.Transformer`, a tied output layer."""

    positions: Tensor

    def __init__(self, job: TrainingJob) -> None:
        super().__init__()
        sizes = job.sizes
        self.width = sizes.d_model
        self.embedding = nn.Embedding(sizes.vocab_size, sizes.d_model, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=sizes.d_model**-0.5)
        angles = torch.arange(1024)[:, None] * torch.exp(
            torch.arange(0, sizes.d_model, 2) * (-math.log(10000.0) / sizes.d_model)
        )
        self.register_buffer("positions", torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1))
        self.transformer = nn.Transformer(
            sizes.d_model,
            sizes.num_heads,
            sizes.num_layers,
            sizes.num_layers,
            sizes.ffn_dim,
            job.dropout,
            batch_first=True,
        )
        self.dropout = nn.Dropout(job.dropout)

    def embed(self, tokens: Tensor) -> Tensor:
        """[B, T] -> [B, T, D]."""
        embedded: Tensor = self.dropout(
            self.embedding(tokens) * math.sqrt(self.width) + self.positions[: tokens.shape[1]]
        )
        return embedded

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        """Source [B, S] and target inputs [B, T] -> logits [B, T, V]."""
        length = tgt.shape[1]
        hidden = self.transformer(
            self.embed(src),
            self.embed(tgt),
            tgt_mask=torch.ones(length, length, dtype=torch.bool, device=tgt.device).triu(1),
            src_key_padding_mask=src == PAD,
            memory_key_padding_mask=src == PAD,
            tgt_key_padding_mask=tgt == PAD,
            tgt_is_causal=True,
        )
        return F.linear(hidden, self.embedding.weight)


def batches(src: list[list[int]], tgt: list[list[int]], job: TrainingJob) -> Iterator[tuple[Tensor, Tensor]]:
    """Padded source [B, S] with end marks and target [B, 1 + T] with both marks, epoch after epoch.

    Sentences of equal length come in random order, and so do the batches.
    """
    draw = random.Random(job.seed)
    while True:
        order = list(range(len(src)))
        draw.shuffle(order)
        order.sort(key=lambda i: (len(tgt[i]), len(src[i])))
        groups: list[list[int]] = [[]]
        for i in order:  # lengths rise, so the new sentence is the longest of its batch
            if (len(groups[-1]) + 1) * (len(tgt[i]) + 1) > job.batch_tokens:
                groups.append([])
            groups[-1].append(i)
        draw.shuffle(groups)
        for group in groups:
            yield (
                nn.utils.rnn.pad_sequence(
                    [torch.tensor([*src[i], EOS]) for i in group], batch_first=True, padding_value=PAD
                ),
                nn.utils.rnn.pad_sequence(
                    [torch.tensor([BOS, *tgt[i], EOS]) for i in group], batch_first=True, padding_value=PAD
                ),
            )


def main() -> None:
    """Trains until the benchmark has enough."""
    job = training_job()
    gate = Gate(job.device)
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    model = Model(job).to(job.device)
    if job.is_compiled:
        model.compile(backend=job.compile_backend, dynamic=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4, betas=(0.9, 0.98), eps=1e-9, fused=True)
    src, tgt = read_ids(job.text.src_ids), read_ids(job.text.tgt_ids)
    for src_batch, tgt_batch in batches(src, tgt, job):
        labels = tgt_batch[:, 1:]
        num_tokens = int((labels != PAD).sum())
        inputs = [each.to(job.device, non_blocking=True) for each in (src_batch, tgt_batch[:, :-1], labels)]
        with torch.autocast(job.device, torch.bfloat16, enabled=job.precision == "bf16"):
            logits = model(inputs[0], inputs[1])
        loss = F.cross_entropy(
            logits.float().flatten(0, 1),
            inputs[2].flatten(),
            ignore_index=PAD,
            label_smoothing=job.label_smoothing,
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        gate.after_step(num_tokens, labels.numel())


if __name__ == "__main__":
    main()
