"""What objectives read beside the labels, against slow computations with full logits."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.objective import ObjectiveConfig
from mt_trainer.data.loader import PairList, collate
from mt_trainer.model import Transformer, build_transformer
from mt_trainer.objectives import LossSums, TranslationLoss, build_objective
from mt_trainer.teacher_forcing import Teacher, TeacherForcing, hidden_states

V = 17
BATCH = collate(
    PairList([([5, 6], [7, 8, 7, 9]), ([10], [7]), ([12, 13, 14], [8, 8]), ([4], [15, 7, 16])]),
    [[0, 1], [2, 3]],
    row_length=9,
    pad_id=0,
    bos_id=2,
    eos_id=3,
)
IS_REAL = BATCH.tgt_segments != 0
LABELS = BATCH.tgt_labels[IS_REAL]
SENTENCES = [[7, 8, 7, 9, 3], [7, 3], [8, 8, 3], [15, 7, 16, 3]]


def make_model(*, dropout: float = 0.0, d_model: int = 16, seed: int = 1) -> Transformer:
    torch.manual_seed(seed)
    config = ModelConfig(
        num_encoder_layers=1, num_decoder_layers=1, d_model=d_model, ffn_dim=16, num_heads=2, dropout=dropout
    )
    return build_transformer(config, src_vocab_size=V, tgt_vocab_size=V, max_positions=16, pad_id=0)


def make(
    *,
    dropout: float = 0.0,
    taught_by: Transformer | None = None,
    teacher_dtype: torch.dtype = torch.float32,
    **objective: Any,
) -> TeacherForcing:
    config = TypeAdapter(ObjectiveConfig).validate_python(objective)
    loss = TranslationLoss(V, 0, objective=build_objective(config, vocab_size=V, pad_id=0))
    teacher = None if taught_by is None else Teacher(taught_by.eval().requires_grad_(False), teacher_dtype)
    return TeacherForcing(make_model(dropout=dropout), loss, torch.float32, teacher).train()


def seeded(both: TeacherForcing, seed: int = 9) -> LossSums:
    torch.manual_seed(seed)
    sums: LossSums = both(BATCH, with_diagnostics=False)
    return sums


def logits_of(model: Transformer) -> Tensor:
    """[N, V]."""
    return hidden_states(model, BATCH, torch.float32) @ model.output_weight.t()


def assert_same_loss_and_gradient(both: TeacherForcing, sums: LossSums, expected: Tensor) -> None:
    assert sums.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    parameters = list(both.parameters())
    ours, theirs = (torch.autograd.grad(loss, parameters) for loss in (sums.loss, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_the_batch_is_what_it_seems() -> None:
    assert LABELS.tolist() == [label for sentence in SENTENCES for label in sentence]


def test_unlikelihood_sees_what_was_said_before_in_the_same_sentence() -> None:
    both = make(name="unlikelihood", alpha=0.5)
    log_p = logits_of(both.model).log_softmax(-1)
    terms, token = [], 0
    for sentence in SENTENCES:
        for place, label in enumerate(sentence):
            terms.append(-log_p[token, label])
            for said in set(sentence[:place]) - {label}:
                terms.append(-0.5 * torch.log1p(-log_p[token, said].exp()))
            token += 1
    assert_same_loss_and_gradient(both, seeded(both), torch.stack(terms).sum())


def test_weights_of_an_evaluation_pass() -> None:
    """The loss has dropout, as with any other objective and the same seed; the weights have none."""
    both = make(name="tailr", weight_from="eval", gamma=0.1, min_weight=0.0, epsilon=0.0, dropout=0.3)
    plain = make(name="cross_entropy", dropout=0.3)
    sums = seeded(both)
    assert sums.nll.item() == seeded(plain).nll.item()
    assert all(module.training for module in both.modules())

    torch.manual_seed(9)
    nll = F.cross_entropy(logits_of(both.model), LABELS, reduction="none")
    after_dropout = torch.get_rng_state()
    with torch.no_grad():
        p = logits_of(both.model.eval()).softmax(-1).gather(1, LABELS.unsqueeze(1)).squeeze(1)
    weights = p / (0.1 + 0.9 * p)
    both.train()
    assert_same_loss_and_gradient(both, sums, (weights * nll).sum())
    assert sums.weight is not None
    assert sums.weight.item() == pytest.approx(weights.sum().item(), rel=1e-5)
    seeded(both)
    assert torch.equal(torch.get_rng_state(), after_dropout), "the second pass draws nothing"


def test_in_evaluation_the_pass_itself_gives_the_weights() -> None:
    settings = {"name": "tailr", "gamma": 0.1, "min_weight": 0.0}
    losses = [
        seeded(make(**settings, weight_from=pass_, dropout=0.3).eval()).loss.item() for pass_ in ("train", "eval")
    ]
    assert losses[0] == losses[1]


def test_r_drop_compares_two_passes_of_one_random_stream() -> None:
    both = make(name="r_drop", alpha=2.0, epsilon=0.1, dropout=0.3)
    sums = seeded(both)
    torch.manual_seed(9)
    first, second = logits_of(both.model), logits_of(both.model)
    assert not torch.equal(first, second)
    log_p, log_q = first.log_softmax(-1), second.log_softmax(-1)
    expected = sum(F.cross_entropy(z, LABELS, label_smoothing=0.1, reduction="sum") for z in (first, second))
    expected = expected + ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum()
    assert_same_loss_and_gradient(both, sums, expected)
    assert sums.nll.item() == pytest.approx(F.cross_entropy(first, LABELS, reduction="sum").item(), rel=1e-5)


def test_r_drop_in_evaluation_is_twice_label_smoothing() -> None:
    pair = seeded(make(name="r_drop", epsilon=0.1, dropout=0.3).eval())
    single = seeded(make(name="label_smoothing", epsilon=0.1, dropout=0.3).eval())
    assert pair.loss.item() == pytest.approx(2 * single.loss.item(), rel=1e-5)
    assert pair.nll.item() == pytest.approx(single.nll.item(), rel=1e-6)


def test_distillation_from_a_teacher_of_another_width() -> None:
    teacher = make_model(d_model=32, dropout=0.5, seed=2)
    both = make(name="distillation", teacher="runs/a", mix=0.3, taught_by=teacher)
    sums = seeded(both)
    with torch.no_grad():
        t = logits_of(teacher).softmax(-1)
    z = logits_of(both.model)
    nll, apart = (F.cross_entropy(z, target, reduction="sum") for target in (LABELS, t))
    assert_same_loss_and_gradient(both, sums, 0.7 * nll + 0.3 * apart)


def test_the_teacher_is_no_part_of_what_is_trained() -> None:
    teacher = make_model(d_model=32, dropout=0.5, seed=2)
    both = make(name="distillation", teacher="runs/a", mix=1.0, taught_by=teacher).train()
    assert {id(p) for p in both.parameters()} == {id(p) for p in both.model.parameters()}
    assert not teacher.training
    seeded(both).loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert seeded(both).loss.item() == seeded(both, seed=10).loss.item(), "neither of them has dropout here"


def test_the_teacher_computes_in_its_own_precision() -> None:
    teacher = make_model(d_model=32, seed=2)
    exact = seeded(make(name="distillation", teacher="runs/a", mix=1.0, taught_by=teacher))
    rough = seeded(
        make(name="distillation", teacher="runs/a", mix=1.0, taught_by=teacher, teacher_dtype=torch.bfloat16)
    )
    assert rough.nll.item() == exact.nll.item()
    assert rough.loss.item() != exact.loss.item()
    assert rough.loss.item() == pytest.approx(exact.loss.item(), rel=1e-2)


@pytest.mark.parametrize("ghost", [True, False])
def test_distillation_from_the_best_pieces(ghost: bool) -> None:
    teacher = make_model(d_model=32, seed=2)
    both = make(
        name="sparse_distillation",
        teacher="runs/a",
        method="top",
        num_pieces=4,
        mix=0.6,
        ghost=ghost,
        taught_by=teacher,
    )
    sums = seeded(both)
    log_p = logits_of(both.model).log_softmax(-1)
    with torch.no_grad():
        t, ids = logits_of(teacher).softmax(-1).topk(4, dim=-1)
    chosen = log_p.gather(1, ids)
    if ghost:
        apart = -(t * chosen).sum() - ((1 - t.sum(-1)) * torch.log(1 - chosen.exp().sum(-1))).sum()
    else:
        apart = -(t / t.sum(-1, keepdim=True) * chosen).sum()
    expected = 0.4 * -log_p.gather(1, LABELS.unsqueeze(1)).sum() + 0.6 * apart
    assert_same_loss_and_gradient(both, sums, expected)


def test_draws_from_the_teacher_follow_the_seed_and_leave_dropout_alone() -> None:
    teacher = make_model(d_model=32, seed=2)
    both = make(
        name="sparse_distillation", teacher="runs/a", method="sample", num_pieces=3, dropout=0.3, taught_by=teacher
    )
    plain = make(name="cross_entropy", dropout=0.3)
    assert seeded(both).loss.item() == seeded(both).loss.item()
    assert seeded(both).loss.item() != seeded(both, seed=10).loss.item()
    assert seeded(both).nll.item() == seeded(plain).nll.item()


def test_draws_are_right_on_average() -> None:
    teacher = make_model(d_model=32, seed=2)
    whole = seeded(make(name="distillation", teacher="runs/a", mix=1.0, taught_by=teacher))
    drawn = seeded(make(name="sparse_distillation", teacher="runs/a", num_pieces=1024, mix=1.0, taught_by=teacher))
    assert drawn.loss.item() == pytest.approx(whole.loss.item(), rel=0.02)


def test_a_teacher_must_be_there() -> None:
    for name in ("distillation", "sparse_distillation"):
        with pytest.raises(ValueError, match="there is none"):
            seeded(make(name=name, teacher="runs/a"))
