"""What the models of the oracle experiment make of text, as it was drawn or corrupted.

Shapes: S sentences, N target tokens of a batch, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bootstrap import Estimate, Numbers
from mt_trainer.data.loader import pad_pairs
from mt_trainer.model import Transformer
from mt_trainer.tokenizer import Tokenizer
from tailr_oracle_text import SOURCE, Edit, Words, corrupted, drop_the_last_word, repeat_a_word, substitute_a_word

ORACLE = "oracle"
"""The name of the model that the others are compared with."""

LEVELS = tuple(range(0, 21, 2))
"""Edits that each sentence goes through."""

BATCH_TOKENS = 2048

NUM_SPECIAL = 4
"""Pieces of the vocabulary that are no words, at its beginning."""


@dataclass(frozen=True)
class Scores:
    """Sums over the tokens of each of S sentences, the end mark included, by the name of the model.

    Attributes:
        text: name of what the sentences were taken from.
        nll: -log p, in nats.
        tvd: total variation distance between the model's distribution of the next token and the oracle's.
        num_tokens: of each sentence.
    """

    text: str
    nll: dict[str, Numbers]
    tvd: dict[str, Numbers]
    num_tokens: Numbers

    def nll_per_token(self, name: str) -> Estimate:
        """In nats, over all sentences."""
        return Estimate.ratio(self.nll[name], self.num_tokens, of=self.text)

    def tvd_per_token(self, name: str) -> Estimate:
        """Mean distance to the oracle's distribution of the next token, over all sentences."""
        return Estimate.ratio(self.tvd[name], self.num_tokens, of=self.text)

    def excess(self, name: str) -> Estimate:
        """By how much a model's log-likelihood of a token lies above the oracle's, in nats."""
        return self.nll_per_token(ORACLE) - self.nll_per_token(name)


@torch.inference_mode()
def score(models: Mapping[str, Transformer], tokenizer: Tokenizer, sentences: Sequence[Words], *, text: str) -> Scores:
    """What all models make of the same sentences, in their order.

    Args:
        text: name of what the sentences were taken from.
    """
    device = models[ORACLE].output_weight.device
    (source,) = tokenizer.encode([SOURCE])
    ids = tokenizer.encode([" ".join(words) for words in sentences])
    # pad_pairs sorts by length, and leaves what is sorted already as it is.
    order = np.argsort([len(each) for each in ids], kind="stable")
    pairs = [(source, ids[index]) for index in order]
    special = {"pad_id": tokenizer.pad_id, "bos_id": tokenizer.bos_id, "eos_id": tokenizer.eos_id}
    columns: dict[tuple[str, str], list[Numbers]] = {}
    for batch in pad_pairs(pairs, batch_tokens=BATCH_TOKENS, **special):
        batch = batch.to(device)
        is_real = batch.tgt_segments != 0
        row_of_token = is_real.nonzero()[:, 0]
        log_probs = {}
        for name, model in models.items():
            hidden = model(batch.src_tokens, batch.src_segments, batch.tgt_inputs, batch.tgt_segments)[is_real]
            log_probs[name] = (hidden @ model.output_weight.t()).log_softmax(dim=-1)  # [N, V]
        labels = batch.tgt_labels[is_real].unsqueeze(-1)
        oracle_probs = log_probs[ORACLE].exp()
        per_token = {("", "num_tokens"): torch.ones_like(row_of_token)}
        for name, log_p in log_probs.items():
            per_token[name, "nll"] = -log_p.gather(-1, labels).squeeze(-1)
            per_token[name, "tvd"] = (log_p.exp() - oracle_probs).abs().sum(dim=-1) / 2
        for key, values in per_token.items():
            sums = torch.zeros(len(is_real), dtype=torch.float64, device=device)
            columns.setdefault(key, []).append(sums.index_add_(0, row_of_token, values.double()).cpu().numpy())
    place = np.argsort(order)  # of each sentence among the sorted
    joined = {key: np.concatenate(parts)[place] for key, parts in columns.items()}
    return Scores(
        text=text,
        nll={name: joined[name, "nll"] for name in models},
        tvd={name: joined[name, "tvd"] for name in models},
        num_tokens=joined["", "num_tokens"],
    )


def corruption_scores(
    models: Mapping[str, Transformer], tokenizer: Tokenizer, sentences: Sequence[Words], *, text: str
) -> dict[str, list[Scores]]:
    """What the models make of ever more corrupted sentences of a text: for each corruption, by level."""
    vocabulary = tokenizer.decode([[index] for index in range(NUM_SPECIAL, tokenizer.vocab_size)])
    edits: dict[str, Edit] = {
        "repetition": repeat_a_word,
        "deletion": drop_the_last_word,
        "substitution": substitute_a_word(vocabulary),
    }
    return {
        name: [
            score(models, tokenizer, level, text=text) for level in corrupted(sentences, edit, levels=LEVELS, seed=1)
        ]
        for name, edit in edits.items()
    }
