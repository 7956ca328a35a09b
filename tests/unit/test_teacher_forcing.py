"""Model and loss joined, against a slow computation with full logits."""

import pytest
import torch
from torch.nn import functional as F

from mt_trainer.config.model import ModelConfig
from mt_trainer.data.loader import PairList, collate
from mt_trainer.model.build import build_transformer
from mt_trainer.objectives import TranslationLoss
from mt_trainer.teacher_forcing import TeacherForcing

VOCAB_SIZE = 17


def teacher_forcing(dtype: torch.dtype = torch.float32, smoothing: float = 0.1) -> TeacherForcing:
    torch.manual_seed(1)
    config = ModelConfig(num_encoder_layers=1, num_decoder_layers=1, d_model=16, ffn_dim=16, num_heads=2, dropout=0.0)
    model = build_transformer(config, src_vocab_size=VOCAB_SIZE, tgt_vocab_size=VOCAB_SIZE, max_positions=16, pad_id=0)
    return TeacherForcing(model, TranslationLoss(VOCAB_SIZE, 0, smoothing), dtype)


BATCH = collate(
    PairList([([5, 6], [7, 8, 9]), ([10], [11]), ([12, 13, 14], [15])]),
    [[0, 1], [2]],
    row_length=7,
    pad_id=0,
    bos_id=2,
    eos_id=3,
)


def test_sums_equal_those_over_full_logits() -> None:
    both = teacher_forcing()
    sums = both(BATCH, with_diagnostics=True)
    hidden = both.model(BATCH.src_tokens, BATCH.src_segments, BATCH.tgt_inputs, BATCH.tgt_segments)
    logits, labels = (hidden @ both.model.output_weight.T).flatten(0, 1), BATCH.tgt_labels.flatten()
    log_probs, is_real = logits.log_softmax(-1), labels != 0
    nll = F.cross_entropy(logits, labels, ignore_index=0, reduction="sum")
    smoothed = F.cross_entropy(logits, labels, ignore_index=0, reduction="sum", label_smoothing=0.1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)[is_real].sum()
    assert sums.num_tokens.item() == BATCH.num_tokens == 8
    assert sums.nll.item() == pytest.approx(nll.item(), rel=1e-5)
    assert sums.loss.item() == pytest.approx(smoothed.item(), rel=1e-5)
    assert sums.entropy.item() == pytest.approx(entropy.item(), rel=1e-5)
    assert sums.confidence.item() == pytest.approx(log_probs.max(-1).values.exp()[is_real].sum().item(), rel=1e-5)
    assert sums.num_correct.item() == (logits.argmax(-1) == labels)[is_real].sum().item()


def test_the_gradient_equals_that_over_full_logits() -> None:
    ours, theirs = teacher_forcing(), teacher_forcing()
    ours(BATCH, with_diagnostics=False).loss.backward()
    model = theirs.model
    hidden = model(BATCH.src_tokens, BATCH.src_segments, BATCH.tgt_inputs, BATCH.tgt_segments)
    logits = (hidden @ model.output_weight.T).flatten(0, 1)
    labels = BATCH.tgt_labels.flatten()
    F.cross_entropy(logits, labels, ignore_index=0, reduction="sum", label_smoothing=0.1).backward()
    for (name, a), b in zip(ours.model.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_lower_precision_is_close_and_its_statistics_are_float32() -> None:
    exact, rough = teacher_forcing()(BATCH, with_diagnostics=False), None
    both = teacher_forcing(torch.bfloat16)
    rough = both(BATCH, with_diagnostics=False)
    assert rough.loss.dtype == rough.nll.dtype == torch.float32
    assert rough.nll.item() == pytest.approx(exact.nll.item(), rel=0.02)
    assert rough.nll.item() != exact.nll.item()
    rough.loss.backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in both.parameters())
