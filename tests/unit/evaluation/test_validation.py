"""Validation: the true NLL over all target tokens of the set, however it is cut into batches."""

import copy
import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from mt_trainer.config.evaluation import DecodingConfig
from mt_trainer.config.model import ModelConfig
from mt_trainer.config.objective import LabelSmoothingConfig, ObjectiveConfig
from mt_trainer.data.evaluation_sets import EvalSet
from mt_trainer.decoding.translate import build_translator
from mt_trainer.evaluation.metrics import Metrics
from mt_trainer.evaluation.validation import Validator
from mt_trainer.model import build_transformer
from mt_trainer.objectives import TranslationLoss, build_objective
from mt_trainer.teacher_forcing import Teacher, TeacherForcing
from mt_trainer.tokenizer import TokenizerPair, train_tokenizer

CPU = torch.device("cpu")
SRC = ["a dog runs", "", "two dogs run in the park today", "a cat"]
TGT = ["ein Hund läuft", "nichts", "zwei Hunde laufen heute im Park", ""]


@pytest.fixture(scope="module")
def tokenizers() -> TokenizerPair:
    tokenizer = train_tokenizer(
        (SRC + TGT) * 20, algorithm="bpe", vocab_size=300, character_coverage=1.0, byte_fallback=True, num_threads=1
    )
    return TokenizerPair(src=tokenizer, tgt=tokenizer, is_joint=True)


def validator(
    tokenizers: TokenizerPair, teacher_forcing: TeacherForcing, batch_tokens: int, **decoding: Any
) -> Validator:
    settings = DecodingConfig(**{"strategy": "greedy"} | decoding)
    translator = build_translator(settings, model=teacher_forcing.model, tokenizers=tokenizers, device=CPU, seed=1)
    metrics = Metrics("13a", lowercase=False, moses_lang=None)
    eval_set = EvalSet("dev", SRC, TGT, fingerprint="")
    return Validator(eval_set, tokenizers, translator, metrics, batch_tokens=batch_tokens, max_positions=64)


@pytest.fixture
def teacher_forcing(tokenizers: TokenizerPair) -> TeacherForcing:
    torch.manual_seed(1)
    size = tokenizers.tgt.vocab_size
    config = ModelConfig(num_encoder_layers=1, num_decoder_layers=1, d_model=16, ffn_dim=16, num_heads=2, dropout=0.5)
    model = build_transformer(config, src_vocab_size=size, tgt_vocab_size=size, max_positions=64, pad_id=0)
    objective = build_objective(LabelSmoothingConfig(name="label_smoothing", epsilon=0.3), vocab_size=size, pad_id=0)
    return TeacherForcing(model, TranslationLoss(size, pad_id=0, objective=objective), torch.float32).train()


def test_sums_do_not_depend_on_the_batches(tokenizers: TokenizerPair, teacher_forcing: TeacherForcing) -> None:
    one_by_one = validator(tokenizers, teacher_forcing, batch_tokens=1).references.sums(teacher_forcing, CPU)
    together = validator(tokenizers, teacher_forcing, batch_tokens=10_000).references.sums(teacher_forcing, CPU)
    assert int(one_by_one.num_tokens) == int(together.num_tokens)
    assert int(together.num_tokens) == sum(len(ids) + 1 for ids in tokenizers.tgt.encode(TGT))
    assert float(one_by_one.nll) == pytest.approx(float(together.nll), rel=1e-5)
    assert teacher_forcing.training, "validation leaves dropout as it found it"


def test_nll_is_not_smoothed(tokenizers: TokenizerPair, teacher_forcing: TeacherForcing) -> None:
    with torch.no_grad():
        teacher_forcing.model.output_weight.zero_()
    sums = validator(tokenizers, teacher_forcing, batch_tokens=100).references.sums(teacher_forcing, CPU)
    tokens, size = int(sums.num_tokens), tokenizers.tgt.vocab_size
    assert float(sums.nll) / tokens == pytest.approx(math.log(size), rel=1e-5)  # all logits are 0: uniform
    assert sums.entropy is not None
    assert float(sums.entropy) / tokens == pytest.approx(math.log(size), rel=1e-5)


OBJECTIVES: list[dict[str, Any]] = [
    {"name": "tailr", "weight_from": "eval"},
    {"name": "loss_truncation", "window": 4, "min_count": 1},
    {"name": "unlikelihood"},
    {"name": "emo"},
    {"name": "r_drop"},
    {"name": "distillation", "teacher": "runs/a"},
    {"name": "sparse_distillation", "teacher": "runs/a", "method": "sample"},
]


@pytest.mark.parametrize("settings", OBJECTIVES, ids=lambda settings: settings["name"])
def test_any_objective_is_told_beside_the_true_nll(
    settings: dict[str, Any], tokenizers: TokenizerPair, teacher_forcing: TeacherForcing
) -> None:
    """Twice the same, whatever was drawn at random in between; without dropout, and with nothing left out."""
    plain = validator(tokenizers, teacher_forcing, batch_tokens=100).references.sums(teacher_forcing, CPU)
    config, size = TypeAdapter(ObjectiveConfig).validate_python(settings), tokenizers.tgt.vocab_size
    loss = TranslationLoss(size, pad_id=0, objective=build_objective(config, vocab_size=size, pad_id=0))
    teacher = Teacher(copy.deepcopy(teacher_forcing.model).eval(), torch.float32)
    both = TeacherForcing(teacher_forcing.model, loss, torch.float32, teacher).train()
    found = []
    for _ in range(2):
        found.append(validator(tokenizers, both, batch_tokens=100).references.sums(both, CPU))
        loss.end_step()
        torch.rand(7)
    assert found[0].nll.item() == pytest.approx(plain.nll.item(), rel=1e-6)
    assert found[0].loss.item() == found[1].loss.item()
    if settings["name"] == "loss_truncation":
        assert found[1].loss.item() == found[1].nll.item()


def test_validation_has_scores_and_sums(tokenizers: TokenizerPair, teacher_forcing: TeacherForcing) -> None:
    validation = validator(tokenizers, teacher_forcing, batch_tokens=100).validate(teacher_forcing, CPU)
    assert validation.scores is not None
    assert validation.scores.num_sentences == len(SRC)
    assert [score.name for score in validation.scores.scores] == ["bleu", "chrf"]
    assert validation.scores.hypotheses[1] == "", "a blank line stays a blank line"


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("decoding", [{"strategy": "sampling"}, {"precision": "int8"}, {}], ids=str)
def test_a_model_without_a_likelihood_is_not_translated_with(
    decoding: dict[str, Any], value: float, tokenizers: TokenizerPair, teacher_forcing: TeacherForcing
) -> None:
    """Searches and integers have no use for a NaN; what the caller gets is the NLL, which is a divergence."""
    with torch.no_grad():
        teacher_forcing.model.output_weight.fill_(value)
    validation = validator(tokenizers, teacher_forcing, 100, **decoding).validate(teacher_forcing, CPU)
    assert validation.scores is None
    assert not math.isfinite(float(validation.sums.nll))
