"""The likelihood of references under a trained model: that of validation to the last bit, whatever was minimised."""

import copy
import json
import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.objective import ObjectiveConfig
from mt_trainer.data.evaluation_sets import EvalSet
from mt_trainer.evaluation.likelihood import Likelihood, LikelihoodMeter, References
from mt_trainer.model import Transformer, build_transformer
from mt_trainer.objectives import TranslationLoss, build_objective
from mt_trainer.objectives.loss_sums import per_token
from mt_trainer.teacher_forcing import Teacher, TeacherForcing
from mt_trainer.tokenizer import TokenizerPair, train_tokenizer

CPU = torch.device("cpu")
SRC = ["a dog runs", "", "two dogs run in the park today", "a cat"]
TGT = ["ein Hund läuft", "nichts", "zwei Hunde laufen heute im Park", ""]
EVAL_SET = EvalSet("test", SRC, TGT, fingerprint="")


@pytest.fixture(scope="module")
def tokenizers() -> TokenizerPair:
    tokenizer = train_tokenizer(
        (SRC + TGT) * 20, algorithm="bpe", vocab_size=300, character_coverage=1.0, byte_fallback=True, num_threads=1
    )
    return TokenizerPair(src=tokenizer, tgt=tokenizer, is_joint=True)


@pytest.fixture
def model(tokenizers: TokenizerPair) -> Transformer:
    torch.manual_seed(1)
    size = tokenizers.tgt.vocab_size
    config = ModelConfig(num_encoder_layers=1, num_decoder_layers=1, d_model=16, ffn_dim=16, num_heads=2, dropout=0.5)
    return build_transformer(config, src_vocab_size=size, tgt_vocab_size=size, max_positions=64, pad_id=0)


def measured(
    model: Transformer, tokenizers: TokenizerPair, eval_set: EvalSet = EVAL_SET, dtype: torch.dtype = torch.float32
) -> Likelihood:
    meter = LikelihoodMeter(model.eval(), tokenizers, device=CPU, dtype=dtype, batch_tokens=20, logit_buffer_bytes=None)
    return meter.measure(eval_set)


OBJECTIVES: list[dict[str, Any]] = [
    {"name": "label_smoothing", "epsilon": 0.3},
    {"name": "cross_entropy", "z_loss": 0.1},
    {"name": "tailr", "weight_from": "eval"},
    {"name": "confidence_penalty", "beta": 0.1},
    {"name": "brier"},
    {"name": "loss_truncation", "window": 4, "min_count": 1},
    {"name": "unlikelihood"},
    {"name": "emo"},
    {"name": "r_drop"},
    {"name": "distillation", "teacher": "runs/a"},
    {"name": "sparse_distillation", "teacher": "runs/a", "method": "sample"},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("settings", OBJECTIVES, ids=lambda settings: settings["name"])
def test_it_is_what_validation_finds_under_any_objective_bit_for_bit(
    settings: dict[str, Any], dtype: torch.dtype, tokenizers: TokenizerPair, model: Transformer
) -> None:
    config, size = TypeAdapter(ObjectiveConfig).validate_python(settings), tokenizers.tgt.vocab_size
    loss = TranslationLoss(size, pad_id=0, objective=build_objective(config, vocab_size=size, pad_id=0))
    teacher = Teacher(copy.deepcopy(model).eval(), dtype)
    trained = TeacherForcing(model, loss, dtype, teacher).train()
    references = References(EVAL_SET, tokenizers, batch_tokens=20, max_positions=64)
    assert len(references.batches) > 1
    told = per_token(references.sums(trained, CPU).as_numbers())
    found = measured(model, tokenizers, dtype=dtype)
    names = ("nll", "ppl", "accuracy", "entropy", "confidence")
    assert {name: getattr(found, name) for name in names} == {name: told[name] for name in names}
    assert found.precision == ("bf16" if dtype == torch.bfloat16 else "fp32")


def test_end_marks_count_and_dropout_does_not(tokenizers: TokenizerPair, model: Transformer) -> None:
    with torch.no_grad():
        model.output_weight.zero_()  # all logits are 0: uniform
    found = measured(model, tokenizers)
    assert found.num_tokens == sum(len(ids) + 1 for ids in tokenizers.tgt.encode(TGT))
    assert found.nll == pytest.approx(math.log(tokenizers.tgt.vocab_size), rel=1e-5)
    assert found.ppl == pytest.approx(tokenizers.tgt.vocab_size, rel=1e-4)
    assert found.confidence == pytest.approx(1 / tokenizers.tgt.vocab_size, rel=1e-4)
    assert not model.training, "the model that translates next is left as it was"


def test_what_does_not_fit_is_cut_and_counted(tokenizers: TokenizerPair, model: Transformer) -> None:
    long = EvalSet("test", ["a dog", "a cat"], ["Hund " * 100, "Katze"], fingerprint="")
    found = measured(model, tokenizers, long)
    assert found.num_cut == 1
    assert found.num_tokens == 64 + len(tokenizers.tgt.encode(["Katze"])[0]) + 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_null_in_json(value: float, tokenizers: TokenizerPair, model: Transformer) -> None:
    with torch.no_grad():
        model.output_weight.fill_(value)
    found = measured(model, tokenizers)
    assert not math.isfinite(found.nll)
    record = json.loads(json.dumps(found.as_record(), allow_nan=False))
    assert record["nll"] is None
    assert record["num_tokens"] == found.num_tokens
